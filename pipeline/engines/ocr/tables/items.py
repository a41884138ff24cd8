"""The cells of a table's body and the items they make: grouping, arithmetic, descriptions.

Knows columns and rows of a page; where a table begins and ends is `tables.py`'s matter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache

from pydantic import BaseModel

from pipeline.data import Box
from pipeline.engines.ocr.page import PageLayout, Run, column_overlap, part_of
from pipeline.engines.ocr.specs import Kind, field_specs
from pipeline.engines.ocr.tables.header import OTHER, Column, Header
from pipeline.schema import Role
from pipeline.values import find_amounts

WRAP_PITCH = 1.3
"""Distance of two lines of one wrapped text in units of the page's tight line spacing; notes stand farther."""

ROUNDING = Decimal("0.011")
"""By how much quantity times price may miss a total that is rounded to cents."""

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
        return (self.box.y0 + self.box.y1) / 2


@dataclass(frozen=True, slots=True)
class Names:
    """The item model's field names by role; None where the model has no such field."""

    description: str | None
    quantity: str | None
    price: str | None
    rate: str | None
    total: str | None


@cache
def item_names(model: type[BaseModel]) -> Names:
    by_role = {spec.role: spec.name for spec in reversed(field_specs(model)) if spec.role}
    roles = (Role.DESCRIPTION, Role.QUANTITY, Role.UNIT_PRICE, Role.TAX_RATE, Role.LINE_TOTAL)
    return Names(*(by_role.get(role) for role in roles))


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
_RATE = re.compile(r"(\d+(?:[.,]\d+)?)\s?%")


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
    for number in numbers:
        owner = _nearest(number.box, columns).owner
        if number.text.endswith("%") and owner not in {rate, OTHER}:
            owner = OTHER if rate is None or any(column.owner == rate for column in columns) else rate
        yield Cell(owner, number.text, number.box, run.row, number.value)
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


def groups(
    page: PageLayout, rows: Sequence[int], cells: Sequence[Cell], anchors: Sequence[Cell], names: Names
) -> Iterator[tuple[Cell, list[Cell]]]:
    """Each anchor with the cells of its item: the page is cut at the widest white space between two anchors."""
    leading = bool(anchors) and _leads(rows, cells, anchors, names)
    start = min(rows, default=0)
    for i, anchor in enumerate(anchors):
        stop = _cut(page, anchor.row, anchors[i + 1].row, leading=leading) if i + 1 < len(anchors) else rows[-1] + 1
        yield anchor, [cell for cell in cells if start <= cell.row < stop]
        start = stop


def _leads(rows: Sequence[int], cells: Sequence[Cell], anchors: Sequence[Cell], names: Names) -> bool:
    """Whether items begin with a line of text above the line of their amounts."""
    first = anchors[0].row
    words = [c.row for c in cells if c.owner == names.description and c.value is None and _is_wording(c.text)]
    return first not in words and any(row < first for row in words)


def _is_wording(text: str) -> bool:
    return re.search(r"[^\W\d_]{3}", text) is not None and not _CODE.fullmatch(text)


def _cut(page: PageLayout, row: int, next_row: int, *, leading: bool) -> int:
    """The row with which the next item begins."""
    best, cut = -1.0, next_row
    order = range(row + 1, next_row + 1) if leading else range(next_row, row, -1)
    for candidate in order:
        gap = min(run.box.y0 for run in page.rows[candidate]) - max(
            run.box.y1 for r in range(row, candidate) for run in page.rows[r]
        )
        if gap > best + (0.25 * page.line_height_px if best >= 0 else 0) or best < 0:
            best, cut = max(gap, 0.0), candidate
    return cut


def read_item(
    page: PageLayout, anchor: Cell, group: Sequence[Cell], model: type[BaseModel], names: Names, *, counted: bool
) -> dict[str, str]:
    """The values of one item.

    Args:
        counted: the table has a quantity column; a quantity that was not read in it is total by price.
    """
    item: dict[str, str] = {}
    quantity, price = _factors(anchor, group, names)
    if price is not None and quantity is None and counted:
        quantity = _counted(anchor, price)
    for spec in field_specs(model):
        mine = [cell for cell in group if cell.owner == spec.name]
        if spec.name == names.description:
            text = _description(anchor, [cell for cell in mine if cell.value is None], _wrap_px(page))
        elif spec.kind is Kind.TEXT:
            text = " ".join(cell.text for cell in mine if cell.value is None)
        else:
            known = {names.quantity: quantity, names.price: price, anchor.owner: anchor}
            cell = known.get(spec.name) or _near(anchor, mine)
            text = "" if cell is None or cell.value is None else format(cell.value, "f")
        if text:
            item[spec.name] = text
    return item


def _near(anchor: Cell, cells: Sequence[Cell]) -> Cell | None:
    return min((c for c in cells if c.value is not None), key=lambda c: abs(c.middle - anchor.middle), default=None)


