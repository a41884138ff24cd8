"""Views of an extraction in Arrow: a row for each record, or for each of its values. They stream."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.corrections import as_text, parse_path, plain_path
from pipeline.results.logical import IN_DOUBT, Record, make_record
from pipeline.sink.checked import CONFLICT, REAL, REASONS
from pipeline.sink.columns import to_column
from pipeline.sink.nested import BREACH, EVIDENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy.typing as npt

    from pipeline.corrections import Corrections
    from pipeline.rules import Rule

_TEXT, _INT = pa.string(), pa.int32()


class View(StrEnum):
    """What can be looked at."""

    CURRENT = "current"
    """A row for each record: that of a document, or one of several in it."""
    DOUBTFUL = "doubtful"
    """Records with a value of which it is not known whether it is right: of low confidence, or not on the page."""
    NEEDS_REVIEW = "needs_review"
    """Records that somebody should look at: doubtful ones, and those with breaches and conflicts."""
    FIELDS = "fields"
    """A row for each single value of each record."""


DOCUMENT_COLUMNS = (
    *("source_uri", "sha256", "media_type", "num_pages", "status", "error_type", "error_message", "record"),
    *("evidence", "breaches", "conflicts", "review_reasons", "confidence", "records", "run_id", "finished_at"),
)
_OF_PART: dict[str, pa.DataType] = {
    "evidence": pa.list_(EVIDENCE),
    "breaches": pa.list_(BREACH),
    "conflicts": pa.list_(CONFLICT),
    "review_reasons": REASONS,
    "confidence": REAL,
}
_CORRECTED = {"record", "breaches", "review_reasons", "confidence", "needs_review", "corrected", "reviewed"}


def view_schema(record: pa.DataType) -> pa.Schema:
    """Return the columns of a view of records; docs/results.md says what they mean."""
    return pa.schema(
        [
            *((name, _TEXT) for name in ("source_uri", "sha256", "media_type")),
            *((name, _INT) for name in ("record_number", "num_records", "first_page", "last_page", "num_pages")),
            *((name, _TEXT) for name in ("status", "error_type", "error_message")),
            ("record", record),
            *_OF_PART.items(),
            ("needs_review", pa.bool_()),
            *((name, pa.list_(_TEXT)) for name in ("corrected", "reviewed")),
            ("run_id", _TEXT),
            ("finished_at", pa.timestamp("us", tz="UTC")),
        ]
    )


FIELDS = pa.schema(
    [
        *((name, _TEXT) for name in ("source_uri", "sha256")),
        ("record_number", _INT),
        *((name, _TEXT) for name in ("path", "field")),
        ("item", _INT),
        ("value", _TEXT),
        ("page_number", _INT),
        *((name, pa.float32()) for name in ("x0", "y0", "x1", "y1")),
        *((name, _TEXT) for name in ("verdict", "text")),
        *((name, pa.float32()) for name in ("similarity", "score", "logprob", "confidence")),
        ("doubtful", pa.bool_()),
        *((name, _TEXT) for name in ("review", "read_value", "reviewer")),
        ("reviewed_at", pa.timestamp("us", tz="UTC")),
    ]
)


def rows_of(documents: pa.RecordBatch) -> pa.Table:
    """Return a row for each record of these documents, as they were read; see `view_schema`."""
    count = documents.num_rows
    names = documents.schema.names
    lengths = np.zeros(count, np.int64)
    if "records" in names:
        lengths = pc.fill_null(pc.list_value_length(documents["records"]), 0).to_numpy().astype(np.int64)
    counts = np.maximum(lengths, 1)
    parents = np.repeat(np.arange(count), counts)
    numbers = np.arange(len(parents)) - np.repeat(np.cumsum(counts) - counts, counts)
    columns = {name: documents[name].take(pa.array(parents)) for name in names if name not in {"records", *_OF_PART}}
    columns |= _of_parts(documents, lengths, parents)
    columns["record_number"] = pa.array(numbers + 1, _INT)
    columns["num_records"] = pa.array(np.repeat(counts, counts), _INT)
    columns["needs_review"] = pc.greater(pc.list_value_length(columns["review_reasons"]), 0)
    columns["corrected"] = columns["reviewed"] = _empty_lists(len(parents), pa.list_(_TEXT))
    return _as_view(columns)


def _of_parts(documents: pa.RecordBatch, lengths: Any, parents: Any) -> dict[str, pa.Array]:
    """Return the columns that each record has for itself: from `records`, or the document's own where it has none."""
    count = documents.num_rows
    names = documents.schema.names
    pages = documents["num_pages"]
    own = {name: documents[name] if name in names else _nothing(count, kind) for name, kind in _OF_PART.items()}
    own |= {"record": documents["record"], "last_page": pc.if_else(pc.greater(pages, 0), pages, pa.scalar(None, _INT))}
    own["first_page"] = pc.if_else(pc.greater(pages, 0), pa.scalar(1, _INT), pa.scalar(None, _INT))
    from_part = (lengths > 0)[parents]
    if not from_part.any():
        return own
    parts = documents["records"].flatten()
    places = np.where(from_part, np.cumsum(from_part) - 1, len(parts) + parents)
    return {
        name: pa.concat_arrays([pc.struct_field(parts, name), column.cast(parts.type.field(name).type)]).take(
            pa.array(places)
        )
        for name, column in own.items()
    }


