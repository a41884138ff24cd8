"""Whether a page image shows nothing but paper. In doubt it does not: what is wrongly taken for blank is lost.

Ink has sharp edges, shading and stains have soft ones. So each channel of colour, as print may differ
from its paper in one alone, is cut into cells, and the steps between neighbouring pixels are
summed in each. Cells with more of it than paper has are joined into marks, and a mark counts
unless it is
- a speck: smaller than any letter, by the sum of its steps,
- at the edge of the page and shallow, as what a scanner sees beside the paper is, or
- a round, evenly dark disc near an edge, as punched holes are.

Source: no rule of others; the limits are set so that a lone page number or faint pencil
counts and dust does not, see tests/test_render_blank.py.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.data import Box
from pipeline.render.drawing import turn_box

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

SAMPLED_ROWS = 16
STEEP = 40
"""A step that no paper has, out of 255."""
STEEP_SHARE = 1 / 250
"""Of the steps in sampled rows; a page with more is full of something, which takes 0.1 ms to see."""

CELL_PX = 8
"""Half a letter, so that a letter fills some cells and a speck one."""
BORDER_STEP = 12
"""Between the means of cells with one between them; the shading of a book's fold has 5."""
CLIP = 30
"""Steps count up to this, so that the darkness of a speck does not make up for its size."""
OUTLYING = 8.0
"""How many typical deviations above the typical cell a cell must lie, and by how much at least."""
LEAST_STEP = 1.0
NORMAL_SPREAD, NORMAL_LOWER = 0.971, 0.674
"""Between the 5th and 25th percentile of a normal distribution, and from there to its middle, in deviations."""
SPECK = 250
"""Sum of clipped steps. A black speck of 2 x 2 pixels has 240, a printed 1 of 8 points at 1.0 MP 480."""
SPECK_PX = 4
"""Height and width of the largest speck."""
SPECK_CONTRAST = 12
LONE_DEVIATIONS, LONE_SPECK = 10.0, 400
"""A single cell may lie so many deviations above the typical one by chance, but counts from this sum on."""
MAX_NOISE = 320
"""Sum of clipped steps of a typical cell: with noise beyond a deviation of 3, out of 255, pencil may hide in it."""
MAX_DEVIATION = 36
"""Of such sums from cell to cell; noise of that strength has 33, faint print without a margin 40 and more."""
MAX_SPECKS = 60
"""More than dust: print that fell apart."""
MAX_CELLS = 4000
"""More cells than these hold more than edges and holes."""

UNPRINTED = 0.008
"""How far from the edge nothing is printed, as a share of the longer side: 2 mm on A4."""
EDGE_CONTRAST = 4
EDGE_SHARE = 0.6
"""How much what lies outside of a mark differs from the paper inside of it, and along how much of it."""
EDGE_DEPTH = 0.04
"""How deep, as a share of the longer side, a mark may reach into the page from its edge."""
HOLE_SIZES = 0.012, 0.04
"""Diameters as a share of the longer side: 5 to 8 mm on A4, and margins of measurement."""
HOLE_EDGE = 0.1
"""How far the middle of a hole lies from the nearest edge at most, as a share of the longer side."""
HOLE_CONTRAST = INK_CONTRAST = 25


