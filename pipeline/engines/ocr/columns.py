"""Columns of prose: where a page must not be read across.

A page of running text in columns must not be read across its gutter; a receipt or a table must
be, or its prices leave their articles. Both have a vertical white strip. What tells them apart
is what stands beside it: prose fills its column, cells do not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from pipeline.engines.ocr.rows import Piece, Row, group_rows

MIN_COLUMN_ROWS = 4
"""A column of prose has at least this many lines; fewer side by side are cells of a table."""

MIN_COLUMN_LETTERS = 18
"""Half of the letters of a column of prose stand in lines with at least this many; cells hold fewer.
Lines are counted without those of the next column."""

MIN_COLUMN_FILL = 0.6
"""Half of its letters stand in lines that cover this share of its width; prose wraps at the margin."""

MAX_BRIDGED_SHARE = 0.2
"""Share of a gutter's rows in which the detector may have taken both columns for one run. More
of them are rows of one column that happen to have a space at the same place."""

MAX_GUTTERS_TRIED = 40
"""Enough for the gutters of a newspaper; bounds the work on a page that is all table."""

FOOTER_GAP = 1.5
"""Line heights that set what stands above or below both columns apart from them."""


@dataclass(frozen=True, slots=True)
class _Gutter:
    """A white strip at `x` beside rows[first:last], with `size` letters next to it."""

    x: float
    first: int
    last: int
    size: int


def split_columns(pieces: list[Piece]) -> Iterator[list[Row]]:
    """Split at gutters between columns of prose: what is above first, then left, right, below."""
    rows = group_rows(pieces)
    gutter = _best_gutter(rows)
    if gutter is None:
        if rows:
            yield rows
        return
    beside = [part for row in rows[gutter.first : gutter.last] for piece in row for part in _cut(piece, gutter.x)]
    yield from split_columns([piece for row in rows[: gutter.first] for piece in row])
    yield from split_columns([piece for piece in beside if piece.is_left_of(gutter.x)])
    yield from split_columns([piece for piece in beside if not piece.is_left_of(gutter.x)])
    yield from split_columns([piece for row in rows[gutter.last :] for piece in row])


def _cut(piece: Piece, x: float) -> list[Piece]:
    return piece.split(x) if piece.covers(x) else [piece]


def _best_gutter(rows: list[Row]) -> _Gutter | None:
    """Return the gutter with most text beside it, or None when there are no columns of prose."""
    gutters = (gutter for x in _gap_middles(rows) for gutter in _gutters_at(x, rows))
    return max(gutters, key=lambda gutter: gutter.size, default=None)


def _gap_middles(rows: list[Row]) -> list[float]:
    """Return where most gaps between neighbours of a row lie, to half a line height."""
    gaps = [(a, b) for row in rows for a, b in pairwise(row) if b.left > a.right]
    unit = median(a.height for a, _ in gaps) / 2 if gaps else 1.0
    found = Counter(round((a.right + b.left) / 2 / unit) * unit for a, b in gaps)
    return [x for x, _ in found.most_common(MAX_GUTTERS_TRIED)]


def _gutters_at(x: float, rows: list[Row]) -> Iterator[_Gutter]:
    """Yield the stretches of rows that leave `x` free and have prose on both sides of it."""
    first = 0
    for last, row in enumerate([*rows, None]):
        if row is not None and not _is_crossed(row, x):
            continue
        gutter = _trimmed(x, first, last, rows)
        if gutter is not None:
            yield gutter
        first = last + 1


def _is_crossed(row: Row, x: float) -> bool:
    return any(piece.covers(x) and not piece.may_bridge(x) for piece in row)


def _trimmed(x: float, first: int, last: int, rows: list[Row]) -> _Gutter | None:
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


def _is_bridged(row: Row, x: float) -> bool:
    return any(piece.covers(x) for piece in row)


def _stands_apart(row: Row, neighbour: Row, x: float) -> bool:
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


def _is_prose(rows: list[Row]) -> bool:
    """Tell whether rows are lines of running text that fill a column."""
    if len(rows) < MIN_COLUMN_ROWS:
        return False
    width = max(row[-1].right for row in rows) - min(row[0].left for row in rows)
    letters = [_num_letters(row) for row in rows]
    widths = [sum(piece.right - piece.left for piece in row) for row in rows]
    cells = [_num_letters(cell) for row in rows for cell in _cells(row)]
    return (
        _weighted_median(cells, cells) >= MIN_COLUMN_LETTERS
        and _weighted_median(widths, letters) >= MIN_COLUMN_FILL * width
    )


def _cells(row: Row) -> Iterator[Row]:
    """Split a row where a gap is wider than the text is high."""
    cell = [row[0]]
    for a, b in pairwise(row):
        if b.left - a.right > max(a.height, b.height):
            yield cell
            cell = []
        cell.append(b)
    yield cell


def _num_letters(row: Row) -> int:
    return sum(char.isalpha() for piece in row for char in piece.run.text)


def _weighted_median(values: Sequence[float], weights: Sequence[float]) -> float:
    """Return the value that half of the weight lies at or above; 0 without weight."""
    left = sum(weights) / 2
    for value, weight in sorted(zip(values, weights, strict=True), reverse=True):
        left -= weight
        if left <= 0 < weight:
            return value
    return 0.0
