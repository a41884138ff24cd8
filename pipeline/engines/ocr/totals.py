"""Net, tax, total and amount due of a page: labels propose, arithmetic decides.

Labels alone mislead: tax summaries say TOTAL too, and receipts print a total before and one
after cash rounding. So all combinations of proposed values are scored by their labels and
by the sums that they satisfy:

    net + tax = total                       (the tax of several rates is their sum)
    net + tax + rounding = total            (the total after rounding is the one to pay)
    total before rounding + rounding = total
    cash - change = total
    total - prepaid = due
    a + b = total, a and b on one row       (the summary of taxes: net and tax side by side)
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import chain, combinations, product

from pipeline.engines.ocr.candidates import BELOW, Candidate, Claim, Claims, Zone
from pipeline.engines.ocr.labels import label_key
from pipeline.engines.ocr.lexicon import Clue
from pipeline.engines.ocr.page import PageLayout
from pipeline.schema import Role
from pipeline.values import find_amounts

ROLES = (Role.NET, Role.TAX, Role.TOTAL, Role.DUE)

PROPOSALS = 8
"""Values considered for each role; the combinations grow with its third power."""

LEAST_SCORE = 0.3
"""A value whose label says less than this and that no sum confirms is left out."""

NOT_RIGHTMOST, NOT_FIRST_BELOW, NO_DECIMALS, OTHER_DECIMALS, IN_TAX_SUMMARY, PART_IN_COLUMN = 0.6, 0.9, 0.5, 0.7, 0.4, 0.25
"""What a proposal is multiplied with. The rightmost amount on a row, or the first one below a label, with two decimals
is what a total looks like. Net and tax below their label may be part of a table, so a sum has to confirm them."""

PAID, PAID_AND_CHANGE = 0.4, 1.0

LARGEST = 0.2
"""Where rates or parts have totals of their own that add up as well, the largest is that of the document."""

SPLIT, LOWEST_RATE, HIGHEST_RATE = 0.6, Decimal("0.01"), Decimal("0.35")
"""Score of two amounts on one row that make the total, and the tax rates for which that is no accident."""

SUMMARY_ROWS = 6
"""Rows below a tax summary's heading that belong to it."""

_CENTS = re.compile(r"[.,]\s?(?:\d\d|--?)\W*$")

Amounts = Sequence[Candidate[Decimal]]


@dataclass(frozen=True, slots=True)
class _Evidence:
    """Amounts that confirm others."""

    roundings: frozenset[Decimal]
    """With either sign: tills print it both ways."""
    paid: Mapping[Decimal, float]
    """Cash less change, and how much that says: less where no change is printed."""
    changes: frozenset[Decimal]
    prepaid: frozenset[Decimal]
    totals: frozenset[Decimal]


def find_totals(claims: Claims) -> dict[Role, Decimal]:
    """The page's amounts by role; a role without a convincing value is left out."""
    proposals = {role: _best(_proposals(claims, role), PROPOSALS) for role in ROLES}
    proposals[Role.TAX] = _best(chain(_proposals(claims, Role.TAX), _tax_sums(_proposals(claims, Role.TAX))), PROPOSALS)
    evidence = _evidence(claims, proposals)
    proposals[Role.TOTAL] += _best(_unlabelled_totals(claims, evidence), PROPOSALS)
    for net, tax in _splits(claims.page, evidence):
        proposals[Role.NET].append(net)
        proposals[Role.TAX].append(tax)
    chosen = _completed(_most_convincing(proposals, evidence), evidence, claims.page)
    due = _due(proposals[Role.DUE], chosen.get(Role.TOTAL), evidence)
    return chosen | ({Role.DUE: due} if due is not None else {})


def _most_convincing(proposals: Mapping[Role, Amounts], evidence: _Evidence) -> dict[Role, Decimal]:
    roles = (Role.NET, Role.TAX, Role.TOTAL)
    best: tuple[float, dict[Role, Decimal]] = (0.0, {})
    for combination in product(*([None, *proposals[role]] for role in roles)):
        values = {role: c.value for role, c in zip(roles, combination, strict=True) if c is not None}
        sums = _sums(values, evidence)
        labels = sum(c.score for c in combination if c is not None and (c.score >= LEAST_SCORE or sums > 0))
        if labels + sums > best[0]:
            best = labels + sums, values
    return best[1]