def _factors(anchor: Cell, group: Sequence[Cell], names: Names) -> tuple[Cell | None, Cell | None]:
    """The quantity and the price whose product is the total; the nearest ones where none is."""
    quantities = [c for c in group if c.owner == names.quantity and c.value is not None]
    prices = [c for c in group if c.owner == names.price and c.value is not None]
    pairs = [(q, p) for q in quantities for p in prices if is_product(q.value, p.value, anchor.value)]
    if pairs:
        return min(pairs, key=lambda pair: sum(abs(c.middle - anchor.middle) for c in pair))
    return _near(anchor, quantities), _near(anchor, prices)


def _counted(total: Cell, price: Cell) -> Cell | None:
    """How often a price makes a total, where that is a whole number."""
    if not total.value or not price.value or total.value % price.value:
        return None
    return Cell(price.owner, "", price.box, price.row, total.value // price.value)


def is_product(quantity: Decimal | None, price: Decimal | None, total: Decimal | None) -> bool:
    if quantity is None or price is None or total is None:
        return False
    return abs(abs(quantity * price) - abs(total)) <= max(ROUNDING, abs(total) / 1000)


_NOTE = re.compile(r"^[^:]{2,40}\w\s*:\s*\S|^\W*(?:incl|inkl|dont|davon)\b|\d[.,]\d{2}\b", re.IGNORECASE)
_CODE = re.compile(r"\W*(?=[A-Z-]*\d[\w-]*\d)[\w-]+\W*")


def _wrap_px(page: PageLayout) -> float:
    """How far lines of one wrapped text are apart at most, middle to middle, in pixels."""
    pitches = []
    for run in page.runs:
        below = next(page.below(run, max_gap=2), None)
        if below is not None:
            pitches.append((below.box.y0 + below.box.y1 - run.box.y0 - run.box.y1) / 2)
    tight = sorted(pitches)[len(pitches) // 4] if pitches else 0.0
    return max(WRAP_PITCH * tight, 1.1 * page.line_height_px)


def _description(anchor: Cell, cells: Sequence[Cell], wrap_px: float) -> str:
    """The text at the head of an item; notes, codes and keys with values around it are left out.

    It stands on the anchor's row, else it is the nearest text, and goes on in the lines that are
    set like it: as close as wrapped lines are, beginning at the same margin.
    """
    lines = _joined_rows(sorted(cells, key=lambda c: (c.row, c.box.x0)))
    named = [line for line in lines if _is_wording(line.text) and not _NOTE.search(line.text)]
    beside = [line for line in lines if abs(line.middle - anchor.middle) <= 0.4 * wrap_px and _is_wording(line.text)]
    first = min(beside or named or lines, key=lambda line: abs(line.middle - anchor.middle), default=None)
    if first is None:
        return ""
    at = lines.index(first)
    higher = [line for line in lines[at::-1] if line is first or not _CODE.fullmatch(line.text)]
    taken = [*_wrapped(higher, wrap_px)[::-1], *_wrapped(lines[at:], wrap_px)[1:]]
    return re.sub(r"^\[[\w-]+\]\s*", "", " ".join(line.text.strip() for line in taken))


def _joined_rows(cells: Sequence[Cell]) -> list[Cell]:
    """The cells with neighbours of one row joined; marks far to the right, as tax codes, stay apart."""
    lines: list[Cell] = []
    for cell in cells:
        last = lines[-1] if lines else None
        if last and last.row == cell.row and cell.box.x0 - last.box.x1 < 2 * (cell.box.y1 - cell.box.y0):
            box = Box(last.box.x0, min(last.box.y0, cell.box.y0), cell.box.x1, max(last.box.y1, cell.box.y1))
            lines[-1] = Cell(last.owner, f"{last.text} {cell.text}", box, last.row)
        else:
            lines.append(cell)
    return lines


def says_more(text: str) -> bool:
    """Whether a run holds more than a number with its currency or unit."""
    return sum(char.isalpha() for char in text) > CURRENCY_LETTERS or not any(char.isdigit() for char in text)


def _wrapped(lines: Sequence[Cell], wrap_px: float) -> list[Cell]:
    """The first line and those after it (up or down the page) that are of the same text."""
    taken = [lines[0]]
    for line in lines[1:]:
        far = abs(line.middle - taken[-1].middle) > wrap_px
        if far or _NOTE.search(line.text):
            break
        if _same_margin(line.box, taken[0].box, 0.5 * wrap_px):
            taken.append(line)
    return taken


def _same_margin(a: Box, b: Box, slack_px: float) -> bool:
    """Whether two lines begin at one margin or are centred on one axis."""
    return abs(a.x0 - b.x0) <= slack_px or abs(a.x0 + a.x1 - b.x0 - b.x1) <= slack_px
