"""What a run says of itself while it runs: written by its own thread, read by any."""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from pipeline.data import AnsweredBy, DocumentRecord, EngineMetrics, PageRecord, Status
from pipeline.stats import RunState, page_checks, record_checks, records_of, was_checked, without_userinfo

if TYPE_CHECKING:
    from decimal import Decimal

    from pipeline.config import RunConfig
    from pipeline.data import RunIdentity
    from pipeline.stats import GpuSampler, Times
    from pipeline.tally import Tally

BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0)
"""From a page of OCR's text layer to the longest a page may take, `vllm.page_timeout_s`."""
_TOKENS = ("prompt_tokens", "output_tokens", "cached_tokens")
_ENGINE_COUNTERS = ("prefix_cache_queries", "prefix_cache_hits", "preemptions")


class Queue(Protocol):
    """Pages on their way to the engine; see feed.PageFeed."""

    @property
    def num_in_flight(self) -> int:
        """Pages that the engine holds."""
        ...

    @property
    def num_ready(self) -> int:
        """Page images that wait for it."""
        ...


class Ended(Protocol):
    """What a run says at its end; see books.RunReport."""

    @property
    def interrupted(self) -> bool:
        """Whether it was stopped by a signal; a deadline or a page budget that is reached is as it should be."""
        ...

    @property
    def documents_carried_over(self) -> int:
        """Documents left to the next run."""
        ...


@dataclass(slots=True)
class Counted:
    """What a run has read so far, as of one moment."""

    numbers: Counter[str] = field(default_factory=Counter)
    """By the names of HourRow's fields; pages that need no reading count as reused, blank and so on only."""
    failures: Counter[str] = field(default_factory=Counter)
    """Pages by error type."""
    breaches: Counter[str] = field(default_factory=Counter)
    """Times that a record broke a rule, by rule."""
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_S) + 1))
    """Pages by how long they took: up to each of BUCKETS_S, and longer than the last."""
    seconds: float = 0.0
    """That they took together."""

    def copy(self) -> Counted:
        """Return what changes no more."""
        return Counted(
            self.numbers.copy(), self.failures.copy(), self.breaches.copy(), self.buckets.copy(), self.seconds
        )


