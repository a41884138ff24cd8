"""Puts the text runs of a page into reading order: columns one after another, rows kept together.

A run is what a detector or a text layer gives: one or more words that stand close together.
A page of running text in columns must not be read across its gutter; a receipt or a table must
be, or its prices leave their articles. Both have a vertical white strip. What tells them apart
is what stands beside it: prose fills its column, cells do not.

Knows nothing about images or recognition.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, median

from pipeline.data import Box, TextLine, Word

MIN_COLUMN_RUNS = 4
"""A column of prose has at least this many lines; fewer side by side are cells of a table."""

MIN_COLUMN_LETTERS = 18
"""Half of the letters of a column of prose stand in lines with at least this many; cells hold fewer."""

MIN_COLUMN_FILL = 0.6
"""Half of its letters stand in lines that cover this share of its width; prose wraps at the margin."""

MIN_ROW_OVERLAP = 0.5
"""Share of the lower run's height that two runs of one row have in common."""


@dataclass(frozen=True, slots=True)
class Run:
    """A piece of a row as it was detected; `slope` is dy/dx of its base line."""

    text: str
    box: Box
    score: float | None = None
    slope: float = 0.0
    words: tuple[Word, ...] = ()
    """Its words left to right; empty when it is one."""

    @property
    def height(self) -> float:
        """Pixels."""
        return self.box.y1 - self.box.y0

    @property
    def middle(self) -> float:
        """Vertical centre."""
        return (self.box.y0 + self.box.y1) / 2


def reading_order(runs: Iterable[Run]) -> tuple[TextLine, ...]:
    """Return the rows of the page's columns in reading order; runs without text are dropped."""
    kept = [run for run in runs if run.text.strip()]
    slope = page_slope(kept)
    levelled = [_Level(run, slope) for run in kept]
    return tuple(line for part in _columns(levelled) for line in _rows(part))


