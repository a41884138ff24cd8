"""Net and tax that arithmetic finds on a page, whatever their labels say.

A tax is its rate times its net amount. Where a page prints a rate, a net amount and the tax
that follows from them, they explain each other in any language: on the rows of a table of
taxes, or anywhere when a total is known.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import permutations

from pipeline.engines.ocr.page import Run
from pipeline.values import parse_amount

CENT = Decimal("0.01")
LOWEST_RATE, HIGHEST_RATE = Decimal("0.01"), Decimal("0.35")
"""Taxes on sales lie between 2 and 27 per cent the world over; 1 and 35 leave room for other levies."""

MOST_AMOUNTS = 6
"""On a row: more are no row of taxes, and every pair is tried."""

ROWS_APART = 2
"""Rows of a table of taxes follow each other, or every other one where OCR broke them."""

_PERCENTAGE = re.compile(r"(?<![\d.,])(\d{1,2}(?:[.,]\d{1,3})?)\s?%")

Printed = Sequence[tuple[Decimal, Run]]


@dataclass(frozen=True, slots=True)
class Taxed:
    """A net amount and its tax."""

    net: Decimal
    tax: Decimal
    run: Run


def rates_in(text: str) -> list[Decimal]:
    """The percentages in a text as fractions."""
    return [parse_amount(match[1]) / 100 for match in _PERCENTAGE.finditer(text)]


def split_total(total: Decimal, rates: Iterable[Decimal], printed: Printed) -> Iterator[Taxed]:
    """Net and tax of a total at each rate, where the page prints both."""
    runs = {abs(value): run for value, run in printed}
    for rate in rates:
        net = (total / (1 + rate)).quantize(CENT)
        if LOWEST_RATE <= rate <= HIGHEST_RATE and {abs(net), abs(total - net)} <= runs.keys():
            yield Taxed(net, total - net, runs[abs(total - net)])


def tax_tables(rows: Sequence[tuple[Sequence[Decimal], Printed]]) -> Iterator[Taxed]:
    """The sums of net and tax over neighbouring rows of different rates.

    Args:
        rows: the rates and the amounts with cents of each row of the page.
    """
    table: dict[Decimal, Taxed] = {}
    for rates, amounts in rows:
        rate, taxed = _taxed(rates, amounts)
        if taxed is None:
            continue
        last = max((other.run.row for other in table.values()), default=taxed.run.row)
        if rate in table or taxed.run.row - last > ROWS_APART:
            yield from _summed(table)
            table = {}
        table[rate] = taxed
    yield from _summed(table)


def _summed(table: dict[Decimal, Taxed]) -> Iterator[Taxed]:
    rows = list(table.values())
    if any(row.tax for row in rows):
        yield Taxed(sum((r.net for r in rows), Decimal(0)), sum((r.tax for r in rows), Decimal(0)), rows[-1].run)


def _taxed(rates: Sequence[Decimal], amounts: Printed) -> tuple[Decimal, Taxed | None]:
    """The rate of a row and what it taxes, the net amount printed or the one with tax."""
    if len(amounts) <= MOST_AMOUNTS:
        for rate in rates:
            for (base, _), (tax, run) in permutations(amounts, 2):
                if abs(base * rate - tax) <= CENT and abs(tax) <= abs(base):
                    return rate, Taxed(base, tax, run)
                if abs((base - tax) * rate - tax) <= CENT and abs(tax) <= abs(base):
                    return rate, Taxed(base - tax, tax, run)
    return Decimal(0), None
