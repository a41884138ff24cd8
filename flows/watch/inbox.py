"""The flow runs of one deployment, as a watcher sees them: whether one is due to run or running, and a new one."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import TERMINAL_STATES, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import PrefectException
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from pipeline.storage import local_path

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from prefect.client.schemas.objects import FlowRun
    from prefect.client.schemas.responses import DeploymentResponse

    from pipeline.config import RunConfig

TIMEOUT_S = 20.0
SOON = timedelta(minutes=1)
"""Runs that are planned for later than this do not keep others from starting."""
RECOVERED_WITHIN = timedelta(minutes=2)
"""A run that crashed is put back to its queue in this time, if it is at all."""
MOST_ACTIVE = 200
MOST_KEYS = 20


@dataclass(frozen=True, slots=True)
class InboxState:
    """What the server says."""

    deployment_id: UUID
    parameters: dict[str, Any]
    """Those of the deployment."""
    is_paused: bool
    active: str | None
    """Name of a run that is due to run, or running."""
    latest_id: UUID | None
    """Of the run that ended last."""
    latest_end: datetime | None


class Inbox:
    """The runs of a deployment. All methods raise what Prefect's client does; each asks the server anew."""

    def __init__(self, deployment: str) -> None:
        """Ask nothing yet.

        Args:
            deployment: "flow/deployment".
        """
        self.deployment = deployment

    def state(self) -> InboxState:
        """Return how things stand."""
        with _client() as client:
            deployment = client.read_deployment_by_name(self.deployment)
            now = datetime.now(UTC)
            active = next((run for run in _runs(client, deployment, ended=False) if _is_due(run, now)), None)
            latest = next(_runs(client, deployment, ended=True), None)
        if active is None and latest is not None and _may_be_recovered(latest, now):
            active = latest
        return InboxState(
            deployment_id=deployment.id,
            parameters=dict(deployment.parameters),
            is_paused=deployment.paused,
            active=active.name if active else None,
            latest_id=latest.id if latest else None,
            latest_end=latest.end_time if latest else None,
        )

    def start(self, state: InboxState, config: RunConfig) -> FlowRun:
        """Have a run started, and return it; watchers that saw the same state start one between them."""
        with _client() as client:
            for number in range(MOST_KEYS):
                run = client.create_flow_run_from_deployment(
                    state.deployment_id,
                    parameters=_passed_on(config, state.parameters),
                    idempotency_key=f"inbox-{state.deployment_id}-after-{state.latest_id}-{number}",
                )
                if run.state is None or run.state.type not in TERMINAL_STATES:
                    return run
        raise PrefectException(f"{self.deployment}: {MOST_KEYS} runs after {state.latest_id} have ended.")


@contextmanager
def _client() -> Iterator[SyncPrefectClient]:
    """Open a client that does not retry by itself: the watcher comes again soon, and must be able to end at once."""
    with (
        temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}),
        get_client(httpx_settings={"timeout": TIMEOUT_S}, sync_client=True) as client,
    ):
        yield client


def _runs(client: SyncPrefectClient, deployment: DeploymentResponse, *, ended: bool) -> Iterator[FlowRun]:
    types = [kind for kind in StateType if (kind in TERMINAL_STATES) == ended]
    yield from client.read_flow_runs(
        deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment.id])),
        flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=types))),
        sort=FlowRunSort.END_TIME_DESC if ended else FlowRunSort.EXPECTED_START_TIME_ASC,
        limit=1 if ended else MOST_ACTIVE,
    )


def _passed_on(config: RunConfig, parameters: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters of a run, so that it reads what was seen to wait, wherever it runs."""
    files = config.input_files.model_dump(exclude_none=True)
    settings = {f"input_files.{name}": str(value) for name, value in files.items()}
    dates = {name: value for name in ("since", "until") if (value := getattr(config, name)) is not None}
    return {
        "input": _whole(config.input),
        "output": _whole(config.output),
        "extraction": config.extraction,
        **dates,
        "only_new": True,
        "settings": settings | (parameters.get("settings") or {}),
    }


def _whole(location: str) -> str:
    """Return a place as it is called from any folder."""
    path = local_path(location)
    return location if path is None else str(path)


def _is_due(run: FlowRun, now: datetime) -> bool:
    """Tell whether a run has begun, waits for its next try, or is to begin soon; a schedule plans days ahead."""
    begins = run.next_scheduled_start_time
    return run.run_count > 0 or begins is None or begins <= now + SOON


def _may_be_recovered(run: FlowRun, now: datetime) -> bool:
    crashed = run.state is not None and run.state.type is StateType.CRASHED
    return crashed and run.end_time is not None and now - run.end_time < RECOVERED_WITHIN
