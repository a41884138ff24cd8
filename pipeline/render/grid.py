"""How large a page image becomes. Pure arithmetic.

The rule: a page keeps its aspect ratio and is scaled so that its longest side is the
longest multiple of 56 px at which the whole image stays within the pixel budget; the
short side is padded with white, at the right or at the bottom, to a multiple of 28 px.

- Longest sides in steps of 56 px: pages of one paper format share one grid, and photographs
  of any shape share a few dozen, so that the engine meets few distinct image sizes.
- Padding and not stretching to the multiple: on a narrow receipt 27 px are a tenth of the
  width, and stretched digits read worse; the padding costs at most one column of patches.
- Images are not enlarged, as new pixels hold no new information; small ones are, up to
  twice, as detectors and patches need strokes of more than a pixel. An image that fits as
  it is is not resampled: it is padded on both sides.
- Pages more elongated than 20:1 are padded to that (Qwen2-VL's processor refuses 200:1).
"""

from __future__ import annotations

import math
from typing import NamedTuple

from pipeline.config import PIXEL_UNIT

LONG_SIDE_STEP = 2 * PIXEL_UNIT
MAX_ELONGATION = 20
SMALL_IMAGE_PX = 560
MAX_ENLARGEMENT = 2.0


class Grid(NamedTuple):
    """The size of a page image and of what is drawn at its top left."""

    width_px: int
    height_px: int
    content_width_px: int
    content_height_px: int
    scale: float
    """Content pixels per source unit (pixel or point)."""

    @property
    def num_pixels(self) -> int:
        """Pixels of the whole image, padding included."""
        return self.width_px * self.height_px

    def turned(self) -> Grid:
        """Return the grid of the page after a quarter turn."""
        return Grid(self.height_px, self.width_px, self.content_height_px, self.content_width_px, self.scale)


def fit(width: float, height: float, *, max_pixels: int, max_scale: float) -> Grid:
    """Return the largest grid for a page of `width` x `height` source units under the rule above."""
    long, short = max(width, height), min(width, height)
    long_limit = _longest_side(max(short / long, 1 / MAX_ELONGATION), max_pixels)
    scale = min(long_limit / long, max_scale)
    long_px = min(_round_up(long * scale, LONG_SIDE_STEP), long_limit)
    short_px = max(_round_up(short * scale, PIXEL_UNIT), _round_up(long_px / MAX_ELONGATION, PIXEL_UNIT))
    content = min(max(1, round(short * scale)), short_px), min(max(1, round(long * scale)), long_px)
    if width >= height:
        return Grid(long_px, short_px, content[1], content[0], scale)
    return Grid(short_px, long_px, content[0], content[1], scale)


def legible_budget(width: float, height: float, *, scale: float, min_pixels: int) -> int:
    """Return the smallest budget for which `fit` draws the page at `scale` or larger, on `min_pixels` or more."""
    long = max(width, height)
    aspect = max(min(width, height) / long, 1 / MAX_ELONGATION)
    side = _round_up(max(long * scale, math.sqrt(min_pixels / aspect)), LONG_SIDE_STEP)
    return side * _round_up(side * aspect, PIXEL_UNIT)


def image_enlargement(width: float, height: float) -> float:
    """Return by how much an image of this size may be enlarged, at least 1."""
    return min(MAX_ENLARGEMENT, max(1.0, SMALL_IMAGE_PX / max(width, height)))


def _longest_side(aspect: float, max_pixels: int) -> int:
    """Return the longest side that keeps a page of `aspect` (short / long) within the budget."""
    side = math.isqrt(int(max_pixels / aspect)) // LONG_SIDE_STEP * LONG_SIDE_STEP
    while side and side * _round_up(side * aspect, PIXEL_UNIT) > max_pixels:
        side -= LONG_SIDE_STEP
    return side or PIXEL_UNIT


def _round_up(value: float, unit: int) -> int:
    return max(1, math.ceil(value / unit - 1e-6)) * unit
