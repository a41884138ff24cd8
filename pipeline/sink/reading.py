"""Rows of the pages table -> the records they were written from; the opposite of tables.py.

What a row does not hold does not come back: the words of a line, the class of an error, and
that a try looked for the upright side.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.data import (
    AnsweredBy,
    Attempt,
    Box,
    Document,
    DocumentRef,
    FinishReason,
    PageRecord,
    RenderSpec,
    RunIdentity,
    Status,
    TextLine,
    TrySettings,
)
from pipeline.errors import ErrorType, PageError, StorageError
from pipeline.layout import table_prefix
from pipeline.sink.checked import read_checks
from pipeline.sink.nested import counted_try
from pipeline.sink.restoring import record_restorer
from pipeline.sink.tables import IDENTITY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

    from pydantic import BaseModel

    from pipeline.data import Json
    from pipeline.storage import Storage

_URI = "source_uri"
_CHUNK_ROWS = 64
"""Rows held as Python objects, as in writing."""


class PartReader:
    """Reads single documents back from committed parts.

    Keeps the part and the row group that it read last, so that documents that stand together
    are cheap. Memory is bounded by a row group, never by the length of a document.
    """

    def __init__(self, storage: Storage, extraction: str, model: type[BaseModel]) -> None:
        self._storage = storage
        self._extraction = extraction
        self._restore = record_restorer(model)
        self._part: _OpenPart | None = None

    def pages(self, part: str, source_uri: str) -> Iterator[PageRecord]:
        """Yield the pages of a document, in the order in which they finished.

        Each says where it is from: `reused_from`, and `read_by` for the engine that read it. To be
        finished before a document of another part is begun, as its part is closed then.

        Args:
            part: Key of the documents part with its row, or its name.

        Raises:
            StorageError: the part is gone or damaged, or was written by a version that knows more.
        """
        with _reading_errors(part):
            for rows in self._opened(part).rows_of(source_uri):
                for row in rows:
                    yield _page(row, self._restore)

    def close(self) -> None:
        """Close the part that is open; the reader can still be used."""
        if self._part:
            self._part.close()
            self._part = None

    def _opened(self, part: str) -> _OpenPart:
        key = table_prefix(self._extraction, "pages") + part.rpartition("/")[2]
        if self._part is None or self._part.key != key:
            self.close()
            self._part = _OpenPart(key, self._storage.open(key))
        return self._part


class _OpenPart:
    """A pages part, and where in it documents stand."""

    def __init__(self, key: str, file: BinaryIO) -> None:
        self.key = key
        self._file = file
        try:
            self._parquet = pq.ParquetFile(file, read_dictionary=[_URI], pre_buffer=True)
        except BaseException:
            file.close()
            raise
        leaves = self._parquet.schema
        self._uri_leaf = next(leaf for leaf in range(len(leaves)) if leaves.column(leaf).path == _URI)
        self._uris: dict[int, pa.ChunkedArray] = {}
        self._group: tuple[int, pa.Table] | None = None

    def rows_of(self, uri: str) -> Iterator[list[Json]]:
        """Yield the rows of a document, some at a time."""
        for number in range(self._parquet.num_row_groups):
            if self._may_hold(number, uri):
                places = pc.indices_nonzero(pc.equal(self._uris_of(number), uri))
                if len(places):
                    found = _taken(self._rows(number), places)
                    for start in range(0, found.num_rows, _CHUNK_ROWS):
                        yield found.slice(start, _CHUNK_ROWS).to_pylist(maps_as_pydicts="strict")
                    del found  # or it would be in memory beside the next row group

    def close(self) -> None:
        self._parquet.close()
        self._file.close()

    def _may_hold(self, number: int, uri: str) -> bool:
        found = self._parquet.metadata.row_group(number).column(self._uri_leaf).statistics
        return found is None or not found.has_min_max or found.min <= uri <= found.max

    def _uris_of(self, number: int) -> pa.ChunkedArray:
        if number not in self._uris:
            [column] = self._parquet.read_row_group(number, columns=[_URI]).columns
            self._uris[number] = column
        return self._uris[number]

    def _rows(self, number: int) -> pa.Table:
        if self._group is None or self._group[0] != number:
            self._group = None
            # With threads, the allocator keeps memory for each of them: half as much again over 20,000 pages.
            self._group = number, self._parquet.read_row_group(number, use_threads=False)
        return self._group[1]


def _taken(rows: pa.Table, places: pa.UInt64Array) -> pa.Table:
    """Return some rows; without a copy when they stand together, as those of a short document do."""
    first, last = places[0].as_py(), places[-1].as_py()
    return rows.slice(first, len(places)) if last - first + 1 == len(places) else rows.take(places)


@contextmanager
def _reading_errors(part: str) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, ValueError, LookupError, TypeError) as error:
        raise StorageError(f"The pages of {part} cannot be read back: {error}.") from error


def _page(row: Json, restore: Callable[[Any], Any] | None) -> PageRecord:
    return PageRecord(
        document=_document(row),
        page_number=row["page_number"],
        status=Status(row["status"]),
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        record=restore(row["record"]) if restore else row["record"],
        partial=row["partial"],
        raw_text=row["raw_text"],
        lines=tuple(_line(line) for line in row["lines"]),
        token_logprobs=tuple((pair["token"], pair["logprob"]) for pair in row["token_logprobs"]),
        attempts=_attempts(row),
        error=_error(row),
        width_px=row["width_px"],
        height_px=row["height_px"],
        dpi=row["dpi"],
        rotation_deg=row["rotation_deg"],
        render_s=row["render_s"],
        # Columns that came with a later version.
        reused_from=row.get("reused_from") or row[_URI],
        answered_by=AnsweredBy(row.get("answered_by") or AnsweredBy.ENGINE),
        duplicate_of=row.get("duplicate_of"),
        read_with=tuple(row.get("read_with") or ()),
        full_pixels=row.get("full_pixels"),
        **read_checks(row),
        read_by=RunIdentity(**{name: row[name] for name in IDENTITY if name in row}),
    )


def _document(row: Json) -> Document:
    return Document(
        ref=DocumentRef(row[_URI], row["source_size_bytes"], row["source_modified_at"]),
        sha256=row["sha256"] or "",
        media_type=row["media_type"] or "",
        num_pages=row["num_pages"],
        flags=tuple(row["flags"]),
    )


def _line(line: Json) -> TextLine:
    return TextLine(line["text"], Box(line["x0"], line["y0"], line["x1"], line["y1"]), line["confidence"])


def _attempts(row: Json) -> tuple[Attempt, ...]:
    attempts = [_attempt(one) for one in row["tries"]]
    if (counts := counted_try(attempts)) is not None:
        attempts[counts] = replace(attempts[counts], raw_text=row["raw_text"] or "")
    return tuple(attempts)


def _attempt(one: Json) -> Attempt:
    settings = TrySettings(
        number=one["number"],
        max_tokens=one["max_tokens"],
        temperature=one["temperature"],
        constrained=one["constrained"],
        render=RenderSpec(one["max_pixels"], one["rotation_deg"]),
        seed=one["seed"],
    )
    figures = ("prompt_tokens", "output_tokens", "cached_tokens", "queue_s", "prefill_s", "decode_s")
    return Attempt(
        settings,
        FinishReason(one["finish_reason"]),
        one["raw_text"] or "",
        _error(one),
        **{name: one[name] for name in figures},
    )


def _error(row: Json) -> PageError | None:
    return PageError(ErrorType(row["error_type"]), row["error_message"]) if row["error_type"] else None
