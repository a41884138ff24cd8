"""Records as rows of flat tables: one of records, one for each list of items, one of evidence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

import pyarrow as pa

from pipeline.corrections import as_text, get_value, json_form
from pipeline.results import Record
from pipeline.results.views import FIELDS, field_rows


class Kind(StrEnum):
    """What the cells of a column hold."""

    TEXT = "text"
    NUMBER = "number"
    BOOLEAN = "boolean"
    DATE = "date"
    TIME = "time"
    """A day and a time of day."""


class Column(NamedTuple):
    """One column."""

    name: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Sheet:
    """A flat table and how a record becomes rows of it."""

    name: str
    columns: tuple[Column, ...]
    rows: Callable[[Record], Iterator[list[Any]]]
    """Cells in the order of the columns: None, str, bool, int, float, Decimal, date or datetime."""


_BEFORE = (
    *(Column(name, Kind.TEXT) for name in ("document", "source_uri")),
    *(Column(name, Kind.NUMBER) for name in ("record_number", "first_page", "last_page")),
)
_AFTER = (
    Column("status", Kind.TEXT),
    Column("needs_review", Kind.BOOLEAN),
    Column("confidence", Kind.NUMBER),
    *(Column(name, Kind.TEXT) for name in ("review_reasons", "corrected", "error_message")),
)
_ITEM = Column("item", Kind.NUMBER)
_NOT_OF_EVIDENCE = {"source_uri", "sha256", "record_number", "item", "x0", "y0", "x1", "y1", "similarity", "logprob"}
_EVIDENCE = tuple(field for field in FIELDS if field.name not in _NOT_OF_EVIDENCE)
RECORDS = "records"
EVIDENCE = "evidence"


def record_sheet(kind: pa.DataType) -> Sheet:
    """Return the table with a row for each record; lists of items have tables of their own.

    Args:
        kind: of `record` in the view; where that is JSON text, as schemas contradict each other, it is one column.
    """
    if not pa.types.is_struct(kind):
        columns = (*_BEFORE, Column("record", Kind.TEXT), *_AFTER)
        return Sheet(RECORDS, columns, lambda one: iter([[*_before(one), as_text(one.record), *_after(one)]]))
    fields = list(flat_fields(kind))

    def rows(record: Record) -> Iterator[list[Any]]:
        yield [*_before(record), *(_cell(get_value(record.record, path)) for path, _ in fields), *_after(record)]

    return Sheet(RECORDS, (*_BEFORE, *_field_columns(fields), *_AFTER), rows)


def item_sheets(kind: pa.DataType) -> list[Sheet]:
    """Return a table for each list of items, with a row for each item."""
    return [_item_sheet(path, of.value_type) for path, of in item_lists(kind)]


def _item_sheet(path: str, kind: pa.StructType) -> Sheet:
    fields = [*flat_fields(kind), *item_lists(kind)]  # items of items are JSON in one cell

    def rows(record: Record) -> Iterator[list[Any]]:
        for number, item in enumerate(get_value(record.record, path) or [], start=1):
            yield [*_before(record), number, *(_cell(get_value(item, name)) for name, _ in fields)]

    return Sheet(path, (*_BEFORE, _ITEM, *_field_columns(fields)), rows)


def evidence_sheet(*, empty: bool = True) -> Sheet:
    """Return the table with a row for each single value; those without one are left out on demand."""

    def rows(record: Record) -> Iterator[list[Any]]:
        for row in field_rows(record):
            if not empty and row["value"] is None and row.get("review") is None:
                continue
            yield [*_before(record)[:3], *(_rounded(row.get(field.name)) for field in _EVIDENCE)]

    return Sheet(EVIDENCE, (*_BEFORE[:3], *(Column(field.name, _kind(field.type)) for field in _EVIDENCE)), rows)


def _before(record: Record) -> list[Any]:
    return [record.name, record.source_uri, record.record_number, record.first_page, record.last_page]


def _after(record: Record) -> list[Any]:
    reasons, corrected = "; ".join(record.review_reasons), "; ".join(record.corrected)
    confidence, error = _rounded(record.confidence), record.error_message
    return [record.status.value, record.needs_review, confidence, reasons, corrected, error]


def _rounded(value: Any) -> Any:
    """Return a figure of ours without the digits that only its 32 bits gave it; what pages say is never rounded."""
    return round(value, 6) if isinstance(value, float) else value


def flat_fields(kind: pa.DataType, prefix: str = "") -> Iterator[tuple[str, pa.DataType]]:
    """Yield (path, type) of each field of a struct that one cell can hold; lists of items are none."""
    if not pa.types.is_struct(kind):
        return
    for field in kind:
        if pa.types.is_struct(field.type):
            yield from flat_fields(field.type, f"{prefix}{field.name}.")
        elif not _is_items(field.type):
            yield f"{prefix}{field.name}", field.type


def item_lists(kind: pa.DataType, prefix: str = "") -> Iterator[tuple[str, pa.DataType]]:
    """Yield (path, type) of each list of items in a struct."""
    for field in kind if pa.types.is_struct(kind) else ():
        if _is_items(field.type):
            yield f"{prefix}{field.name}", field.type
        else:
            yield from item_lists(field.type, f"{prefix}{field.name}.")


def _is_items(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) and pa.types.is_struct(kind.value_type))


def _kind(kind: pa.DataType) -> Kind:
    if pa.types.is_decimal(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return Kind.NUMBER
    if pa.types.is_boolean(kind):
        return Kind.BOOLEAN
    if pa.types.is_timestamp(kind):
        return Kind.TIME
    return Kind.DATE if pa.types.is_date(kind) else Kind.TEXT


def _cell(value: Any) -> Any:
    """Return what one cell holds of a value: lists of single values in one line, what else is nested as JSON."""
    if isinstance(value, list) and not any(isinstance(one, dict | list) for one in value):
        return "; ".join(text for one in value if (text := as_text(one)) is not None) or None
    return as_text(value) if isinstance(value, dict | list) else value


def _field_columns(fields: list[tuple[str, pa.DataType]]) -> tuple[Column, ...]:
    """Return the columns of a record's fields; one that is called like a column of ours is `record.<name>`."""
    ours = {column.name for column in (*_BEFORE, _ITEM, *_AFTER)}
    return tuple(Column(f"record.{path}" if path in ours else path, _kind(of)) for path, of in fields)


def as_object(record: Record) -> dict[str, Any]:
    """Return a record as one JSON object: amounts as decimal strings, dates by ISO 8601."""
    names = ("source_uri", "sha256", "record_number", "num_records", "first_page", "last_page", "num_pages", "status")
    checks = ("error_type", "error_message", "review_reasons", "needs_review", "confidence", "corrected", "reviewed")
    return {
        "document": record.name,
        **{name: json_form(getattr(record, name)) for name in names},
        "record": json_form(record.record),
        **{name: json_form(getattr(record, name)) for name in checks},
        "evidence": [_evidence(one) for one in record.evidence],
        "breaches": [{"rule": one.rule, "message": one.message, "paths": list(one.paths)} for one in record.breaches],
        "conflicts": [
            {"path": one.path, "values": [{"page_number": page, "value": value} for page, value in one.values]}
            for one in record.conflicts
        ],
        "run_id": record.run_id,
        "finished_at": record.finished_at.isoformat(),
    }


def _evidence(one: Any) -> dict[str, Any]:
    names = ("path", "page_number", "verdict", "text", "similarity", "score", "logprob", "confidence")
    return {**{name: getattr(one, name) for name in names}, "box": list(one.box) if one.box else None}
