"""A page as rows and runs, and how a reader's eye moves on it: right of, below, same column.

A *run* is text without a wide gap: a label, a value, a table cell, a line of prose. A *row*
is the runs that share a baseline, left to right. This module knows positions and nothing
about what the text means.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from statistics import median

from pipeline.data import Box, TextLine, Word

WIDE_GAP, WIDE_GAP_LETTERS = 0.7, 1.3
"""Gap between two words, in heights of the line and in letters of theirs, that makes two runs. A space is 0.2 to 0.3 of
the height, and the gaps of justified prose stay below 0.7; in wide monospaced type it is one letter and its margins."""

SAME_ROW_OVERLAP = 0.5
"""Share of the lower height by which two neighbours must overlap vertically to share a baseline."""

SAME_COLUMN_OVERLAP = 0.2
"""Share of the narrower width by which runs must overlap horizontally to stand in one column."""


@dataclass(frozen=True, slots=True)
class Run:
    """Text without a wide gap, as printed."""

    text: str
    box: Box
    row: int
    """Index into `PageLayout.rows`."""
    position: int
    """Index in its row, 0 is leftmost."""

    @property
    def height_px(self) -> float:
        """Height of the box."""
        return self.box.y1 - self.box.y0

    @property
    def center_x(self) -> float:
        """Horizontal middle of the box."""
        return (self.box.x0 + self.box.x1) / 2


class PageLayout:
    """The runs of one page in rows, top to bottom.

    `rows[i]` holds runs left to right and is never empty; all boxes are in page-image pixels.
    """

    def __init__(self, lines: Sequence[TextLine], width_px: int, height_px: int) -> None:
        self.width_px = width_px
        self.height_px = height_px
        pieces = [
            piece for line in lines for piece in split_at_wide_gaps(line) if piece.text and not _is_upended(piece)
        ]
        self.rows: tuple[tuple[Run, ...], ...] = tuple(
            tuple(Run(piece.text, piece.box, number, position) for position, piece in enumerate(row))
            for number, row in enumerate(_rows(pieces))
        )

    @cached_property
    def runs(self) -> tuple[Run, ...]:
        """All runs, row by row."""
        return tuple(run for row in self.rows for run in row)

    @cached_property
    def line_height_px(self) -> float:
        """Median height of a run; 1 on an empty page."""
        return median(run.height_px for run in self.runs) if self.runs else 1.0

    @cached_property
    def _tops(self) -> tuple[float, ...]:
        """The least y of each row and all below it: on slanted pages rows overlap."""
        tops = accumulate((min(run.box.y0 for run in row) for row in reversed(self.rows)), min)
        return tuple(tops)[::-1]

    def row_text(self, row: int) -> str:
        """The row's runs joined by two spaces."""
        return "  ".join(run.text for run in self.rows[row])

    def right_of(self, run: Run) -> tuple[Run, ...]:
        """Runs on the same row to the right, nearest first."""
        return self.rows[run.row][run.position + 1 :]

    def below(self, run: Run, max_gap: float = float("inf"), box: Box | None = None) -> Iterator[Run]:
        """Runs in lower rows that share the run's column, top to bottom.

        Args:
            max_gap: stop at the first vertical gap larger than this, in line heights, counted
                from the last run of the column.
            box: the part of the run that makes the column; by default all of it.
        """
        column, bottom, gap_px = box or run.box, run.box.y1, max_gap * self.line_height_px
        for number in range(run.row + 1, len(self.rows)):
            if self._tops[number] - bottom > gap_px:
                return
            for other in self.rows[number]:
                if other.box.x0 >= column.x1 or column_overlap(column, other.box) < SAME_COLUMN_OVERLAP:
                    continue
                if other.box.y0 - bottom > gap_px:
                    return
                bottom = max(bottom, other.box.y1)
                yield other


def column_overlap(a: Box, b: Box) -> float:
    """Horizontal overlap as a share of the narrower box; negative when apart."""
    return (min(a.x1, b.x1) - max(a.x0, b.x0)) / max(min(a.x1 - a.x0, b.x1 - b.x0), 1.0)


def row_overlap(a: Box, b: Box) -> float:
    """Vertical overlap as a share of the lower box; negative when apart."""
    return (min(a.y1, b.y1) - max(a.y0, b.y0)) / max(min(a.y1 - a.y0, b.y1 - b.y0), 1.0)


def split_at_wide_gaps(line: TextLine) -> list[Word]:
    """The line's words joined into runs; the whole line where the source gives no words."""
    if not line.words:
        return [Word(" ".join(line.text.split()), line.box)]
    groups: list[list[Word]] = []
    for word in line.words:
        if groups and word.box.x0 - groups[-1][-1].box.x1 <= _wide_gap(word, groups[-1][-1]):
            groups[-1].append(word)
        else:
            groups.append([word])
    return [Word(" ".join(w.text.strip() for w in group).strip(), union(w.box for w in group)) for group in groups]


def _wide_gap(a: Word, b: Word) -> float:
    """Of the lower word, not the line: words of a tilted line, or text up its margin, make that too high."""
    letter = (a.box.x1 - a.box.x0 + b.box.x1 - b.box.x0) / (len(a.text) + len(b.text))
    return max(WIDE_GAP * min(a.box.y1 - a.box.y0, b.box.y1 - b.box.y0), WIDE_GAP_LETTERS * letter)


def part_of(run: Run, start: int, end: int) -> Box:
    """The box of run.text[start:end], as if all letters were equally wide."""
    per_letter = (run.box.x1 - run.box.x0) / max(len(run.text), 1)
    return Box(run.box.x0 + start * per_letter, run.box.y0, run.box.x0 + end * per_letter, run.box.y1)


def union(boxes: Iterator[Box] | Sequence[Box]) -> Box:
    """The smallest box around all; at least one is needed."""
    x0, y0, x1, y1 = zip(*boxes, strict=True)
    return Box(min(x0), min(y0), max(x1), max(y1))


def _is_upended(piece: Word) -> bool:
    """Whether text runs up or down the margin; it would join rows that it stands beside."""
    return len(piece.text) >= 3 and piece.box.y1 - piece.box.y0 > 1.5 * (piece.box.x1 - piece.box.x0)


def _rows(pieces: Sequence[Word]) -> list[list[Word]]:
    """Group runs by baseline.

    A run joins the row in which its nearest neighbour to the left or right overlaps it
    vertically, so rows may drift up or down across a tilted photograph.
    """
    rows: list[list[Word]] = []
    for piece in sorted(pieces, key=lambda p: (p.box.y0 + p.box.y1) / 2):
        best = max(rows[-6:], key=lambda row: _fit(row, piece.box), default=None)
        if best is None or _fit(best, piece.box) < SAME_ROW_OVERLAP:
            rows.append([piece])
        else:
            best.append(piece)
    for row in rows:
        row.sort(key=lambda p: p.box.x0)
    rows.sort(key=lambda row: sum(p.box.y0 + p.box.y1 for p in row) / len(row))
    return rows


def _fit(row: Sequence[Word], box: Box) -> float:
    """Vertical overlap with the horizontally nearest run of the row; 0 where they lie on each other."""
    nearest = min(row, key=lambda p: max(p.box.x0 - box.x1, box.x0 - p.box.x1))
    if column_overlap(nearest.box, box) > SAME_ROW_OVERLAP:
        return 0.0
    return row_overlap(nearest.box, box)
