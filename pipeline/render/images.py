"""The images on a PDF page: how large they are and where they stand, none of them decoded."""

# mypy: disable-error-code="no-untyped-call"
# pymupdf has no types.

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from pipeline.data import Box
from pipeline.render.mupdf import pymupdf

COVERAGE_CELLS = 100
"""Covered area is counted on a grid of this many cells a side, so that overlapping images count once."""

FAINT = 0.5
"""Images more transparent than this are watermarks, and cover nothing."""


class PlacedImage(NamedTuple):
    """One image as a page uses it."""

    width_px: int
    height_px: int
    box: Box
    """In page coordinates, clipping ignored."""
    is_faint: bool


class _ImageDevice(pymupdf.mupdf.FzDevice2):  # type: ignore[misc]
    """A MuPDF device that is shown images only: 10 µs a page, where text extraction takes 400."""

    def __init__(self) -> None:
        super().__init__()
        self.use_virtual_fill_image()
        self.use_virtual_fill_image_mask()
        self.use_virtual_clip_image_mask()
        self.images: list[PlacedImage] = []

    def fill_image(self, _context: Any, image: Any, place: Any, alpha: float, *_: Any) -> None:
        self.images.append(PlacedImage(image.w, image.h, _box(place), alpha < FAINT))

    def fill_image_mask(
        self, _context: Any, image: Any, place: Any, _space: Any, _colour: Any, alpha: float, *_: Any
    ) -> None:
        self.images.append(PlacedImage(image.w, image.h, _box(place), alpha < FAINT))

    def clip_image_mask(self, _context: Any, image: Any, place: Any, *_: Any) -> None:
        self.images.append(PlacedImage(image.w, image.h, _box(place), is_faint=True))


def find_images(shown: Any) -> list[PlacedImage]:
    """Return every use of an image in a pymupdf.DisplayList; masks that only clip count as faint."""
    mupdf = pymupdf.mupdf
    device = _ImageDevice()
    everywhere = mupdf.FzRect(mupdf.FzRect.Fixed_INFINITE)
    mupdf.fz_run_display_list(shown.this, device, mupdf.FzMatrix(), everywhere, mupdf.FzCookie())
    mupdf.fz_close_device(device)
    return device.images


def image_share(images: list[PlacedImage], page: Any) -> float:
    """Return the share of the page's area that lies under images, clipping ignored."""
    covered = np.zeros((COVERAGE_CELLS, COVERAGE_CELLS), bool)
    boxes = np.array([image.box for image in images if not image.is_faint]).reshape(-1, 4)
    origin = np.array([page.x0, page.y0, page.x0, page.y0])
    cell = np.array([page.width, page.height, page.width, page.height]) / COVERAGE_CELLS
    for x0, y0, x1, y1 in np.clip((boxes - origin) / cell, 0, COVERAGE_CELLS).round().astype(int):
        covered[y0:y1, x0:x1] = True
    return float(covered.mean())


def _box(place: Any) -> Box:
    """Return what the unit square becomes under a matrix (a b c d e f)."""
    xs = sorted((0.0, place.a, place.c, place.a + place.c))
    ys = sorted((0.0, place.b, place.d, place.b + place.d))
    return Box(place.e + xs[0], place.f + ys[0], place.e + xs[-1], place.f + ys[-1])
