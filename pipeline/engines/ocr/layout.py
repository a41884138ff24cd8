"""Puts the text runs of a page into reading order: columns one after another, rows kept together.

A run is what a detector or a text layer gives: words that stand close together. A page of
running text in columns must not be read across its gutter; a receipt or a table must be, or
its prices leave their articles. Both have a vertical white strip. What tells them apart is
what stands beside it: prose fills its column, cells do not.

Knows nothing about images or recognition.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from statistics import fmean, median, median_low

from pipeline.data import Box, TextLine, Word

MIN_COLUMN_ROWS = 4
"""A column of prose has at least this many lines; fewer side by side are cells of a table."""

MIN_COLUMN_LETTERS = 18
"""Half of the letters of a column of prose stand in lines with at least this many; cells hold fewer."""

MIN_COLUMN_FILL = 0.6
"""Half of its letters stand in lines that cover this share of its width; prose wraps at the margin."""

MAX_BRIDGED_SHARE = 0.2
"""Share of a gutter's rows in which the detector may have taken both columns for one run. More
of them are rows of one column that happen to have a space at the same place."""

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

FOOTER_GAP = 1.5
"""Line heights that set what stands above or below both columns apart from them."""


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


def reading_order(runs: Iterable[Run]) -> tuple[TextLine, ...]:
    """Return the rows of the page's columns in reading order; runs without text are dropped."""
    kept = [run for run in runs if run.text.strip()]
    slope = _page_slope(kept)
    rows = (row for column in _columns([_Piece(run, slope) for run in kept]) for row in column)
    return tuple(_text_line([piece.run for piece in row]) for row in rows)


def _page_slope(runs: Sequence[Run]) -> float:
    """Return the dy/dx of the page's long runs; a short one leans with the shapes of its first and last letters."""
    long = [(run.box.x1 - run.box.x0, run.slope) for run in runs if _aspect(run) >= LONG]
    if len(long) < MIN_LONG_RUNS:
        return 0.0
    middle = median_low(slope for _, slope in long)
    alike = [(width**2, slope) for width, slope in long if abs(slope - middle) <= MAX_LEAN]
    return sum(weight * slope for weight, slope in alike) / sum(weight for weight, _ in alike)


def _aspect(run: Run) -> float:
    return (run.box.x1 - run.box.x0) / max(1.0, run.box.y1 - run.box.y0)


class _Piece:
    """A run with its vertical extent as it would be on a page that is not skewed."""

    __slots__ = ("bottom", "height", "left", "middle", "right", "run", "top")

    def __init__(self, run: Run, slope: float) -> None:
        self.run = run
        self.left, self.right = run.box.x0, run.box.x1
        self.height = max(1.0, run.box.y1 - run.box.y0 - abs(slope) * (self.right - self.left))
        self.middle = (run.box.y0 + run.box.y1) / 2 - slope * (self.left + self.right) / 2
        self.top, self.bottom = self.middle - self.height / 2, self.middle + self.height / 2

    def split(self, x: float) -> list[_Piece]:
        """Return the parts left and right of the space between words at `x`."""
        parts = [_part_of(self.run, list(words)) for _, words in groupby(self.run.words, lambda w: _center(w) > x)]
        pieces = [_Piece(part, 0.0) for part in parts]
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


_Row = list[_Piece]


@dataclass(frozen=True, slots=True)
class _Gutter:
    """A white strip at `x` beside rows[first:last], with `size` letters next to it."""

    x: float
    first: int
    last: int
    size: int


def _columns(pieces: list[_Piece]) -> Iterator[list[_Row]]:
    """Split at gutters between columns of prose: what is above first, then left, right, below."""
    rows = _rows(pieces)
    gutter = _best_gutter(rows)
    if gutter is None:
        if rows:
            yield rows
        return
    beside = [part for row in rows[gutter.first : gutter.last] for piece in row for part in _cut(piece, gutter.x)]
    yield from _columns([piece for row in rows[: gutter.first] for piece in row])
    yield from _columns([piece for piece in beside if piece.is_left_of(gutter.x)])
    yield from _columns([piece for piece in beside if not piece.is_left_of(gutter.x)])
    yield from _columns([piece for row in rows[gutter.last :] for piece in row])


def _cut(piece: _Piece, x: float) -> list[_Piece]:
    return piece.split(x) if piece.covers(x) else [piece]


def _best_gutter(rows: list[_Row]) -> _Gutter | None:
    """Return the gutter with most text beside it, or None when there are no columns of prose."""
    gutters = (gutter for x in _gap_middles(rows) for gutter in _gutters_at(x, rows))
    return max(gutters, key=lambda gutter: gutter.size, default=None)


def _gap_middles(rows: list[_Row]) -> list[float]:
    """Return where gaps between neighbours of a row lie, one x per half a line height."""
    gaps = [(a, b) for row in rows for a, b in pairwise(row) if b.left > a.right]
    unit = median(a.height for a, _ in gaps) / 2 if gaps else 1.0
    return sorted({round((a.right + b.left) / 2 / unit) * unit for a, b in gaps})


