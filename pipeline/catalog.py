"""What a run has to do: the documents of the input, held against what the output already has.

A throw-away SQLite file, so that a million documents take disk instead of memory. Truth stays
in the Parquet parts: the file is made anew by every run, without journal or fsync, and deleted
at its end. It takes about 500 bytes a document. Knows nothing of pages.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from pipeline.config import RunConfig
from pipeline.data import DocumentRef, RunIdentity, Status
from pipeline.errors import CURABLE, StorageError
from pipeline.selection import Sample, draw_of, parse_since, rank_of
from pipeline.sink import CommittedDocument

CACHE_MB = 64
"""Of the database, in memory; what does not fit is on disk."""
BATCH_ROWS = 1000
"""Python objects at once."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

_SETUP = f"""
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA locking_mode = EXCLUSIVE;
PRAGMA cache_size = -{CACHE_MB * 1024};
CREATE TABLE part (id INTEGER PRIMARY KEY, key TEXT NOT NULL);
-- The current row of each document: the one that finished last. done_as is null unless it settles the document.
CREATE TABLE committed (
    uri TEXT PRIMARY KEY, size INTEGER, modified INTEGER, finished INTEGER, status TEXT, done_as TEXT
) WITHOUT ROWID;
-- Where the reading of each content stands.
CREATE TABLE content (
    sha256 TEXT PRIMARY KEY, failed INTEGER, finished INTEGER, part INTEGER, uri TEXT
) WITHOUT ROWID;
CREATE TABLE listed (
    position INTEGER PRIMARY KEY, uri TEXT UNIQUE, size INTEGER, modified INTEGER,
    draw INTEGER, rank INTEGER, partition TEXT
);
CREATE TABLE pending (position INTEGER PRIMARY KEY, uri TEXT, size INTEGER, modified INTEGER, again INTEGER);
"""
_ADD_COMMITTED = """
INSERT INTO committed VALUES (:uri, :size, :modified, :finished, :status, :done_as)
ON CONFLICT DO UPDATE SET
    size = excluded.size, modified = excluded.modified, finished = excluded.finished,
    status = excluded.status, done_as = excluded.done_as
WHERE finished <= excluded.finished
"""
_ADD_CONTENT = """
INSERT INTO content VALUES (:sha256, :status = 'failed', :finished, :part, :uri)
ON CONFLICT DO UPDATE SET
    failed = excluded.failed, finished = excluded.finished, part = excluded.part, uri = excluded.uri
WHERE (excluded.failed, finished) <= (failed, excluded.finished)
"""
_ADD_LISTED = "INSERT OR IGNORE INTO listed (uri, size, modified, draw, rank, partition) VALUES (?, ?, ?, ?, ?, ?)"
_DROP_UNSAMPLED = """
DELETE FROM listed WHERE position NOT IN (SELECT position FROM listed ORDER BY draw, uri LIMIT :count)
"""
_UNCHANGED = "committed.uri = listed.uri AND committed.size = listed.size AND committed.modified IS listed.modified"
# What is settled, and how; what no run has read as it is has no committed row here.
_STATES = f"""
SELECT listed.*, committed.uri IS NOT NULL AS again, CASE WHEN :only_new THEN status ELSE done_as END AS settled_as
FROM listed LEFT JOIN committed ON NOT :force AND {_UNCHANGED}
"""
_COUNT_SETTLED = f"""
SELECT count(settled_as), coalesce(sum(settled_as = 'failed'), 0) FROM ({_STATES})
"""
_PARTITIONS = f"""
SELECT partition, count(*), count(settled_as) FROM ({_STATES}) GROUP BY partition ORDER BY partition
"""
_ORDERS = {
    "name": "position",
    "oldest": "modified, position",
    "newest": "modified DESC, position",
    "smallest": "size, position",
    "largest": "size DESC, position",
}
_CHOOSE = f"""
INSERT INTO pending (uri, size, modified, again) SELECT uri, size, modified, again FROM ({_STATES})
WHERE settled_as IS NULL ORDER BY rank, again, {{order}} LIMIT :limit
"""
_COUNT_PENDING = "SELECT count(*), coalesce(sum(again), 0) FROM pending"
_NEXT = "SELECT position, uri, size, modified FROM pending WHERE position > ? ORDER BY position LIMIT ?"
_READ = f"""
SELECT position, listed.uri, listed.size, listed.modified, finished FROM listed JOIN committed ON {_UNCHANGED}
WHERE done_as = 'ok' AND position > ? ORDER BY position LIMIT ?
"""
_FIND = "SELECT key, uri FROM content JOIN part ON part.id = content.part WHERE sha256 = ?"


