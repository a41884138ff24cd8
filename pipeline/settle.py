"""Closes the books of a run that was killed before it could.

Its rows are committed; the statistics of its last shard may not be, and nothing says that it
ended. Only the holder of the output's lease can tell that a run which never ended is dead.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from pipeline.layout import name_of, pages_key, stats_key
from pipeline.sink import committed_parts
from pipeline.stats import (
    COUNTED,
    DOCUMENT_COLUMNS,
    PAGE_COLUMNS,
    Counts,
    HourRow,
    RunRow,
    RunState,
    hour_rows,
    read_runs,
    total,
    write_run,
    write_stats,
)

if TYPE_CHECKING:
    from pipeline.storage import Storage

log = logging.getLogger(__name__)

LATEST = 3
"""Every run settles the one before it, so at most the last few are open."""
KILLED = "The process was killed; the next run went on from there."


def settle_dead_runs(storage: Storage, extraction: str) -> None:
    """Say of runs that never ended what they committed, and count it.

    Raises:
        StorageError: the output cannot be read or written.
    """
    for run in read_runs(storage, extraction, last=LATEST):
        if run.state is not RunState.RUNNING:
            continue
        parts = tuple(part for part in committed_parts(storage, extraction) if _is_of(storage, part, run))
        hours = _recounted(_hours(storage, run), run, counts_of_parts(storage, parts))
        write_stats(storage, run.identity, hours)
        write_run(storage, _settled(run, total(hours), parts))
        log.warning("run %s was killed; what it read is kept", run.identity.run_id)


def _settled(run: RunRow, done: HourRow, parts: Sequence[str]) -> RunRow:
    return replace(
        run,
        state=RunState.INTERRUPTED,
        finished_at=datetime.now(UTC),
        documents_done=done.documents,
        pages_found=done.pages,
        pages_ok=done.pages_ok,
        pages_failed=done.pages_failed,
        pages_reused=done.pages_reused,
        pages_spared=done.pages_spared,
        engine_restarts=done.engine_restarts,
        pages_resent=done.pages_resent,
        error_message=KILLED,
        parts=tuple(map(name_of, parts)),
    )


def counts_of_parts(storage: Storage, parts: Sequence[str]) -> Counts:
    """Count what was committed, by its rows."""
    counts = Counts()
    for part in parts:
        for row in _rows(storage, part, DOCUMENT_COLUMNS):
            counts.add_document_row(row)
        for row in _rows(storage, pages_key(part), PAGE_COLUMNS):
            counts.add_page_row(row)
    return counts


def _is_of(storage: Storage, part: str, run: RunRow) -> bool:
    """Tell whether a run wrote a part; all rows of one part are of one run."""
    with storage.open(part) as file:
        first = next(pq.ParquetFile(file).iter_batches(1, columns=["run_id"]), None)
    return first is not None and first["run_id"].to_pylist() == [run.identity.run_id]


def _rows(storage: Storage, key: str, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    with storage.open(key) as file:
        for batch in pq.ParquetFile(file).iter_batches(columns=list(columns)):
            yield from batch.to_pylist()


def _hours(storage: Storage, run: RunRow) -> list[HourRow]:
    key = stats_key(run.identity.extraction, run.identity.run_id)
    if not storage.exists(key):
        return []
    with storage.open(key) as file:
        return list(hour_rows(pq.ParquetFile(file).read()))


def _recounted(hours: list[HourRow], run: RunRow, counts: Counts) -> list[HourRow]:
    """Return the hours with what the rows say in place of what was counted; times and gauges stay."""
    nothing: dict[str, Any] = {**dict.fromkeys(COUNTED, 0), "latency_histogram": (), "breaches_by_rule": ()}
    by_hour = {row.hour: replace(row, **nothing) for row in hours or [_hour_of(run)]}
    latest = max(by_hour)
    for start, counted in counts.hours():
        hour = latest if start is None else datetime.fromtimestamp(start, UTC)
        row = by_hour.get(hour, HourRow(hour=hour))
        numbers: dict[str, Any] = {name: getattr(row, name) + n for name, n in counted.numbers.items()}
        # Only the hour of the commit has two counts, and one of them has no latencies.
        histogram = counted.latencies.buckets() or row.latency_histogram
        breaches = Counter(dict(row.breaches_by_rule)) + counted.breaches
        by_hour[hour] = replace(
            row, **numbers, latency_histogram=histogram, breaches_by_rule=tuple(sorted(breaches.items()))
        )
    return [by_hour[hour] for hour in sorted(by_hour)]


def _hour_of(run: RunRow) -> HourRow:
    return HourRow(hour=run.started_at.replace(minute=0, second=0, microsecond=0))