@dataclass(frozen=True, slots=True)
class _Mark:
    """Cells that touch one another."""

    x0: int
    y0: int
    x1: int
    y1: int
    """In cells, the last ones not included."""
    strength: float
    num_cells: int

    def box_px(self, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
        """Return the mark's box in pixels of a page of this height and width."""
        height, width = shape
        x1, y1 = min(self.x1 * CELL_PX, width), min(self.y1 * CELL_PX, height)
        return self.x0 * CELL_PX, self.y0 * CELL_PX, x1, y1


def shows_nothing(page: npt.NDArray[np.uint8]) -> bool:
    """Return whether a page has nothing on it but noise, shading, specks, dark edges and punched holes.

    Args:
        page: RGB, shape (height_px, width_px, 3).
    """
    if min(page.shape[:2]) < 4 * CELL_PX or _is_full(page):
        return False
    red, green, blue = (np.ascontiguousarray(page[:, :, channel]) for channel in range(3))
    is_grey = np.array_equal(red, green) and np.array_equal(green, blue)
    return all(_is_paper(channel) for channel in ((green,) if is_grey else (blue, green, red)))


def _is_paper(grey: npt.NDArray[np.uint8]) -> bool:
    """Return whether one channel of a page shows nothing."""
    strength = _cell_strengths(grey)
    low, lower = np.percentile(strength, (5, 25))  # paper, on a page that is full of faint print, too
    deviation = (lower - low) / NORMAL_SPREAD
    typical = lower + NORMAL_LOWER * deviation
    if typical > MAX_NOISE or deviation > MAX_DEVIATION:
        return False
    strength -= typical
    strength[_is_border(grey)] += SPECK
    marked = strength > max(LEAST_STEP * CELL_PX**2, OUTLYING * deviation)
    if np.count_nonzero(marked) > MAX_CELLS:
        return False
    num_specks, lone = 0, min(LONE_DEVIATIONS * deviation, LONE_SPECK)
    for mark in _marks(marked, strength):
        if (mark.strength <= lone and mark.num_cells == 1) or _is_speck(mark, grey):
            num_specks += 1
        elif not (_is_edge(mark, grey) or _is_hole(mark, grey)):
            return False
    return num_specks <= MAX_SPECKS


def _is_full(page: npt.NDArray[np.uint8]) -> bool:
    """Return at a glance whether a page cannot be blank."""
    margin = page.shape[1] // 12
    rows = page[SAMPLED_ROWS // 2 :: SAMPLED_ROWS, margin:-margin, 1].astype(np.int16)
    steep = np.abs(np.diff(rows, axis=1)) > STEEP
    return bool(np.count_nonzero(steep) > STEEP_SHARE * steep.size)


def _cell_strengths(grey: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Return the sum of clipped steps, right and down, in each cell; the last ones may be narrower."""
    height, width = _grid(grey)
    steps = np.zeros((height * CELL_PX, width * CELL_PX), np.int16)
    values = grey.astype(np.int16)
    steps[: grey.shape[0], 1 : grey.shape[1]] = np.minimum(np.abs(np.diff(values, axis=1)), CLIP)
    steps[1 : grey.shape[0], : grey.shape[1]] += np.minimum(np.abs(np.diff(values, axis=0)), CLIP)
    by_row = steps.reshape(height, CELL_PX, -1).sum(axis=1, dtype=np.int16)
    strengths: npt.NDArray[np.float64] = by_row.reshape(height, width, CELL_PX).sum(axis=2).astype(np.float64)
    return strengths


def _is_border(grey: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Return the cells at which one grey borders on another, as of faint giant letters: noise hides their steps."""
    height, width = grey.shape[0] // CELL_PX, grey.shape[1] // CELL_PX
    cells = grey[: height * CELL_PX, : width * CELL_PX].reshape(height, CELL_PX, width, CELL_PX)
    means = cells.sum(axis=1, dtype=np.uint16).sum(axis=2) / CELL_PX**2
    found = np.zeros(_grid(grey), bool)
    found[1 : height - 1, :width] |= np.abs(means[2:] - means[:-2]) > BORDER_STEP
    found[:height, 1 : width - 1] |= np.abs(means[:, 2:] - means[:, :-2]) > BORDER_STEP
    return found


def _grid(grey: npt.NDArray[np.uint8]) -> tuple[int, int]:
    """Return the number of rows and columns of cells; the last ones may be narrower."""
    height, width = grey.shape
    return -(-height // CELL_PX), -(-width // CELL_PX)


def _marks(marked: npt.NDArray[np.bool_], strength: npt.NDArray[np.float64]) -> Iterator[_Mark]:
    left = {(int(y), int(x)) for y, x in zip(*np.nonzero(marked), strict=True)}
    while left:
        waiting = deque([left.pop()])
        cells = []
        while waiting:
            y, x = waiting.popleft()
            cells.append((y, x))
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= near
            waiting.extend(near)
        ys, xs = zip(*cells, strict=True)
        total = sum(float(strength[cell]) for cell in cells)
        yield _Mark(min(xs), min(ys), max(xs) + 1, max(ys) + 1, total, len(cells))


def _is_speck(mark: _Mark, grey: npt.NDArray[np.uint8]) -> bool:
    """Return whether a mark is too small for any letter."""
    if mark.strength <= SPECK:
        return True
    depth = _depth(mark, grey)
    dark = depth > max(SPECK_CONTRAST, depth.max() / 3)
    return bool(_extent(dark.any(axis=1)) <= SPECK_PX and _extent(dark.any(axis=0)) <= SPECK_PX and dark.any())


def _is_edge(mark: _Mark, grey: npt.NDArray[np.uint8]) -> bool:
    """Return whether a mark is the shallow border of what lies beside the paper, or too near the edge for print."""
    turned = grey
    for turns in range(4):  # each side in turn becomes the left one
        width = turned.shape[1]
        x0, y0, x1, y1 = (round(side) for side in turn_box(Box(*mark.box_px(grey.shape)), turns, *grey.shape[::-1]))
        rows = turned[y0:y1].astype(np.int16)
        limit = max(grey.shape)
        if x1 <= max(CELL_PX, UNPRINTED * limit):
            return True
        if x1 <= EDGE_DEPTH * limit and x1 + CELL_PX < width and _borders(rows, x0, x1):
            return True
        turned = np.rot90(turned, -1)
    return False


def _borders(rows: npt.NDArray[np.int16], x0: int, x1: int) -> bool:
    """Return whether columns x0 to x1 lie between two greys and hold nothing darker than both."""
    outside, inside = rows[:, : x0 + 1].mean(axis=1), rows[:, x1 : x1 + CELL_PX].mean(axis=1)
    darker = rows[:, x0:x1] < np.minimum(outside, inside)[:, None] - INK_CONTRAST
    if np.count_nonzero(darker) > SPECK_PX**2:
        return False
    bands = np.array_split(outside - inside, max(1, len(rows) // CELL_PX))
    return bool(np.mean([abs(band.mean()) > EDGE_CONTRAST for band in bands]) > EDGE_SHARE)


def _is_hole(mark: _Mark, grey: npt.NDArray[np.uint8]) -> bool:
    """Return whether a mark is a disc: dark and even in the middle, paper in its corners, near an edge."""
    long = max(grey.shape)
    x0, y0 = mark.x0 * CELL_PX, mark.y0 * CELL_PX
    depth = _depth(mark, grey)
    depth *= np.copysign(1, depth.sum())  # light where what is behind the paper is
    dark = depth > max(HOLE_CONTRAST, depth.max() / 2)
    if not dark.any():
        return False
    ys, xs = np.flatnonzero(dark.any(axis=1)), np.flatnonzero(dark.any(axis=0))
    disc = dark[ys[0] : ys[-1] + 1, xs[0] : xs[-1] + 1]
    height, width = disc.shape
    middle = x0 + xs.mean(), y0 + ys.mean()
    from_edge = min(*middle, grey.shape[1] - middle[0], grey.shape[0] - middle[1])
    is_sized = all(HOLE_SIZES[0] * long <= side <= HOLE_SIZES[1] * long for side in disc.shape)
    is_round = abs(height - width) <= 0.2 * max(height, width)
    corner = max(1, min(height, width) // 8)
    corners = disc[:corner, :corner], disc[:corner, -corner:], disc[-corner:, :corner], disc[-corner:, -corner:]
    y, x = np.ogrid[:height, :width]
    inside = ((y + 0.5) / height - 0.5) ** 2 + ((x + 0.5) / width - 0.5) ** 2 <= 0.42**2
    is_disc = bool(disc[inside].mean() > 0.97) and not any(part.any() for part in corners)
    return is_sized and is_round and is_disc and from_edge <= HOLE_EDGE * long


def _around(mark: _Mark, grey: npt.NDArray[np.uint8]) -> npt.NDArray[np.int16]:
    rows, columns = (slice(a * CELL_PX, b * CELL_PX) for a, b in ((mark.y0, mark.y1), (mark.x0, mark.x1)))
    return grey[rows, columns].astype(np.int16)


def _depth(mark: _Mark, grey: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Return by how much the pixels of a mark are darker than the paper around it."""
    part = _around(mark, grey)
    paper = np.median(np.concatenate([part[0], part[-1], part[:, 0], part[:, -1]]))
    depth: npt.NDArray[np.float64] = paper - part
    return depth


def _extent(marked: npt.NDArray[np.bool_]) -> int:
    """Return the distance from the first to the last True, both included."""
    found = np.flatnonzero(marked)
    return int(found[-1] - found[0] + 1) if len(found) else 0