def _sums(values: Mapping[Role, Decimal], evidence: _Evidence) -> float:
    """How well the values fit each other and what else is printed; contradictions count against them."""
    net, tax, total = (values.get(role) for role in (Role.NET, Role.TAX, Role.TOTAL))
    score = 0.0
    if net is not None and tax is not None and total is not None:
        gap = total - net - tax
        if gap == 0 or gap in evidence.roundings:
            score += 1.0 if tax else 0.4
            score += LARGEST * (abs(total) == max(map(abs, evidence.totals)))
        else:
            score -= 0.5
    if tax is not None and total is not None and abs(tax) >= abs(total) > 0:
        score -= 1.0
    if total is not None:
        score += evidence.paid.get(total, 0.0)
        score += 0.6 * any(r and total - r in evidence.totals for r in evidence.roundings)
    return score


def _splits(page: PageLayout, evidence: _Evidence) -> Iterator[tuple[Candidate[Decimal], Candidate[Decimal]]]:
    """Net and tax that stand on one row and make a proposed total, as the summaries of taxes print them."""
    totals = {total - rounding for total in evidence.totals for rounding in evidence.roundings | {Decimal(0)}}
    for row in page.rows:
        amounts = [(f.value, run) for run in row for f in find_amounts(run.text) if _CENTS.search(run.text[: f.end])]
        for (net, left), (tax, right) in combinations(amounts, 2):
            if net + tax in totals and LOWEST_RATE <= tax / (net or 1) <= HIGHEST_RATE:
                yield Candidate(net, SPLIT, left), Candidate(tax, SPLIT, right)


def _completed(values: dict[Role, Decimal], evidence: _Evidence, page: PageLayout) -> dict[Role, Decimal]:
    """With the missing one of net, tax and total, where the page prints just that amount without a known label."""
    net, tax, total = (values.get(role) for role in (Role.NET, Role.TAX, Role.TOTAL))
    missing: dict[Role, set[Decimal]] = {}
    if net is None and tax and total is not None:
        missing = {Role.NET: {total - tax}}
    elif tax is None and net is not None and total is not None and net != total:
        missing = {Role.TAX: {total - net}}
    elif total is None and net is not None and tax:
        missing = {Role.TOTAL: {net + tax + rounding for rounding in evidence.roundings or {Decimal(0)}}}
    printed = {found.value for run in page.runs for found in find_amounts(run.text)} if missing else set()
    return values | {role: max(sums & printed) for role, sums in missing.items() if sums & printed}


def _due(proposals: Amounts, total: Decimal | None, evidence: _Evidence) -> Decimal | None:
    def score(candidate: Candidate[Decimal]) -> float:
        paid = None if total is None else total - candidate.value
        return candidate.score + 0.5 * (paid is not None and (paid in evidence.prepaid or paid == 0))

    best = max(proposals, key=score, default=None)
    return best.value if best and score(best) >= LEAST_SCORE else None


def _evidence(claims: Claims, proposals: Mapping[Role, Amounts]) -> _Evidence:
    cash, change, prepaid = (
        {abs(c.value) for c in _proposals(claims, clue) if c.score > LEAST_SCORE} for clue in (Clue.TENDERED, Clue.CHANGE, Clue.PREPAID)
    )
    return _Evidence(
        roundings=frozenset(sign * c.value for c in _proposals(claims, Clue.ROUNDING) for sign in (1, -1)),
        paid=dict.fromkeys(cash, PAID) if not change else {a - b: PAID_AND_CHANGE for a in cash for b in change if a > b},
        changes=frozenset(change),
        prepaid=frozenset(prepaid),
        totals=frozenset(c.value for c in proposals[Role.TOTAL]) or frozenset({Decimal(0)}),
    )


