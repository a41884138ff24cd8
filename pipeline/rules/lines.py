"""Rules of the items of a list."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from pipeline.rules.amounts import CENT_SLACK, number, printed, rounding
from pipeline.rules.rule import Finding, Rule, Values, value_at, values_at

HALF_CENT = Decimal("0.005")

MOST_DISCOUNT = Decimal("0.25")
"""How far, as a share, a discount or a charge without a field of its own may take a sum from its parts before it
counts as wrong. A choice: in labelled invoices such discounts and charges make 0.6 to 5 per cent of the net amount."""


def lines_add_up(
    *to: str,
    lines: str = "line_items",
    amount: str = "line_total",
    unexplained: Decimal = MOST_DISCOUNT,
    currency: str = "currency",
    name: str = "lines_add_up",
) -> Rule:
    """Make the rule that the items of a list sum up to one of the fields `to`: the net or the total amount.

    It holds where the sum is met, each line's rounding aside; says nothing where a discount or charge may stand
    between; and is broken beyond that, as where lines are missing. Lines must all have an amount.

    Args:
        unexplained: share of the amount that discounts and charges without a field may make.
        currency: the field that says how sums are rounded.
    """

    def check(record: Values) -> Iterator[Finding]:
        items = value_at(record, lines) or ()
        known = [value for item in items if (value := number(value_at(item, amount))) is not None]
        targets = {field: value for field in to if (value := number(value_at(record, field))) is not None}
        if not items or len(known) < len(items) or not targets:
            return
        sum_ = sum(known, Decimal(0))
        paths = tuple(f"{lines}[{index}].{amount}" for index in range(len(items)))
        # A credit note prints its lines with or without the minus of its sums.
        off = {field: min(abs(sum_ - value), abs(sum_ + value)) for field, value in targets.items()}
        nearest = min(off, key=lambda field: off[field])
        if off[nearest] <= rounding(value_at(record, currency)) + HALF_CENT * len(items):
            yield Finding((*paths, nearest))
        elif off[nearest] > unexplained * abs(targets[nearest]):
            rows, field = (name.replace("_", " ") for name in (lines, nearest))
            message = f"The {len(items)} {rows} make {printed(sum_)}, but {field} is {printed(targets[nearest])}."
            yield Finding((*paths, nearest), message)

    return Rule(name, (f"{lines}[].{amount}", *to), check, whole=True)


def quantity_times_price(
    quantity: str = "line_items[].quantity",
    price: str = "line_items[].unit_price",
    total: str = "line_items[].line_total",
    *,
    unexplained: Decimal = MOST_DISCOUNT,
    name: str = "quantity_times_price",
) -> Rule:
    """Make the rule that an item's quantity times its unit price is its total.

    A price that is printed with two decimals may have had more: the total may differ by the quantity times half of its
    last place, and so on. It holds within that; says nothing where a discount, or a tax in one of both, may stand
    between; and is broken beyond.

    Args:
        unexplained: share of the product that they may make; 0 for lists that have none.
    """

    def check(record: Values) -> Iterator[Finding]:
        for found in values_at(record, (quantity, price, total)):
            values = [number(value) for value in found.values()]
            count, each, sum_ = values
            if count is None or each is None or sum_ is None:
                continue
            product = count * each
            # Credit notes print the minus at the quantity, at the total, or at both.
            off = min(abs(product - sum_), abs(product + sum_))
            allowed = CENT_SLACK + abs(count) * _half_place(each) + abs(each) * _half_place(count)
            if off <= allowed:
                if sum_:  # that nothing is nothing confirms no value
                    yield Finding(tuple(found))
            elif off > allowed + unexplained * abs(product):
                message = (
                    f"{printed(count)} x {printed(each)} is {printed(product)}, but the line says {printed(sum_)}."
                )
                yield Finding(tuple(found), message)

    return Rule(name, (quantity, price, total), check)


def _half_place(value: Decimal) -> Decimal:
    """Half a unit of the last place that is printed, of prices at least a cent's; none of whole numbers."""
    exponent: Any = value.normalize().as_tuple().exponent
    return HALF_CENT if exponent in {-1, -2} else Decimal(0) if exponent >= 0 else Decimal(5).scaleb(exponent - 1)
