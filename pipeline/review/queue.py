"""Which documents somebody should look at, the least sure first, and how far people have come."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.data import DocumentRef

if TYPE_CHECKING:
    import numpy.typing as npt

    from pipeline.results import ExtractionResults

_COLUMNS = ("source_uri", "sha256", "status", "needs_review", "confidence", "num_pages", "num_records")
_DIGEST = 8


class Show(StrEnum):
    """Which documents a list shows."""

    OPEN = "open"
    DONE = "done"
    ALL = "all"


class Entry(NamedTuple):
    """One document in the queue."""

    place: int
    uri: str
    folder: str
    """Where it lies, "/" at its end."""
    name: str
    status: str
    confidence: float | None
    num_pages: int
    num_records: int
    is_due: bool
    """Whether the run said that somebody should look at it."""
    is_open: bool
    """Whether that is still so, or is so again."""

    @property
    def id(self) -> str:
        """What it is called in addresses; another document never has it, should the results change."""
        return f"{self.place}-{_digest(self.uri)}"


class Progress(NamedTuple):
    """How far people have come."""

    done: int
    due: int


class Queue:
    """The documents of an extraction as of now; thread-safe. Memory: some 200 bytes for each."""

    def __init__(self, extraction: ExtractionResults) -> None:
        """Read the index; takes a second for some 100,000 documents.

        Raises:
            StorageError: a part cannot be read.
        """
        self._extraction = extraction
        self._lock = threading.Lock()
        self._rows = _index(extraction)
        self._due: npt.NDArray[np.bool_] = self._rows["needs_review"].to_numpy()
        self._open = self._due.copy()
        self.look_again(self._reviewed())

    def __len__(self) -> int:
        """Return how many documents there are."""
        return int(self._rows.num_rows)

    @property
    def progress(self) -> Progress:
        """Documents that people are done with, and all that they should look at."""
        due = int(np.count_nonzero(self._due | self._open))
        return Progress(due - int(np.count_nonzero(self._open)), due)

    def count(self, show: Show) -> int:
        """Return how many documents a list shows."""
        return len(self._places(show))

    def page(self, show: Show, start: int, count: int) -> list[Entry]:
        """Return some documents of a list."""
        return [self._entry(int(place)) for place in self._places(show)[start : start + count]]

    def find(self, name: str) -> Entry | None:
        """Return the document of that `id`; None when there is none."""
        place, _, digest = name.partition("-")
        if not place.isdecimal() or len(place) > 12 or int(place) >= len(self):
            return None
        found = self._entry(int(place))
        return found if _digest(found.uri) == digest else None

    def beside(self, entry: Entry, step: int) -> Entry | None:
        """Return the next (1) or previous (-1) document that is open; of one that is not due, any."""
        places = self._places(Show.OPEN if entry.is_due or entry.is_open else Show.ALL)
        here = int(np.searchsorted(places, entry.place, side="left" if step < 0 else "right"))
        where = here - 1 if step < 0 else here
        return self._entry(int(places[where])) if 0 <= where < len(places) else None

    def look_again(self, uris: Iterable[str]) -> None:
        """Find out whether documents are still open; those of which people said something."""
        by_uri: dict[str, bool] = {}
        for record in self._extraction.records_in(list(uris)):
            by_uri[record.source_uri] = by_uri.get(record.source_uri, False) or record.needs_review
        if not by_uri:
            return
        places = pc.index_in(self._rows["source_uri"], value_set=pa.array(list(by_uri))).combine_chunks()
        found = np.flatnonzero(places.is_valid().to_numpy(zero_copy_only=False))
        with self._lock:
            for place in found:
                self._open[place] = by_uri[self._rows["source_uri"][int(place)].as_py()]

    def same_bytes(self, sha256: str | None) -> list[str]:
        """Return the URIs of the documents with this content: what is said of one is said of all."""
        rows = self._rows.filter(pc.equal(self._rows["sha256"], sha256 or ""))
        found: list[str] = rows["source_uri"].to_pylist()
        return found

    def _reviewed(self) -> list[str]:
        documents = pa.array(self._extraction.corrections.documents, pa.string())
        found: list[str] = self._rows.filter(pc.is_in(self._rows["sha256"], documents))["source_uri"].to_pylist()
        return found

    def _places(self, show: Show) -> npt.NDArray[np.int64]:
        if show is Show.ALL:
            return np.arange(len(self))
        chosen = self._open if show is Show.OPEN else self._due & ~self._open
        return np.flatnonzero(chosen)

    def _entry(self, place: int) -> Entry:
        row = {name: self._rows[name][place].as_py() for name in self._rows.column_names}
        folder, slash, name = DocumentRef(row["source_uri"], 0, None).name.rpartition("/")
        return Entry(
            place=place,
            uri=row["source_uri"],
            folder=folder + slash,
            name=name,
            status=row["status"],
            confidence=row["confidence"],
            num_pages=row["num_pages"] or 0,
            num_records=row["num_records"] or 1,
            is_due=bool(self._due[place]),
            is_open=bool(self._open[place]),
        )


def _index(extraction: ExtractionResults) -> pa.Table:
    """Return a row for each document, those to be looked at first, of them the least sure ones first."""
    kinds = {"needs_review": pa.bool_(), "confidence": pa.float32(), "num_pages": pa.int32(), "num_records": pa.int32()}
    schema = pa.schema([(name, kinds.get(name, pa.string())) for name in _COLUMNS])
    rows = pa.Table.from_batches(list(_conformed(extraction, schema)), schema=schema)
    rows = rows.set_column(3, "needs_review", pc.fill_null(rows["needs_review"], False))
    keys = [("needs_review", "descending"), ("confidence", "ascending"), ("source_uri", "ascending")]
    return rows.take(pc.sort_indices(rows, sort_keys=keys)).combine_chunks()


def _conformed(extraction: ExtractionResults, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for batch in extraction.document_batches(_COLUMNS):
        names = batch.schema.names
        columns = [
            batch[field.name].cast(field.type) if field.name in names else pa.nulls(batch.num_rows, field.type)
            for field in schema
        ]
        yield pa.RecordBatch.from_arrays(columns, schema=schema)


def _digest(uri: str) -> str:
    return hashlib.sha256(uri.encode(errors="surrogatepass")).hexdigest()[:_DIGEST]
