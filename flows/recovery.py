"""Flow runs that nobody executes any more go back to their queue.

A run says Running for ever when its worker died with it, and Crashed when only its process
did. `recover` puts both back, as the same run, a bounded number of times; what is committed
is not read again. Processes are recognised by PREFECT__FLOW_RUN_ID in their environment,
which no other process has, unlike a process id.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import psutil
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.states import Cancelled, Crashed, Failed, Running, Scheduled

from flows.turn import HOST_LABEL, SETTLE_S, this_host

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

log = logging.getLogger(__name__)

RECOVERED = "Recovered"
MOST_CRASHES = 4
PAUSE_S = float(os.environ.get("FLOWS_CRASH_PAUSE_S", "60"))
"""Before the second and each later recovery, times the number of crashes before: a cause may pass."""
RECENT = timedelta(days=1)
"""What crashed longer ago was left by people, or nobody was there to recover it in time to matter."""
STARTING = timedelta(minutes=5)
"""A process that was to start and has not by now never will."""
CANCELLING = timedelta(seconds=45)
"""A worker stops looking for runs to cancel, for the rest of its life, when the server was away for minutes."""
_VARIABLE = "PREFECT__FLOW_RUN_ID"
_AT_WORK = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING, StateType.CRASHED]


def run_processes() -> Iterator[tuple[UUID, psutil.Process]]:
    """Yield the processes of this machine that execute a flow run, with the run's id; not those they started."""
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError, ValueError):
            if _is_engine(process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE:
                yield UUID(process.environ()[_VARIABLE]), process


def recover(
    client: SyncPrefectClient, pool: str, *, no_worker: bool = False, cancelling: timedelta = CANCELLING
) -> list[str]:
    """Put the dead runs of a pool back; return a sentence for each run that changed.

    Args:
        no_worker: the worker of this host is not running, so nothing of it is just being started.
        cancelling: how long the worker has for ending a run that is to be cancelled.
    """
    told = []
    runs = _at_work(client, pool)
    alive = dict(run_processes())  # after the list: one that is in there and has no process now is without one
    for listed in runs:
        if listed.id in alive and not _is_crashed(listed):
            if _is_cancelling(listed, cancelling):
                with suppress(psutil.NoSuchProcess):
                    alive[listed.id].terminate()
                told.append(f"{listed.name}: cancelled by signal")
            continue
        run = client.read_flow_run(listed.id)
        if run.state_id != listed.state_id:
            continue  # it ended, or began, between the list and the look at its process
        if sentence := _recover_one(client, run, is_alive=run.id in alive, no_worker=no_worker):
            log.warning(sentence)
            told.append(sentence)
    return told


def _recover_one(client: SyncPrefectClient, run: FlowRun, *, is_alive: bool, no_worker: bool) -> str | None:
    state = run.state
    if state is None or state.type not in _AT_WORK:
        return None
    if is_alive:
        client.set_flow_run_state(run.id, Running(message="Its process is alive and well."), force=True)
        return f"{run.name}: was taken for crashed, but its process runs"
    if state.is_crashed():
        return _again(client, run, state)
    if not _is_ours(run, state, no_worker=no_worker):
        return None  # of another host; the heartbeat automation says when that is dead
    if state.is_cancelling():
        client.set_flow_run_state(run.id, Cancelled(message="Its process is gone."), force=True)
        return f"{run.name}: cancelled"
    crashed: State = Crashed(message=f"Its process on {this_host()} is gone.")
    client.set_flow_run_state(run.id, crashed, force=True)
    return _again(client, run, crashed)


def _is_ours(run: FlowRun, state: State, *, no_worker: bool) -> bool:
    host = run.labels.get(HOST_LABEL)
    if state.is_running():  # without a host it is a flow of somebody else, or in its first moments
        return host == this_host()
    # It had not begun yet: nobody knows where it was to. A worker starts its process within seconds.
    return host in {None, this_host()} and (no_worker or datetime.now(UTC) - state.timestamp > STARTING)


def _again(client: SyncPrefectClient, run: FlowRun, state: State) -> str | None:
    if run.deployment_id is None or datetime.now(UTC) - state.timestamp > RECENT:
        return None
    crashes = sum(known.is_crashed() for known in client.read_flow_run_states(run.id))
    if crashes > MOST_CRASHES:
        message = f"It crashed {crashes} times and is not tried again by itself. The last time: {state.message}"
        client.set_flow_run_state(run.id, Failed(message=message), force=True)
        return f"{run.name}: crashed {crashes} times, given up"
    due = datetime.now(UTC) + timedelta(seconds=max(SETTLE_S, PAUSE_S * (crashes - 1)))
    message = f"It crashed ({state.message}) and goes on from what is committed."
    client.set_flow_run_state(run.id, Scheduled(name=RECOVERED, message=message, scheduled_time=due), force=True)
    return f"{run.name}: crashed, goes on at {due.astimezone():%H:%M:%S}"


def _at_work(client: SyncPrefectClient, pool: str) -> list[FlowRun]:
    """Return runs that should have a process, and those that crashed, the latest first."""
    return client.read_flow_runs(
        flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=_AT_WORK))),
        work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[pool])),
        sort=FlowRunSort.START_TIME_DESC,
        limit=200,
    )


def _is_crashed(run: FlowRun) -> bool:
    return bool(run.state and run.state.is_crashed())


def _is_cancelling(run: FlowRun, for_at_least: timedelta) -> bool:
    state = run.state
    return bool(state and state.is_cancelling() and datetime.now(UTC) - state.timestamp > for_at_least)


def _is_engine(command: list[str]) -> bool:
    return "prefect.engine" in command or command[-2:] == ["flow-run", "execute"]
