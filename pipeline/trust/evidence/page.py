"""The text of a page as it is searched: words with places, in rows and columns. Built once a page.

A *run* is text without a wide gap: a label, a value, a table cell. A *row* is the runs on one base line. Places
are kept twice: as given, and *flat*, turned so that text reads left to right and top to bottom, as pages that
are sent in sideways do not. What a text means is not known here.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import median

from pipeline.data import Box, TextLine, Word
from pipeline.trust.evidence.turning import flattened, reading_turn, restored

WIDE_GAP, WIDE_GAP_LETTERS = 0.7, 1.3
"""Gap that makes two runs of two words, in heights of the lower and in letters; a space is 0.2 to 0.3 high."""

SAME_ROW_OVERLAP = 0.5
"""Share of the lower height that neighbours on a row have in common."""

ROWS_IN_REACH = 6
"""How many rows up a run looks for its own; skewed pages have a few side by side."""

CHAIN_ROWS, CHAIN_GAP, INDENT = 3, 1.2, 2.5
"""How far below a run its column may go on: rows, and heights of empty space above and to the left."""


@dataclass(slots=True)
class Piece:
    """One word on the page."""

    text: str
    flat: Box
    line: int
    """Index into the lines that were given."""
    run: int = 0
    row: int = 0
    place: int = 0
    """Index in its row's pieces, left to right."""


@dataclass(slots=True)
class Run:
    """Pieces without a wide gap between them."""

    pieces: list[Piece]
    flat: Box
    row: int = 0
    number: int = 0
    """Index into `Page.runs`."""

    @property
    def height(self) -> float:
        """Of its box."""
        return self.flat.y1 - self.flat.y0


class Page:
    """Words in rows, top to bottom, and in columns."""

    def __init__(self, lines: Sequence[TextLine]) -> None:
        self.lines = lines
        self.turn = reading_turn(lines)
        found = [run for number, line in enumerate(lines) for run in self._runs_of(number, line)]
        self.rows: list[list[Run]] = _rows(found)
        self.runs: list[Run] = [run for row in self.rows for run in row]
        self._number()
        self.in_line_order: list[Piece] = [piece for run in found for piece in run.pieces]
        boxes = [run.flat for run in self.runs]
        self.left = min((box.x0 for box in boxes), default=0.0)
        self.width = max(max((box.x1 for box in boxes), default=1.0) - self.left, 1.0)

    @cached_property
    def in_column_order(self) -> list[Piece]:
        """All pieces, each run followed by the one that goes on below it: addresses, wrapped table cells."""
        seen: set[int] = set()
        order: list[Piece] = []
        for first in self.runs:
            run: Run | None = first
            while run is not None and run.number not in seen:
                seen.add(run.number)
                order += run.pieces
                run = self._continued(run)
        return order

    @cached_property
    def row_pieces(self) -> list[list[Piece]]:
        """The pieces of each row, left to right."""
        return [[piece for run in row for piece in run.pieces] for row in self.rows]

    @cached_property
    def line_height(self) -> float:
        """Median height of a run."""
        return max(median(run.height for run in self.runs), 1.0) if self.runs else 1.0

    def box(self, flats: Iterable[Box]) -> Box:
        """Return the box around flat ones, as places were given."""
        return restored(around(flats), self.turn)

    def score(self, lines: Iterable[int]) -> float | None:
        """Return the least recognition score of lines; None when they have none."""
        scores = [score for number in lines if (score := self.lines[number].confidence) is not None]
        return min(scores, default=None)

    def _runs_of(self, number: int, line: TextLine) -> Iterator[Run]:
        group: list[Piece] = []
        for piece in _pieces(number, line, self.turn):
            if group and line.words and _is_apart(group[-1], piece):
                yield Run(group, around(one.flat for one in group))
                group = []
            group.append(piece)
        if group:
            yield Run(group, around(one.flat for one in group))

    def _number(self) -> None:
        for number, run in enumerate(self.runs):
            run.number = number
        for row, runs in enumerate(self.rows):
            place = 0
            for run in runs:
                run.row = row
                for piece in run.pieces:
                    piece.run, piece.row, piece.place = run.number, row, place
                    place += 1

    def _continued(self, run: Run) -> Run | None:
        """Return the run right below that begins or has its middle where it does; second lines may be indented."""
        slack = max(run.height, 1.0)
        for row in self.rows[run.row + 1 : run.row + 1 + CHAIN_ROWS]:
            for other in _near(row, run):
                if other.flat.y0 - run.flat.y1 > CHAIN_GAP * slack:
                    continue
                if -slack < other.flat.x0 - run.flat.x0 < INDENT * slack or abs(_middle(other) - _middle(run)) < slack:
                    return other
        return None


