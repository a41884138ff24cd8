"""What a run would read, how long that would take and what it would cost; reads no document and writes nothing.

Speed and pages per document are those of this output's latest runs with the same engine and model.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.catalog import Catalog
from pipeline.planning import enter_committed, plan_input, resolve
from pipeline.ready import Readiness
from pipeline.selection import parse_deadline
from pipeline.show import text
from pipeline.stats import RunRow, read_runs
from pipeline.storage import open_storage

if TYPE_CHECKING:
    from pipeline.config import RunConfig
    from pipeline.data import RunIdentity
    from pipeline.storage import Storage

LATEST_RUNS = 20
"""That figures are taken from; each is a file of its own."""
_HOUR_S = 3600


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast an output's latest runs were."""

    runs: int
    """That this is taken from."""
    pages_per_hour: float | None
    """While pages were in the engine; None when nothing is known."""
    pages_per_document: float | None
    start_s: float = 0.0
    """Mean time of a run without pages in the engine: listing, loading it, the last commit."""

    def time_for(self, pages: float) -> timedelta | None:
        """Return how long a run of so many pages takes."""
        if self.pages_per_hour is None:
            return None
        return timedelta(seconds=self.start_s, hours=pages / self.pages_per_hour)

    def pages_in(self, time: timedelta) -> int | None:
        """Return how many pages a run reads in this time."""
        if self.pages_per_hour is None:
            return None
        return max(0, int((time.total_seconds() - self.start_s) / _HOUR_S * self.pages_per_hour))

    def outlook(self, documents: int) -> str:
        """Return in words how long so many documents take."""
        pages = documents * (self.pages_per_document or 0)
        duration = self.time_for(pages)
        if duration is None or not pages:
            return "no earlier run of this output tells how long that takes"
        return f"about {pages:,.0f} pages in {text.duration(duration.total_seconds())}"


@dataclass(frozen=True, slots=True)
class Partition:
    """One day of the input: of a place per day its own, else the one on which documents were changed (UTC)."""

    name: str
    documents: int
    documents_done: int


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a run would do. Pages and what follows from them are estimates, None when nothing is known."""

    documents: int
    """To be read."""
    documents_again: int
    """Those of them that earlier runs have read, with other settings or in vain."""
    documents_skipped: int
    documents_arriving: int
    """Not whole yet; left to a later run."""
    pace: Pace
    pages: int | None
    duration: timedelta | None
    """Of reading it all."""
    finishes_at: datetime | None
    cost: Decimal | None
    currency: str
    deadline_at: datetime | None
    page_budget: int | None
    pages_in_time: int | None
    """That one run reads, within its deadline and its page budget."""
    runs: int | None
    """How many runs like this one it takes, one a night for instance."""
    partitions: tuple[Partition, ...]


def forecast(config: RunConfig) -> Forecast:
    """Return what a run with this configuration would do now.

    Raises:
        ConfigError: a setting is wrong, or there is no input.
        StorageError: input or output cannot be reached.
    """
    identity = resolve(config).identity
    storage = open_storage(config.output)
    readiness = Readiness(config.input_files.settle_s, config.input_files.ready)
    with (
        tempfile.TemporaryDirectory(prefix="pagemill-forecast-") as folder,
        closing(Catalog(Path(folder, "catalog.db"), identity)) as catalog,
    ):
        enter_committed(catalog, storage, identity.extraction)
        counts = plan_input(catalog, config, readiness, count_partitions=True)
        partitions = tuple(Partition(*row) for row in catalog.partitions())
    now = datetime.now(UTC)
    pace = find_pace(storage, identity, config)
    pages = math.ceil(counts.documents * pace.pages_per_document) if pace.pages_per_document else None
    duration = pace.time_for(pages) if pages is not None else None
    deadline_at = parse_deadline(config.deadline, now) if config.deadline else None
    pages_in_time = _pages_in_time(pages, pace, config.page_budget, deadline_at - now if deadline_at else None)
    price = config.cost.price_per_hour
    return Forecast(
        documents=counts.documents,
        documents_again=counts.documents_again,
        documents_skipped=counts.documents_skipped,
        documents_arriving=readiness.arriving,
        pace=pace,
        pages=pages,
        duration=duration,
        finishes_at=now + duration if duration is not None else None,
        cost=price * Decimal(duration.total_seconds()) / _HOUR_S
        if price is not None and duration is not None
        else None,
        currency=config.cost.currency,
        deadline_at=deadline_at,
        page_budget=config.page_budget,
        pages_in_time=pages_in_time,
        runs=math.ceil(pages / pages_in_time) if pages and pages_in_time else None,
        partitions=partitions,
    )


def find_pace(storage: Storage, identity: RunIdentity, config: RunConfig) -> Pace:
    """Return how fast the latest runs of an output were, with the same engine and model.

    Raises:
        StorageError: the output cannot be read.
    """
    runs = read_runs(storage, identity.extraction, last=LATEST_RUNS)
    return _pace([row for row in runs if _is_like(row, identity)], config.cost.expected_pages_per_hour)


def _is_like(row: RunRow, identity: RunIdentity) -> bool:
    same = (row.identity.engine, row.identity.model) == (identity.engine, identity.model)
    return same and row.finished_at is not None and row.pages_read > 0


def _pace(rows: Sequence[RunRow], expected: float | None) -> Pace:
    documents = sum(row.documents_done for row in rows)
    timed = [(row, row.reading_s) for row in rows if row.reading_s]
    reading_s = sum(seconds for _, seconds in timed)
    wall_s = sum((row.finished_at - row.started_at).total_seconds() for row, _ in timed if row.finished_at)
    return Pace(
        runs=len(rows),
        pages_per_hour=sum(row.pages_read for row, _ in timed) * _HOUR_S / reading_s if timed else expected,
        pages_per_document=sum(row.pages_ok + row.pages_failed for row in rows) / documents if documents else None,
        start_s=max(0.0, wall_s - reading_s) / len(timed) if timed else 0.0,
    )


def _pages_in_time(pages: int | None, pace: Pace, budget: int | None, time_left: timedelta | None) -> int | None:
    """Return the pages of one run; None when nothing is known of them."""
    readable = pace.pages_in(time_left) if time_left is not None else pages
    if pages is None or readable is None:
        return None
    return min(pages, readable, budget or pages)
