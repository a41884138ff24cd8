"""Line items: the rows of a page's tables as values of the item model's fields.

An item is anchored by its total, the amount in the table's total column; the lines around it
that are nearer to it than to the next item belong to it. Quantity and price are taken so
that their product is the total where the page allows it. The columns of a table without a
header, as on receipts and on continued pages, are told from the same arithmetic.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from pydantic import BaseModel

from pipeline.engines.ocr.labels import LabelIndex
from pipeline.engines.ocr.lexicon import LABELS, Clue
from pipeline.engines.ocr.page import PageLayout
from pipeline.engines.ocr.specs import FieldSpec, Kind
from pipeline.engines.ocr.table_header import Header, find_headers
from pipeline.engines.ocr.table_items import cells_of, groups, item_names, read_item
from pipeline.schema import Role
from pipeline.values import find_amounts

TABLE_GAP = 6.0
"""White space, in line heights, that ends a table; items with notes left blank are 3 to 4 apart."""

_TOTALS = LabelIndex(
    {
        "end": (*LABELS[Role.TOTAL], *LABELS[Role.TAX], *LABELS[Role.DUE], *LABELS[Clue.TENDERED], *LABELS[Clue.CHANGE],
                *LABELS[Clue.ROUNDING], *LABELS[Clue.TAX_SUMMARY], "Rechnungssumme", "Gesamtbeitrag", "Positionssumme", "Zahlbetrag", "Total taxes", "Total TVA"),
        "sum": (*LABELS[Role.NET], "Net total", "Total net"),
    }
)  # fmt: skip


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
    return items


def _table_items(page: PageLayout, header: Header, end: int, model: type[BaseModel]) -> Iterator[dict[str, str]]:
    names = item_names(model)
    rows = list(_body(page, header, end))
    cells = [cell for row in rows for run in page.rows[row] for cell in cells_of(run, header.columns)]
    owned = {column.owner for column in header.columns}
    anchor_owner = next((name for name in (names.total, names.price, names.quantity) if name in owned), None)
    anchors = [cell for cell in cells if cell.owner == anchor_owner and cell.value is not None]
    factors = {names.quantity, names.price} & owned
    summed = next((row for row in rows if _sums_up(page, row)), len(page.rows))
    for anchor, group in groups(page, rows, cells, [a for a in anchors if not _sums_up(page, a.row)], names):
        item = read_item(page, anchor, group, model, names)
        found = factors & item.keys()
        if found == factors or (found and anchor.row < summed):
            yield item


def _body(page: PageLayout, header: Header, end: int) -> Iterator[int]:
    """The rows of a table below its header, down to its totals, the next header or a wide gap."""
    bottom = page.rows[header.end_row - 1][0].box.y1
    for row in range(header.end_row, end):
        top = min(run.box.y0 for run in page.rows[row])
        if top - bottom > TABLE_GAP * page.line_height_px or _ends_table(page, row, header):
            return
        bottom = max(bottom, *(run.box.y1 for run in page.rows[row]))
        yield row


def _ends_table(page: PageLayout, row: int, header: Header) -> bool:
    """Whether a row sums up, or begins another table."""
    runs = page.rows[row]
    if len(runs) >= 3 and not any(char.isdigit() for run in runs for char in run.text):
        return True
    return _sums_up(page, row) == "end"


def _sums_up(page: PageLayout, row: int) -> str | None:
    """"end" or "sum" where a run of the row is a total's label and an amount stands beside it."""
    for run in page.rows[row]:
        matches = _TOTALS.find(run.text)
        if not matches or re.search(r"\w", run.text[: matches[0].start]):
            continue
        rest = run.text[matches[0].end :]
        letters = sum(char.isalpha() for char in run.text)
        beside = [rest, *(other.text for other in page.right_of(run)[:1])]
        if matches[0].length >= 0.4 * letters and any(find_amounts(text) for text in beside):
            return matches[0].owners[0]
    return None
