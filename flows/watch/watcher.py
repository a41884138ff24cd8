"""Decides when documents that have come are worth a run of the inbox."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
from prefect.exceptions import ObjectNotFound, PrefectException

from flows.notify import Hints, Noticed
from flows.watch.inbox import Inbox, InboxState
from pipeline.arrivals import Arrivals, Waiting
from pipeline.errors import PipelineError

if TYPE_CHECKING:
    from threading import Event
    from uuid import UUID

    from pipeline.config import RunConfig

log = logging.getLogger("flows.watch")

LISTING_SHARE = 0.25
"""Of the time at most: a million files are listed in 9 s, and so every 36 s."""
LONGEST_PAUSE_S = 300.0
"""Between attempts while something cannot be reached."""
LONGEST_WAIT_S = 1800.0
"""Before another run when runs come to nothing."""
LEAST_PAUSE_S = 1.0
"""Between looks, however many notifications come."""
_EARLY_S = 0.1
"""So that a look is a listing although it wakes a little before the other."""
_AWAY = (PipelineError, PrefectException, httpx.HTTPError, OSError)


@dataclass(frozen=True, slots=True)
class Pace:
    """When to look, and what is worth a run."""

    poll_s: float = 10
    """Between looks."""
    wait_s: float = 20
    """For which the oldest document waits for others to make a batch with."""
    batch: int = 500
    """Documents that make a batch at once."""
    listing_s: float = 300
    """Between listings where notifications tell what is new."""


class Watcher:
    """Looks, and has runs started. Used from one thread."""

    def __init__(
        self,
        inbox: Inbox,
        config_of: Callable[[dict[str, Any]], RunConfig],
        hints: Hints,
        pace: Pace,
        *,
        is_notified: bool = False,
    ) -> None:
        """Ask nothing yet.

        Args:
            config_of: what a run reads, by the deployment's parameters.
            is_notified: notifications come as hints, so that listing now and then is enough.
        """
        self._inbox = inbox
        self._config_of = config_of
        self._hints = hints
        self._pace = pace
        self._is_notified = is_notified
        self._arrivals: Arrivals | None = None
        self._config: RunConfig | None = None
        self._parameters: dict[str, Any] | None = None
        self._active: str | None = None
        self._is_paused = False
        self._fruitless = _Fruitless(pace.wait_s)
        self._listing_due_at = self._listing_allowed_at = 0.0
        self._trouble: str | None = None
        self._pause_s = pace.poll_s
        self._figures = Figures()

    def watch(self, stop: Event) -> None:
        """Go on until `stop` is set; `hints.wake()` makes that known at once."""
        while not stop.is_set():
            noticed = self._hints.take()
            try:
                pause_s = self._step(noticed)
            except _AWAY as error:
                # As a listing: should one of the hints be what is wrong, it does not come again.
                self._hints.put_back(Noticed(set(), bool(noticed.uris) or noticed.everywhere, noticed.acknowledge))
                pause_s = self._away(error)
            else:
                self._back()
                for acknowledge in noticed.acknowledge:
                    with contextlib.suppress(Exception):  # it comes again, and does no harm
                        acknowledge()
            least_s = min(LEAST_PAUSE_S, pause_s)
            if not stop.wait(least_s):
                self._hints.wait(pause_s - least_s)

    def health(self) -> tuple[bool, dict[str, Any]]:
        """Return whether it looked lately, and its figures; called from other threads."""
        figures = asdict(self._figures)
        return self._trouble is None, figures | {"trouble": self._trouble, "run": self._active}

    def _step(self, noticed: Noticed) -> float:
        """Look once; return how long to wait."""
        if self._arrivals is None or self._active:
            self._look_at_runs()
        waiting = self._look(noticed)
        left_s = float("inf") if self._active else self._worth_in_s(waiting)
        if left_s <= 0:
            self._start(waiting)
            return self._pace.poll_s
        return min(self._pace.poll_s, max(left_s, 0.2))

    def _look_at_runs(self) -> InboxState:
        state = self._inbox.state()
        self._active = state.active
        if state.parameters != self._parameters:
            self._config = self._config_of(state.parameters)
            self._arrivals = Arrivals(self._config)
            self._parameters = state.parameters
            self._listing_due_at = 0.0
            log.info("watching %s for %s", self._config.input, self._inbox.deployment)
        return state

    def _look(self, noticed: Noticed) -> Waiting:
        """List what there is when that is due and no run is about to; else look at what is new."""
        assert self._arrivals
        began = time.monotonic()
        if noticed.everywhere:
            self._listing_due_at = min(self._listing_due_at, self._listing_allowed_at)
        if self._active or began < self._listing_due_at:
            waiting = self._arrivals.look(noticed.uris)
        else:
            waiting = self._arrivals.look()
            took_s = self._figures.listing_seconds = time.monotonic() - began
            self._listing_allowed_at = began + took_s / LISTING_SHARE
            usual_s = self._pace.listing_s if self._is_notified else self._pace.poll_s
            self._listing_due_at = max(began + usual_s - _EARLY_S, self._listing_allowed_at)
        self._figures.take(waiting)
        return waiting

    def _worth_in_s(self, waiting: Waiting) -> float:
        """Return in how many seconds what waits is worth a run; 0 or less: now."""
        if waiting.oldest_at is None:
            return float("inf")
        if waiting.documents >= self._pace.batch:
            return 0
        return self._pace.wait_s - (datetime.now(UTC) - waiting.oldest_at).total_seconds()

    def _start(self, waiting: Waiting) -> None:
        assert self._arrivals
        state = self._look_at_runs()
        if state.is_paused != self._is_paused:
            log.info("%s is paused" if state.is_paused else "%s goes on", self._inbox.deployment)
        self._is_paused = state.is_paused
        if state.is_paused or state.active or self._fruitless.delays(state, self._arrivals.documents_read):
            return
        assert self._config
        run = self._inbox.start(state, self._config)
        self._active = run.name
        self._fruitless.started(run.id, self._arrivals.documents_read)
        self._figures.runs_started_total += 1
        log.info("%d documents wait: run %s", waiting.documents, run.name)

    def _away(self, error: Exception) -> float:
        """Say once that something cannot be reached; return how long to wait."""
        trouble = _said(error, self._inbox.deployment)
        if self._trouble is None:
            log.warning("%s Looking again every %g to %g s", trouble, self._pace.poll_s, LONGEST_PAUSE_S)
            self._pause_s = self._pace.poll_s
        self._trouble = trouble
        self._pause_s = min(self._pause_s * 1.5, LONGEST_PAUSE_S)
        return self._pause_s

    def _back(self) -> None:
        if self._trouble is not None:
            log.info("reached again")
        self._trouble = None
        self._figures.looked_at_seconds = time.time()


@dataclass(slots=True)
class Figures:
    """For /health and /metrics."""

    waiting_documents: int = 0
    waiting_bytes: int = 0
    waiting_oldest_seconds: float = 0
    arriving_documents: int = 0
    listing_seconds: float = 0
    looked_at_seconds: float = 0
    runs_started_total: int = 0

    def take(self, waiting: Waiting) -> None:
        """Keep what a look found."""
        oldest = waiting.oldest_at
        self.waiting_documents, self.waiting_bytes = waiting.documents, waiting.size_bytes
        self.waiting_oldest_seconds = (datetime.now(UTC) - oldest).total_seconds() if oldest else 0
        self.arriving_documents = waiting.arriving


class _Fruitless:
    """Runs that come to nothing, such as those with a wrong setting, are started less and less often."""

    def __init__(self, wait_s: float) -> None:
        self._wait_s = wait_s
        self._own: UUID | None = None
        """The run that this watcher started last; others may be of another input."""
        self._read_before = 0
        self._count = 0

    def started(self, run_id: UUID, documents_read: int) -> None:
        """Take note of a run, and of how many documents the output has before it."""
        self._own, self._read_before = run_id, documents_read

    def delays(self, state: InboxState, documents_read: int) -> bool:
        """Tell whether the next run had better not start yet."""
        if self._own is not None and state.latest_id == self._own:
            self._own = None
            self._count = self._count + 1 if documents_read == self._read_before else 0
            if self._count == 2:
                log.warning("runs end without having read anything; the next ones start less often")
        wait_s = min(self._wait_s * 2**self._count, LONGEST_WAIT_S) if self._count > 1 else 0
        return state.latest_end is not None and datetime.now(UTC) < state.latest_end + timedelta(seconds=wait_s)


def _said(error: Exception, deployment: str) -> str:
    if isinstance(error, ObjectNotFound):
        return f"there is no deployment {deployment}; `python -m flows.deploy` makes it"
    if isinstance(error, httpx.HTTPError | PrefectException):
        return f"Prefect's server cannot be reached ({type(error).__name__}: {error})".rstrip(": )") + ")"
    return str(error)
