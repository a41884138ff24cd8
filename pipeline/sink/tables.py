"""The pages and documents tables: each column once, with its type and how it is filled.

docs/output.md says what the columns mean; a test holds it against the schemas made here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipeline.layout import FORMAT_VERSION
from pipeline.sink.checked import (
    CONFLICT,
    REAL,
    REASONS,
    conflict_values,
    first_part,
    least_confidence,
    part_type,
    several_parts,
)
from pipeline.sink.columns import to_column
from pipeline.sink.nested import (
    BREACH,
    EVIDENCE,
    LINE,
    TOKEN_LOGPROB,
    TRY,
    breaches_column,
    counted_try,
    error_message,
    error_type,
    evidence_column,
    lines_column,
    token_logprobs_column,
    tries_column,
)
from pipeline.sink.types import arrow_type

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pydantic import BaseModel

    from pipeline.data import DocumentRecord, PageRecord, RunIdentity

_TEXT, _INT, _LONG, _REAL, _BOOL = pa.string(), pa.int32(), pa.int64(), pa.float64(), pa.bool_()
_TIME = pa.timestamp("us", tz="UTC")
_TEXTS = pa.list_(_TEXT)


@dataclass(frozen=True, slots=True)
class _Column:
    """A column and how a row, or a whole batch, becomes its values."""

    name: str
    kind: pa.DataType
    value: Callable[[Any], Any] | None = None
    """Of one row."""
    array: Callable[[Sequence[Any]], pa.Array] | None = None
    """Of all rows of a batch; columns with neither are attributes of the run."""
    reader: Callable[[Any], RunIdentity | None] | None = None
    """Whose attribute it is instead, when a row was read by another run."""


_ABOUT_DOCUMENT = (
    # Empty when the file could not be opened.
    _Column("sha256", _TEXT, lambda row: row.document.sha256 or None),
    _Column("media_type", _TEXT, lambda row: row.document.media_type or None),
    _Column("flags", _TEXTS, lambda row: row.document.flags),
    _Column("source_size_bytes", _LONG, lambda row: row.document.ref.size_bytes),
    _Column("source_modified_at", _TIME, lambda row: row.document.ref.modified_at),
)
_ABOUT_TIME = (
    _Column("started_at", _TIME, lambda row: row.started_at),
    _Column("finished_at", _TIME, lambda row: row.finished_at),
)
IDENTITY = (
    *("run_id", "engine", "model", "revision", "engine_version", "quantisation", "kv_cache_dtype"),
    *("extraction", "prompt_sha256", "schema_sha256", "fingerprint", "limits_fingerprint", "pagemill_version"),
)
"""Columns of both tables that are attributes of a RunIdentity, by their names."""
_OF_WRITER = frozenset({"run_id", "extraction", "fingerprint", "limits_fingerprint"})
"""Those that always say which run wrote the row; the others say what read the page."""
_ERROR = (
    _Column("error_type", _TEXT, lambda row: error_type(row.error)),
    _Column("error_message", _TEXT, lambda row: error_message(row.error)),
)
_SOURCE = _Column("source_uri", _TEXT, lambda row: row.document.ref.uri)
_STATUS = _Column("status", _TEXT, lambda row: row.status)
_NUM_PAGES = _Column("num_pages", _INT, lambda row: row.document.num_pages)

_CHECKED_PAGE = (
    _Column("evidence", pa.list_(EVIDENCE), array=lambda pages: evidence_column([page.evidence for page in pages])),
    _Column("breaches", pa.list_(BREACH), array=lambda pages: breaches_column([page.breaches for page in pages])),
    _Column("review_reasons", REASONS, lambda page: page.review_reasons),
    _Column("confidence", REAL, lambda page: least_confidence(page.evidence)),
    _Column("needs_review", _BOOL, lambda page: bool(page.review_reasons)),
)
_CHECKED_DOCUMENT = (
    _Column(
        "evidence", pa.list_(EVIDENCE), array=lambda rows: evidence_column([first_part(r, "evidence") for r in rows])
    ),
    _Column(
        "breaches", pa.list_(BREACH), array=lambda rows: breaches_column([first_part(r, "breaches") for r in rows])
    ),
    _Column("conflicts", pa.list_(CONFLICT), lambda row: conflict_values(row.parts[0]) if row.parts else []),
    _Column("review_reasons", REASONS, lambda row: first_part(row, "review_reasons")),
    _Column("confidence", REAL, lambda row: least_confidence(first_part(row, "evidence"))),
    _Column("needs_review", _BOOL, lambda row: any(part.review_reasons for part in row.parts)),
    _Column("num_records", _INT, lambda row: len(row.parts)),
)


def _page_columns(record: pa.DataType) -> tuple[_Column, ...]:
    return (
        _SOURCE,
        _Column("page_number", _INT, lambda page: page.page_number),
        _NUM_PAGES,
        _STATUS,
        _Column("partial", _BOOL, lambda page: page.partial),
        *_ERROR,
        _Column("record", record, lambda page: page.record),
        _Column("page_text", _TEXT, _page_text),
        _Column("raw_text", _TEXT, lambda page: page.raw_text),
        _Column("lines", pa.list_(LINE), array=lines_column),
        _Column("token_logprobs", pa.list_(TOKEN_LOGPROB), array=token_logprobs_column),
        *_CHECKED_PAGE,
        _Column("num_tries", _INT, lambda page: len(page.attempts)),
        _Column("tries", pa.list_(TRY), array=tries_column),
        _Column("finish_reason", _TEXT, _finish_reason),
        *(_summed(name, _LONG) for name in ("prompt_tokens", "output_tokens", "cached_tokens")),
        _Column("render_s", _REAL, lambda page: page.render_s),
        *(_summed(name, _REAL) for name in ("queue_s", "prefill_s", "decode_s")),
        _Column("width_px", _INT, lambda page: page.width_px),
        _Column("height_px", _INT, lambda page: page.height_px),
        _Column("full_pixels", _LONG, lambda page: page.full_pixels),
        _Column("dpi", _REAL, lambda page: page.dpi),
        _Column("rotation_deg", _INT, lambda page: page.rotation_deg),
        *_ABOUT_DOCUMENT,
        *_ABOUT_TIME,
        _Column("reused_from", _TEXT, lambda page: page.reused_from),
        _Column("answered_by", _TEXT, lambda page: page.answered_by),
        _Column("duplicate_of", _TEXT, lambda page: page.duplicate_of),
        _Column("read_with", pa.list_(_INT), lambda page: page.read_with),
        *(_Column(name, _TEXT, reader=None if name in _OF_WRITER else _read_by) for name in IDENTITY),
    )


def _document_columns(record: pa.DataType) -> tuple[_Column, ...]:
    return (
        _SOURCE,
        _NUM_PAGES,
        _STATUS,
        *_ERROR,
        _Column("record", record, lambda document: document.record),
        *_CHECKED_DOCUMENT,
        _Column("records", pa.list_(part_type(record)), lambda document: several_parts(document.parts)),
        _Column("pages_ok", _INT, lambda document: document.pages_ok),
        _Column("pages_failed", _INT, lambda document: document.pages_failed),
        *_ABOUT_DOCUMENT,
        *_ABOUT_TIME,
        *(_Column(name, _TEXT) for name in IDENTITY),
    )


def page_schema(model: type[BaseModel]) -> pa.Schema:
    """Return the Arrow schema of the pages table for records of `model`.

    Raises:
        ConfigError: see `arrow_type`.
    """
    return _schema(_page_columns(arrow_type(model)))


def document_schema(model: type[BaseModel]) -> pa.Schema:
    """Return the Arrow schema of the documents table for records of `model`.

    Raises:
        ConfigError: see `arrow_type`.
    """
    return _schema(_document_columns(arrow_type(model)))


def _schema(columns: Sequence[_Column]) -> pa.Schema:
    return pa.schema([pa.field(column.name, column.kind) for column in columns])


class RowTable:
    """Turns records of one run into record batches of one table."""

    def __init__(self, columns: tuple[_Column, ...], identity: RunIdentity, metadata: dict[str, str]) -> None:
        self._columns = columns
        self._identity = identity
        self._constants = {
            column.name: to_column([getattr(identity, column.name)], column.kind)[0]
            for column in columns
            if not column.value and not column.array
        }
        self.schema = _schema(columns).with_metadata(metadata)

    @classmethod
    def of_pages(cls, model: type[BaseModel], identity: RunIdentity) -> RowTable:
        """Return the pages table for records of `model`."""
        return cls(_page_columns(arrow_type(model)), identity, _metadata(model, identity, "pages"))

    @classmethod
    def of_documents(cls, model: type[BaseModel], identity: RunIdentity) -> RowTable:
        """Return the documents table for records of `model`."""
        return cls(_document_columns(arrow_type(model)), identity, _metadata(model, identity, "documents"))

    def batch(self, rows: Sequence[PageRecord | DocumentRecord]) -> pa.RecordBatch:
        """Return one row per record, in their order."""
        return pa.record_batch([self._array(column, rows) for column in self._columns], schema=self.schema)

    def _array(self, column: _Column, rows: Sequence[Any]) -> pa.Array:
        if column.array:
            return column.array(rows)
        if column.value:
            return to_column([column.value(row) for row in rows], column.kind)
        if column.reader and any(readers := [column.reader(row) for row in rows]):
            return to_column([getattr(reader or self._identity, column.name) for reader in readers], column.kind)
        return pa.repeat(self._constants[column.name], len(rows))


def _metadata(model: type[BaseModel], identity: RunIdentity, table: str) -> dict[str, str]:
    """Return what a part says about itself, so that its reader needs no Python schema."""
    import json

    return {
        "pagemill.format": FORMAT_VERSION,
        "pagemill.table": table,
        "pagemill.version": identity.pagemill_version,
        "pagemill.extraction": identity.extraction,
        "pagemill.fingerprint": identity.fingerprint,
        "pagemill.json_schema": json.dumps(model.model_json_schema()),
    }


def _read_by(page: PageRecord) -> RunIdentity | None:
    return page.read_by


def _page_text(page: PageRecord) -> str | None:
    return "\n".join(line.text for line in page.lines) if page.lines else None


def _finish_reason(page: PageRecord) -> str | None:
    counts = counted_try(page.attempts)
    return None if counts is None else page.attempts[counts].finish_reason


def _summed(name: str, kind: pa.DataType) -> _Column:
    """Return a column that adds up `name` over the tries; null when no try knows it."""

    def total(page: PageRecord) -> float | None:
        known = [value for attempt in page.attempts if (value := getattr(attempt, name)) is not None]
        return sum(known) if known else None

    return _Column(name, kind, total)
