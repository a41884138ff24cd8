"""The items that cells make: which belong together, and what each says.

An item is grouped around its anchor, the amount that makes it one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING

from pipeline.engines.ocr.page import PageLayout
from pipeline.engines.ocr.specs import FieldSpec, Kind, field_specs
from pipeline.engines.ocr.tables.cells import Cell
from pipeline.engines.ocr.tables.description import description_of, is_wording
from pipeline.engines.ocr.tables.header import OTHER
from pipeline.schema import Role

if TYPE_CHECKING:
    from pydantic import BaseModel

ROUNDING = Decimal("0.011")
"""By how much quantity times price may miss a total that is rounded to cents."""

_NUMERIC = frozenset({Kind.AMOUNT, Kind.INTEGER})


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
    """The names of an item model's fields."""
    by_role = {spec.role: spec.name for spec in reversed(field_specs(model)) if spec.role}
    roles = (Role.DESCRIPTION, Role.QUANTITY, Role.UNIT_PRICE, Role.TAX_RATE, Role.LINE_TOTAL)
    return Names(*(by_role.get(role) for role in roles))


@dataclass(frozen=True, slots=True)
class ItemForm:
    """What an item of one table can say."""

    model: type[BaseModel]
    names: Names
    counted: bool
    """The table has a column of quantities; one that was not read in it is total by price."""
    wrap_px: float
    """See `wrap_distance_px`."""

    def read(self, anchor: Cell, group: Sequence[Cell]) -> dict[str, str]:
        """The values of the item around `anchor`; what is not there is left out."""
        quantity, price = _factors(anchor, group, self.names)
        if price is not None and quantity is None and self.counted:
            quantity = _counted(anchor, price)
        known = {self.names.quantity: quantity, self.names.price: price, anchor.owner: anchor}
        values = {spec.name: self._value(spec, anchor, group, known) for spec in field_specs(self.model)}
        return {name: value for name, value in values.items() if value}

    def _value(self, spec: FieldSpec, anchor: Cell, group: Sequence[Cell], known: dict[str | None, Cell | None]) -> str:
        mine = [cell for cell in group if cell.owner == spec.name]
        texts = [cell for cell in mine if cell.value is None]
        if spec.name == self.names.description:
            return description_of(anchor, texts, self.wrap_px)
        if spec.kind not in _NUMERIC:
            return " ".join(cell.text for cell in texts)
        cell = known.get(spec.name) or _near(anchor, mine)
        if cell is None or cell.value is None:
            return ""
        if spec.name == self.names.quantity and _in_thousands(cell.text, anchor.text):
            return format(cell.value.scaleb(3).normalize(), "f")
        whole = spec.kind is Kind.INTEGER and cell.value == cell.value.to_integral_value()
        return str(int(cell.value)) if whole else format(cell.value, "f")


def groups(
    page: PageLayout, rows: Sequence[int], cells: Sequence[Cell], anchors: Sequence[Cell], names: Names
) -> Iterator[tuple[Cell, list[Cell]]]:
    """Each anchor with the cells of its item: the page is cut at the widest white space between two anchors."""
    leading = bool(anchors) and _leads(cells, anchors, names)
    start = min(rows, default=0)
    end = anchors[-1].row + 1 if leading else max(rows, default=0) + 1
    for i, anchor in enumerate(anchors):
        stop = _cut(page, anchor.row, anchors[i + 1].row, leading=leading) if i + 1 < len(anchors) else end
        yield anchor, [cell for cell in cells if start <= cell.row < stop]
        start = stop


def _leads(cells: Sequence[Cell], anchors: Sequence[Cell], names: Names) -> bool:
    """Whether items begin with a line of text above the line of their amounts."""
    first = anchors[0].row
    words = [c.row for c in cells if c.owner == names.description and c.value is None and is_wording(c.text)]
    return first not in words and any(row < first for row in words)


def _cut(page: PageLayout, row: int, next_row: int, *, leading: bool) -> int:
    """The row with which the next item begins: below the widest white space, the nearest such to its first line."""
    order = range(row + 1, next_row + 1) if leading else range(next_row, row, -1)
    best = order[0]
    for candidate in order[1:]:
        if _white_px(page, row, candidate) > max(0.0, _white_px(page, row, best)) + page.line_height_px / 4:
            best = candidate
    return best


def _white_px(page: PageLayout, first: int, row: int) -> float:
    """White space between a row and those from `first` on above it; negative where they overlap."""
    bottom = max(run.box.y1 for r in range(first, row) for run in page.rows[r])
    return min(run.box.y0 for run in page.rows[row]) - bottom


def _near(anchor: Cell, cells: Sequence[Cell]) -> Cell | None:
    """The number that stands closest to the anchor's line."""
    return min((c for c in cells if c.value is not None), key=lambda c: abs(c.middle - anchor.middle), default=None)


def _factors(anchor: Cell, group: Sequence[Cell], names: Names) -> tuple[Cell | None, Cell | None]:
    """The quantity and the price whose product is the total; the nearest ones where none is.

    Where the header names only one of them, an unnamed column's number is the other if it makes the total.
    """
    quantities = [c for c in group if c.owner == names.quantity and c.value is not None]
    prices = [c for c in group if c.owner == names.price and c.value is not None]
    pairs = [(q, p) for q in quantities for p in prices if is_product(q.value, p.value, anchor.value)]
    if pairs:
        return min(pairs, key=lambda pair: sum(abs(c.middle - anchor.middle) for c in pair))
    quantity, price = _near(anchor, quantities), _near(anchor, prices)
    unnamed = [c for c in group if c.owner == OTHER and c.value is not None]
    if quantity is None and price is not None:
        quantity = _near(anchor, [c for c in unnamed if is_product(c.value, price.value, anchor.value)])
    elif price is None and quantity is not None:
        price = _near(anchor, [c for c in unnamed if is_product(quantity.value, c.value, anchor.value)])
    return quantity, price


def _counted(total: Cell, price: Cell) -> Cell | None:
    """How often a price makes a total, where that is a whole number."""
    if not total.value or not price.value or total.value % price.value:
        return None
    return Cell(price.owner, "", price.box, price.row, total.value // price.value)


def _in_thousands(number: str, total: str) -> bool:
    """Whether the dot in "5.000" parts thousands, as the total beside it has a decimal comma."""
    return re.fullmatch(r"\d{1,3}\.\d{3}", number) is not None and re.search(r",\d{2}(?!\d)", total) is not None


def is_product(quantity: Decimal | None, price: Decimal | None, total: Decimal | None) -> bool:
    """Whether quantity times price is the total, signs and rounding aside."""
    if quantity is None or price is None or total is None:
        return False
    return abs(abs(quantity * price) - abs(total)) <= max(ROUNDING, abs(total) / 1000)
