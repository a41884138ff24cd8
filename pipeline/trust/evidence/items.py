"""Where the items of a list stand: one after another, each on a row or a few, its values in columns.

Items are placed in their order, each where most of its values stand together, by the rarest first. What
an item's values may be then lies between its neighbours: a page of a thousand items costs a thousand items.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from pipeline.data import Verdict
from pipeline.trust.evidence.labels import Label, Labels
from pipeline.trust.evidence.leaves import Kind, Leaf
from pipeline.trust.evidence.page import Page
from pipeline.trust.evidence.place import Place

MANY = 12
"""Places of one value from which only those about where the item's share of them would be are asked."""

NEAR_ROWS = 2
"""Rows up and down that may hold other values of an item."""

MIN_DIGITS = 3
"""As in choice.py: of a number that may stand off its item's rows' columns."""

SAME_COLUMN, OTHER_COLUMN = 0.02, 0.05
"""Shares of the page's width: within, a value is in a column; beyond, it is not."""

STRAYED, MIN_WEIGHT = 1.5, 0.8
"""How much more must speak for a row out of order than for the one in order, and how much at least."""

ROWS_BEFORE, ROWS_BEHIND = 4, 8
"""How far the first and the last item may reach up and down."""

MIN_SAMPLES = 2
"""Of items whose value has one place only, to know where a column is."""


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


