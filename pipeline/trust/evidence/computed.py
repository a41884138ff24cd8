"""Values that a page does not show, but that follow from others that it does."""

from __future__ import annotations

import datetime as dt
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import combinations, permutations

from pipeline.data import Verdict
from pipeline.schema import Role
from pipeline.trust.evidence.leaves import Kind, Leaf
from pipeline.trust.evidence.place import Place, spans_in
from pipeline.trust.evidence.text import PageText

HALF_A_CENT = Decimal("0.005")

MAX_TERMS = 5
"""Printed numbers in one column that are added up, the taxes of several rates."""

_DAYS = re.compile(
    r"(?<!\d)(\d{1,3})\s?(?:calendar\s|kalender)?(?:days?|tagen?|jours?|dagen|giorni|d[ií]as)(?!\w)", re.IGNORECASE
)


def beside(leaves: Sequence[Leaf], places: Mapping[str, Place]) -> dict[str, list[Leaf]]:
    """Return the numbers that are shown of each object of a record, by its path."""
    found: dict[str, list[Leaf]] = defaultdict(list)
    for leaf in leaves:
        if leaf.kind is Kind.NUMBER and leaf.path in places:
            found[leaf.path.rpartition(".")[0]].append(leaf)
    return found


def follows(leaf: Leaf, siblings: Sequence[Leaf], sums: Sequence[Decimal]) -> bool:
    """Tell whether a number follows from others.

    Args:
        siblings: the numbers of the same object that are shown.
        sums: of columns of items that are shown.
    """
    if leaf.item is not None:
        return _follows_in_item(leaf, siblings)
    value = leaf.number
    if leaf.spec.role in {None, Role.NET, Role.TOTAL, Role.DUE, Role.TAX} and any(_same(value, one) for one in sums):
        return value != 0
    by_role = {one.spec.role: one.number for one in siblings if one.spec.role}
    if leaf.spec.role:
        return any(_same(value, one) for one in _by_role(leaf.spec.role, by_role))
    numbers = [one.number for one in siblings]
    return value != 0 and any(_same(value, a + b) or _same(value, abs(a - b)) for a, b in combinations(numbers, 2))


def _by_role(role: Role, known: Mapping[Role, Decimal]) -> Iterator[Decimal]:
    """Yield what the other sums of a document say that one of them is."""
    net, tax, total, due = (known.get(one) for one in (Role.NET, Role.TAX, Role.TOTAL, Role.DUE))
    gross = total if total is not None else due
    if role in {Role.TOTAL, Role.DUE}:
        yield from (one for one in (total, due) if one is not None)
        if net is not None and tax is not None:
            yield net + tax
    elif role is Role.NET and gross is not None:
        yield gross - (tax or 0)
    elif role is Role.TAX and gross is not None and net is not None:
        yield gross - net


def _follows_in_item(leaf: Leaf, siblings: Sequence[Leaf]) -> bool:
    value, by_role = leaf.number, {one.spec.role: one.number for one in siblings if one.spec.role}
    quantity, price, total = (by_role.get(one) for one in (Role.QUANTITY, Role.UNIT_PRICE, Role.LINE_TOTAL))
    match leaf.spec.role:
        case Role.QUANTITY if price is None or total is None:
            return value == 1 and (price is not None or total is not None)
        case Role.QUANTITY:
            return bool(price and total is not None and _rounds_to(total / price, value))
        case Role.UNIT_PRICE:
            return total is not None and (_rounds_to(total / quantity, value) if quantity else value == total)
        case Role.LINE_TOTAL:
            return price is not None and _rounds_to(price * (1 if quantity is None else quantity), value)
        case None:
            numbers = [one.number for one in siblings]
            products = (a * b for a, b in combinations(numbers, 2))
            shares = (a / b for a, b in permutations(numbers, 2) if b)
            return value != 0 and any(_rounds_to(one, value) for one in (*products, *shares))
        case _:
            return False


def column_sum(text: PageText, value: Decimal) -> Place | None:
    """Return numbers printed right below each other that add up to a value: the taxes of several rates."""
    for column in text.numbers.columns:
        for first in range(len(column) - 1):
            total = column[first][0]
            for last in range(first + 1, min(first + MAX_TERMS, len(column))):
                total += column[last][0]
                if total == abs(value):
                    spans = [span for _, place in column[first : last + 1] for span in place.spans]
                    return Place(tuple(spans), Verdict.COMPUTED)
    return None


def days_after(text: PageText, start: dt.date, value: dt.date) -> Place | None:
    """Return where a number of days is printed that lies between two dates: "payable within 30 days"."""
    for run in text.page.runs:
        printed = " ".join(piece.text for piece in run.pieces)
        for match in _DAYS.finditer(printed):
            if int(match[1]) == (value - start).days:
                return Place(spans_in(run, match.start(), match.end()), Verdict.COMPUTED)
    return None


def _same(a: Decimal, b: Decimal) -> bool:
    return abs(a - b) < HALF_A_CENT


def _rounds_to(exact: Decimal, value: Decimal) -> bool:
    """Whether a result, rounded as a value is, is that value."""
    places = value.normalize().as_tuple().exponent
    least = Decimal(1).scaleb(max(min(int(places), -2), -6)) if isinstance(places, int) else HALF_A_CENT * 2
    return abs(exact - value) <= least / 2
