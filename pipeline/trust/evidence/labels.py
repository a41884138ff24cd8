"""The labels of a schema on a page, and which of them a place on it belongs to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from pipeline.data import Box
from pipeline.trust.evidence.fold import Atom, atoms, fold
from pipeline.trust.evidence.page import Page, Piece, Run, part_of
from pipeline.trust.evidence.place import Place

ROWS_ABOVE = 4
"""How far up a label of a value is looked for."""

Owners = frozenset[str]
"""Whose label it is: paths of fields without indices, such as `line_items.quantity`."""


@dataclass(frozen=True, slots=True)
class Label:
    """A label that is printed."""

    owners: Owners
    row: int
    first: int
    last: int
    """Its first and last piece in the row."""
    end: int
    """Character of the last piece at which it ends."""
    flat: Box
    has_colon: bool
    share: float
    """Of the letters in its run that it is: less than half, and the run says something else or more."""


class Vocabulary:
    """All labels of a schema, folded."""

    def __init__(self, labels: Mapping[str, Sequence[str]]) -> None:
        owners: dict[str, set[str]] = {}
        for owner, texts in labels.items():
            for key in {fold(text) for text in texts} - {""}:
                owners.setdefault(key, set()).add(owner)
        self.owners: dict[str, Owners] = {key: frozenset(names) for key, names in owners.items()}
        self.beginnings = {key[:length] for key in owners for length in range(1, len(key) + 1)}


@dataclass(frozen=True, slots=True)
class Attached:
    """The labels nearest to a place."""

    left: Label | None
    """On its row."""
    numbers_between: int
    above: Label | None
    """In its column."""
    rows_above: int = 0
    qualified: tuple[Label, ...] = ()
    """Labels before `left` in its run, with no number between: what `left` only says more of."""


class Labels:
    """The labels of a vocabulary that stand on a page."""

    def __init__(self, page: Page, vocabulary: Vocabulary) -> None:
        self._page = page
        self._vocabulary = vocabulary

    @cached_property
    def rows(self) -> list[list[Label]]:
        """Labels of each row, left to right, none within another."""
        return [[label for run in row for label in self._in_run(run)] for row in self._page.rows]

    @cached_property
    def _by_owner(self) -> dict[str, list[Label]]:
        found: dict[str, list[Label]] = {}
        for row in self.rows:
            for label in row:
                for owner in label.owners:
                    found.setdefault(owner, []).append(label)
        return found

    def of(self, owner: str) -> Sequence[Label]:
        """Return the labels of a field, top to bottom."""
        return self._by_owner.get(owner, ())

    def attached(self, place: Place) -> Attached:
        """Return the labels that a place stands behind and under."""
        row, first, start = place.start
        before = [label for label in self.rows[row] if (label.last, label.end) <= (first, start)]
        left = before[-1] if before else None
        above, rows = self._above(row, place.spans[0].flat)
        if left is None:
            return Attached(None, 0, above, rows)
        qualified = tuple(
            label
            for label in before[:-1]
            if self._run_of(label) == self._run_of(left) and not self._numbers_between(label, left.first)
        )
        return Attached(left, self._numbers_between(left, first), above, rows, qualified)

    def _run_of(self, label: Label) -> int:
        return self._page.row_pieces[label.row][label.first].run

    def _numbers_between(self, label: Label, first: int) -> int:
        """Return how many numbers, percentages aside, stand between a label and a piece of its row."""
        row = self._page.row_pieces[label.row]
        return sum(
            any(map(str.isdigit, row[number].text)) and "%" not in row[number].text + row[number + 1].text[:1]
            for number in range(label.last + 1, first)
        )

    def _above(self, row: int, flat: Box) -> tuple[Label | None, int]:
        for up in range(1, min(ROWS_ABOVE, row) + 1):
            near = [label for label in self.rows[row - up] if label.flat.x0 < flat.x1 and flat.x0 < label.flat.x1]
            if near:
                return max(near, key=lambda label: min(label.flat.x1, flat.x1) - max(label.flat.x0, flat.x0)), up
        return None, 0

    def _in_run(self, run: Run) -> list[Label]:
        words = [(atom, piece) for piece in run.pieces for atom in atoms(piece.text) if not atom.folded.isdigit()]
        owners, beginnings = self._vocabulary.owners, self._vocabulary.beginnings
        found: list[tuple[int, int, int]] = []
        for first in range(len(words)):
            key = ""
            for last in range(first, len(words)):
                key += words[last][0].folded
                if key not in beginnings:
                    break
                if key in owners:
                    found.append((-len(key), first, last))
        taken: list[tuple[int, int]] = []
        labels = []
        for _, first, last in sorted(found):
            if all(last < a or b < first for a, b in taken):
                taken.append((first, last))
                key = "".join(words[number][0].folded for number in range(first, last + 1))
                labels.append(_label(owners[key], words[first], words[last], run))
        return sorted(labels, key=lambda label: (label.first, label.end))


def _label(owners: Owners, first: tuple[Atom, Piece], last: tuple[Atom, Piece], run: Run) -> Label:
    (a, head), (b, tail) = first, last
    start = part_of(head.flat, head.text, a.start, len(head.text))
    end = part_of(tail.flat, tail.text, 0, b.end)
    flat = Box(start.x0, min(start.y0, end.y0), end.x1, max(start.y1, end.y1))
    first_place = run.pieces[0].place
    named = [piece.text for piece in run.pieces[head.place - first_place : tail.place - first_place + 1]]
    following = run.pieces[tail.place - first_place + 1 :][:1]
    ours = _letters("".join(named)) - _letters(head.text[: a.start]) - _letters(tail.text[b.end :])
    return Label(
        owners,
        head.row,
        head.place,
        tail.place,
        b.end,
        flat,
        has_colon=tail.text[b.end : b.end + 1] == ":" or any(piece.text.startswith(":") for piece in following),
        share=ours / max(sum(_letters(piece.text) for piece in run.pieces), 1),
    )


def _letters(text: str) -> int:
    return sum(map(str.isalpha, text))
