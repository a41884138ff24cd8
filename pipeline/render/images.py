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

UNCHANGED = pymupdf.mupdf.FzMatrix()
EVERYWHERE = pymupdf.mupdf.FzRect(pymupdf.mupdf.FzRect.Fixed_INFINITE)


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
    mupdf.fz_run_display_list(shown.this, device, UNCHANGED, EVERYWHERE, mupdf.FzCookie())
    mupdf.fz_close_device(device)
    return device.images


def declared_sizes(pdf: Any, page_index: int) -> list[tuple[int, int]]:
    """Return width and height of the images among a page's resources, those of its forms included.

    `get_page_images` of a pymupdf.Document looks at more of each image.

    Args:
        pdf: A mupdf.PdfDocument.
    """
    mupdf = pymupdf.mupdf
    resources, objects = mupdf.PDF_ENUM_NAME_Resources, mupdf.PDF_ENUM_NAME_XObject
    page = mupdf.pdf_lookup_page_obj(pdf, page_index)
    waiting = [mupdf.pdf_dict_get(mupdf.pdf_dict_get_inheritable(page, resources), objects)]
    visited: set[int] = set()
    sizes = []
    while waiting:
        held = waiting.pop()
        for index in range(mupdf.pdf_dict_len(held)):
            one = mupdf.pdf_dict_get_val(held, index)
            number = mupdf.pdf_to_num(one)
            if not number or number in visited:  # not a stream, then, and never drawn
                continue
            visited.add(number)
            if mupdf.pdf_to_name(mupdf.pdf_dict_get(one, mupdf.PDF_ENUM_NAME_Subtype)) == "Image":
                sizes.append((_side(one, "Width", "W"), _side(one, "Height", "H")))
            else:
                waiting.append(mupdf.pdf_dict_get(mupdf.pdf_dict_get(one, resources), objects))
    return sizes


def image_share(images: list[PlacedImage], page: Any) -> float:
    """Return the share of the page's area that lies under images, clipping ignored."""
    covered = np.zeros((COVERAGE_CELLS, COVERAGE_CELLS), bool)
    boxes = np.array([image.box for image in images if not image.is_faint]).reshape(-1, 4)
    origin = np.array([page.x0, page.y0, page.x0, page.y0])
    cell = np.array([page.width, page.height, page.width, page.height]) / COVERAGE_CELLS
    for x0, y0, x1, y1 in np.clip((boxes - origin) / cell, 0, COVERAGE_CELLS).round().astype(int):
        covered[y0:y1, x0:x1] = True
    return float(covered.mean())


def _side(image: Any, name: str, abbreviation: str) -> int:
    mupdf = pymupdf.mupdf
    side = mupdf.pdf_dict_geta(image, pymupdf.PDF_NAME(name), pymupdf.PDF_NAME(abbreviation))
    return int(mupdf.pdf_to_int(side))


def _box(place: Any) -> Box:
    """Return what the unit square becomes under a matrix (a b c d e f)."""
    xs = sorted((0.0, place.a, place.c, place.a + place.c))
    ys = sorted((0.0, place.b, place.d, place.b + place.d))
    return Box(place.e + xs[0], place.f + ys[0], place.e + xs[-1], place.f + ys[-1])
