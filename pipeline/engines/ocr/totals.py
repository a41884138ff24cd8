"""Net, tax, total and amount due of a page: labels propose, arithmetic decides.

Labels alone mislead: tax summaries say TOTAL too, and receipts print a total before and one
after cash rounding. So all combinations of proposed values are scored by their labels and
by the sums that they satisfy:

    net + tax = total                       (the tax of several rates is their sum)
    net + tax + rounding = total            (the total after rounding is the one to pay)
    total before + rounding = total after
    cash - change = total
    total - prepaid = due
    net and tax side by side on one row, as summaries of taxes print them, make the total
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import combinations, groupby, product

from pipeline.engines.ocr.amounts import amounts_with_cents, best_of_each, proposals
from pipeline.engines.ocr.candidates import Candidate, Claims
from pipeline.engines.ocr.lexicon import Clue
from pipeline.engines.ocr.page import Run
from pipeline.engines.ocr.taxes import HIGHEST_RATE, LOWEST_RATE, Taxed, rates_in, split_total, tax_tables
from pipeline.schema import Role

ROLES = (Role.NET, Role.TAX, Role.TOTAL, Role.DUE)

LEAST_SCORE = 0.3
"""A value whose label says less than this and that no sum confirms is left out."""

ADDS_UP, ADDS_UP_WITHOUT_TAX, CONTRADICTS = 1.0, 0.4, -0.5
"""What net + tax = total is worth; without tax it says only that two amounts are equal."""

AFTER_ROUNDING = 0.6
PAID, PAID_AND_CHANGE = 0.4, 1.0
NOTHING_OPEN = 0.5

ADDS_UP_WITH_MORE = 0.6
"""The same where what is withheld, or a labelled charge or discount, makes up the difference."""

DUE_AS_TOTAL = 0.8
"""What the score of an amount due is multiplied with for a total: bills may print nothing else."""

LARGEST = 0.4
"""Where rates or parts have totals of their own that add up as well, the largest is that of the document."""

SIDE_BY_SIDE = 0.6
"""Score of two amounts on one row that make the total."""

Proposals = dict[Role, list[Candidate[Decimal]]]
Values = dict[Role, Decimal]


@dataclass(frozen=True, slots=True)
class _Evidence:
    """Amounts that confirm others."""

    roundings: frozenset[Decimal]
    """Zero, and what is printed with either sign: tills print it both ways."""
    paid: Mapping[Decimal, float]
    """Cash less change, and how much that says: less where no change is printed."""
    changes: frozenset[Decimal]
    prepaid: frozenset[Decimal]
    more: frozenset[Decimal]
    """Charges and discounts beside net and tax, and what the payer withholds, without sign."""
    printed: Sequence[tuple[Decimal, Run]]
    """All amounts with cents."""


def find_totals(claims: Claims) -> Values:
    """The page's amounts by role; a role without a convincing value is left out."""
    evidence = _evidence(claims)
    found: Proposals = {role: proposals(claims, role) for role in ROLES}
    known = {c.value for c in found[Role.TOTAL]}
    found[Role.TOTAL] += [
        replace(c, score=c.score * DUE_AS_TOTAL) for c in found[Role.DUE] if c.value and c.value not in known
    ]
    found[Role.TOTAL] += best_of_each(_misread_totals(claims, evidence, {c.value for c in found[Role.TOTAL]}))
    totals = {c.value for c in found[Role.TOTAL]}
    for role, candidate in [*_side_by_side(claims, evidence, totals), *_by_rate(claims, evidence, totals)]:
        if candidate.value not in {c.value for c in found[role] if c.score >= candidate.score}:
            found[role].append(candidate)
    chosen = _completed(_most_convincing(found, evidence), evidence)
    if set(chosen) == {Role.TAX} and len(found[Role.TAX]) > 1:
        chosen = {}  # taxes of single positions, on a page that states no total
    due = _due(found[Role.DUE], chosen.get(Role.TOTAL), evidence)
    return chosen | ({Role.DUE: due} if due is not None else {})


def _evidence(claims: Claims) -> _Evidence:
    def convincing(clue: Clue) -> frozenset[Decimal]:
        return frozenset(abs(c.value) for c in proposals(claims, clue) if c.score > LEAST_SCORE)

    cash, change = convincing(Clue.TENDERED), convincing(Clue.CHANGE)
    less_change = {a - b: PAID_AND_CHANGE for a in cash for b in change if a > b}
    roundings = {sign * c.value for c in proposals(claims, Clue.ROUNDING) for sign in (1, -1)}
    return _Evidence(
        roundings=frozenset({Decimal(0), *roundings}),
        paid=less_change if change else dict.fromkeys(cash, PAID),
        changes=change,
        prepaid=convincing(Clue.PREPAID),
        more=convincing(Clue.OTHER_AMOUNT) | convincing(Clue.WITHHELD),
        printed=amounts_with_cents(claims.page),
    )


def _misread_totals(claims: Claims, evidence: _Evidence, known: set[Decimal]) -> Iterator[Candidate[Decimal]]:
    """What was paid, where it is printed once more or no change was given: for totals or labels that were misread."""
    payments = {claim.run.row for clue in (Clue.TENDERED, Clue.CHANGE) for claim in claims.of(clue)}
    for value, run in evidence.printed:
        if value in evidence.paid.keys() - known and (run.row not in payments or 0 in evidence.changes):
            yield Candidate(value, LEAST_SCORE, run)


