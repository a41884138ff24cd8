"""Where the items of a list stand: one after another, each on a row or a few, its values in columns.

Items are placed in their order, each where most of its values stand together, by the rarest first. What
an item's values may be then lies between its neighbours: a page of a thousand items costs a thousand items.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline.data import Verdict
from pipeline.trust.evidence.columns import Columns, edge_of, header_row, headers_above
from pipeline.trust.evidence.labels import Labels
from pipeline.trust.evidence.leaves import Kind, Leaf
from pipeline.trust.evidence.page import Page
from pipeline.trust.evidence.place import Place
from pipeline.trust.evidence.rising import rising

MANY = 12
"""Places of one value from which only those about where the item's share of them would be are asked."""

NEAR_ROWS = 2
"""Rows up and down that may hold other values of an item."""

MIN_DIGITS = 3
"""Digits from which a number may stand further away from its item's row."""

WRONG_SIDE = 4
"""Rows that a number seems further away that stands above where others stand below, or the other way round."""

SHUFFLED = 1.25
"""How much more must speak for the items' rows in any order than in the record's, to give that up."""

STRAYED, MIN_WEIGHT = 1.5, 0.8
"""How much more must speak for a row out of order than for the one in order, and how much at least."""

BELOW_HEADER, ROWS_AN_ITEM = 0.3, 5
"""How much it speaks for a row to be below the table's header, by not more rows than items take."""

ROWS_BEFORE, ROWS_BEHIND = 4, 8
"""How far the first and the last item may reach up and down."""


@dataclass(slots=True)
class Item:
    """One item of a list."""

    leaves: list[Leaf] = field(default_factory=list)
    options: dict[str, list[Place]] = field(default_factory=dict)
    """By path; top to bottom."""
    anchor: int | None = None
    """The row it is placed on."""
    first_row: int = 0
    last_row: int = 0

    def in_band(self, leaf: Leaf) -> Sequence[Place]:
        """Return the places of a value on the rows that may be the item's."""
        places = self.options[leaf.path]
        first = bisect_left(places, self.first_row, key=lambda place: place.row)
        return places[first : bisect_right(places, self.last_row, key=lambda place: place.row)]

    def is_near(self, place: Place) -> bool:
        """Whether a place is on the item's row or next to it."""
        return self.anchor is not None and abs(place.row - self.anchor) <= NEAR_ROWS


