"""Rules of sums and of the size of amounts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

from pipeline.rules.rule import Finding, Rule, Values, plain_name, value_at, values_at

CENT_SLACK = Decimal("0.02")
"""Two amounts rounded to the cent, each by half a cent at its source and again when printed; the same as the slack of
PEPPOL-EN16931-R120. A sum that cash is paid for in steps of 0.05 (Malaysia, Switzerland, the Netherlands, Canada)
differs by 0.02 at most, too."""

CASH_STEPS = {
    "CHF": "0.05", "NZD": "0.10", "DKK": "0.50", "SEK": "1", "NOK": "1", "CZK": "1", "ISK": "1", "JPY": "1", "KRW": "1",
    "HUF": "5", "ZAR": "0.10", "HKD": "0.10", "ILS": "0.10", "PHP": "0.25", "THB": "0.25", "TWD": "1", "INR": "1",
}  # fmt: skip
"""The smallest coin in circulation, to which sums are rounded where cash is taken; source: the central banks' lists of
circulating coins (2025). Others have steps up to 0.05, or no printed decimals."""

HIGHEST_TAX = Decimal("0.28")
"""Of the net amount: India's on many goods up to 2025. The highest standard rate of a value-added tax is Hungary's,
27 % (OECD, Consumption Tax Trends 2024)."""

LARGEST_AMOUNT = Decimal(100_000_000)
"""Of one document, in units of about a euro: more is a misread identifier far more often. No source: a choice."""

SMALL_UNITS = frozenset(
    "IDR VND IRR LAK KRW CLP COP PYG UGX TZS MMK KHR MNT UZS GNF LBP JPY HUF NGN XAF XOF ARS".split()
)
"""Currencies of which a euro is worth hundreds or thousands (2025); their amounts may be 10,000 times as large."""


def number(value: Any) -> Decimal | None:
    """Return a value as a finite decimal; None when it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    as_decimal = value if isinstance(value, Decimal) else Decimal(str(value))
    return as_decimal if as_decimal.is_finite() else None


def printed(value: Decimal) -> str:
    """Write an amount for people: at least two decimals, no zeros behind them."""
    plain = f"{value.normalize():f}"
    decimals = len(plain.partition(".")[2])
    return plain if decimals >= 2 else f"{value:.2f}"


def rounding(currency: Any) -> Decimal:
    """Return how far a printed sum may be from the sum of its printed parts."""
    return max(CENT_SLACK, Decimal(CASH_STEPS.get(str(currency), "0")) / 2)


def adds_up(
    *parts: str,
    to: str,
    less: Sequence[str] = (),
    optional: Sequence[str] = (),
    currency: str = "currency",
    tolerance: Decimal | None = None,
    name: str | None = None,
) -> Rule:
    """Make the rule that `parts` together are `to`: net and tax the total.

    Credit notes have all of them negative.

    Args:
        less: fields taken away, where they are there: a deposit, what was paid before, tax withheld.
        optional: fields added, where they are there: a tip, shipping, the rounding of a cash sum.
        currency: the field that says how sums are rounded.
        tolerance: how far off the sum may be; default as CENT_SLACK and CASH_STEPS say.
        name: default `subtotal_plus_tax_is_total`.
    """
    fields = (*parts, to, *less, *optional)

    def check(record: Values) -> Iterator[Finding]:
        for found in values_at(record, (*parts, to), optional=(*less, *optional)):
            paths = dict(zip(fields, found, strict=True))
            known = {path: amount for path, value in found.items() if (amount := number(value)) is not None}
            if any(paths[field] not in known for field in (*parts, to)):
                continue
            more, taken = (
                {paths[field]: known[paths[field]] for field in some if known.get(paths[field])}
                for some in (optional, less)
            )
            added = {paths[field]: known[paths[field]] for field in parts} | more
            whole, off = sum(added.values(), Decimal(0)), sum(map(abs, taken.values()), Decimal(0))
            # A deposit is printed with a minus as often as without.
            sum_, result = whole - off.copy_sign(whole), known[paths[to]]
            allowed = rounding(value_at(record, currency)) if tolerance is None else tolerance
            fault = f"{_terms(added, taken)} is {printed(sum_)}, but {paths[to]} is {printed(result)}."
            yield Finding((*added, *taken, paths[to]), None if abs(sum_ - result) <= allowed else fault)

    return Rule(name or plain_name(f"{'_plus_'.join(parts)}_is_{to}"), fields, check)


def _terms(added: Values, taken: Values) -> str:
    less = "".join(f" less {path} {printed(abs(value))}" for path, value in taken.items())
    return " + ".join(f"{path} {printed(value)}" for path, value in added.items()) + less


def tax_is_plausible(
    tax: str, *, of: str, net: bool = False, highest: Decimal = HIGHEST_TAX, name: str | None = None
) -> Rule:
    """Make the rule that a tax has the sign of its amount and is no larger a part of it than any tax.

    Args:
        net: Whether `of` is without the tax.
        highest: the highest rate, as a share of the net amount.
        name: default `tax_is_plausible`.
    """
    share = highest if net else highest / (1 + highest)

    def check(record: Values) -> Iterator[Finding]:
        for found in values_at(record, (tax, of)):
            (paid, part), (base, amount) = ((path, number(value)) for path, value in found.items())
            if part is None or amount is None:
                continue
            # Holding says nothing: nearly every amount on the page would be plausible as a tax.
            if part * amount < 0 or abs(part) > abs(amount) * share + CENT_SLACK:
                limit = f"{highest:.0%} is the highest rate"
                yield Finding(tuple(found), f"{paid} {printed(part)} is no tax of {base} {printed(amount)}: {limit}.")

    return Rule(name or f"{plain_name(tax)}_is_plausible", (tax, of), check)


def amount_is_plausible(
    field: str, *, at_most: Decimal = LARGEST_AMOUNT, currency: str = "currency", name: str | None = None
) -> Rule:
    """Make the rule that an amount is not absurdly large, as a barcode or a telephone number would be.

    Args:
        at_most: in units of about a euro; 10,000 times as much for currencies of small units.
        currency: the field that says which it is.
        name: default `total_is_plausible`.
    """

    def check(record: Values) -> Iterator[Finding]:
        for found in values_at(record, (field,)):
            for path, value in found.items():
                amount = number(value)
                limit = at_most * (10_000 if value_at(record, currency) in SMALL_UNITS else 1)
                # Holding says nothing: nearly every amount is plausible, the wrong ones too.
                if amount is not None and abs(amount) > limit:
                    yield Finding((path,), f"{path} {printed(amount)} is larger than {printed(limit)}.")

    return Rule(name or f"{plain_name(field)}_is_plausible", (field,), check)


def is_between(field: str, lowest: float, highest: float, *, name: str | None = None) -> Rule:
    """Make the rule that a number is in a range, its ends included: a tax rate of 0 to 30 per cent.

    Args:
        name: default `line_items_tax_rate_in_range`.
    """

    def check(record: Values) -> Iterator[Finding]:
        for found in values_at(record, (field,)):
            for path, value in found.items():
                amount = number(value)
                if amount is not None and not lowest <= amount <= highest:
                    yield Finding((path,), f"{path} {printed(amount)} is not between {lowest} and {highest}.")

    return Rule(name or f"{plain_name(field)}_in_range", (field,), check)
