"""Labels on a page, and the values that stand where a value of theirs would.

A value stands in the same run after its label, else to the right on the row, else below the
label in its column. Each place found is a `Candidate` with a score of about 0 to 1.2; who
picks among candidates is another module's matter.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from pipeline.engines.ocr.labels import LabelIndex, LabelMatch
from pipeline.engines.ocr.lexicon import AMOUNT_CLUES, Clue
from pipeline.engines.ocr.page import PageLayout, Run, part_of
from pipeline.schema import Role
from pipeline.values import Found

T = TypeVar("T")

INLINE, RIGHT, BELOW = 1.0, 0.95, 0.8
"""How much a place speaks for a value. Only the order matters: weights here and in amounts.py and totals.py that are
drawn at random within 20 % of theirs change less than 0.5 % of the values read from 60 receipts and 60 invoices."""

MISREAD = 0.9
"""What the quality of a label with forgiven letters is multiplied with."""

ADDITION = 0.3
"""The same for a label right after another one, as VAT in "Total (incl. VAT)": the first names the value."""

MAX_GAP_BELOW = 2.5
"""Line heights between a label and the first value below it, and between values of its column."""

MAX_ROWS_BELOW = 4

_COLON = re.compile(r"\s?[:：=]")
_DIGIT = re.compile(r"\d")
_QUALIFIER = re.compile(r"\(?(?:in[ck]l|inc|dont|davon|di cui|comp)\b\D*(?:\d+(?:[.,]\d+)?\s?%)?\D*", re.IGNORECASE)
"""A label that belongs to the one before it and has no amount of its own: "Total   incl. 20 % VAT   120.00"."""

_PERCENTAGE = re.compile(r"\d+(?:[.,]\d+)?\s?%")


@dataclass(frozen=True, slots=True)
class Claim:
    """A label printed on the page."""

    owners: tuple[str, ...]
    run: Run
    start: int
    end: int
    """run.text[start:end] is the label."""
    quality: float
    """0.2 (a word in prose) to 1.2 (a long label that is the whole run or has a colon behind it)."""

    def reaches_over(self, later: Claim) -> bool:
        """Whether a value behind a later label may still be this one's: "payable net until 3 May", net being no day."""
        return any(not kind.isdisjoint(self.owners) and kind.isdisjoint(later.owners) for kind in _VALUE_KINDS)


@dataclass(frozen=True, slots=True)
class Zone:
    """A text in which a label's value may stand."""

    text: str
    run: Run
    weight: float
    steps: int
    """How many runs away: 0 is nearest."""


@dataclass(frozen=True, slots=True)
class Candidate(Generic[T]):
    """A value that may be the one of a label."""

    value: T
    score: float
    run: Run
    claim: Claim | None = None


_AMOUNTS = frozenset({Role.NET, Role.TAX, Role.TOTAL, Role.DUE, *AMOUNT_CLUES})
_VALUE_KINDS: tuple[frozenset[str], ...] = (
    frozenset({Role.DOCUMENT_DATE, Role.DUE_DATE, Clue.OTHER_DATE, Clue.PRINT_DATE}),
    _AMOUNTS,
)