class Items:
    """The items of one list on a page, and where their values stand."""

    def __init__(self, page: Page, labels: Labels, leaves: Sequence[Leaf], find: Callable[[Leaf], list[Place]]) -> None:
        self._runs = page.runs
        numbered: dict[int, Item] = defaultdict(Item)
        known: dict[tuple[str, Any], list[Place]] = {}
        for leaf in leaves:
            item = numbered[leaf.item[1] if leaf.item else 0]
            item.leaves.append(leaf)
            key = leaf.spec.owner, leaf.value
            if key not in known:  # a thousand items of one piece each ask for the same "1"
                known[key] = sorted(find(leaf), key=lambda place: place.row)
            item.options[leaf.path] = known[key]
        self.items = [numbered[number] for number in sorted(numbered)]
        owners = leaves[0].spec.owner.rpartition(".")[0] + "."
        place_items(self.items, header_row(labels.rows, owners))
        first = min((item.anchor for item in self.items if item.anchor is not None), default=0)
        below_labels = Columns(page.width, headers_above(labels.rows, first, owners))
        self._columns = replace(below_labels, samples=_samples(self.items, below_labels))
        self._side = _number_side(self.items)
        self.chosen: dict[str, Place] = {}
        self._holders: dict[tuple[int, int, int], tuple[Item, Leaf]] = {}
        for item in self.items:
            options = {leaf.path: self._options(item, leaf) for leaf in item.leaves}
            for leaf in sorted(item.leaves, key=lambda leaf: (len(options[leaf.path]), -_strength(leaf))):
                self._choose(item, leaf)
        self._rows_taken = {place.row for place in self.chosen.values()}

    def is_in_table(self, row: int) -> bool:
        """Whether values of items stand on a row."""
        return row in self._rows_taken

    def is_misplaced(self, item: Item, leaf: Leaf) -> bool:
        """Whether a number stands beside its item, but only as another value, in another column or of another item."""
        if leaf.kind is not Kind.NUMBER or leaf.path in self.chosen or leaf.number == 1:
            return False
        return any(item.is_near(place) and not self._shares(item, leaf, place) for place in item.in_band(leaf))

    def _shares(self, item: Item, leaf: Leaf, place: Place) -> bool:
        """Whether another field of the item has the same value and stands there."""
        return any(
            self.chosen[other.path].overlaps(place)
            for other in item.leaves
            if other.path in self.chosen and other.value == leaf.value
        )

    def _choose(self, item: Item, leaf: Leaf) -> None:
        """Choose a place for a value; one that has to make way for it chooses again, and so on."""
        waiting: tuple[Item, Leaf] | None = (item, leaf)
        while waiting:
            place = self._best_place(*waiting)
            if place is None:
                return
            robbed = self._holders.get(place.start)
            self.chosen[waiting[1].path], self._holders[place.start] = place, waiting
            if robbed:
                del self.chosen[robbed[1].path]
            waiting = robbed

    def _best_place(self, item: Item, leaf: Leaf) -> Place | None:
        """Return the place that fits best of those that no other item fits better."""
        others = [(other, self.chosen[other.path]) for other in item.leaves if other.path in self.chosen]
        rows = [place.row for other, place in others if other.kind is leaf.kind]
        free = [
            place
            for place in self._options(item, leaf)
            if not self._is_held_better(item, place)
            and not any(place.overlaps(taken) for other, taken in others if not _may_be_within(place, leaf, other))
        ]
        return max(free, key=lambda place: self._fit(item, leaf, place, rows), default=None)

    def _is_held_better(self, item: Item, place: Place) -> bool:
        holder = self._holders.get(place.start)
        return holder is not None and self._away(holder[0], place) <= self._away(item, place)

    def _options(self, item: Item, leaf: Leaf) -> list[Place]:
        return [place for place in item.in_band(leaf) if self._may_be(item, leaf, place)]

    def _may_be(self, item: Item, leaf: Leaf, place: Place) -> bool:
        """Whether a number stands where it can be this one: a short one near its item, all in their own columns."""
        if leaf.kind is not Kind.NUMBER:
            return True
        cell = self._runs[place.spans[0].piece.run].flat
        is_short = sum(map(str.isdigit, place.text)) < MIN_DIGITS
        if is_short and (not item.is_near(place) or self._columns.is_far(leaf, place, cell)):
            return False
        return not self._columns.is_of_other(leaf, place, cell)

    def _fit(self, item: Item, leaf: Leaf, place: Place, rows: Sequence[int]) -> float:
        """Return how well a place fits; `rows` are those of the item's values of the same kind."""
        away = min((abs(place.row - row) for row in rows), default=self._away(item, place))
        sideways = self._columns.distance(leaf, place)
        return 0.2 * (place.verdict is Verdict.EXACT) - place.doubt - 0.5 * away - 6 * sideways

    def _away(self, item: Item, place: Place) -> int:
        """Return how many rows a place is away from an item; numbers on the side where none stand are further."""
        if item.anchor is None:
            return place.row - item.first_row
        step = place.row - item.anchor
        return abs(step) + WRONG_SIDE * (step * self._side < 0)


def _may_be_within(place: Place, leaf: Leaf, text: Leaf) -> bool:
    """Whether a place may be part of another value's: a price in a description, but no short number in a name."""
    is_long = sum(map(str.isdigit, place.text)) >= MIN_DIGITS
    return is_long and leaf.kind is Kind.NUMBER and text.kind is Kind.TEXT


def place_items(items: Sequence[Item], header: int | None) -> None:
    """Find the row of each item, and the rows between that may be its own; best below their table's header."""
    votes = [dict(_votes(item, number / len(items))) for number, item in enumerate(items)]
    if header is not None:
        table = range(header + 1, header + 1 + ROWS_AN_ITEM * (len(items) + 1))
        votes = [{row: weight + BELOW_HEADER * (row in table) for row, weight in one.items()} for one in votes]
    in_order, freely = rising([list(one.items()) for one in votes]), _free_rows(votes)
    is_in_order = _weight(votes, freely) <= SHUFFLED * _weight(votes, in_order)
    for item, row in zip(items, in_order if is_in_order else freely, strict=True):
        item.anchor = row
    taken = {item.anchor for item in items}
    for item, weights in zip(items, votes, strict=True):
        _take_home(item, weights, taken)
        taken.add(item.anchor)
    _set_bands(items)


