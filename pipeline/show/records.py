"""A table of records that fits the terminal: which fields find room, and what is left out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from pipeline.data import Status
from pipeline.show.text import cell, clipped_left, labels, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from rich.console import JustifyMethod

    from pipeline.data import Json

_NARROWEST_TEXT = 12
_WIDEST_LABEL = 32
_GAP = 2
"""Spaces between columns."""


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    cells: tuple[str, ...]
    kind: pa.DataType | None
    """None where it is not known."""

    @property
    def is_number(self) -> bool:
        """Whether cells are numbers; of lists they are counts."""
        return self.is_amount or _is(self.kind, pa.types.is_integer, pa.types.is_list)

    @property
    def is_amount(self) -> bool:
        """Whether cells are measured rather than counted."""
        return _is(self.kind, pa.types.is_decimal, pa.types.is_floating)

    @property
    def is_date(self) -> bool:
        """Whether cells are days or points in time."""
        return _is(self.kind, pa.types.is_date, pa.types.is_timestamp)

    @property
    def header(self) -> str:
        return self.name.replace("_", "\n")

    @property
    def num_distinct(self) -> int:
        """How many different values it has; a column of one value says little."""
        return len({cell for cell in self.cells if cell})

    @property
    def full_width(self) -> int:
        """Character cells that show all of it."""
        return max(map(cell_len, (*self.cells, *self.header.split("\n"))))

    @property
    def width(self) -> int:
        """Character cells it takes at least; longer texts are cut when there is no more room, numbers never."""
        if self.is_number:
            return self.full_width
        return max(min(self.full_width, _NARROWEST_TEXT), *map(cell_len, self.header.split("\n")))


@dataclass(frozen=True, slots=True)
class Row:
    """One record as it is shown; a file of several has several rows."""

    name: str
    pages: str
    is_failed: bool
    record: Json | None
    conflicts: tuple[Json, ...] = ()


def record_rows(documents: pa.Table, parts: Mapping[str, Sequence[Json]]) -> list[Row]:
    """Return a row for each record.

    Args:
        documents: with source_uri, status, pages_ok, pages_failed and record, and conflicts unless they are older.
        parts: `records` of documents that have several, by source_uri.
    """
    uris = documents["source_uri"].to_pylist()
    names = [clipped_left(label, _WIDEST_LABEL) for label in labels(uris)]
    records = documents["record"].to_pylist()
    if not pa.types.is_struct(documents["record"].type):  # JSON text, where the schema changed too much for one struct
        records = [json.loads(record) if record is not None else None for record in records]
    conflicts = documents["conflicts"].to_pylist() if "conflicts" in documents.column_names else [None] * len(uris)
    failed = [status == Status.FAILED for status in documents["status"].to_pylist()]
    whole = map(Row, names, _pages(documents), failed, records, [tuple(found or ()) for found in conflicts])
    return [row for uri, one in zip(uris, whole, strict=True) for row in _rows(one, parts.get(uri, ()))]


def _rows(whole: Row, parts: Sequence[Json]) -> Iterator[Row]:
    if not parts:
        yield whole
    for part in parts:
        first, last = part["first_page"], part["last_page"]
        said = f"p. {first}" if first == last else f"p. {first}-{last}"
        yield Row(whole.name, said, part["record"] is None, part["record"], tuple(part["conflicts"]))


def record_table(rows: Sequence[Row], kind: pa.DataType, width: int) -> tuple[Table, list[str]]:
    """Return a table of records and the names of the fields that found no room.

    Args:
        kind: of the column `record`.
        width: character cells of the terminal.
    """
    fields = _fields([row.record for row in rows], kind)
    widest_name = max(map(cell_len, (*(row.name for row in rows), "document")))
    room = width - widest_name - max(map(cell_len, (*(row.pages for row in rows), "pages"))) - 2 * _GAP
    fields, dropped = _fitting(fields, room)
    widths = _widened(fields, room)
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold", show_edge=False)
    table.add_column("document", no_wrap=True)
    table.add_column("pages", no_wrap=True)
    for field, cells in zip(fields, widths, strict=True):
        side: JustifyMethod = "right" if field.is_number else "left"
        table.add_column(Text(field.header), justify=side, no_wrap=True, max_width=cells)
    for number, row in enumerate(rows):
        style = "red" if row.is_failed else ""
        table.add_row(Text(row.name, style), Text(row.pages, style), *(Text(field.cells[number]) for field in fields))
    return table, dropped


def conflict_lines(rows: Sequence[Row]) -> Iterator[str]:
    """Yield what pages of one record say differently, a line a field."""
    for row in rows:
        for conflict in row.conflicts:
            said = ", ".join(f"{printable(one['value'])} (page {one['page_number']})" for one in conflict["values"])
            yield f"{printable(conflict['path'])} of {row.name}: {said}"


def _pages(documents: pa.Table) -> list[str]:
    """Return "3" for three good pages, "2/3" when one failed, "failed" when none is good."""
    rows = zip(*(documents[name].to_pylist() for name in ("status", "pages_ok", "pages_failed")), strict=True)
    return [
        str(good) if status == Status.OK else f"{good}/{good + bad}" if good else "failed" for status, good, bad in rows
    ]


def _fields(records: Sequence[Json | None], kind: pa.DataType) -> list[_Field]:
    """Return the record's fields in the order of the schema; those without any value say nothing and are left out."""
    if pa.types.is_struct(kind):
        kinds: dict[str, pa.DataType | None] = {part.name: part.type for part in kind}
    else:
        kinds = dict.fromkeys(name for record in records for name in record or ())
    fields = []
    for name, of_field in kinds.items():
        values = [record.get(name) if record is not None else None for record in records]
        if any(value not in (None, "", []) for value in values):
            fields.append(_Field(name, tuple(cell(value) for value in values), of_field))
    return fields


def _is(kind: pa.DataType | None, *tests: Callable[[pa.DataType], bool]) -> bool:
    return kind is not None and any(test(kind) for test in tests)


def _by_worth(fields: Sequence[_Field]) -> Iterator[_Field]:
    """Yield the first field, which names the record, the amount, the date, then what tells records apart best.

    Of amounts that tell records apart equally well the last one counts, since totals stand
    behind what they are made of; of dates the first.
    """
    yield from fields[:1]
    rest = list(fields[1:])
    amounts = [field for field in reversed(rest) if field.is_amount]
    dates = [field for field in rest if field.is_date]
    for kind in (amounts, dates):
        if kind:
            best = max(kind, key=lambda field: field.num_distinct)
            rest.remove(best)
            yield best
    yield from sorted(rest, key=lambda field: (-field.num_distinct, field.width))


def _fitting(fields: Sequence[_Field], room: int) -> tuple[list[_Field], list[str]]:
    """Choose fields by their worth while there is room, in the order of the schema."""
    chosen: set[str] = set()
    for field in _by_worth(fields):
        if not chosen or field.width + _GAP <= room:
            chosen.add(field.name)
            room -= field.width + _GAP
    return [f for f in fields if f.name in chosen], [f.name for f in fields if f.name not in chosen]


def _widened(fields: Sequence[_Field], room: int) -> list[int]:
    """Return the width of each field when what is left of `room` is shared out, a cell at a time."""
    widths = [field.width for field in fields]
    left = room - sum(width + _GAP for width in widths)
    while left > 0 and (cut := [at for at, field in enumerate(fields) if widths[at] < field.full_width]):
        for at in cut[:left]:
            widths[at] += 1
        left -= len(cut)
    return widths