@dataclass(frozen=True, slots=True)
class Selection:
    """Which documents of the input a run looks at.

    The sample is drawn before what is done is left out, so that the same command again has
    nothing to do; the limit counts what is left.
    """

    force: bool = False
    """Nothing that earlier runs have done counts as done."""
    since: datetime | None = None
    """Documents changed before then are left out; those without a known time are not."""
    until: datetime | None = None
    """Documents changed then or later are left out too."""
    sample: Sample | None = None
    limit: int | None = None
    again: bool = False
    """As `force`, but what earlier runs have read may be used for pages that need no reading."""
    only_new: bool = False
    """Documents that a run has read as they are now count as done, whatever came of it and with whatever settings."""
    order: str = "name"
    priority: tuple[str, ...] = ()
    partition: Callable[[DocumentRef], str] | None = None
    """Which partition of the input a document belongs to, where they are counted."""

    @classmethod
    def of(cls, config: RunConfig, now: datetime | None = None) -> Selection:
        """Return what a configuration asks for; ages count back from `now`."""
        now = now or datetime.now(UTC)
        return cls(
            force=config.force,
            since=parse_since(config.since, now) if config.since is not None else None,
            until=parse_since(config.until, now) if config.until is not None else None,
            sample=Sample.parse(config.sample) if config.sample is not None else None,
            limit=config.limit,
            only_new=config.only_new,
            order=config.order,
            priority=config.priority,
        )

    def takes(self, ref: DocumentRef) -> bool:
        """Return whether `since` and `until` let a document pass; one whose time is not known passes."""
        at = ref.modified_at
        return at is None or not ((self.since and at < self.since) or (self.until and at >= self.until))


@dataclass(frozen=True, slots=True)
class PlanCounts:
    """What a plan comes to."""

    documents: int
    """To be read."""
    documents_skipped: int
    """Unchanged since an earlier run with the same settings."""
    documents_skipped_failed: int
    """Those of them that failed then."""
    documents_again: int
    """Of `documents`, those that an earlier run has read: with other settings, or in vain."""


