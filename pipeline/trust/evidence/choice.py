"""Which of several places is a field's own: by labels beside and above, by where on the page, by what is taken."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pipeline.data import Verdict
from pipeline.trust.evidence.labels import Attached, Labels
from pipeline.trust.evidence.leaves import Kind, Leaf
from pipeline.trust.evidence.place import Place

LEFT, ABOVE = 3.0, 2.0
"""How much an own label speaks for a place, on its row and above it. Only the order of the weights here matters."""

NUMBER_BETWEEN, ROW_BETWEEN = 0.5, 0.3
"""What each number or row between label and place takes away."""

QUALIFIED = 0.5
"""What a label takes away that stands between, in the same run of words: VAT in "Total (incl. VAT) 120.00"."""

OTHERS_LEFT, OTHERS_ABOVE = 1.5, 0.5
"""How much another field's label speaks against one."""

POSITION = 0.5
"""How much the very top speaks for a place, or the very bottom, for what stands last."""

CLEAR = 0.6
"""Share of a run's letters from which a label says what the run is about."""

IN_TABLE, TAKEN = 1.0, 0.8
"""How much it speaks against one that it stands among items, or is another field's."""

MIN_LETTERS = 3
"""Of a text that need not stand right behind its label or a label's colon: "4" and "to" stand in any prose."""

MIN_DIGITS = 3
"""Digits from which a number is no one's by chance; shorter ones need their label."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A place and what speaks for it."""

    place: Place
    score: float
    is_labelled: bool


class Choice:
    """Chooses places of fields outside of lists."""

    def __init__(
        self,
        labels: Labels,
        num_rows: int,
        kinds: Mapping[str, Kind | None],
        same_value: Callable[[Leaf, str], bool],
        in_table: Callable[[int], bool],
    ) -> None:
        """Prepare for a page.

        Args:
            kinds: of fields, by owner.
            same_value: whether a record's field (by owner) has the same value as a leaf.
            in_table: whether items of a list stand on a row.
        """
        self._labels, self._num_rows, self._kinds = labels, max(num_rows, 1), kinds
        self._same_value, self._in_table = same_value, in_table

    def best(self, leaf: Leaf, places: Sequence[Place], taken: Sequence[Place]) -> Judged | None:
        """Return the likeliest place that can be the field's, if any can."""
        judged = [one for place in places if (one := self._judged(leaf, place, taken))]
        best = max(judged, key=lambda one: one.score, default=None)
        if best and not best.is_labelled and self.is_others(leaf, places):
            return None
        return best

    def is_others(self, leaf: Leaf, places: Sequence[Place]) -> bool:
        """Whether a number or day is labelled on the page, and only as another field's that has another value."""
        if leaf.kind is Kind.TEXT:
            return False
        attached = [self._labels.attached(place) for place in places]
        own = (one for one in attached if not one.left or not one.numbers_between)
        return any(self._is_others(leaf, one) for one in attached) and not any(self._own(leaf, one) for one in own)

    def _judged(self, leaf: Leaf, place: Place, taken: Sequence[Place]) -> Judged | None:
        attached = self._labels.attached(place)
        own = self._own(leaf, attached)
        if leaf.kind is Kind.TEXT and len(leaf.value) < MIN_LETTERS and not _stands_out(place, attached):
            return None
        if not own and (self._is_others(leaf, attached) or self._may_be_chance(leaf, place)):
            return None
        score = own - place.doubt + 0.2 * (place.verdict is Verdict.EXACT)
        score -= 0 if own else self._others(leaf, attached)
        from_top = place.row / self._num_rows
        score += POSITION * (from_top if leaf.spec.stands_last else 1 - from_top)
        score -= IN_TABLE * self._in_table(place.row)
        score -= TAKEN * any(place.overlaps(other) for other in taken)
        return Judged(place, score, own > 0)

    def _own(self, leaf: Leaf, attached: Attached) -> float:
        """Return how much the field's own label speaks for a place; 0 without one."""
        owner, best = leaf.spec.owner, 0.0
        if attached.numbers_between and self._is_below_other(leaf, attached):
            return best
        if attached.left and owner in attached.left.owners:
            best = max(LEFT - NUMBER_BETWEEN * attached.numbers_between, 0.5)
        elif any(owner in label.owners for label in attached.qualified):
            best = max(LEFT - QUALIFIED - NUMBER_BETWEEN * attached.numbers_between, 0.5)
        if attached.above and owner in attached.above.owners:
            best = max(best, ABOVE - ROW_BETWEEN * (attached.rows_above - 1))
        return best

    def _others(self, leaf: Leaf, attached: Attached) -> float:
        left = attached.left is not None and self._is_rival(leaf, attached.left.owners)
        above = attached.above is not None and self._is_rival(leaf, attached.above.owners)
        return OTHERS_LEFT * left + OTHERS_ABOVE * above

    def _is_others(self, leaf: Leaf, attached: Attached) -> bool:
        """Whether a place is labelled as another field's that has another value."""
        left = attached.left
        if attached.numbers_between and self._is_below_other(leaf, attached):
            return True
        if left is not None:
            is_clear = left.has_colon or (leaf.kind is not Kind.TEXT and left.share >= CLEAR)
            is_close = attached.numbers_between == 0 and is_clear
            owners = left.owners.union(*(label.owners for label in attached.qualified))
            return is_close and self._is_rival(leaf, owners)
        return attached.rows_above == 1 and self._is_below_other(leaf, attached)

    def _is_below_other(self, leaf: Leaf, attached: Attached) -> bool:
        """Whether another field's label stands above: in a row of sums, it counts for more than "Total" before them."""
        above = attached.above
        return above is not None and above.share >= CLEAR and self._is_rival(leaf, above.owners)

    def _is_rival(self, leaf: Leaf, owners: frozenset[str]) -> bool:
        """Whether a label is of other fields alone, of which one is of the same kind and none has the same value."""
        if leaf.spec.owner in owners:
            return False
        kind = self._kinds.get(leaf.spec.owner)
        alike = [owner for owner in owners if "." not in owner and self._kinds.get(owner) is kind]
        return bool(alike) and not any(self._same_value(leaf, owner) for owner in alike)

    def _may_be_chance(self, leaf: Leaf, place: Place) -> bool:
        """Whether a number is too short, or stands among others too much like it, to be here on purpose."""
        if leaf.kind is not Kind.NUMBER:
            return False
        if not leaf.number or sum(map(str.isdigit, place.text)) < MIN_DIGITS:
            return True
        return self._in_table(place.row)


def _stands_out(place: Place, attached: Attached) -> bool:
    """Whether nothing but a number sign stands between a place and a label before it, or above it."""
    left = attached.left
    if left is None:
        return attached.above is not None
    return place.spans[0].piece.place - left.last <= 2
