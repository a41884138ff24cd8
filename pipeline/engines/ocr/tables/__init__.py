"""Line items: the rows of a page's tables as values of the item model's fields.

An item is anchored by its total, the amount in the table's total column; the lines around it
that are nearer to it than to the next item belong to it. Quantity and price are taken so
that their product is the total where the page allows it. The columns of a table without a
header, as on receipts and on continued pages, are told from the same arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline.engines.ocr.page import PageLayout
from pipeline.engines.ocr.specs import FieldSpec, Kind
from pipeline.engines.ocr.tables.bare import CENTS, infer_header
from pipeline.engines.ocr.tables.cells import Cell, cells_of, is_code, says_more
from pipeline.engines.ocr.tables.description import wrap_distance_px
from pipeline.engines.ocr.tables.header import OTHER, Header, find_headers
from pipeline.engines.ocr.tables.items import ItemForm, Names, groups, item_names
from pipeline.engines.ocr.tables.rates import Rates
from pipeline.engines.ocr.tables.sums import sums_up

if TYPE_CHECKING:
    from pydantic import BaseModel

TABLE_GAP = 6.0
"""White space, in line heights, that ends a table; items with notes left blank are 3 to 4 apart."""


def find_rows(page: PageLayout, spec: FieldSpec) -> list[dict[str, str]]:
    """The items of the page's tables in printed order; amounts as plain decimals, absent values left out.

    Args:
        spec: a field of kind ROWS.
    """
    if spec.kind is not Kind.ROWS or spec.model is None:
        return []
    headers = find_headers(page, spec.model)
    items: list[dict[str, str]] = []
    for i, header in enumerate(headers):
        end = headers[i + 1].first_row if i + 1 < len(headers) else len(page.rows)
        items.extend(_table_items(page, header, end, spec.model))
    if not items:
        inferred = infer_header(page, spec.model)
        items.extend(_table_items(page, inferred, len(page.rows), spec.model) if inferred else ())
    return items


def _table_items(page: PageLayout, header: Header, end: int, model: type[BaseModel]) -> Iterator[dict[str, str]]:
    """The items of one table.

    Args:
        end: the row before which it ends at the latest.
    """
    names = item_names(model)
    rows = list(_body(page, header, end))
    sums = [row for row in rows if sums_up(page, row)]
    cells = [c for row in rows if row not in sums for run in page.rows[row] for c in cells_of(run, header, names.rate)]
    owned = {column.owner for column in header.columns}
    if header.inferred or names.description not in owned:
        cells = [_described(cell, names) for cell in cells]
    form = ItemForm(model, names, names.quantity in owned, wrap_distance_px(page))
    rates = Rates(page) if names.rate and names.rate not in owned else None
    factors = {names.quantity, names.price} & owned
    summed = min(sums, default=len(page.rows))
    for anchor, group in groups(page, rows, cells, _anchors(header, cells, names), names):
        item = form.read(anchor, group)
        if rates and names.rate not in item and (rate := rates.of(anchor, group)) is not None:
            item[str(names.rate)] = format(rate, "f")
        found = factors & item.keys()
        complete = found == factors or (bool(found) and anchor.row < summed)
        if complete and (names.description in item or names.description is None):
            yield item


def _anchors(header: Header, cells: Sequence[Cell], names: Names) -> list[Cell]:
    """The amounts that make items: those of the total's column, else of the rightmost with amounts; one a row.

    A column that was read in less than half the rows with a price leaves it to the prices.
    Where any has cents, the others are misread or something else.
    """
    amounts = [cell for cell in cells if cell.value is not None]
    with_amounts = {cell.owner for cell in amounts} - {OTHER}
    by_rank = [names.total, names.price, names.quantity, *(c.owner for c in reversed(header.columns))]
    owner = next((name for name in by_rank if name in with_amounts), None)
    rows = {name: {cell.row for cell in amounts if cell.owner == name} for name in (owner, names.price)}
    if 2 * len(rows[owner]) < len(rows[names.price]):
        owner = names.price
    amounts = [cell for cell in amounts if cell.owner == owner]
    in_cents = [cell for cell in amounts if CENTS.search(cell.text)]
    return list({cell.row: cell for cell in in_cents or amounts}.values())


def _described(cell: Cell, names: Names) -> Cell:
    """A cell where no column is the description's: any text is part of it, but for the articles' numbers."""
    if cell.value is not None or not names.description:
        return cell
    if is_code(cell.text):
        return replace(cell, owner=OTHER)
    return replace(cell, owner=names.description) if says_more(cell.text) else cell


def _body(page: PageLayout, header: Header, end: int) -> Iterator[int]:
    """The rows of a table below its header, down to its totals, the next header or a wide gap."""
    printed = [run.box.y1 for row in page.rows[header.first_row : header.end_row] for run in row]
    bottom = max(printed, default=float("inf"))
    for row in range(header.end_row, end):
        top = min(run.box.y0 for run in page.rows[row])
        if top - bottom > TABLE_GAP * page.line_height_px or _ends_table(page, row, header):
            return
        bottom = max(bottom, *(run.box.y1 for run in page.rows[row]))
        yield row


def _ends_table(page: PageLayout, row: int, header: Header) -> bool:
    """Whether a row sums up, or begins another table."""
    runs = page.rows[row]
    if len(runs) >= 3 and row > header.end_row and not any(char.isdigit() for run in runs for char in run.text):
        return True
    return sums_up(page, row) == "end"