class Claims:
    """All labels of an index on one page."""

    def __init__(self, page: PageLayout, index: LabelIndex) -> None:
        self.page = page
        self._of_run: dict[tuple[int, int], list[Claim]] = {}
        self._of_owner: dict[str, list[Claim]] = defaultdict(list)
        for run in page.runs:
            claims = _claims_in(run, index)
            self._of_run[run.row, run.position] = claims
            for claim in claims:
                for owner in claim.owners:
                    self._of_owner[owner].append(claim)

    def of(self, owner: str) -> Sequence[Claim]:
        """The owner's labels, top to bottom."""
        return self._of_owner.get(owner, ())

    def in_run(self, run: Run) -> Sequence[Claim]:
        """The labels in a run, left to right."""
        return self._of_run[run.row, run.position]

    def in_row(self, row: int) -> list[Claim]:
        """The labels on a row, left to right."""
        return [claim for run in self.page.rows[row] for claim in self.in_run(run)]

    def zones(self, claim: Claim) -> Iterator[Zone]:
        """Where the value of a label may stand, most likely first; other labels' values are left out."""
        text = claim.run.text
        later = (other for other in self.in_run(claim.run) if other.start >= claim.end)
        rivals = [other.start for other in later if not claim.reaches_over(other)]
        inline = text[claim.end : min(rivals, default=len(text))]
        if any(char.isalnum() for char in inline):
            yield Zone(inline, claim.run, INLINE, 0)
        if not rivals or not _DIGIT.search(_PERCENTAGE.sub("", text[claim.end :])):
            yield from self._right(claim)
        yield from self._below(claim)

    def _right(self, claim: Claim) -> Iterator[Zone]:
        for steps, run in enumerate(self.page.right_of(claim.run)):
            text = self._unclaimed_head(run)
            if text:
                yield Zone(text, run, RIGHT, steps)
            if text != run.text and not _QUALIFIER.fullmatch(run.text):
                return

    def _below(self, claim: Claim) -> Iterator[Zone]:
        box = part_of(claim.run, claim.start, claim.end)
        for steps, run in enumerate(self.page.below(claim.run, MAX_GAP_BELOW, box)):
            text = self._unclaimed_head(run)
            if steps == MAX_ROWS_BELOW or not text:
                return
            yield Zone(text, run, BELOW, steps)

    def _unclaimed_head(self, run: Run) -> str:
        """The run's text up to its first label."""
        claims = self.in_run(run)
        return run.text[: claims[0].start].strip() if claims else run.text


def _claims_in(run: Run, index: LabelIndex) -> list[Claim]:
    matches = index.find(run.text)
    letters = sum(char.isalpha() for char in run.text)
    claimed = sum(char.isalpha() for m in matches for char in run.text[m.start : m.end])
    claims = []
    for before, match in zip([None, *matches], matches, strict=False):
        gap = run.text[before.end if before else 0 : match.start]
        colon = _COLON.match(run.text, match.end) and not any(char.isalpha() for char in gap)
        quality = 1.0 if colon else 0.2 + 0.8 * claimed / max(letters, 1)
        quality *= (1 + min(match.length, 20) / 100) * (1 if match.exact else MISREAD)
        quality *= ADDITION if before and _adds_to(before, match, gap) else 1
        claims.append(Claim(match.owners, run, match.start, match.end, quality))
    return claims


def _adds_to(before: LabelMatch, match: LabelMatch, gap: str) -> bool:
    """Whether a label only qualifies the one before it: no value between them, and not a label of the same owner.

    A number's label stands for itself: "Application for payment / invoice no. 7".
    """
    if Role.DOCUMENT_NUMBER in match.owners or re.search(r"[\d:]", gap):
        return False
    return not set(before.owners) & set(match.owners)


def labelled(
    claims: Claims, owner: str, read: Callable[[Zone], list[Found[T]]], per_label: int = 1
) -> list[Candidate[T]]:
    """Candidates of an owner's labels, best first.

    Args:
        read: the values in a zone, likeliest first.
        per_label: how many values to take for each label; they come from its likeliest place that has any.
    """
    found = [candidate for claim in claims.of(owner) for candidate in _values(claims, claim, read, per_label)]
    return sorted(found, key=lambda c: -c.score)


def _values(
    claims: Claims, claim: Claim, read: Callable[[Zone], list[Found[T]]], per_label: int
) -> Iterator[Candidate[T]]:
    place, taken = None, 0
    for zone in claims.zones(claim):
        if taken and zone.weight != place:
            return
        values = read(zone)
        if zone.weight == BELOW:
            values = sorted(values, key=lambda found: _sideways(claim, zone, found))
        for found in values:
            if taken < per_label:
                place, taken = zone.weight, taken + 1
                yield Candidate(found.value, claim.quality * zone.weight * 0.97**zone.steps, zone.run, claim)


def _sideways(claim: Claim, zone: Zone, found: Found[T]) -> float:
    """How far the middles of a label and of a value below it lie apart, in pixels."""
    label, value = part_of(claim.run, claim.start, claim.end), part_of(zone.run, found.start, found.end)
    return abs(label.x0 + label.x1 - value.x0 - value.x1) / 2
