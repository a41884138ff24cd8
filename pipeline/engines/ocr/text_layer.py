"""When the text that a PDF page carries is better than reading its image, and how it becomes runs."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.data import TextLayer
from pipeline.engines.ocr.layout import Run

MAX_HIDDEN_SHARE = 0.1
"""Invisible text is what some scanner's OCR made of the image; it says nothing of how well."""

MAX_UNMAPPED_SHARE = 0.02
"""More characters without a meaning than this: fonts that cannot be read back."""

SCAN_IMAGE_SHARE = 0.5
"""Pages whose images cover more than this are scans, unless they carry a page's worth of text."""

FULL_PAGE_CHARS = 200
"""A scan's page number, stamp and archive note stay below; the shortest letters and invoices do not."""

MIN_PICTURE_SHARE = 0.002
"""A logo of 4 x 3 cm on A4 covers 0.02; rules and dots that are images cover less than this."""


def is_trustworthy(layer: TextLayer) -> bool:
    """Tell whether the layer's text is what the page shows, as a born-digital page's is."""
    if layer.hidden_share > MAX_HIDDEN_SHARE or layer.unmapped_share > MAX_UNMAPPED_SHARE:
        return False
    num_chars = sum(len(line.text) for line in layer.lines)
    return num_chars >= FULL_PAGE_CHARS or (num_chars > 0 and layer.image_share < SCAN_IMAGE_SHARE)


def has_pictures(layer: TextLayer) -> bool:
    """Tell whether the page may show text that the layer lacks: in a logo, a stamp, a scanned part."""
    return layer.image_share >= MIN_PICTURE_SHARE or sum(len(line.text) for line in layer.lines) < FULL_PAGE_CHARS


def layer_runs(layer: TextLayer) -> Iterator[Run]:
    """Yield the layer's words, or its lines where it has no words."""
    for line in layer.lines:
        if line.words:
            yield from (Run(word.text, word.box) for word in line.words)
        else:
            yield Run(line.text, line.box)
