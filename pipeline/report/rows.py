"""Which rows of an output are current, and which they took the place of.

Row numbers and times of all documents are in memory, their records never are.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.errors import StorageError
from pipeline.layout import pages_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.data import Json
    from pipeline.storage import Storage

_LIGHT = ("source_uri", "finished_at", "status", "run_id", "sha256", "pages_ok", "pages_failed", "needs_review")
DOCUMENT_COLUMNS = (
    *("source_uri", "num_pages", "status", "error_type", "error_message", "record", "pages_ok", "pages_failed"),
    *("sha256", "media_type", "flags", "source_size_bytes", "source_modified_at", "finished_at", "run_id"),
    *("engine", "model", "evidence", "breaches", "conflicts", "review_reasons", "confidence", "records"),
)
PAGE_COLUMNS = (
    *("source_uri", "page_number", "num_pages", "status", "partial", "error_type", "error_message", "record"),
    *("page_text", "raw_text", "evidence", "breaches", "review_reasons", "num_tries", "width_px", "height_px"),
    *("full_pixels", "rotation_deg", "answered_by", "read_with"),
    *("tries.list.element.max_pixels", "tries.list.element.rotation_deg"),
)
_BATCH_ROWS = 256


@dataclass(frozen=True, slots=True)
class DocumentRows:
    """The current row of a document and its pages'."""

    place: int
    """Among all current documents by `source_uri`."""
    document: Json
    pages: tuple[Json, ...]
    """By page number."""


class Rows:
    """The document rows of an extraction, superseded ones included."""

    def __init__(self, storage: Storage, document_parts: Sequence[str]) -> None:
        """Look at the parts.

        Raises:
            StorageError: one cannot be read.
        """
        self._storage = storage
        self.parts = tuple(document_parts)
        tables = [self._light(number, key) for number, key in enumerate(self.parts)]
        if not tables:
            self.all = pa.table({name: pa.array([], pa.string()) for name in (*_LIGHT, "part", "row")})
            return
        rows = pa.concat_tables(tables, promote_options="permissive")
        keys = [(name, "ascending") for name in ("source_uri", "finished_at", "part")]
        self.all = rows.take(pc.sort_indices(rows, sort_keys=keys))

    @cached_property
    def is_current(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Of each row of `all`: whether it is the last of its document."""
        count = self.all.num_rows
        last = np.ones(count, dtype=bool)
        if count > 1:
            uris = self.all["source_uri"].combine_chunks()
            last[:-1] = pc.not_equal(uris[:-1], uris[1:]).to_numpy(zero_copy_only=False)
        return last

    @cached_property
    def current(self) -> pa.Table:
        """The current rows by `source_uri`."""
        return self.all.filter(pa.array(self.is_current))

    def documents(self) -> Iterator[DocumentRows]:
        """Yield the current documents with their pages, part by part; memory is bounded by a part."""
        current = self.current.append_column("place", pa.array(np.arange(self.current.num_rows)))
        for number, key in enumerate(self.parts):
            chosen = current.filter(pc.equal(current["part"], number))
            if chosen.num_rows:
                yield from self._of_part(key, chosen)

    def take(self, part: int, rows: Sequence[int], columns: Sequence[str]) -> list[Json]:
        """Return some rows of a documents part, in their order."""
        with self._parquet(self.parts[part]) as parquet:
            names = _present(parquet, columns)
            found: list[Json] = parquet.read(columns=names).take(pa.array(rows)).to_pylist(maps_as_pydicts="lossy")
            return found

    def _of_part(self, key: str, chosen: pa.Table) -> Iterator[DocumentRows]:
        rows, places = chosen["row"].to_pylist(), chosen["place"].to_pylist()
        with self._parquet(key) as parquet:
            documents = parquet.read(columns=_present(parquet, DOCUMENT_COLUMNS)).take(pa.array(rows))
        pages = self._pages(pages_key(key), chosen["source_uri"])
        for start in range(0, documents.num_rows, _BATCH_ROWS):
            batch = documents.slice(start, _BATCH_ROWS).to_pylist(maps_as_pydicts="lossy")
            for place, document in zip(places[start:], batch, strict=False):
                found = pages.pop(document["source_uri"], [])
                found.sort(key=lambda page: page["page_number"] or 0)
                yield DocumentRows(place, document, tuple(found))

    def _pages(self, key: str, uris: pa.ChunkedArray) -> dict[str, list[Json]]:
        wanted = uris.combine_chunks()
        found: dict[str, list[Json]] = {}
        with self._parquet(key) as parquet:
            names = _present(parquet, PAGE_COLUMNS)
            for batch in parquet.iter_batches(batch_size=_BATCH_ROWS, columns=names):
                kept = batch.filter(pc.is_in(batch["source_uri"], value_set=wanted))
                for page in kept.to_pylist(maps_as_pydicts="lossy"):
                    found.setdefault(page["source_uri"], []).append(page)
        return found

    def _light(self, number: int, key: str) -> pa.Table:
        with self._parquet(key) as parquet:
            table = parquet.read(columns=_present(parquet, _LIGHT)).replace_schema_metadata(None)
        count = table.num_rows
        table = table.append_column("part", pa.array(np.full(count, number, dtype=np.int32)))
        return table.append_column("row", pa.array(np.arange(count, dtype=np.int32)))

    @contextlib.contextmanager
    def _parquet(self, key: str) -> Iterator[pq.ParquetFile]:
        try:
            with self._storage.open(key) as file:
                yield pq.ParquetFile(file)
        except (pa.ArrowException, OSError) as error:
            raise StorageError(f"The file {key} cannot be read: {error}.") from error


def _present(parquet: pq.ParquetFile, columns: Sequence[str]) -> list[str]:
    """Drop the names that a part of an older version does not have."""
    return [name for name in columns if name.partition(".")[0] in parquet.schema_arrow.names]