def corrected(table: pa.Table, extraction: str, corrections: Corrections, rules: Sequence[Rule]) -> pa.Table:
    """Return the rows with what people corrected; rows of documents that nobody corrected are not looked at."""
    places = np.flatnonzero(_is_reviewed(table, corrections))
    if not len(places):
        return table
    changed = _corrected_rows(table.take(pa.array(places)), extraction, corrections, rules)
    order = np.arange(table.num_rows)
    order[places] = table.num_rows + np.arange(len(places))
    return pa.concat_tables([table, changed]).take(pa.array(order)).combine_chunks()


def _corrected_rows(table: pa.Table, extraction: str, corrections: Corrections, rules: Sequence[Rule]) -> pa.Table:
    records = list(records_of(table, extraction, corrections, rules))
    values: dict[str, Callable[[Record], Any]] = {
        "breaches": lambda one: [vars_of(breach) for breach in one.breaches],
        "record": lambda one: one.record,
        **{name: lambda one, name=name: getattr(one, name) for name in _CORRECTED - {"record", "breaches"}},  # type: ignore[misc]
    }
    for name, value in values.items():
        column = to_column([value(one) for one in records], table.schema.field(name).type)
        table = table.set_column(table.schema.get_field_index(name), name, column)
    return table


def vars_of(breach: Any) -> dict[str, Any]:
    """Return a breach as its column holds it."""
    return {"rule": breach.rule, "message": breach.message, "paths": list(breach.paths)}


def records_of(table: pa.Table, extraction: str, corrections: Corrections, rules: Sequence[Rule]) -> Iterator[Record]:
    """Yield the rows as Python's records, with what people corrected."""
    kind = table.schema.field("record").type
    for row in table.to_pylist():
        known = corrections.of(row["sha256"], row["first_page"])
        strays = corrections.strays(row["sha256"], row["first_page"], row["last_page"])
        yield make_record(row, extraction, kind, known, rules, strays=strays)


def chosen(table: pa.Table, view: View) -> pa.Table:
    """Return the rows that a view of records shows."""
    return table if view is View.CURRENT else table.filter(pa.array(_is_shown(table, view)))


def candidates(table: pa.Table, view: View, corrections: Corrections) -> pa.Table:
    """Return the rows, as they were read, that a view may show once they are corrected."""
    if view is View.CURRENT:
        return table
    return table.filter(pa.array(_is_shown(table, view) | _is_reviewed(table, corrections)))


def _is_reviewed(table: pa.Table, corrections: Corrections) -> npt.NDArray[np.bool_]:
    """Tell of each row whether somebody said something of its document."""
    documents = pa.array(corrections.documents, _TEXT)
    found: npt.NDArray[np.bool_] = pc.fill_null(pc.is_in(table["sha256"], value_set=documents), False).to_numpy()
    return found


def _is_shown(table: pa.Table, view: View) -> npt.NDArray[np.bool_]:
    if view is View.NEEDS_REVIEW:
        shown: npt.NDArray[np.bool_] = table["needs_review"].to_numpy()
        return shown
    reasons = table["review_reasons"].combine_chunks()
    in_doubt = np.zeros(table.num_rows, dtype=bool)
    texts = reasons.flatten()
    begins = [pc.starts_with(texts, beginning).to_numpy(zero_copy_only=False) for beginning in IN_DOUBT]
    in_doubt[pc.list_parent_indices(reasons).to_numpy()[np.logical_or(*begins)]] = True
    return in_doubt


def field_rows(record: Record) -> Iterator[dict[str, Any]]:
    """Yield a row of FIELDS for each value of a record."""
    for one in record.fields():
        found, review = one.evidence, one.review
        items = [step for step in parse_path(one.path, record.read) if isinstance(step, int)]
        row: dict[str, Any] = {
            **{name: getattr(record, name) for name in ("source_uri", "sha256", "record_number")},
            "path": one.path,
            "field": plain_path(one.path),
            "item": items[0] if items else None,
            "value": one.text,
            "doubtful": one.is_doubtful,
        }
        if found:
            names = ("page_number", "verdict", "text", "similarity", "score", "logprob", "confidence")
            row |= {name: getattr(found, name) for name in names}
            row |= found.box._asdict() if found.box else {}
        if one.read_value != one.value:
            row["read_value"] = as_text(one.read_value)
        if review:
            row |= {"review": review.action.value, "reviewer": review.reviewer, "reviewed_at": review.reviewed_at}
        yield row


def _as_view(columns: dict[str, pa.Array]) -> pa.Table:
    schema = view_schema(columns["record"].type)
    arrays = [columns[field.name].cast(field.type) for field in schema]
    return pa.table(arrays, schema=schema)


def _nothing(count: int, kind: pa.DataType) -> pa.Array:
    return _empty_lists(count, kind) if pa.types.is_list(kind) else pa.nulls(count, kind)


def _empty_lists(count: int, kind: pa.DataType) -> pa.Array:
    return pa.ListArray.from_arrays(pa.array(np.zeros(count + 1, np.int32)), pa.array([], kind.value_type))