def _unlabelled_totals(claims: Claims, evidence: _Evidence) -> Iterator[Candidate[Decimal]]:
    """What was paid, where it is printed once more or no change was given: for totals or labels that were misread."""
    payments = {claim.run.row for clue in (Clue.TENDERED, Clue.CHANGE) for claim in claims.of(clue)}
    for run in claims.page.runs:
        if run.row not in payments or 0 in evidence.changes:
            values = {found.value for found in find_amounts(run.text)} & evidence.paid.keys() - evidence.totals
            yield from (Candidate(value, LEAST_SCORE, run) for value in values)


def _tax_sums(taxes: Iterator[Candidate[Decimal]]) -> Iterator[Candidate[Decimal]]:
    """The sums of the taxes of several rates: of rows with the same label, or of a column below one."""
    groups: dict[str, dict[int, Candidate[Decimal]]] = defaultdict(dict)
    for tax in sorted(taxes, key=lambda c: c.score):
        if tax.claim:
            groups[label_key(tax.claim.run.text[tax.claim.start : tax.claim.end])][tax.run.row] = tax
    for rows in groups.values():
        if len(rows) > 1:
            least = min(rows.values(), key=lambda c: c.score)
            yield Candidate(sum((c.value for c in rows.values()), Decimal(0)), 0.9 * least.score, least.run, least.claim)


def _best(candidates: Iterator[Candidate[Decimal]], count: int) -> list[Candidate[Decimal]]:
    """The best-scored of each value, best first; of equals the lower on the page."""
    best: dict[Decimal, Candidate[Decimal]] = {}
    for candidate in candidates:
        known = best.get(candidate.value)
        if known is None or candidate.score >= known.score:
            best[candidate.value] = candidate
    return sorted(best.values(), key=lambda c: (-c.score, -c.run.row))[:count]


def _proposals(claims: Claims, owner: str) -> Iterator[Candidate[Decimal]]:
    """Amounts beside the owner's labels, else below them; none in the header of an item table."""
    for claim in claims.of(owner):
        weight = IN_TAX_SUMMARY if owner != Role.TAX and _in_tax_summary(claims, claim) else 1.0
        amounts = list(_beside(claims, claim))[::-1]
        if not amounts:
            amounts = list(_below(claims, claim))
            weight *= PART_IN_COLUMN if owner in {Role.NET, Role.TAX} else 1.0
        later = NOT_RIGHTMOST if amounts and amounts[0].run.row == claim.run.row else NOT_FIRST_BELOW
        for place, amount in enumerate(amounts):
            yield replace(amount, score=amount.score * weight * (later if place else 1))


def _beside(claims: Claims, claim: Claim) -> Iterator[Candidate[Decimal]]:
    for zone in claims.zones(claim):
        if zone.weight != BELOW:
            yield from _in_zone(zone, claim)


def _below(claims: Claims, claim: Claim) -> Iterator[Candidate[Decimal]]:
    if is_item_header(claims, claim.run.row):
        return
    for zone in claims.zones(claim):
        amounts = list(_in_zone(zone, claim)) if zone.weight == BELOW else []
        if len(amounts) == 1:
            yield amounts[0]


def _in_zone(zone: Zone, claim: Claim) -> Iterator[Candidate[Decimal]]:
    for found in find_amounts(zone.text):
        form = _form_weight(zone.text[found.start : found.end])
        yield Candidate(found.value, claim.quality * zone.weight * form, zone.run, claim)


def _form_weight(printed: str) -> float:
    if _CENTS.search(printed):
        return 1.0
    return OTHER_DECIMALS if re.search(r"[.,]\d", printed) else NO_DECIMALS


def _in_tax_summary(claims: Claims, claim: Claim) -> bool:
    return any(0 < claim.run.row - other.run.row <= SUMMARY_ROWS for other in claims.of(Clue.TAX_SUMMARY))


def is_item_header(claims: Claims, row: int) -> bool:
    """Whether a row is the header of a table of items: two of article, quantity and unit price."""
    columns = {Role.DESCRIPTION, Role.QUANTITY, Role.UNIT_PRICE}
    owners = [owner for claim in claims.in_row(row) for owner in claim.owners if owner in columns]
    return len(set(owners)) >= 2