def _gutters_at(x: float, rows: list[_Row]) -> Iterator[_Gutter]:
    """Yield the stretches of rows that leave `x` free and have prose on both sides of it."""
    first = 0
    for last, row in enumerate([*rows, None]):
        if row is not None and not _is_crossed(row, x):
            continue
        gutter = _trimmed(x, first, last, rows)
        if gutter is not None:
            yield gutter
        first = last + 1


def _is_crossed(row: _Row, x: float) -> bool:
    return any(piece.covers(x) and not piece.may_bridge(x) for piece in row)


def _trimmed(x: float, first: int, last: int, rows: list[_Row]) -> _Gutter | None:
    """Return the gutter at `x` without what stands apart above and below, or None if it is none."""
    while last - first > 1 and _stands_apart(rows[first], rows[first + 1], x):
        first += 1
    while last - first > 1 and _stands_apart(rows[last - 1], rows[last - 2], x):
        last -= 1
    beside = rows[first:last]
    if sum(_is_bridged(row, x) for row in beside) > MAX_BRIDGED_SHARE * len(beside):
        return None
    left = [part for row in beside if (part := [piece for piece in row if piece.is_left_of(x) and not piece.covers(x)])]
    right = [
        part for row in beside if (part := [piece for piece in row if not piece.is_left_of(x) and not piece.covers(x)])
    ]
    if not (_is_prose(left) and _is_prose(right)):
        return None
    return _Gutter(x, first, last, size=sum(_num_letters(row) for row in beside))


def _is_bridged(row: _Row, x: float) -> bool:
    return any(piece.covers(x) for piece in row)


def _stands_apart(row: _Row, neighbour: _Row, x: float) -> bool:
    """Tell whether the first or last row of a gutter is rather a heading or a footer of both columns.

    It covers `x`, or has text on one side only and a gap between itself and the next row.
    """
    if _is_bridged(row, x):
        return True
    if len({piece.is_left_of(x) for piece in row}) == 2:
        return False
    upper, lower = sorted((row, neighbour), key=lambda row: row[0].middle)
    gap = min(piece.top for piece in lower) - max(piece.bottom for piece in upper)
    return gap > FOOTER_GAP * median(piece.height for piece in row)


def _is_prose(rows: list[_Row]) -> bool:
    """Tell whether rows are lines of running text that fill a column."""
    if len(rows) < MIN_COLUMN_ROWS:
        return False
    width = max(row[-1].right for row in rows) - min(row[0].left for row in rows)
    letters = [_num_letters(row) for row in rows]
    widths = [sum(piece.right - piece.left for piece in row) for row in rows]
    return (
        _weighted_median(letters, letters) >= MIN_COLUMN_LETTERS
        and _weighted_median(widths, letters) >= MIN_COLUMN_FILL * width
    )


def _num_letters(row: _Row) -> int:
    return sum(char.isalpha() for piece in row for char in piece.run.text)


def _weighted_median(values: Sequence[float], weights: Sequence[float]) -> float:
    """Return the value that half of the weight lies at or above; 0 without weight."""
    left = sum(weights) / 2
    for value, weight in sorted(zip(values, weights, strict=True), reverse=True):
        left -= weight
        if left <= 0 < weight:
            return value
    return 0.0


def _rows(pieces: list[_Piece]) -> list[_Row]:
    """Group pieces that stand on one line, each row left to right, rows top to bottom.

    A piece joins the row whose rightmost piece it continues best, so that rows may drift up
    or down across a curved page.
    """
    rows: list[_Row] = []
    for piece in sorted(pieces, key=lambda piece: piece.left):
        best = max(rows, key=lambda row: _overlap(row[-1], piece), default=None)
        if best is not None and _overlap(best[-1], piece) >= MIN_ROW_OVERLAP:
            best.append(piece)
        else:
            rows.append([piece])
    return sorted(rows, key=lambda row: fmean(piece.middle for piece in row))


def _overlap(a: _Piece, b: _Piece) -> float:
    """Return the share of the lower height that both cover; 0 when b does not stand right of a."""
    low, high = sorted((a.height, b.height))
    if b.left < a.right - low or high > MAX_HEIGHT_RATIO * low:
        return 0.0
    return (min(a.bottom, b.bottom) - max(a.top, b.top)) / low


def _part_of(run: Run, words: list[Word]) -> Run:
    """Return the run that some of a run's words make."""
    return replace(run, text=" ".join(word.text for word in words), box=around(words), words=tuple(words))


def _text_line(runs: list[Run]) -> TextLine:
    scores = [run.score for run in runs if run.score is not None]
    words = [word for run in runs for word in run.words or (Word(run.text.strip(), run.box),)]
    return TextLine(
        text=" ".join(run.text.strip() for run in runs),
        box=around([Word(run.text, run.box) for run in runs]),
        confidence=fmean(scores) if scores else None,
        words=tuple(words),
    )


def _center(word: Word) -> float:
    return (word.box.x0 + word.box.x1) / 2