class LiveRun:
    """One run: what never changes of it, what is looked at when asked, and what was counted."""

    def __init__(
        self,
        config: RunConfig,
        identity: RunIdentity,
        *,
        tally: Tally,
        gpu: GpuSampler | None,
        times: Times | None,
        deadline_at: datetime | None,
    ) -> None:
        self.identity = identity
        self.labels = {"extraction": identity.extraction, "output": _label(config.output)}
        """Of every figure: one run at a time has both."""
        self.tally = tally
        self.gpu = gpu
        self._times = times
        self._spent: dict[str, float] | None = None
        self.deadline_at = deadline_at
        self.price_per_hour: Decimal | None = config.cost.price_per_hour
        self.currency = config.cost.currency
        self.feed: Queue | None = None
        self.engine = EngineMetrics()
        """As it last said."""
        self.state = RunState.RUNNING
        self.succeeded = False
        self.started_at_s = time.time()
        self.ended_at_s: float | None = None
        self.documents_carried_over: int | None = None
        """None while it runs, and of one that failed."""
        self._elapsed_s: float | None = None
        self._lock = threading.Lock()
        self._counted = Counted()
        self._engine_before: dict[str, float] = {}

    @property
    def elapsed_s(self) -> float:
        """How long the run ran, the wait for its output included."""
        return self.tally.elapsed_s if self._elapsed_s is None else self._elapsed_s

    @property
    def spent(self) -> dict[str, float]:
        """Seconds by where the time went, see stats.Times; nothing where nobody says."""
        if self._spent is not None:
            return self._spent
        return self._times.sums() if self._times else {}

    def counted(self) -> Counted:
        """Return what was counted until now."""
        with self._lock:
            return self._counted.copy()

    def end(self, state: RunState, report: Ended | None = None) -> None:
        """Stop the time."""
        self._elapsed_s, self.ended_at_s, self._spent = self.tally.elapsed_s, time.time(), self.spent
        self.feed, self.engine = None, EngineMetrics()
        self.documents_carried_over = report.documents_carried_over if report else None
        self.succeeded = report is not None and not report.interrupted
        self.state = state

    def page_done(self, record: PageRecord) -> None:
        """Count a page that this run read, or that it need not read; what an earlier one counted is passed over."""
        if record.reused_from is None and record.finished_at.timestamp() < self.started_at_s:
            return  # read by a run that was killed before it could commit
        with self._lock:
            if record.reused_from is not None:
                self._counted.numbers["pages_reused"] += 1
            elif record.answered_by is not AnsweredBy.ENGINE:
                self._counted.numbers[f"pages_{record.answered_by}"] += 1
            else:
                self._count(record)
            if record.reused_from is None and was_checked(record.answered_by):
                self._counted.numbers.update(
                    page_checks([one.verdict for one in record.evidence], record.review_reasons)
                )

    def _count(self, record: PageRecord) -> None:
        counted, numbers = self._counted, self._counted.numbers
        numbers["pages_ok" if record.status is Status.OK else "pages_failed"] += 1
        if record.status is Status.FAILED and record.error:
            counted.failures[record.error.error_type] += 1
        numbers["pages_retried"] += len(record.attempts) > 1
        for attempt in record.attempts:
            for name in _TOKENS:
                numbers[name] += getattr(attempt, name) or 0
        pixels = (record.width_px or 0) * (record.height_px or 0)
        numbers["pixels_sent"] += pixels
        numbers["pixels_full"] += record.full_pixels or pixels
        seconds = max(0.0, (record.finished_at - record.started_at).total_seconds())
        counted.buckets[bisect_left(BUCKETS_S, seconds)] += 1
        counted.seconds += seconds

    def document_done(self, record: DocumentRecord) -> None:
        """Count a document and its records."""
        is_ok = record.status is Status.OK
        records, breaches = record_checks(records_of(record.parts))
        with self._lock:
            self._counted.numbers.update({"documents_ok": is_ok, "documents_failed": not is_ok} | records)
            self._counted.breaches.update(breaches)

    def add(self, **numbers: int) -> None:
        """Count something else than a page."""
        with self._lock:
            self._counted.numbers.update(numbers)

    def engine_sampled(self, metrics: EngineMetrics) -> None:
        """Keep an engine's gauges and add to its counters, which begin at 0 with each engine."""
        self.engine = metrics
        with self._lock:
            for name in _ENGINE_COUNTERS:
                if (value := metrics.counters.get(name)) is not None:
                    before = self._engine_before.get(name, 0.0)
                    self._counted.numbers[name] += int(value - before if value >= before else value)
                    self._engine_before[name] = value


class Metrics:
    """What a run tells its figures; without a LiveRun nothing is kept."""

    def __init__(self, run: LiveRun | None) -> None:
        self._run = run

    def reads_from(self, feed: Queue) -> None:
        """Say where the engine gets its pages from."""
        if self._run:
            self._run.feed = feed

    def page_done(self, record: PageRecord) -> None:
        """A page has its terminal row."""
        if self._run:
            self._run.page_done(record)

    def document_done(self, record: DocumentRecord) -> None:
        """A document has its terminal row."""
        if self._run:
            self._run.document_done(record)

    def engine_replaced(self, pages_resent: int) -> None:
        """An engine was given up, and its pages go to the next one."""
        if self._run:
            self._run.add(engine_restarts=1, pages_resent=pages_resent)

    def engine_sampled(self, metrics: EngineMetrics) -> None:
        """These are an engine's figures of now."""
        if self._run:
            self._run.engine_sampled(metrics)

    def ended(self, report: Ended) -> None:
        """The run is over and its books are closed."""
        if self._run:
            self._run.end(RunState.INTERRUPTED if report.interrupted else RunState.FINISHED, report)


def _label(output: str) -> str:
    """Return a place as a label: without credentials, and in Unicode, which file names need not be."""
    place = without_userinfo(output)
    if "://" in place:
        place = place.partition("?")[0]
    return place.encode("utf-8", "replace").decode()