def around(boxes: Iterable[Box]) -> Box:
    """Return the smallest box around boxes; at least one is needed."""
    x0s, y0s, x1s, y1s = zip(*boxes, strict=True)
    return Box(min(x0s), min(y0s), max(x1s), max(y1s))


def part_of(box: Box, text: str, start: int, end: int) -> Box:
    """Return where text[start:end] stands in a flat box, as if all letters were equally wide."""
    if start == 0 and end >= len(text):
        return box
    per_letter = (box.x1 - box.x0) / max(len(text), 1)
    return Box(box.x0 + start * per_letter, box.y0, box.x0 + end * per_letter, box.y1)


def _near(row: list[Run], run: Run) -> Sequence[Run]:
    """Return the runs of a row that begin about where `run` stands, so that wide tables cost no more than narrow."""
    last = bisect_left(row, run.flat.x1, key=lambda other: other.flat.x0)
    return row[max(0, last - 4) : last]


def _middle(run: Run) -> float:
    return (run.flat.x0 + run.flat.x1) / 2


def _pieces(number: int, line: TextLine, turn: int) -> Iterator[Piece]:
    """Yield the line's words; where it has none, its text at white space, letters being equally wide."""
    words = line.words or (Word(line.text, line.box),)
    for word in words:
        flat, text = flattened(word.box, turn), word.text
        parts = text.split()
        if len(parts) == 1:
            yield Piece(parts[0], flat, number)
            continue
        end = 0
        for part in parts:
            start = text.index(part, end)
            end = start + len(part)
            yield Piece(part, part_of(flat, text, start, end), number)


def _is_apart(a: Piece, b: Piece) -> bool:
    gap = b.flat.x0 - a.flat.x1
    if gap <= 0:
        return gap < -(b.flat.x1 - b.flat.x0)
    low = min(a.flat.y1 - a.flat.y0, b.flat.y1 - b.flat.y0)
    letter = (a.flat.x1 - a.flat.x0 + b.flat.x1 - b.flat.x0) / (len(a.text) + len(b.text))
    return gap > max(WIDE_GAP * low, WIDE_GAP_LETTERS * letter)


def _rows(runs: list[Run]) -> list[list[Run]]:
    """Group runs by base line; a run joins the row in which its nearest neighbour overlaps it vertically."""
    rows: list[list[Run]] = []
    bottoms: list[float] = []
    for run in sorted(runs, key=lambda one: one.flat.y0 + one.flat.y1):
        first = max(0, len(rows) - ROWS_IN_REACH)
        near = [number for number in range(first, len(rows)) if bottoms[number] > run.flat.y0]
        best = max(((_fit(rows[number], run.flat), number) for number in near), default=(0.0, 0))
        if best[0] < SAME_ROW_OVERLAP:
            rows.append([run])
            bottoms.append(run.flat.y1)
        else:
            rows[best[1]].append(run)
            bottoms[best[1]] = max(bottoms[best[1]], run.flat.y1)
    for row in rows:
        row.sort(key=lambda one: one.flat.x0)
    rows.sort(key=lambda row: sum(one.flat.y0 + one.flat.y1 for one in row) / len(row))
    return rows


def _fit(row: Sequence[Run], box: Box) -> float:
    """Return the vertical overlap with the horizontally nearest of a row's latest; 0 where they lie on each other."""
    nearest = min(row[-8:], key=lambda one: max(one.flat.x0 - box.x1, box.x0 - one.flat.x1)).flat
    across = min(nearest.x1, box.x1) - max(nearest.x0, box.x0)
    if across > 0.5 * max(min(nearest.x1 - nearest.x0, box.x1 - box.x0), 1.0):
        return 0.0
    return (min(nearest.y1, box.y1) - max(nearest.y0, box.y0)) / max(min(nearest.y1 - nearest.y0, box.y1 - box.y0), 1.0)
