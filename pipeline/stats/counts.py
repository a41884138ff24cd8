"""What pages and documents come to, counted apart from the run until it is sure that they are committed."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pipeline.data import AnsweredBy, DocumentRecord, PageRecord, Status
from pipeline.stats.checks import (
    PAGE_PATHS,
    RECORD_PATHS,
    page_checks,
    record_checks,
    records_in,
    records_of,
    row_checks,
    was_checked,
)
from pipeline.stats.latency import LatencyHistogram
from pipeline.stats.times import hour_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_OF_TRIES = ("prompt_tokens", "output_tokens", "cached_tokens", "queue_s", "prefill_s", "decode_s")
_OF_PAGE = ("status", "reused_from", "answered_by", "started_at", "finished_at")
_OF_IMAGE = ("width_px", "height_px", "full_pixels", "render_s")
PAGE_COLUMNS = (*_OF_PAGE, "num_tries", *_OF_IMAGE, *_OF_TRIES, *PAGE_PATHS)
DOCUMENT_COLUMNS = ("status", "finished_at", *RECORD_PATHS)


@dataclass(slots=True)
class HourCounts:
    """What was done in one clock hour."""

    numbers: defaultdict[str, float] = field(default_factory=lambda: defaultdict(int))
    """By the names of HourRow's fields; what is not there is 0."""
    latencies: LatencyHistogram = field(default_factory=LatencyHistogram)
    breaches: Counter[str] = field(default_factory=Counter)
    """By rule."""

    def add(self, other: HourCounts) -> None:
        """Count what another one counted."""
        for name, number in other.numbers.items():
            self.numbers[name] += number
        self.latencies.update(other.latencies)
        self.breaches.update(other.breaches)


class Counts:
    """Pages and documents by the clock hour in which they finished. Memory grows by the hour, not by the page."""

    def __init__(self) -> None:
        self._hours: dict[int | None, HourCounts] = {}

    def __bool__(self) -> bool:
        return bool(self._hours)

    def add_page(self, record: PageRecord) -> None:
        """Count a page's terminal row; of one that the engine did not read, only that it is there."""
        row = {name: getattr(record, name) for name in (*_OF_PAGE, *_OF_IMAGE)}
        row |= {name: sum(getattr(attempt, name) or 0 for attempt in record.attempts) for name in _OF_TRIES}
        self._add_page(
            row | {"num_tries": len(record.attempts)},
            page_checks([one.verdict for one in record.evidence], record.review_reasons),
        )

    def add_page_row(self, row: Mapping[str, Any]) -> None:
        """Count a page by the columns PAGE_COLUMNS of its row; those of an older version lack some."""
        self._add_page(row, row_checks(row))

    def _add_page(self, row: Mapping[str, Any], checks: Mapping[str, int]) -> None:
        reused = row["reused_from"] is not None
        counted = self._at(None if reused else hour_of(row["finished_at"].timestamp()))
        numbers = counted.numbers
        numbers["pages_ok" if row["status"] == Status.OK else "pages_failed"] += 1
        if reused:
            numbers["pages_reused"] += 1
            return
        numbers["page_render_s"] += row["render_s"] or 0
        answered_by = row.get("answered_by") or AnsweredBy.ENGINE
        for name, number in checks.items() if was_checked(answered_by) else ():
            numbers[name] += number
        if answered_by != AnsweredBy.ENGINE:
            numbers[f"pages_{answered_by}"] += 1
            return
        numbers["pages_retried"] += row["num_tries"] > 1
        pixels = (row["width_px"] or 0) * (row["height_px"] or 0)
        numbers["pixels_sent"] += pixels
        numbers["pixels_full"] += row.get("full_pixels") or pixels
        for name in _OF_TRIES:
            numbers[name if name.endswith("_tokens") else f"page_{name}"] += row[name] or 0
        counted.latencies.add((row["finished_at"] - row["started_at"]).total_seconds())

    def add_document(self, record: DocumentRecord) -> None:
        """Count a document's terminal row."""
        row = {"status": record.status, "finished_at": record.finished_at, "records": records_of(record.parts)}
        self.add_document_row(row)

    def add_document_row(self, row: Mapping[str, Any]) -> None:
        """Count a document by the columns DOCUMENT_COLUMNS of its row."""
        counted = self._at(hour_of(row["finished_at"].timestamp()))
        counted.numbers["documents_ok" if row["status"] == Status.OK else "documents_failed"] += 1
        records, breaches = record_checks(records_in(row))
        for name, number in records.items():
            counted.numbers[name] += number
        counted.breaches.update(breaches)

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
