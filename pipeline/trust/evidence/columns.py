"""The columns of a table of items: below which labels they stand, and where their values end or begin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from pipeline.data import Box
from pipeline.trust.evidence.labels import Label
from pipeline.trust.evidence.leaves import Kind, Leaf
from pipeline.trust.evidence.place import Place

SAME, OTHER, FAR = 0.02, 0.04, 0.1
"""Shares of the page's width: values within stand in one column, beyond in another; short numbers never so far."""

MIN_SAMPLES = 2
"""Of values that have one place only, to know where a column is."""

SURE_SAMPLES = 3
"""From which their column counts for more than the label above it."""

MIN_HEADERS = 2
"""Labels on one row from which it is a table's header."""

HEADER_ROWS = 8
"""How far above the first item the labels may stand."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Where the columns of a list's fields are, as far as that is known."""

    width: float
    """Of the page."""
    headers: Mapping[str, Sequence[Box]] = field(default_factory=dict)
    """Labels above the items, by owner."""
    samples: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """Where values with one place only end (numbers) or begin, by owner."""

    def is_of_other(self, leaf: Leaf, place: Place, cell: Box) -> bool:
        """Whether a place is in the column of another field, as samples or labels tell; a cell may hold a unit, too."""
        owner, edge = leaf.spec.owner, edge_of(leaf, place)
        own = self.samples.get(owner, ())
        if len(own) >= SURE_SAMPLES and abs(edge - median(own)) <= OTHER * self.width:
            return False
        if len(own) >= MIN_SAMPLES and self._is_sampled_as_other(owner, edge, median(own)):
            return True
        return self._is_below_other(owner, cell)

    def is_far(self, leaf: Leaf, place: Place, cell: Box) -> bool:
        """Whether a place is nowhere near its column, if that is known."""
        owner, edge = leaf.spec.owner, edge_of(leaf, place)
        own = self.samples.get(owner, ())
        if len(own) >= MIN_SAMPLES:
            return abs(edge - median(own)) > FAR * self.width
        return owner in self.headers and self._gap(owner, cell) > FAR * self.width

    def distance(self, leaf: Leaf, place: Place) -> float:
        """Return how far a place is from its column, as a share of the page's width; 0 where nothing is known."""
        own = self.samples.get(leaf.spec.owner, ())
        if len(own) >= MIN_SAMPLES:
            return abs(edge_of(leaf, place) - median(own)) / self.width
        return self._gap(leaf.spec.owner, place.flat) / self.width if leaf.spec.owner in self.headers else 0.0

    def _is_sampled_as_other(self, owner: str, edge: float, own: float) -> bool:
        if abs(edge - own) <= OTHER * self.width:
            return False
        return any(
            other != owner and len(edges) >= MIN_SAMPLES and abs(edge - median(edges)) <= SAME * self.width
            for other, edges in self.samples.items()
        )

    def _is_below_other(self, owner: str, flat: Box) -> bool:
        if owner not in self.headers:
            return False
        own = self._gap(owner, flat)
        nearest = min(self._gap(other, flat) for other in self.headers)
        return own > OTHER * self.width and own > nearest + SAME * self.width

    def _gap(self, owner: str, flat: Box) -> float:
        """Return how far a place is from being below a label of a field; 0 where it is."""
        return min(max(box.x0 - flat.x1, flat.x0 - box.x1, 0.0) for box in self.headers[owner])


def edge_of(leaf: Leaf, place: Place) -> float:
    """Return where values of a column are flush: numbers at their end, all else at its beginning."""
    flat = place.flat
    return flat.x1 if leaf.kind is Kind.NUMBER else flat.x0


def header_row(rows: Sequence[Sequence[Label]], owners: str) -> int | None:
    """Return the row that has the labels of most fields of the items, of equal ones the first; None without two.

    Args:
        owners: how the paths of the items' fields begin.
    """
    fields = [len(_owners(row, owners)) for row in rows]
    best = max(fields, default=0)
    return fields.index(best) if best >= MIN_HEADERS else None


def headers_above(rows: Sequence[Sequence[Label]], first_row: int, owners: str) -> dict[str, list[Box]]:
    """Return the labels of the header row above the first item, and of the rows beside it."""
    top = max(0, first_row - HEADER_ROWS)
    best = header_row(rows[top:first_row], owners)
    found: dict[str, list[Box]] = {}
    for row in (top + best - 1, top + best, top + best + 1) if best is not None else ():
        for label in rows[row] if top <= row < first_row else ():
            for owner in _owners([label], owners):
                found.setdefault(owner, []).append(label.flat)
    return found


def _owners(labels: Sequence[Label], owners: str) -> set[str]:
    return {owner for label in labels for owner in label.owners if owner.startswith(owners)}
