"""Which part of a page's picture shows a value and what stands around it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pipeline.data import Box
    from pipeline.report.views import ImageView

ASPECT = 5.0
"""Width by height of every cut-out, so that they stand below each other in a column."""
_LINES, _WIDER = 2.4, 1.15
"""Height of the box that is shown at least, and its width."""
_LEAST_SHARE = 0.36
"""Of the image's width that is shown at least: less would be larger than print, and say nothing of where it is."""


class Crop(NamedTuple):
    """A cut-out, in pixels of the page image."""

    x: float
    y: float
    width: float
    height: float


def crop_of(box: Box, image: ImageView) -> Crop:
    """Return the cut-out around a box, moved into the image where it would stick out."""
    height = max((box.y1 - box.y0) * _LINES, (box.x1 - box.x0) * _WIDER / ASPECT)
    height = max(height, image.width_px * _LEAST_SHARE / ASPECT)
    height = min(height, image.height_px, image.width_px / ASPECT)
    width = height * ASPECT
    x = min(max((box.x0 + box.x1 - width) / 2, 0.0), image.width_px - width)
    y = min(max((box.y0 + box.y1 - height) / 2, 0.0), image.height_px - height)
    return Crop(*(round(value, 1) for value in (x, y, width, height)))
