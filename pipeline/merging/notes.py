"""What the pages of a document say, kept until all have come: on disk beyond a few pages, read back in page order."""

from __future__ import annotations

import pickle
import struct
import tempfile
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.data import FieldEvidence
from pipeline.errors import StorageError

if TYPE_CHECKING:
    from pipeline.data import Json
    from pipeline.merging.numbering import SheetNumber

IN_MEMORY_BYTES = 256 * 1024
"""Of one document; there are as many open ones as pages are in the engine."""

_HEADER = struct.Struct("<II")
"""Lengths of a page's short and long half."""
_values_of = attrgetter(*(field.name for field in fields(FieldEvidence)))

Packed = list[tuple[Any, ...]]
"""Evidence, cheap to pickle."""


class Note(NamedTuple):
    """What one page says."""

    page_number: int
    record: Json
    """Without its series."""
    evidence: Packed
    sheet: SheetNumber | None
    series: Json | None
    """Lists and joined texts by field name; None where nobody wanted them."""
    series_evidence: Packed

    @property
    def whole(self) -> Json:
        """The record as it came."""
        return {**self.record, **(self.series or {})}


def pack(evidence: Sequence[FieldEvidence]) -> Packed:
    """Return evidence as plain tuples."""
    return [_values_of(one) for one in evidence]


def unpack(packed: Packed) -> list[FieldEvidence]:
    """Return evidence from plain tuples."""
    return [FieldEvidence(*values) for values in packed]


def moved(one: FieldEvidence, path: str) -> FieldEvidence:
    """Return evidence under another path; a long list has a hundred thousand of it."""
    return one if one.path == path else FieldEvidence(path, *_values_of(one)[1:])


class PageNotes:
    """Takes notes in any order and gives them back in page order.

    Memory: IN_MEMORY_BYTES and eight bytes a page. One note alone is held as it is, since most documents have one page.
    """

    def __init__(self) -> None:
        self._first: Note | None = None
        self._file: tempfile.SpooledTemporaryFile[bytes] | None = None
        self._places = array("Q")
        """Where the note of each page begins, plus one; 0 where there is none."""

    def add(self, note: Note) -> None:
        """Keep a note, one a page.

        Raises:
            StorageError: the temporary folder is full or gone.
        """
        if self._file is None and self._first is None:
            self._first = note
            return
        with _disk_errors():
            if self._first:
                self._file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES, prefix="pagemill-merge-")  # noqa: SIM115 - closed by close()
                first, self._first = self._first, None
                self._write(first)
            self._write(note)

    def read(self, wants_series: Callable[[], bool]) -> Iterator[Note]:
        """Yield the notes in page order, without their series where those are not wanted any more."""
        if self._first:
            yield self._first
        for place in self._places:
            if place:
                with _disk_errors():
                    note = self._read(place - 1, wants_series=wants_series())
                yield note

    def close(self) -> None:
        """Drop what is kept; a second call does nothing."""
        if self._file:
            self._file.close()
        self._file = self._first = None
        self._places = array("Q")

    def _write(self, note: Note) -> None:
        if self._file is None:
            return
        short, long = (pickle.dumps(half, protocol=5) for half in (tuple(note[:4]), tuple(note[4:])))
        missing = note.page_number + 1 - len(self._places)
        if missing > 0:
            self._places.frombytes(bytes(8 * missing))
        self._places[note.page_number] = self._file.seek(0, 2) + 1
        self._file.write(_HEADER.pack(len(short), len(long)) + short + long)

    def _read(self, place: int, *, wants_series: bool) -> Note:
        if self._file is None:
            raise ValueError("notes were closed")
        self._file.seek(place)
        short, long = _HEADER.unpack(self._file.read(_HEADER.size))
        said = pickle.loads(self._file.read(short))  # noqa: S301 - written above, to a file that has no name
        series = pickle.loads(self._file.read(long)) if wants_series else (None, [])  # noqa: S301 - the same
        return Note(*said, *series)


@contextmanager
def _disk_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        place = f"{tempfile.gettempdir()} (its place is TMPDIR's)"
        raise StorageError(f"What pages say cannot be kept in {place}: {error}") from error
