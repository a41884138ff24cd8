"""The tax rates of items whose table has no column of percentages.

Papers print the rate once for all items, in their totals, or a letter with each item and what
the letters stand for below: "A  19,00 %".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal

from pipeline.engines.ocr.labels import LabelIndex
from pipeline.engines.ocr.lexicon import LABELS
from pipeline.engines.ocr.page import PageLayout, Run
from pipeline.engines.ocr.tables.cells import Cell
from pipeline.schema import Role

HIGHEST_RATE = 40
"""Higher percentages are no tax; the highest value added tax there is has 27."""

_PERCENT = re.compile(r"(?<![\d.,-])(\d{1,2}(?:[.,]\d{1,2})?)\s?%")
_CODE = re.compile(r"\W*([A-Z])\W*")
_FINAL_CODE = re.compile(r"\d[.,]\d{2}\s?(?:€|EUR)?\s?\*?([A-Z])$")
_TAX = LabelIndex({Role.TAX: (*LABELS[Role.TAX], "Sales tax", "Taxe", "Impuesto", "Imposta", "Moms", "HST", "PST")})


class Rates:
    """What a page says about the tax on its items."""

    def __init__(self, page: PageLayout) -> None:
        self._of_code: dict[str, Decimal] = {}
        found: set[Decimal] = set()
        for row in page.rows:
            rates = {rate for run in row for rate in _rates_in(run.text)}
            code = _CODE.fullmatch(row[0].text) or re.match(r"([A-Z])\s*[=:]?\s*\d{1,2}(?:[.,]\d+)?\s?%", row[0].text)
            if code and len(rates) == 1:
                self._of_code.setdefault(code[1], *rates)
            taxes = [run for run in row if _TAX.find(run.text)]
            found |= {*(rates if taxes else ()), *(rate for run in taxes for rate in _rates_below(page, run))}
        self._only = found.pop() if len(found) == 1 else None

    def of(self, anchor: Cell, group: Sequence[Cell]) -> Decimal | None:
        """The rate of one item: that of the code on its line, else the only one that the page prints."""
        mine = sorted(group, key=lambda cell: abs(cell.middle - anchor.middle))
        codes = (match[1] for cell in mine if (match := _CODE.fullmatch(cell.text) or _FINAL_CODE.search(cell.text)))
        return next((self._of_code[code] for code in codes if code in self._of_code), self._only)


def _rates_below(page: PageLayout, label: Run) -> list[Decimal]:
    """The rate in the line below "% IVA" or "MwSt %", printed without its sign."""
    first = next(page.below(label, max_gap=1.5), None)
    if first is None or "%" not in label.text or not re.fullmatch(r"\d{1,2}(?:[.,]\d{1,2})?", first.text):
        return []
    return _rates_in(f"{first.text}%")


def _rates_in(text: str) -> list[Decimal]:
    rates = [Decimal(match[1].replace(",", ".")) for match in _PERCENT.finditer(text)]
    return [rate for rate in rates if rate <= HIGHEST_RATE]