class Catalog:
    """The plan of one run. Used from one thread; `close` deletes it.

    All methods raise StorageError when the disk is full or fails.
    """

    def __init__(self, path: Path, identity: RunIdentity) -> None:
        """Begin an empty catalog; what a killed run left at `path` is deleted."""
        self._path = path
        self._identity = identity
        self._chosen: dict[str, int] = {}
        path.unlink(missing_ok=True)
        with self._disk_errors():
            self._database = sqlite3.connect(path, isolation_level=None)
            self._database.executescript(_SETUP)

    def add_committed(self, rows: Iterable[CommittedDocument], part: str) -> None:
        """Enter the documents of a committed part.

        Args:
            part: key of the documents part; of rows that finished at the same time, the one entered last is current.
        """
        with self._transaction():
            part_id = self._database.execute("INSERT INTO part (key) VALUES (?)", (part,)).lastrowid
            values = (self._committed_values(row, part_id) for row in rows)
            while batch := list(islice(values, BATCH_ROWS)):
                self._database.executemany(_ADD_COMMITTED, batch)
                self._database.executemany(_ADD_CONTENT, (row for row in batch if row["sha256"] and row["same"]))

    def plan(self, refs: Iterable[DocumentRef], selection: Selection) -> PlanCounts:
        """Take the listing of the input, once, and choose what is to be read, in which order.

        What no run has read comes before what is read again; that the sample is drawn before
        both is why the same command again has nothing to do. With `selection.force`,
        `find_content` forgets what earlier runs have read.
        """
        with self._transaction():
            self._list(refs, selection)
            self._chosen = {
                "force": selection.force or selection.again,
                "only_new": selection.only_new,
                "limit": -1 if selection.limit is None else selection.limit,
            }
            done, failed = self._database.execute(_COUNT_SETTLED, self._chosen).fetchone()
            self._database.execute(_CHOOSE.format(order=_ORDERS[selection.order]), self._chosen)
            if selection.force:
                self._database.execute("DELETE FROM content")
            documents, again = self._database.execute(_COUNT_PENDING).fetchone()
        return PlanCounts(documents, done, failed, again)

    def partitions(self) -> list[tuple[str, int, int]]:
        """Return each partition of the plan with the number of its documents, and of those that are settled."""
        with self._disk_errors():
            return self._database.execute(_PARTITIONS, self._chosen).fetchall()

    def read_whole(self) -> Iterator[tuple[DocumentRef, datetime]]:
        """Yield the listed documents whose pages are all read and committed, now, and when their reading ended.

        Other methods may be called meanwhile.
        """
        for uri, size, modified, finished in self._rows(_READ):
            yield DocumentRef(uri, size, _time(modified)), _EPOCH + finished * _MICROSECOND

    def pending(self) -> Iterator[DocumentRef]:
        """Yield what is to be read, the most important first; other methods may be called meanwhile."""
        return (DocumentRef(uri, size, _time(modified)) for uri, size, modified in self._rows(_NEXT))

    def find_content(self, sha256: str) -> tuple[str, str] | None:
        """Return where a reading of this content under the run's settings is committed, if there is one.

        One without failed pages is preferred, then the latest.

        Returns:
            Key of the documents part and source_uri of the row in it.
        """
        with self._disk_errors():
            found: tuple[str, str] | None = self._database.execute(_FIND, (sha256,)).fetchone()
        return found

    def close(self) -> None:
        """Delete the catalog."""
        self._database.close()
        self._path.unlink(missing_ok=True)

    def _rows(self, query: str) -> Iterator[tuple[Any, ...]]:
        """Yield what follows the position in rows of a query that takes the last position and a number of rows."""
        position = 0
        while True:
            with self._disk_errors():
                rows = self._database.execute(query, (position, BATCH_ROWS)).fetchall()
            if not rows:
                return
            position = rows[-1][0]
            yield from (row[1:] for row in rows)

    def _list(self, refs: Iterable[DocumentRef], selection: Selection) -> None:
        values = _listed_values(refs, selection)
        while batch := list(islice(values, BATCH_ROWS)):
            self._database.executemany(_ADD_LISTED, batch)
        if selection.sample and selection.sample.count:
            self._database.execute(_DROP_UNSAMPLED, {"count": selection.sample.count})

    def _committed_values(self, row: CommittedDocument, part_id: int | None) -> dict[str, object]:
        return {
            "uri": row.uri,
            "size": row.size_bytes,
            "modified": _microseconds(row.modified_at),
            "finished": _microseconds(row.finished_at) or 0,
            "status": row.status,
            "same": row.fingerprint == self._identity.fingerprint,
            "done_as": row.status if self._is_done(row) else None,
            "sha256": row.sha256,
            "part": part_id,
        }

    def _is_done(self, row: CommittedDocument) -> bool:
        """Tell whether reading the same bytes again would come to the same row."""
        if row.fingerprint != self._identity.fingerprint:
            return False
        lasts = row.error_type not in CURABLE and row.limits_fingerprint == self._identity.limits_fingerprint
        return row.status == Status.OK or lasts

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        """Write in one go. One that fails leaves the catalog unusable, since nothing is journalled."""
        with self._disk_errors():
            self._database.execute("BEGIN")
            yield
            self._database.execute("COMMIT")

    @contextlib.contextmanager
    def _disk_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            place = f"{self._path.parent} (its place is TMPDIR's)"
            raise StorageError(f"The list of documents cannot be kept in {place}: {error}.") from error


def _listed_values(refs: Iterable[DocumentRef], selection: Selection) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of `listed`: what `since`, `until` and a sample by share let pass."""
    sample = selection.sample
    for ref in filter(selection.takes, refs):
        draw = draw_of(ref.uri) if sample else None
        if sample is None or draw is None or sample.may_hold(draw):
            rank = rank_of(ref.uri, selection.priority) if selection.priority else 0
            partition = selection.partition(ref) if selection.partition else None
            yield ref.uri, ref.size_bytes, _microseconds(ref.modified_at), draw, rank, partition


def _microseconds(time: datetime | None) -> int | None:
    """Return microseconds since 1970, exactly, as the Parquet files hold them."""
    return None if time is None else (time - _EPOCH) // _MICROSECOND


def _time(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else _EPOCH + microseconds * _MICROSECOND