class Items:
    """The items of one list on a page."""

    def __init__(self, page: Page, labels: Labels, leaves: Sequence[Leaf], find: Callable[[Leaf], list[Place]]) -> None:
        self._page, self._labels = page, labels
        numbered: dict[int, Item] = defaultdict(Item)
        for leaf in leaves:
            item = numbered[leaf.item[1] if leaf.item else 0]
            item.leaves.append(leaf)
            item.options[leaf.path] = sorted(find(leaf), key=lambda place: place.row)
        self.items = [numbered[number] for number in sorted(numbered)]
        self._place_items()
        self._columns = self._header_columns() | self._sampled_columns()
        self.chosen: dict[str, Place] = {}
        for item in self.items:
            self.chosen.update(self._choose(item))
        self._rows_taken = {place.row for place in self.chosen.values()}

    def is_in_table(self, row: int) -> bool:
        """Whether values of items stand on a row."""
        return row in self._rows_taken

    def _place_items(self) -> None:
        votes = [dict(self._votes(number)) for number in range(len(self.items))]
        for item, row in zip(self.items, _rising([list(one.items()) for one in votes]), strict=True):
            item.anchor = row
        for item, weights in zip(self.items, votes, strict=True):
            self._take_home(item, weights)
        self._set_bands()

    def _take_home(self, item: Item, weights: Mapping[int, float]) -> None:
        """Place an item that is out of its order where far more of it stands, unless another one is there."""
        taken = {other.anchor for other in self.items if other is not item} if weights else set()
        best = max((row for row in weights if row not in taken), key=lambda row: weights[row], default=None)
        if best is not None and weights[best] > STRAYED * (weights[item.anchor] if item.anchor is not None else 0.0):
            item.anchor = best if weights[best] >= MIN_WEIGHT else item.anchor

    def _set_bands(self) -> None:
        """Give each item the rows up to the next ones' above and below, one without a place those that are left."""
        anchors = sorted({item.anchor for item in self.items if item.anchor is not None})
        previous = -1
        for item in self.items:
            row = item.anchor if item.anchor is not None else previous + 1
            at = bisect_left(anchors, row)
            following = bisect_right(anchors, row) if item.anchor is not None else at
            item.first_row = anchors[at - 1] + 1 if at else max(0, row - ROWS_BEFORE)
            item.last_row = anchors[following] - 1 if following < len(anchors) else row + ROWS_BEHIND
            previous = row if item.anchor is not None else previous

    def _votes(self, number: int) -> Iterator[tuple[int, float]]:
        """Yield rows on which an item may stand and how much speaks for each."""
        weights: dict[int, float] = defaultdict(float)
        item = self.items[number]
        for leaf in item.leaves:
            places = self._likeliest(item.options[leaf.path], number)
            strength = _strength(leaf)
            rows = {place.row: place for place in places}
            for row, place in rows.items():
                weights[row] += strength * (1 - place.doubt / 2) / max(len(rows), 1) ** 0.5
        for row, weight in sorted(weights.items()):
            near = max((weights[other] for other in _around(row) if other in weights), default=0.0)
            yield row, weight + 0.5 * near

    def _likeliest(self, places: Sequence[Place], number: int) -> Sequence[Place]:
        """Of a common value, return the places about as far down as the item is in its list."""
        if len(places) <= MANY:
            return places
        at = len(places) * number // max(len(self.items), 1)
        return places[max(0, at - MANY // 2) : at + MANY // 2]

    def _choose(self, item: Item) -> dict[str, Place]:
        chosen: dict[str, Place] = {}
        leaves = sorted(item.leaves, key=lambda leaf: (len(self._in_band(item, leaf)), -_strength(leaf)))
        for leaf in leaves:
            free = [
                place
                for place in self._in_band(item, leaf)
                if not any(place.overlaps(other) for other in chosen.values()) and self._may_be(item, leaf, place)
            ]
            if free:
                chosen[leaf.path] = max(free, key=lambda place: self._fit(item, leaf, place))
        return chosen

    def _in_band(self, item: Item, leaf: Leaf) -> Sequence[Place]:
        places = item.options[leaf.path]
        first = bisect_left(places, item.first_row, key=lambda place: place.row)
        return places[first : bisect_right(places, item.last_row, key=lambda place: place.row)]

    def _may_be(self, item: Item, leaf: Leaf, place: Place) -> bool:
        """Whether a short number stands where it can be this one: near its item, not in another field's column."""
        if leaf.kind is not Kind.NUMBER:
            return True
        is_short = sum(map(str.isdigit, place.text)) < MIN_DIGITS
        if is_short and (item.anchor is None or abs(place.row - item.anchor) > NEAR_ROWS):
            return False
        return not self._is_in_other_column(leaf, place)

    def _is_in_other_column(self, leaf: Leaf, place: Place) -> bool:
        own = self._columns.get(leaf.spec.owner)
        if own is None or abs(_edge(leaf, place) - own) <= OTHER_COLUMN * self._page.width:
            return False
        return any(
            owner != leaf.spec.owner and abs(_edge(leaf, place) - edge) <= SAME_COLUMN * self._page.width
            for owner, edge in self._columns.items()
        )

    def _fit(self, item: Item, leaf: Leaf, place: Place) -> float:
        away = abs(place.row - item.anchor) if item.anchor is not None else place.row - item.first_row
        column = self._columns.get(leaf.spec.owner)
        sideways = abs(_edge(leaf, place) - column) / self._page.width if column is not None else 0.0
        return 0.2 * (place.verdict is Verdict.EXACT) - place.doubt - 0.5 * away - 6 * sideways

    def _sampled_columns(self) -> dict[str, float]:
        """Return where fields' values end (numbers) or begin, as seen where a value has one place only."""
        samples: dict[str, list[float]] = defaultdict(list)
        for item in self.items:
            for leaf in item.leaves:
                near = [
                    place
                    for place in self._in_band(item, leaf)
                    if item.anchor is not None and abs(place.row - item.anchor) <= NEAR_ROWS
                ]
                if len(near) == 1:
                    samples[leaf.spec.owner].append(_edge(leaf, near[0]))
        return {owner: median(edges) for owner, edges in samples.items() if len(edges) >= MIN_SAMPLES}

    def _header_columns(self) -> dict[str, float]:
        """Return where the labels of fields end, or begin, in the row above the items that has most of them."""
        anchors = [item.anchor for item in self.items if item.anchor is not None]
        if not anchors:
            return {}
        specs = {leaf.spec.owner: leaf for item in self.items[:1] for leaf in item.leaves}
        rows = self._labels.rows[max(0, anchors[0] - 8) : anchors[0]]
        best: dict[str, Label] = {}
        for row in rows:
            found = {owner: label for label in row for owner in label.owners if owner in specs}
            best = found if len(found) >= max(len(best), 2) else best
        return {
            owner: label.flat.x1 if specs[owner].kind is Kind.NUMBER else label.flat.x0 for owner, label in best.items()
        }


def _strength(leaf: Leaf) -> float:
    """Return how much a value says by standing somewhere: a letter or digit as much as any, up to a point."""
    return min(len(str(leaf.value)), 12) / 12 * (1.5 if leaf.kind is Kind.TEXT else 1.0)


def _edge(leaf: Leaf, place: Place) -> float:
    flat = place.flat
    return flat.x1 if leaf.kind is Kind.NUMBER else flat.x0


def _around(row: int) -> list[int]:
    return [row + step for step in range(-NEAR_ROWS, NEAR_ROWS + 1) if step]


def _rising(votes: Sequence[Sequence[tuple[int, float]]]) -> list[int | None]:
    """Return a row for each item, rising, so that most speaks for them together; None where none fits.

    The heaviest rising subsequence, by a Fenwick tree of maxima over rows: n log n in all votes.
    """
    rows = sorted({row for options in votes for row, _ in options})
    nothing = (0.0, 1)
    tree: list[tuple[float, int]] = [nothing] * (len(rows) + 1)  # weight, and a step as -number: ties go to early ones
    steps: list[tuple[int, int, int]] = []  # item, row, step before
    for number, options in enumerate(votes):
        found = []
        for row, weight in options:
            at = bisect_left(rows, row)
            best = nothing
            index = at
            while index > 0:
                best = max(best, tree[index])
                index -= index & -index
            steps.append((number, row, best[1]))
            found.append((at + 1, (best[0] + weight, 1 - len(steps))))
        for start, entry in found:
            index = start
            while index <= len(rows):
                tree[index] = max(tree[index], entry)
                index += index & -index
    chosen: list[int | None] = [None] * len(votes)
    step = max(tree)[1]
    while step <= 0:
        number, row, step = steps[-step]
        chosen[number] = row
    return chosen
