"""Which way a page's text runs, and boxes as they would be on the upright page."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from pipeline.data import Box, TextLine

MIN_LETTERS = 3
"""Shorter words may be higher than wide."""


def reading_turn(lines: Sequence[TextLine]) -> int:
    """Return the clockwise turn in degrees after which text reads left to right, as far as its places tell."""
    right, down = 0.0, 0.0
    for line in lines:
        if len(line.words) > 1:
            first, last = line.words[0].box, line.words[-1].box
            right += last.x0 + last.x1 - first.x0 - first.x1
            down += last.y0 + last.y1 - first.y0 - first.y1
    if right == down == 0.0:
        return _turn_of_lines(lines)
    if abs(right) >= abs(down):
        return 0 if right >= 0 else 180
    return 270 if down > 0 else 90


def _turn_of_lines(lines: Sequence[TextLine]) -> int:
    """Lines without words: how long ones lie, and which way they follow each other."""
    long = [line.box for line in lines if len(line.text) >= MIN_LETTERS]
    tall = sum(box.y1 - box.y0 > box.x1 - box.x0 for box in long)
    steps = list(pairwise(long))
    if tall > len(long) / 2:
        return 90 if sum(b.x0 > a.x0 for a, b in steps) * 2 >= len(steps) else 270
    return 0 if sum(b.y0 > a.y0 for a, b in steps) * 3 >= len(steps) else 180


def flattened(box: Box, turn: int) -> Box:
    """Return a box turned clockwise by `turn` about the origin; coordinates may become negative."""
    x0, y0, x1, y1 = box
    match turn:
        case 90:
            return Box(-y1, x0, -y0, x1)
        case 180:
            return Box(-x1, -y1, -x0, -y0)
        case 270:
            return Box(y0, -x1, y1, -x0)
        case _:
            return box


def restored(box: Box, turn: int) -> Box:
    """Undo `flattened`."""
    return flattened(box, (360 - turn) % 360)
