"""The body of a table as cells: numbers with their values, texts, each in its column."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from pipeline.data import Box
from pipeline.engines.ocr.page import Run, column_overlap, part_of
from pipeline.engines.ocr.tables.header import OTHER, Column, Header
from pipeline.values import find_amounts

CURRENCY_LETTERS = 4
"""A number with no more letters than this says nothing besides: "RM 4.00 SR", "20 Stk"."""

UNIT_LETTERS = 8
"""A number with more letters around it than a unit and a currency have is part of a text."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A piece of a run in a column: a number with its value, or text."""

    owner: str
    text: str
    box: Box
    row: int
    value: Decimal | None = None

    @property
    def middle(self) -> float:
        """Vertical middle in pixels."""
        return (self.box.y0 + self.box.y1) / 2


@dataclass(frozen=True, slots=True)
class Number:
    """A number as printed: "19 %", "-5,00"; a unit or currency beside it is not part of it."""

    text: str
    value: Decimal
    box: Box
    row: int

    @property
    def middle(self) -> float:
        """Vertical middle in pixels."""
        return (self.box.y0 + self.box.y1) / 2


_TIMES = re.compile(r"(?<![^\W\d_])[x×*@](?![^\W\d_])", re.IGNORECASE)
_COUNT = re.compile(r"(?<![\w.,])(\d{1,4})(?=[x×](?![^\W\d_]))", re.IGNORECASE)
_RATE = re.compile(r"(?<![\d.,])(\d+(?:[.,]\d+)?)\s?%")


def numbers_of(run: Run, *, many: bool = False) -> list[Number]:
    """The numbers of a run that is a number with its unit, or several in a row; none of a text with numbers in it.

    Args:
        many: the run is known to hold several cells, each with a unit of its own.
    """
    letters = sum(char.isalpha() for char in run.text)
    if letters > UNIT_LETTERS:
        return []
    found = [(f.start, f.end, f.value) for f in find_amounts(run.text)]
    for pattern in (_RATE, _COUNT):
        found += [(m.start(1), m.end(), Decimal(m[1].replace(",", "."))) for m in pattern.finditer(run.text)]
    if len(found) > 1 and letters > CURRENCY_LETTERS and not many and not _TIMES.search(run.text):
        return []
    boxes = [run.box] if len(found) == 1 else [part_of(run, start, end) for start, end, _ in sorted(found)]
    return [
        Number(run.text[start:end], value, box, run.row)
        for (start, end, value), box in zip(sorted(found), boxes, strict=True)
    ]


def cells_of(run: Run, header: Header, rate: str | None) -> Iterator[Cell]:
    """A run as cells: its numbers one by one in the nearest column, its text in the column in which it begins.

    Args:
        rate: the field of the tax rate. A percentage fills it even without a column of its own, and no other.
    """
    columns = header.columns
    spanned = [c for c in columns if c.owner != OTHER and run.box.x0 <= (c.box.x0 + c.box.x1) / 2 <= run.box.x1]
    numbers = numbers_of(run, many=header.inferred or len(spanned) > 1)
    crowded = sum(column_overlap(run.box, c.box) > 0 for c in columns) > 1
    for number in numbers:
        box = number.box
        if crowded and len(numbers) == 1:  # a unit beside it reaches into the next column
            start = run.text.index(number.text)
            box = part_of(run, start, start + len(number.text))
        owner = _nearest(box, columns).owner
        if number.text.endswith("%") and owner not in {rate, OTHER}:
            owner = OTHER if rate is None or any(column.owner == rate for column in columns) else rate
        yield Cell(owner, number.text, number.box, run.row, number.value)
    if len(numbers) < 2 or not _TIMES.search(run.text):
        column = _nearest(run.box, columns) if numbers else _beginning(run.box, columns)
        yield Cell(column.owner, run.text, run.box, run.row)


def _nearest(box: Box, columns: Sequence[Column]) -> Column:
    """The column whose label a number's box is aligned with, left, right or centred."""

    def distance(column: Column) -> float:
        a, b = box, column.box
        apart = min(abs(a.x0 - b.x0), abs(a.x1 - b.x1), abs(a.x0 + a.x1 - b.x0 - b.x1) / 2)
        return apart if column_overlap(a, b) > 0 else apart + max(b.x0 - a.x1, a.x0 - b.x1, 0)

    return min(columns, key=distance)


def _beginning(box: Box, columns: Sequence[Column]) -> Column:
    """The last column that begins left of the text, or the first."""
    slack = (box.y1 - box.y0) * 1.2
    return next((c for c in reversed(columns) if c.box.x0 <= box.x0 + slack), columns[0])


def says_more(text: str) -> bool:
    """Whether a run holds more than a number with its currency or unit."""
    return sum(map(str.isalpha, text)) > CURRENCY_LETTERS or not any(map(str.isdigit, text))


def is_code(text: str) -> bool:
    """Whether a line is an article's number or numbers: more digits than letters, and no word."""
    return sum(map(str.isdigit, text)) > sum(map(str.isalpha, text)) and not re.search(r"[^\W\d_]{3}", text)