def _side_by_side(
    claims: Claims, evidence: _Evidence, totals: set[Decimal]
) -> Iterator[tuple[Role, Candidate[Decimal]]]:
    """Net and tax on one row that make a proposed total, or, on a row that says TOTAL, any amount of the page."""
    printed = {value for value, _ in evidence.printed}
    summaries = {claim.run.row for claim in claims.of(Role.TOTAL)}
    for row, amounts in groupby(evidence.printed, key=lambda pair: pair[1].row):
        for (net, run), (tax, _) in combinations(amounts, 2):
            sums = {net + tax + rounding for rounding in evidence.roundings} & (printed if row in summaries else totals)
            if sums and LOWEST_RATE <= tax / (net or 1) <= HIGHEST_RATE:
                yield Role.NET, Candidate(net, SIDE_BY_SIDE, run)
                yield Role.TAX, Candidate(tax, SIDE_BY_SIDE, run)
                yield from ((Role.TOTAL, Candidate(total, SIDE_BY_SIDE, run)) for total in sums - totals)


def _by_rate(claims: Claims, evidence: _Evidence, totals: set[Decimal]) -> Iterator[tuple[Role, Candidate[Decimal]]]:
    """Net and tax that a printed rate ties to a proposed total."""
    by_row = {row: tuple(amounts) for row, amounts in groupby(evidence.printed, key=lambda pair: pair[1].row)}
    rates = [rates_in(claims.page.row_text(row)) for row in range(len(claims.page.rows))]
    tables = tax_tables([(rates[row], amounts) for row, amounts in by_row.items() if rates[row]])
    every = {rate for of_row in rates for rate in of_row}
    found: list[Taxed] = [t for t in tables if t.net + t.tax in totals]
    found += [t for total in totals for t in split_total(total, every, evidence.printed)]
    for taxed in found:
        yield Role.NET, Candidate(taxed.net, SIDE_BY_SIDE, taxed.run)
        yield Role.TAX, Candidate(taxed.tax, SIDE_BY_SIDE, taxed.run)


def _most_convincing(found: Proposals, evidence: _Evidence) -> Values:
    roles = (Role.NET, Role.TAX, Role.TOTAL)
    best: tuple[float, Values] = (0.0, {})
    rows = {c.value: c.run.row for c in reversed(found[Role.TOTAL])}
    for combination in product(*([None, *found[role]] for role in roles)):
        chosen = {role: c for role, c in zip(roles, combination, strict=True) if c is not None}
        values = {role: c.value for role, c in chosen.items()}
        of_total, of_all = _total_score(values.get(Role.TOTAL), rows, evidence), _sum_score(values, rows, evidence)
        score = of_total + of_all + sum(c.score for c in chosen.values())
        weak = {role for role, c in chosen.items() if c.score < LEAST_SCORE}
        confirmed = set(roles) if of_all > 0 else {Role.TOTAL} if of_total > 0 else set()
        if weak <= confirmed and score > best[0]:
            best = score, values
    return best[1]


def _total_score(total: Decimal | None, rows: Mapping[Decimal, int], evidence: _Evidence) -> float:
    """How well a total fits what was paid, and a total before rounding above it.

    Args:
        rows: where each proposed total stands.
    """
    if total is None:
        return 0.0
    before = (rows.get(total - rounding, rows[total]) for rounding in evidence.roundings if rounding)
    return evidence.paid.get(total, 0.0) + AFTER_ROUNDING * any(row < rows[total] for row in before)


def _sum_score(values: Values, rows: Mapping[Decimal, int], evidence: _Evidence) -> float:
    """Whether net and tax make the total; below zero when they do not, or when the tax is out of proportion."""
    net, tax, total = (values.get(role) for role in (Role.NET, Role.TAX, Role.TOTAL))
    if total is None or tax is None:
        return 0.0
    if abs(tax) > HIGHEST_RATE * abs(total - tax):
        return 2 * CONTRADICTS
    if net is None:
        return 0.0
    rest = total - net - tax
    if rest not in evidence.roundings:
        return ADDS_UP_WITH_MORE if abs(rest) in evidence.more else CONTRADICTS
    return (ADDS_UP if tax else ADDS_UP_WITHOUT_TAX) + LARGEST * (abs(total) == max(map(abs, rows)))


def _completed(values: Values, evidence: _Evidence) -> Values:
    """With the missing one of net, tax and total, where the page prints just that amount without a known label."""
    net, tax, total = (values.get(role) for role in (Role.NET, Role.TAX, Role.TOTAL))
    missing: dict[Role, set[Decimal]] = {}
    if net is None and tax and total is not None:
        missing = {Role.NET: {total - tax}}
    elif tax is None and net is not None and total is not None and net != total:
        missing = {Role.TAX: {total - net}}
    elif total is None and net is not None and tax:
        missing = {Role.TOTAL: {net + tax + rounding for rounding in evidence.roundings}}
    printed = {value for value, _ in evidence.printed}
    return values | {role: max(sums & printed) for role, sums in missing.items() if sums & printed}


def _due(found: Sequence[Candidate[Decimal]], total: Decimal | None, evidence: _Evidence) -> Decimal | None:
    def score(candidate: Candidate[Decimal]) -> float:
        paid = None if total is None else total - candidate.value
        return candidate.score + NOTHING_OPEN * (paid is not None and (paid in evidence.prepaid or paid == 0))

    best = max(found, key=score, default=None)
    return best.value if best and score(best) >= LEAST_SCORE else None
