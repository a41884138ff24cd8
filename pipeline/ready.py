"""Which listed files are whole, and not still on their way here. Opens none."""

from __future__ import annotations

import re
from collections import deque
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from pipeline.errors import ConfigError
from pipeline.storage import Storage, StoredFile

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST_CLOCK_ERROR = timedelta(days=1)
"""A file that changed further in the future than this has a wrong time, which says nothing of uploads."""
HALF_UPLOADED = (".part", ".partial", ".filepart", ".crdownload", ".tmp", ".upload")
"""How the names end that browsers, rsync, WinSCP and others give a file until it is whole."""
FOLDERS_REMEMBERED = 1000
_MARKERS = re.compile(r"\*?[^*?\[\]/]+")


class Readiness:
    """Which files are whole: those left alone for a while, and those that whoever puts them there says are.

    A marker is a file that holds nothing but this word: one in the document's folder (`_SUCCESS`),
    or one beside each document (`*.done`: `a.pdf.done` for `a.pdf`, not older than it, since it
    may be left of an earlier `a.pdf`). Markers are no documents. Good for one listing.
    """

    def __init__(self, settle_s: float = 0, ready: str | None = None, *, now: datetime | None = None) -> None:
        self.arriving = 0
        """Documents passed over so far."""
        if ready is not None and not _MARKERS.fullmatch(ready):
            raise ConfigError(f"input_files.ready cannot be {ready!r}; give a name (_SUCCESS) or an ending (*.done).")
        self._settle_s = settle_s
        self._settled_at = (now or datetime.now(UTC)) - timedelta(seconds=settle_s)
        self._suffix = marker_suffix(ready)
        self._marker = ready if self._suffix is None else None

    def whole(self, files: Iterator[StoredFile], storage: Storage) -> Iterator[tuple[StoredFile, bool]]:
        """Yield the documents of a listing, in its order, and whether each one is whole."""
        if self._suffix is not None:
            return self._vouched_for(files, self._suffix)
        is_marked = lru_cache(FOLDERS_REMEMBERED)(lambda folder: storage.exists(f"{folder}{self._marker}"))
        return (
            (file, self.has_settled(file) and (self._marker is None or is_marked(_folder_of(file.key))))
            for file in files
            if self._marker is None or file.key.rpartition("/")[2] != self._marker
        )

    def has_settled(self, file: StoredFile) -> bool:
        """Tell whether a file was left alone for long enough."""
        if not self._settle_s:
            return True
        changed = file.changed_at or file.modified_at
        if file.key.endswith(HALF_UPLOADED):
            return False
        # What cannot be looked at has no time; opening it tells why.
        return changed is None or changed <= self._settled_at or changed > self._settled_at + LONGEST_CLOCK_ERROR

    def _vouched_for(self, files: Iterator[StoredFile], suffix: str) -> Iterator[tuple[StoredFile, bool]]:
        """Hold each document until its marker comes, or what sorts after it: seldom more than the next file."""
        held: deque[StoredFile] = deque()
        markers: dict[str, StoredFile] = {}
        for file in files:
            while held and _place(file.key) > _place(held[0].key + suffix):
                yield self._judged(held.popleft(), markers, suffix)
            if file.key.endswith(suffix):
                markers[file.key] = file
            else:
                held.append(file)
            if not held:
                markers.clear()
        while held:
            yield self._judged(held.popleft(), markers, suffix)

    def _judged(self, file: StoredFile, markers: dict[str, StoredFile], suffix: str) -> tuple[StoredFile, bool]:
        marker = markers.pop(file.key + suffix, None)
        if marker is None or not self.has_settled(file):
            return file, False
        marked = marker.changed_at or marker.modified_at
        return file, marked is None or file.modified_at is None or marked >= file.modified_at


def marker_suffix(ready: str | None) -> str | None:
    """Return what a marker's name has after its document's, when each document has one of its own."""
    return ready[1:] if ready and ready.startswith("*") else None


def _folder_of(key: str) -> str:
    """Return the part of a key up to its last "/", that included."""
    return key[: key.rfind("/") + 1]


def _place(key: str) -> list[str]:
    """Return what keys are sorted by within a listing; good for a bucket's order too, between a file and its marker."""
    return key.split("/")
