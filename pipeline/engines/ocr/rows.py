"""Runs of text as they were found on a page, and the rows they stand in.

Knows nothing about images, recognition or columns.
"""

from __future__ import annotations

from bisect import bisect, insort
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from statistics import fmean, median_low

from pipeline.data import Box, Word

MIN_ROW_OVERLAP = 0.5
"""Share of the lower run's height that neighbours in a row have in common."""

MAX_HEIGHT_RATIO = 3.0
"""Runs that differ more in height stand in no common row: text up the margin, drop capitals."""

LONG = 5.0
"""Width by height from which the lean of a run says something about the page's."""

MIN_LONG_RUNS = 3
"""Fewer long runs than this leave the page as it stands."""

MAX_LEAN = 0.03
"""dy/dx by which a long run may differ from the median before it counts as placed askew."""


@dataclass(frozen=True, slots=True)
class Run:
    """A piece of a row as it was detected."""

    text: str
    box: Box
    score: float | None = None
    slope: float = 0.0
    """dy/dx of its base line."""
    words: tuple[Word, ...] = ()
    """Its words left to right; empty when it is one."""


def around(words: Sequence[Word]) -> Box:
    """Return the smallest box around words."""
    x0s, y0s, x1s, y1s = zip(*(word.box for word in words), strict=True)
    return Box(min(x0s), min(y0s), max(x1s), max(y1s))


def page_slope(runs: Sequence[Run]) -> float:
    """Return the dy/dx of the page's long runs; a short one leans with the shapes of its first and last letters."""
    long = [(run.box.x1 - run.box.x0, run.slope) for run in runs if _aspect(run) >= LONG]
    if len(long) < MIN_LONG_RUNS:
        return 0.0
    middle = median_low(slope for _, slope in long)
    alike = [(width**2, slope) for width, slope in long if abs(slope - middle) <= MAX_LEAN]
    return sum(weight * slope for weight, slope in alike) / sum(weight for weight, _ in alike)


def _aspect(run: Run) -> float:
    return (run.box.x1 - run.box.x0) / max(1.0, run.box.y1 - run.box.y0)


class Piece:
    """A run with its vertical extent in pixels as it would be on a page that is not skewed."""

    __slots__ = ("bottom", "height", "left", "middle", "right", "run", "top")

    def __init__(self, run: Run, slope: float) -> None:
        self.run = run
        self.left, self.right = run.box.x0, run.box.x1
        self.height = max(1.0, run.box.y1 - run.box.y0 - abs(slope) * (self.right - self.left))
        self.middle = (run.box.y0 + run.box.y1) / 2 - slope * (self.left + self.right) / 2
        self.top, self.bottom = self.middle - self.height / 2, self.middle + self.height / 2

    def split(self, x: float) -> list[Piece]:
        """Return the parts left and right of the space between words at `x`."""
        parts = [_part_of(self.run, list(words)) for _, words in groupby(self.run.words, lambda w: _center(w) > x)]
        pieces = [Piece(part, 0.0) for part in parts]
        for piece in pieces:
            piece.top, piece.bottom, piece.middle, piece.height = self.top, self.bottom, self.middle, self.height
        return pieces

    def covers(self, x: float) -> bool:
        """Tell whether the run goes on beyond `x` on both sides by more than a letter."""
        slack = self.height / 2
        return self.left + slack < x < self.right - slack

    def is_left_of(self, x: float) -> bool:
        """Tell on which side of `x` the run stands; one that covers it stands on neither."""
        return (self.left + self.right) / 2 <= x

    def may_bridge(self, x: float) -> bool:
        """Tell whether the run may be two, of two columns: its widest gap is at `x`, give or take a letter."""
        if len(self.run.words) < 2:
            return False
        slack = self.height / 2
        a, b = max(pairwise(self.run.words), key=lambda pair: pair[1].box.x0 - pair[0].box.x1)
        return a.box.x1 - slack <= x <= b.box.x0 + slack


Row = list[Piece]
"""Left to right."""


def group_rows(pieces: list[Piece]) -> list[Row]:
    """Group pieces that stand on one line, each row left to right, rows top to bottom.

    A piece joins the row whose rightmost piece it continues best, so that rows may drift up
    or down across a curved page.
    """
    rows: list[Row] = []
    ends: list[tuple[float, int]] = []  # middle of each row's rightmost piece and the row's number, sorted
    for piece in sorted(pieces, key=lambda piece: piece.left):
        reach = piece.height * (1 + MAX_HEIGHT_RATIO) / 2
        near = ends[bisect(ends, (piece.middle - reach, 0)) : bisect(ends, (piece.middle + reach, len(rows)))]
        best = max(near, key=lambda end: _overlap(rows[end[1]][-1], piece), default=None)
        if best is not None and _overlap(rows[best[1]][-1], piece) >= MIN_ROW_OVERLAP:
            ends.remove(best)
            rows[best[1]].append(piece)
            insort(ends, (piece.middle, best[1]))
        else:
            insort(ends, (piece.middle, len(rows)))
            rows.append([piece])
    return sorted(rows, key=lambda row: fmean(piece.middle for piece in row))


def _overlap(a: Piece, b: Piece) -> float:
    """Return the share of the lower height that both cover; 0 when b does not stand right of a."""
    low, high = sorted((a.height, b.height))
    if b.left < a.right - low or high > MAX_HEIGHT_RATIO * low:
        return 0.0
    return (min(a.bottom, b.bottom) - max(a.top, b.top)) / low


def _part_of(run: Run, words: list[Word]) -> Run:
    """Return the run that some of a run's words make."""
    return replace(run, text=" ".join(word.text for word in words), box=around(words), words=tuple(words))


def _center(word: Word) -> float:
    return (word.box.x0 + word.box.x1) / 2
