"""What waits in an input to be read for the first time, looked at again and again without an engine.

Knows what earlier looks have seen: of the output only new parts are read, and between two
listings only objects that somebody says are new. What waits is what a run with `only_new` would
read; a look decides nothing else, so that a wrong one costs a run with nothing to do.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pipeline.errors import PipelineError
from pipeline.extraction import load_extraction
from pipeline.layout import is_part, table_prefix
from pipeline.planning import has_days, list_places, select
from pipeline.ready import Readiness
from pipeline.sink import read_committed
from pipeline.source import ObjectFinder
from pipeline.storage import open_storage

if TYPE_CHECKING:
    import numpy.typing as npt

    from pipeline.config import RunConfig
    from pipeline.data import DocumentRef
    from pipeline.storage import StoredFile

BATCH_ROWS = 10_000
PARTS_AT_ONCE = 8
MOST_FOLLOWED = 100_000
"""Waiting documents that are told apart, at about 200 bytes each; further ones are counted by each listing."""
MOST_HINTS = 1000
"""Objects that are looked at one after the other, in some 30 s; for more, the input is listed."""


class Waiting(NamedTuple):
    """What there is to read."""

    documents: int
    size_bytes: int
    oldest_at: datetime | None
    """When the one came that has waited longest; None when none waits."""
    arriving: int
    """Documents that are not whole yet, and not counted above."""


class _Arrival(NamedTuple):
    size_bytes: int
    came_at: datetime


class Arrivals:
    """What waits in one input. Used from one thread; memory is about 8 bytes for each document that was read."""

    def __init__(self, config: RunConfig, *, most_followed: int = MOST_FOLLOWED) -> None:
        """Look at nothing yet.

        Raises:
            ConfigError: there is no such extraction.
        """
        self._config = config.model_copy(update={"only_new": True})
        self._can_ask = config.input_files.ready is None and not has_days(config.input)
        self._finder = ObjectFinder(config.input, config.output)
        self._most_followed = most_followed
        self._known = _Known(config.output, load_extraction(config.extraction, config.prompts).name)
        self._waiting: dict[int, _Arrival] = {}
        self._others = Waiting(0, 0, None, 0)
        """Those that are not followed, at the last listing."""
        self._hints: set[str] = set()
        self._arriving = 0
        self._listed_at: datetime | None = None

    def look(self, hints: Collection[str] | None = None) -> Waiting:
        """Return what waits now.

        Args:
            hints: URIs of objects (s3://bucket/key, not escaped) that may be new: these alone are looked at, with
                those of earlier hints that were not whole. None: the input is listed, which is the truth.

        Raises:
            ConfigError: the input does not exist.
            StorageError: input or output cannot be reached; the next look makes up for it.
        """
        self._forget(self._known.read_new_parts())
        if hints is not None and self._can_ask and len(hints) < MOST_HINTS:
            try:
                self._ask(hints)
            except PipelineError:
                self._hints.clear()  # one of them may be what is wrong; a listing finds the others
                raise
        elif hints is None or hints:
            self._list()
        return self._summary()

    @property
    def documents_read(self) -> int:
        """How many documents the output had rows of at the last look, those that changed since included."""
        return self._known.documents

    def _list(self) -> None:
        """Take all that is there now and has not been read."""
        began, before = datetime.now(UTC), self._waiting
        readiness = self._readiness(began)
        refs = filter(select(self._config, began).takes, list_places(self._config, readiness))
        waiting: dict[int, _Arrival] = {}
        others = Waiting(0, 0, None, 0)
        for number, ref in self._known.unread(refs):
            # What an earlier listing did not hold came later than its own time may say: files are copied with it.
            came_at = before[number].came_at if number in before else self._came_at(ref, began)
            if len(waiting) < self._most_followed:
                waiting[number] = _Arrival(ref.size_bytes, came_at)
            else:
                oldest_at = min(others.oldest_at or came_at, came_at)
                others = Waiting(others.documents + 1, others.size_bytes + ref.size_bytes, oldest_at, 0)
        self._waiting, self._others, self._arriving, self._listed_at = waiting, others, readiness.arriving, began
        self._hints.clear()

    def _ask(self, hints: Collection[str]) -> None:
        """Look at single objects; those that are still arriving are looked at again."""
        now = datetime.now(UTC)
        selection = select(self._config, now)
        self._hints.update(islice(hints, MOST_HINTS - len(self._hints)))
        for uri in list(self._hints):
            readiness = self._readiness(now)
            found = self._finder.find(uri, readiness)
            if not readiness.arriving:
                self._hints.discard(uri)
            for number, ref in self._known.unread([found] if found and selection.takes(found) else []):
                self._waiting.setdefault(number, _Arrival(ref.size_bytes, self._came_at(ref, now)))

    def _forget(self, read: npt.NDArray[np.int64]) -> None:
        """Let go of what was read meanwhile."""
        for number in read.tolist() if self._waiting else ():
            self._waiting.pop(number, None)

    def _summary(self) -> Waiting:
        arrivals, others = self._waiting.values(), self._others
        times = [arrival.came_at for arrival in arrivals] + ([others.oldest_at] if others.oldest_at else [])
        return Waiting(
            documents=len(arrivals) + others.documents,
            size_bytes=sum(arrival.size_bytes for arrival in arrivals) + others.size_bytes,
            oldest_at=min(times, default=None),
            arriving=self._arriving + len(self._hints),
        )

    def _came_at(self, ref: DocumentRef, now: datetime) -> datetime:
        earliest = ref.modified_at or now
        return min(max(earliest, self._listed_at or earliest), now)

    def _readiness(self, now: datetime) -> Readiness:
        files = self._config.input_files
        return Readiness(files.settle_s, files.ready, now=now)


class _Known:
    """What an output has a row of, as hashes: two documents with one hash are two in 10**13 pairs of a million."""

    def __init__(self, output: str, extraction: str) -> None:
        self._storage = open_storage(output)
        self._extraction = extraction
        self._parts: dict[StoredFile, npt.NDArray[np.int64]] = {}
        self._all: npt.NDArray[np.int64] = np.empty(0, np.int64)

    @property
    def documents(self) -> int:
        return int(self._all.size)

    def read_new_parts(self) -> npt.NDArray[np.int64]:
        """Read what was committed since the last time, and return the hashes of it."""
        files = self._storage.files(table_prefix(self._extraction, "documents"))
        there = [file._replace(changed_at=None) for file in files if is_part(file.key)]
        new = [part for part in there if part not in self._parts]
        if not new and len(there) == len(self._parts):
            return np.empty(0, np.int64)
        with ThreadPoolExecutor(PARTS_AT_ONCE, thread_name_prefix="arrivals") as pool:
            read = dict(zip(new, pool.map(self._hashes, new), strict=True))
        self._parts = {part: read[part] if part in read else self._parts[part] for part in there}
        self._all = np.unique(np.concatenate([np.empty(0, np.int64), *self._parts.values()]))
        return np.concatenate([np.empty(0, np.int64), *read.values()])

    def unread(self, refs: Iterable[DocumentRef]) -> Iterator[tuple[int, DocumentRef]]:
        """Yield the documents without a row, each with its hash."""
        refs = iter(refs)
        while batch := list(islice(refs, BATCH_ROWS)):
            numbers = np.fromiter((hash((ref.uri, ref.size_bytes, ref.modified_at)) for ref in batch), np.int64)
            places = np.searchsorted(self._all, numbers)
            if self._all.size:
                is_new = self._all[np.minimum(places, self._all.size - 1)] != numbers
            else:
                is_new = np.ones(len(batch), bool)
            for index in np.flatnonzero(is_new).tolist():
                yield int(numbers[index]), batch[index]

    def _hashes(self, part: StoredFile) -> npt.NDArray[np.int64]:
        rows = read_committed(self._storage, part.key)
        return np.fromiter((hash((row.uri, row.size_bytes, row.modified_at)) for row in rows), np.int64)
