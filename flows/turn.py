"""A flow run's place in its queue: giving it up, taking it again, and who waits behind it.

The run stays the same one in Prefect whenever it goes back to its queue, so that a night is
one row in the UI. Its process ends, which releases the GPU, and the next one takes up what
is committed. Knows nothing of documents.
"""

from __future__ import annotations

import contextvars
import logging
import os
import socket
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NoReturn, Self
from uuid import UUID

import httpx
from prefect import runtime
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterNextScheduledStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
    WorkQueueFilter,
    WorkQueueFilterName,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.exceptions import Abort, PrefectException
from prefect.states import Cancelled, Failed, Scheduled
from prefect.types import DateTime

log = logging.getLogger(__name__)

HOST_LABEL = "pagemill.host"
AWAITING_RETRY = "AwaitingRetry"
INTERRUPTED = "Interrupted"
GAVE_WAY = "GaveWay"
LOOK_INTERVAL_S = float(os.environ.get("FLOWS_LOOK_S", "30"))
"""How often a run that gives way asks who waits."""
SETTLE_S = float(os.environ.get("FLOWS_SETTLE_S", "15"))
"""Before a run that went back is due: a worker that is given the run whose process it still holds dies of it
(prefect 3.7.7: "this borrower is already holding one of this CapacityLimiter's tokens")."""
UNREACHABLE = (httpx.HTTPError, PrefectException, OSError)
"""What a call of Prefect's API may raise; none of it may end a run that reads pages."""


def this_host() -> str:
    """Return the name by which recovery knows where a run's process is."""
    return os.environ.get("FLOWS_HOST") or socket.gethostname()


class Turn:
    """The turn of the flow run of this process; to be closed."""

    def __init__(self, flow_run_id: UUID | None) -> None:
        """None: Prefect does not know of the run, or it has no deployment to go back to."""
        self._flow_run_id = flow_run_id
        self._closed = threading.Event()
        self.began_at = datetime.now(UTC)
        """When the run was first due: what "06:00" and "36h" count from, however often it is tried."""
        self.started_at = self.began_at
        """When it was first begun: what a deadline of "8h" counts from."""
        self.num_tries = 0
        """How often it went back after an error."""
        self._run: FlowRun | None = None
        if flow_run_id:
            try:
                self._look_back(flow_run_id)
            except UNREACHABLE as error:
                log.warning("Prefect does not answer, so this counts as the run's first try: %s", error)

    @classmethod
    def of_this_run(cls) -> Self:
        """Return the turn of the flow run that this process executes."""
        return cls(UUID(runtime.flow_run.id) if runtime.deployment.id else None)

    @property
    def job(self) -> str | None:
        """Return what the tries of the run have in common."""
        return str(self._flow_run_id) if self._flow_run_id else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()

    def watch(self, stop: threading.Event, *, every_s: float = LOOK_INTERVAL_S) -> threading.Event:
        """Set `stop`, and the event that is returned, once a run of a more important queue of the pool is due."""
        gave_way = threading.Event()

        def look() -> None:
            while not self._closed.wait(every_s):
                try:
                    waiting = self._more_important_run()
                except UNREACHABLE as error:
                    log.info("who waits is not known: %s", error)
                    continue
                if waiting:
                    log.warning("giving way to %s", waiting.name)
                    gave_way.set()
                    stop.set()
                    return

        if self._run and self._run.work_queue_name:
            context = contextvars.copy_context()  # what is logged belongs to the flow run
            threading.Thread(target=context.run, args=(look,), name="give-way", daemon=True).start()
        return gave_way

    def is_cancelled(self) -> bool:
        """Return whether somebody asked for the run to be cancelled; False when Prefect does not answer."""
        if not self._flow_run_id:
            return False
        try:
            with _client() as client:
                state = client.read_flow_run(self._flow_run_id).state
        except UNREACHABLE:
            return False
        return bool(state and (state.is_cancelling() or state.is_cancelled()))

    @property
    def can_go_back(self) -> bool:
        """Whether there is a queue to go back to."""
        return self._flow_run_id is not None

    def go_back(self, name: str, message: str, *, after_s: float = SETTLE_S) -> NoReturn:
        """Put the run back into its queue and leave the flow; its process ends.

        Raises:
            Abort: always, unless Prefect does not answer.
            KeyboardInterrupt: then, so that the run crashes and recovery puts it back.
        """
        due = datetime.now(UTC) + timedelta(seconds=after_s)
        self._leave(Scheduled(name=name, message=message, scheduled_time=due))

    def cancel(self, message: str) -> NoReturn:
        """Say that the run is cancelled and leave the flow; raises as `go_back`."""
        self._leave(Cancelled(message=message))

    def fail(self, message: str) -> NoReturn:
        """Say that the run failed and leave the flow, without the traceback that Prefect logs; raises as `go_back`."""
        self._leave(Failed(message=message))

    def _leave(self, state: State) -> NoReturn:
        assert self._flow_run_id, "a run without deployment has no queue"
        self._closed.set()
        try:
            with _client() as client:
                client.set_flow_run_state(self._flow_run_id, state, force=True)
        except UNREACHABLE as error:
            raise KeyboardInterrupt(f"Prefect does not answer: {error}") from None
        raise Abort(state.message or "")

    def _look_back(self, flow_run_id: UUID) -> None:
        with _client() as client:
            self._run = client.read_flow_run(flow_run_id)
            self.started_at = self._run.start_time or self.started_at
            client.update_flow_run_labels(flow_run_id, {HOST_LABEL: this_host()})
            states = sorted(client.read_flow_run_states(flow_run_id), key=lambda state: state.timestamp)
        self.num_tries = sum(state.name == AWAITING_RETRY for state in states)
        due = [state.state_details.scheduled_time for state in states if state.type is StateType.SCHEDULED]
        if due and due[0]:
            self.began_at = due[0]

    def _more_important_run(self) -> FlowRun | None:
        assert self._run
        pool = self._run.work_pool_name
        with _client() as client:
            queues = client.read_work_queues(work_pool_name=pool)
            own = next((queue.priority for queue in queues if queue.name == self._run.work_queue_name), None)
            ahead = [  # what waits in a paused one is not taken up, so nobody gives way to it
                queue.name
                for queue in queues
                if own and queue.priority and queue.priority < own and not queue.is_paused
            ]
            return _next_due(client, pool or "", ahead) if ahead else None


def _next_due(client: SyncPrefectClient, pool: str, queues: Sequence[str]) -> FlowRun | None:
    found = client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
            next_scheduled_start_time=FlowRunFilterNextScheduledStartTime(before_=DateTime.now("UTC")),
        ),
        work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[pool])),
        work_queue_filter=WorkQueueFilter(name=WorkQueueFilterName(any_=list(queues))),
        limit=1,
    )
    return found[0] if found else None


def _client() -> SyncPrefectClient:
    return get_client(sync_client=True)