def _free_rows(votes: Sequence[Mapping[int, float]]) -> list[int | None]:
    """Return a row for each item whatever their order, the surest first, none twice."""
    rows: list[int | None] = [None] * len(votes)
    taken: set[int] = set()
    surest = sorted((-weight, number, row) for number, one in enumerate(votes) for row, weight in one.items())
    for _, number, row in surest:
        if rows[number] is None and row not in taken:
            rows[number] = row
            taken.add(row)
    return rows


def _weight(votes: Sequence[Mapping[int, float]], rows: Sequence[int | None]) -> float:
    return sum(one[row] for one, row in zip(votes, rows, strict=True) if row is not None)


def _take_home(item: Item, weights: Mapping[int, float], taken: set[int | None]) -> None:
    """Place an item that is out of its order where far more of it stands, unless another one is there."""
    best = max((row for row in weights if row not in taken), key=lambda row: weights[row], default=None)
    if best is None or weights[best] < MIN_WEIGHT:
        return
    if item.anchor is None or weights[best] > STRAYED * weights[item.anchor]:
        item.anchor = best


def _set_bands(items: Sequence[Item]) -> None:
    """Give each item the rows up to the next ones' above and below, one without a place those that are left."""
    anchors = sorted({item.anchor for item in items if item.anchor is not None})
    previous = -1
    for item in items:
        row = item.anchor if item.anchor is not None else previous + 1
        at = bisect_left(anchors, row)
        following = bisect_right(anchors, row) if item.anchor is not None else at
        item.first_row = anchors[at - 1] + 1 if at else max(0, row - ROWS_BEFORE)
        item.last_row = anchors[following] - 1 if following < len(anchors) else row + ROWS_BEHIND
        previous = row if item.anchor is not None else previous


def _votes(item: Item, share: float) -> Iterator[tuple[int, float]]:
    """Yield rows on which an item may stand, top to bottom, and how much speaks for each.

    Args:
        share: how far down its list the item is, 0..1.
    """
    weights: dict[int, float] = defaultdict(float)
    for leaf in item.leaves:
        doubts = {place.row: place.doubt for place in _likeliest(item.options[leaf.path], share)}
        strength = _strength(leaf) / max(len(doubts), 1) ** 0.5
        on_row = {row: strength * (1 - doubt / 2) for row, doubt in doubts.items()}
        near = {row + step for row in on_row for step in range(-NEAR_ROWS, NEAR_ROWS + 1)}
        for row in near:
            weights[row] += on_row.get(row, strength / 4)
    rows = {place.row for leaf in item.leaves for place in _likeliest(item.options[leaf.path], share)}
    yield from ((row, weights[row]) for row in sorted(rows))


def _likeliest(places: Sequence[Place], share: float) -> Sequence[Place]:
    """Of a common value, return the places about as far down as the item is in its list."""
    if len(places) <= MANY:
        return places
    at = int(len(places) * share)
    return places[max(0, at - MANY // 2) : at + MANY // 2]


def _strength(leaf: Leaf) -> float:
    """Return how much a value says by standing somewhere: a letter or digit as much as any, up to a point."""
    return min(len(str(leaf.value)), 12) / 12 * (1.5 if leaf.kind is Kind.TEXT else 1.0)


def _samples(items: Sequence[Item], columns: Columns) -> dict[str, list[float]]:
    """Return where values end, or begin, that have one place only, and that not far from their columns' labels."""
    samples: dict[str, list[float]] = defaultdict(list)
    for item in items:
        for leaf in item.leaves:
            near = [place for place in item.in_band(leaf) if item.is_near(place)]
            if len(near) == 1 and not columns.is_far(leaf, near[0], near[0].flat):
                samples[leaf.spec.owner].append(edge_of(leaf, near[0]))
    return samples


def _number_side(items: Sequence[Item]) -> int:
    """Return 1 where numbers stand below the rows that items are placed on, -1 where above, 0 if on or unknown."""
    below = above = 0
    for item in items:
        numbers = (leaf for leaf in item.leaves if leaf.kind is Kind.NUMBER)
        rows = {place.row for leaf in numbers for place in item.in_band(leaf)}
        if item.anchor is not None and item.anchor not in rows:
            below += any(row > item.anchor for row in rows)
            above += any(row < item.anchor for row in rows)
    return (below > above) - (below < above)
