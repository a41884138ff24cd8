"""A run's accounts: what was found, what became of it, and what the output says of the run."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pipeline.canary import CanaryResult
from pipeline.config import RunConfig
from pipeline.data import EngineMetrics, RunIdentity
from pipeline.errors import LedgerError
from pipeline.layout import name_of
from pipeline.stats import Counts, HourRow, RunRow, RunState, RunStats, write_run
from pipeline.tally import Tally

if TYPE_CHECKING:
    from pipeline.storage import Storage

STATS_INTERVAL_S = 60
"""How much of its time a killed run may leave unrecorded."""


@dataclass(frozen=True, slots=True)
class RunReport:
    """What a run did."""

    identity: RunIdentity
    output: str
    interrupted: bool
    """Stopped by a signal before everything was read; the next run goes on from there."""
    stopped_by: str | None
    """Why documents are carried over: "signal", "deadline" or "page budget"."""
    deadline_at: datetime | None
    documents: int
    documents_skipped: int
    """Unchanged since an earlier run with the same settings."""
    documents_skipped_failed: int
    """Those of them that failed then."""
    documents_carried_over: int
    """Left to the next run."""
    documents_arriving: int
    """Not whole yet when they were listed; a later run reads them."""
    pages_found: int
    """Of the documents opened; pages_ok + pages_failed + pages_carried_over."""
    pages_ok: int
    pages_failed: int
    pages_reused: int
    """Of these two, those whose bytes had been read before."""
    pages_spared: int
    """Of these two, those answered without the engine."""
    pages_carried_over: int
    canary_score: float | None
    """Share of the words on known pages that the engine read; None when it was not asked."""
    elapsed_s: float
    hours: tuple[HourRow, ...]
    total: HourRow

    @property
    def exit_code(self) -> int:
        """0 when every page of the input is ok, else 1; what failed in an earlier run still counts."""
        return 1 if self.pages_failed or self.documents_skipped_failed or self.documents_carried_over else 0


class Books:
    """Counts what a run does and keeps that in the output: per hour, and in its row of the runs table."""

    def __init__(
        self, storage: Storage, identity: RunIdentity, config: RunConfig, *, tally: Tally, is_fallback: bool
    ) -> None:
        """Start the run's time."""
        self.stats = RunStats(identity, config.cost)
        self.canary: CanaryResult | None = None
        self._storage = storage
        self._identity = identity
        self._output = config.output
        self._tally = tally
        tally.on_phase = self.stats.times.enter
        self._row = replace(RunRow.begun(identity, config), kv_cache_fallback=is_fallback)
        self._stats_put_at = time.monotonic()
        self._parts: list[str] = []

    def begin(self) -> None:
        """Say in the output that the run runs.

        Raises:
            StorageError: nothing can be written there.
        """
        write_run(self._storage, self._row)

    def shard_committed(self, part: str, counts: Counts) -> None:
        """Count what is in the output now, there too."""
        self._parts.append(name_of(part))
        self.stats.commit(counts)
        self._put_stats()

    def engine_sampled(self, metrics: EngineMetrics) -> None:
        """Keep the engine's figures, and now and then put the run's."""
        self.stats.sample(metrics)
        if time.monotonic() - self._stats_put_at > STATS_INTERVAL_S:
            self._put_stats()

    def balance(
        self, *, pages_committed: int, pages_left: int, stopped_by: str | None, deadline_at: datetime | None
    ) -> RunReport:
        """Return what the run did, once it is sure that every page found is committed or carried over.

        Args:
            pages_committed: rows in the parts, as these say themselves.
            pages_left: of documents that were opened and not committed.
            stopped_by: what would explain that documents are carried over; see RunReport.

        Raises:
            LedgerError: the books do not balance.
        """
        tally, total = self._tally, self.stats.total()
        if not tally.pages_found - pages_left == total.pages == pages_committed:
            raise LedgerError(
                f"Of {tally.pages_found} pages found, {pages_committed} are in the output, {total.pages} in the "
                f"statistics and {pages_left} carried over; this is a fault in Pagemill, please report it. "
                f"`pagemill check {self._output}` looks through the output."
            )
        documents_carried_over = tally.documents_total - total.documents
        return RunReport(
            identity=self._identity,
            output=self._output,
            interrupted=stopped_by == "signal" and documents_carried_over > 0,
            stopped_by=stopped_by if documents_carried_over else None,
            deadline_at=deadline_at,
            documents=total.documents,
            documents_skipped=tally.documents_skipped,
            documents_skipped_failed=tally.documents_skipped_failed,
            documents_carried_over=documents_carried_over,
            documents_arriving=tally.documents_arriving,
            pages_found=tally.pages_found,
            pages_ok=total.pages_ok,
            pages_failed=total.pages_failed,
            pages_reused=total.pages_reused,
            pages_spared=total.pages_spared,
            pages_carried_over=pages_left,
            canary_score=self.canary.score if self.canary else None,
            elapsed_s=tally.elapsed_s,
            hours=tuple(self.stats.hours()),
            total=total,
        )

    def close(self, state: RunState, error: BaseException | None = None, *, report: RunReport | None = None) -> None:
        """Put the statistics and what there is to say about the run.

        Raises:
            StorageError: what stood there before stays.
        """
        tally, total = self._tally, self.stats.total()
        self._put_stats()
        row = replace(
            self._row,
            state=state,
            stopped_by=report.stopped_by if report else None,
            finished_at=datetime.now(UTC),
            documents_planned=tally.documents_total,
            documents_done=total.documents,
            documents_skipped=tally.documents_skipped,
            documents_arriving=tally.documents_arriving,
            documents_carried_over=tally.documents_total - total.documents,
            pages_found=tally.pages_found,
            pages_ok=total.pages_ok,
            pages_failed=total.pages_failed,
            pages_reused=total.pages_reused,
            pages_spared=total.pages_spared,
            pages_carried_over=tally.pages_found - total.pages,
            reading_s=total.busy_s,
            engine_restarts=total.engine_restarts,
            pages_resent=total.pages_resent,
            parts=tuple(self._parts),
            canary_score=self.canary.score if self.canary else None,
            canary_threshold=self.canary.threshold if self.canary else None,
            error_message=str(error) or type(error).__name__ if error else None,
        )
        write_run(self._storage, row)

    def _put_stats(self) -> None:
        self.stats.put(self._storage)
        self._stats_put_at = time.monotonic()
