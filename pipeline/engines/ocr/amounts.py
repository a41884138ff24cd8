"""Amounts that labels on a page propose for a role, each with a score."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from decimal import Decimal

from pipeline.engines.ocr.candidates import BELOW, Candidate, Claim, Claims, Zone
from pipeline.engines.ocr.labels import label_key
from pipeline.engines.ocr.lexicon import Clue
from pipeline.engines.ocr.page import PageLayout, Run
from pipeline.schema import Role
from pipeline.values import find_amounts

PROPOSALS = 8
"""Values kept for each role; the combinations that totals.py tries grow with the third power."""

NOT_RIGHTMOST, NOT_FIRST_BELOW = 0.6, 0.9
NO_DECIMALS, OTHER_DECIMALS = 0.5, 0.7
IN_TAX_SUMMARY = 0.4
PART_IN_COLUMN = 0.25
"""What a proposal is multiplied with. A total is the rightmost amount on its row, or the first below its label, and has
two decimals. Net and tax below their label may be part of a table, so that a sum has to confirm them."""

TAX_SUM = 0.9
"""The same for the sum of the taxes of several rates."""

SUMMARY_ROWS = 6
"""Rows below a tax summary's heading that belong to it."""

_CENTS = re.compile(r"[.,]\s?(?:\d\d|--?)\W*$")


def proposals(claims: Claims, owner: str) -> list[Candidate[Decimal]]:
    """The likeliest amounts of an owner's labels, best first, each value once."""
    found = list(_labelled_amounts(claims, owner))
    return best_of_each(found + list(_tax_sums(found)) if owner == Role.TAX else found)


def best_of_each(candidates: Iterable[Candidate[Decimal]]) -> list[Candidate[Decimal]]:
    """The best-scored of each value, best first; of equals the lower on the page."""
    best: dict[Decimal, Candidate[Decimal]] = {}
    for candidate in candidates:
        known = best.get(candidate.value)
        if known is None or candidate.score >= known.score:
            best[candidate.value] = candidate
    return sorted(best.values(), key=lambda c: (-c.score, -c.run.row))[:PROPOSALS]


def amounts_with_cents(page: PageLayout) -> list[tuple[Decimal, Run]]:
    """All amounts with two decimals, row by row."""
    return [(f.value, run) for run in page.runs for f in find_amounts(run.text) if _CENTS.search(run.text[: f.end])]


def _labelled_amounts(claims: Claims, owner: str) -> Iterator[Candidate[Decimal]]:
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


def _tax_sums(taxes: Iterable[Candidate[Decimal]]) -> Iterator[Candidate[Decimal]]:
    """The sums of the taxes of several rates: of rows with the same label, or of a column below one."""
    groups: dict[str, dict[int, Candidate[Decimal]]] = defaultdict(dict)
    for tax in sorted(taxes, key=lambda c: c.score):
        if tax.claim:
            groups[label_key(tax.claim.run.text[tax.claim.start : tax.claim.end])][tax.run.row] = tax
    for rows in groups.values():
        if len(rows) > 1:
            least = min(rows.values(), key=lambda c: c.score)
            yield replace(least, value=sum((c.value for c in rows.values()), Decimal(0)), score=TAX_SUM * least.score)