def page_slope(runs: Sequence[Run]) -> float:
    """Return the dy/dx that most of the page's text has; long runs measure it best."""
    long = sorted(runs, key=lambda run: run.box.x0 - run.box.x1)[: max(3, len(runs) // 4)]
    return median(run.slope for run in long) if long else 0.0


class _Level:
    """A run with its vertical extent as it would be on a page that is not skewed."""

    __slots__ = ("bottom", "left", "middle", "right", "run", "top")

    def __init__(self, run: Run, slope: float) -> None:
        x_middle = (run.box.x0 + run.box.x1) / 2
        half = max(1.0, run.height - abs(slope) * (run.box.x1 - run.box.x0)) / 2
        self.run = run
        self.left, self.right = run.box.x0, run.box.x1
        self.middle = run.middle - slope * x_middle
        self.top, self.bottom = self.middle - half, self.middle + half


@dataclass(frozen=True, slots=True)
class _Gutter:
    x: float
    top: float
    bottom: float
    size: float


def _columns(runs: list[_Level]) -> list[list[_Level]]:
    """Split runs at the gutters between columns of prose, top part first, left before right."""
    gutter = _best_gutter(runs)
    if gutter is None:
        return [runs]
    above = [run for run in runs if run.middle < gutter.top]
    below = [run for run in runs if run.middle > gutter.bottom]
    beside = [run for run in runs if gutter.top <= run.middle <= gutter.bottom]
    left = [run for run in beside if run.right <= gutter.x]
    right = [run for run in beside if run.right > gutter.x]
    return [part for group in (above, left, right, below) if group for part in _columns(group)]


def _best_gutter(runs: list[_Level]) -> _Gutter | None:
    """Return the gutter with most text beside it, or None when there are no columns of prose."""
    if len(runs) < 2 * MIN_COLUMN_RUNS:
        return None
    candidates = (gutter for x in _gap_middles(runs) for gutter in _gutters_at(x, runs))
    return max(candidates, key=lambda gutter: gutter.size, default=None)


def _gap_middles(runs: list[_Level]) -> list[float]:
    """Return where gaps between neighbours of a row lie, one x per line height."""
    unit = max(1.0, median(run.bottom - run.top for run in runs))
    rows = _row_groups(runs)
    middles = {
        round((a.right + b.left) / 2 / unit) * unit for row in rows for a, b in pairwise(row) if b.left > a.right
    }
    return sorted(middles)


def _gutters_at(x: float, runs: list[_Level]) -> list[_Gutter]:
    """Return the stretches of x that no run crosses and that have prose on both sides."""
    crossing = sorted(run.middle for run in runs if run.left < x < run.right)
    edges = [float("-inf"), *crossing, float("inf")]
    found = []
    for top, bottom in pairwise(edges):
        beside = [run for run in runs if top < run.middle < bottom]
        left = [run for run in beside if run.right <= x]
        right = [run for run in beside if run.left >= x]
        if _is_prose(left) and _is_prose(right):
            found.append(_Gutter(x, *_extent(left, right), size=sum(len(run.run.text) for run in beside)))
    return found


def _extent(left: list[_Level], right: list[_Level]) -> tuple[float, float]:
    """Return the vertical extent of two neighbouring columns."""
    both = [*left, *right]
    return min(run.top for run in both), max(run.bottom for run in both)


def _is_prose(runs: list[_Level]) -> bool:
    """Tell whether runs are lines of running text that fill a column."""
    rows = _row_groups(runs)
    if len(rows) < MIN_COLUMN_RUNS:
        return False
    width = max(run.right for run in runs) - min(run.left for run in runs)
    letters = [sum(char.isalpha() for run in row for char in run.run.text) for row in rows]
    widths = [sum(run.right - run.left for run in row) for row in rows]
    return (
        _weighted_median(letters, letters) >= MIN_COLUMN_LETTERS
        and _weighted_median(widths, letters) >= MIN_COLUMN_FILL * width
    )


def _weighted_median(values: Sequence[float], weights: Sequence[float]) -> float:
    """Return the value that half of the weight lies at or above; 0 without weight."""
    left = sum(weights) / 2
    for value, weight in sorted(zip(values, weights, strict=True), reverse=True):
        left -= weight
        if left <= 0 < weight:
            return value
    return 0.0


def _row_groups(runs: list[_Level]) -> list[list[_Level]]:
    """Group runs that stand on one line, each left to right, rows top to bottom."""
    rows: list[list[_Level]] = []
    for run in sorted(runs, key=lambda run: run.left):
        best = max(rows, key=lambda row: _overlap(row[-1], run), default=None)
        if best is not None and _overlap(best[-1], run) >= MIN_ROW_OVERLAP:
            best.append(run)
        else:
            rows.append([run])
    return sorted(rows, key=lambda row: fmean(run.middle for run in row))


def _overlap(a: _Level, b: _Level) -> float:
    """Return the share of the lower run's height that both cover; 0 when they overlap sideways."""
    if b.left < a.right - (a.bottom - a.top):
        return 0.0
    return (min(a.bottom, b.bottom) - max(a.top, b.top)) / min(a.bottom - a.top, b.bottom - b.top)


def _rows(runs: list[_Level]) -> list[TextLine]:
    """Return the rows of one column, top to bottom."""
    return [_text_line([level.run for level in row]) for row in _row_groups(runs)]


def _text_line(runs: list[Run]) -> TextLine:
    scores = [run.score for run in runs if run.score is not None]
    box = Box(
        min(run.box.x0 for run in runs),
        min(run.box.y0 for run in runs),
        max(run.box.x1 for run in runs),
        max(run.box.y1 for run in runs),
    )
    return TextLine(
        text=" ".join(run.text.strip() for run in runs),
        box=box,
        confidence=fmean(scores) if scores else None,
        words=tuple(word for run in runs for word in run.words or (Word(run.text.strip(), run.box),)),
    )
