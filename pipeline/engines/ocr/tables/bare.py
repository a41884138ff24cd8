"""Columns of item tables that have no header: told from arithmetic.

Two proofs count. Rows in which a number times another is the one at their right end show the
columns of quantity, price and total. Rows whose right-hand amounts add up to an amount below
them, in the document's totals, show the column of totals. Without a proof there is no table.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from statistics import median
from typing import TYPE_CHECKING

from pipeline.data import Box
from pipeline.engines.ocr.page import PageLayout
from pipeline.engines.ocr.parties.lines import LineKind, line_kind
from pipeline.engines.ocr.tables.cells import Number, numbers_of
from pipeline.engines.ocr.tables.description import is_wording
from pipeline.engines.ocr.tables.header import OTHER, Column, Header
from pipeline.engines.ocr.tables.items import is_product, item_names
from pipeline.engines.ocr.tables.sums import sums_up

if TYPE_CHECKING:
    from pydantic import BaseModel

CENTS = re.compile(r"\d[.,]\s?\d{2}$")
CASH_ROUNDING = Decimal("0.05")
"""By how much the sum of items may miss the total; cash is rounded to five cents."""

TOTAL_ROWS = 8
"""Rows from the first sum on among which the document's total is looked for."""

_NO_ARTICLE = frozenset({LineKind.TITLE, LineKind.CONTACT, LineKind.OTHER})

LEADING_ROWS = 3
"""Lines of an article above the line with its price: name, description, bar code."""


def infer_header(page: PageLayout, model: type[BaseModel]) -> Header | None:
    """The columns of the page's item table, or None where nothing proves one."""
    sums = [row for row in range(len(page.rows)) if sums_up(page, row) in {"end", "sum"}]
    first_sum = sums[0] if sums else None
    names = item_names(model)
    end = len(page.rows) if first_sum is None else first_sum
    rows = [[n for run in page.rows[row] for n in numbers_of(run, many=True)] for row in range(len(page.rows))]
    proven = [triple for row in range(end) if (triple := _product(rows, row, page.line_height_px))]
    columns: list[Column] = []
    if proven and all((names.quantity, names.price, names.total)):
        owners = (str(names.quantity), str(names.price), str(names.total))
        columns = [Column(owner, _median_box([t[i].box for t in proven])) for i, owner in enumerate(owners)]
        start = min(t[2].row for t in proven)
    if first_sum is not None and names.total:
        added = _addends(page, rows, sums)
        if added and (not columns or len(added) > len(proven)):
            total = Column(names.total, _median_box([n.box for n in added]))
            columns = [*(c for c in columns if c.owner != names.total), total]
            start = added[0].row
    if not columns:
        return None
    start = _with_leading_rows(page, rows, start)
    described = Column(names.description or OTHER, Box(0.0, 0.0, 1.0, 1.0))
    return Header((described, *sorted(columns, key=lambda c: c.box.x0)), start, start, inferred=True)


def _product(rows: Sequence[Sequence[Number]], row: int, unit: float) -> tuple[Number, Number, Number] | None:
    """Quantity, price and total of a row and those that nearly share its baseline."""
    if not rows[row]:
        return None
    total = rows[row][-1]
    near = [n for r in range(max(0, row - 1), min(row + 2, len(rows))) for n in rows[r]]
    near = [n for n in near if n is not total and abs(n.middle - total.middle) <= unit and n.box.x1 <= total.box.x0]
    if not total.value or not CENTS.search(total.text):
        return None
    prices = [n for n in near if re.search(r"\d[.,]\d{2}", n.text)]
    pairs = ((q, p) for p in prices for q in near if q is not p and is_product(q.value, p.value, total.value))
    best = min(pairs, key=lambda qp: (abs(qp[0].middle - total.middle), qp[0].box.x0 > qp[1].box.x0), default=None)
    return (*best, total) if best else None


def _addends(page: PageLayout, rows: Sequence[Sequence[Number]], sums: Sequence[int]) -> list[Number]:
    """The longest tail of right-hand amounts above the sums that add up to an amount in them."""
    known = {n.value for row in sums if row < sums[0] + TOTAL_ROWS for n in rows[row] if CENTS.search(n.text)}
    right = [row[-1] for row in rows[: sums[0]] if row and CENTS.search(row[-1].text)]
    right = [n for n in right if n.box.x1 > page.width_px / 2 and not sums_up(page, n.row)]
    best: list[Number] = []
    running = Decimal(0)
    for i in reversed(range(len(right))):
        running += right[i].value
        if running and any(abs(running - total) <= CASH_ROUNDING for total in known):
            best = right[i:]
    return best


def _with_leading_rows(page: PageLayout, rows: Sequence[Sequence[Number]], start: int) -> int:
    """The first row of the first item: names may stand above the line with its amounts."""
    first = start
    while first > 0 and start - first < LEADING_ROWS:
        above, here = page.rows[first - 1], page.rows[first]
        gap = min(run.box.y0 for run in here) - max(run.box.y1 for run in above)
        wordings = [run.text for run in above if is_wording(run.text)]
        if gap > page.line_height_px or len(wordings) > 1 or any(line_kind(text) in _NO_ARTICLE for text in wordings):
            break
        if rows[first - 1] and CENTS.search(rows[first - 1][-1].text):
            break
        first -= 1
    return first


def _median_box(boxes: Sequence[Box]) -> Box:
    return Box(*(median(side) for side in zip(*boxes, strict=True)))
