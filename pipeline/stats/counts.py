"""What pages and documents come to, counted apart from the run until it is sure that they are committed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipeline.data import DocumentRecord, PageRecord, Status
from pipeline.stats.latency import LatencyHistogram

if TYPE_CHECKING:
    from collections.abc import Iterable

HOUR_S = 3600


def hour_of(seconds: float) -> int:
    """Return the beginning of the clock hour of a moment; both in seconds since 1970."""
    return int(seconds // HOUR_S * HOUR_S)


@dataclass(slots=True)
class HourCounts:
    """What was done in one clock hour."""

    numbers: Counter[str] = field(default_factory=Counter)
    """By the names of HourRow's fields; what is not there is 0."""
    latencies: LatencyHistogram = field(default_factory=LatencyHistogram)

    def add(self, other: HourCounts) -> None:
        """Count what another one counted."""
        self.numbers.update(other.numbers)
        self.latencies.update(other.latencies)


class Counts:
    """Pages and documents by the clock hour in which they finished. Memory grows by the hour, not by the page."""

    def __init__(self) -> None:
        self._hours: dict[int | None, HourCounts] = {}

    def __bool__(self) -> bool:
        return bool(self._hours)

    def add_page(self, record: PageRecord) -> None:
        """Count a page's terminal row; of one that repeats another document's, only that it is there."""
        reused = record.reused_from is not None
        counted = self._at(None if reused else hour_of(record.finished_at.timestamp()))
        numbers = counted.numbers
        numbers["pages_ok" if record.status is Status.OK else "pages_failed"] += 1
        if reused:
            numbers["pages_reused"] += 1
            return
        numbers["pages_retried"] += len(record.attempts) > 1
        for attempt in record.attempts:
            numbers["prompt_tokens"] += attempt.prompt_tokens or 0
            numbers["output_tokens"] += attempt.output_tokens or 0
            numbers["cached_tokens"] += attempt.cached_tokens or 0
        counted.latencies.add((record.finished_at - record.started_at).total_seconds())

    def add_document(self, record: DocumentRecord) -> None:
        """Count a document's terminal row."""
        numbers = self._at(hour_of(record.finished_at.timestamp())).numbers
        numbers["documents_ok" if record.status is Status.OK else "documents_failed"] += 1

    def add(self, other: Counts) -> None:
        """Count what another one counted."""
        for hour, counted in other.hours():
            self._at(hour).add(counted)

    def hours(self) -> Iterable[tuple[int | None, HourCounts]]:
        """Return what was counted by the hour's beginning; None stands for the hour of the commit."""
        return self._hours.items()

    def _at(self, hour: int | None) -> HourCounts:
        if hour not in self._hours:
            self._hours[hour] = HourCounts()
        return self._hours[hour]
