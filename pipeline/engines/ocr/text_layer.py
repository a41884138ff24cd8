"""When the text that a PDF page carries is better than reading its image, and how it becomes runs."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.data import TextLayer, Word
from pipeline.engines.ocr.rows import Run, around

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

MIN_SIDEWAYS_CHARS = 3
"""Words of fewer letters may be higher than wide on an upright page."""

WIDE_GAP = 0.7
"""Share of the height from which a gap is more than a space; justified prose stays below."""


def is_trustworthy(layer: TextLayer) -> bool:
    """Tell whether the layer's text is what the page shows, upright, as a born-digital page's is."""
    if layer.hidden_share > MAX_HIDDEN_SHARE or layer.unmapped_share > MAX_UNMAPPED_SHARE:
        return False
    if _runs_sideways(layer):
        return False
    num_chars = sum(len(line.text) for line in layer.lines)
    return num_chars >= FULL_PAGE_CHARS or (num_chars > 0 and layer.image_share < SCAN_IMAGE_SHARE)


def has_pictures(layer: TextLayer) -> bool:
    """Tell whether the page may show text that the layer lacks: in a logo, a stamp, a scanned part."""
    return layer.image_share >= MIN_PICTURE_SHARE or sum(len(line.text) for line in layer.lines) < FULL_PAGE_CHARS


def is_whole_page(layer: TextLayer) -> bool:
    """Tell whether nothing on the page need be looked at: the layer can be trusted, and no picture may hold more."""
    return not has_pictures(layer) and is_trustworthy(layer)


def _runs_sideways(layer: TextLayer) -> bool:
    """Tell whether most words run up or down the page; reading the image finds out which."""
    words = [word for line in layer.lines for word in line.words if len(word.text) >= MIN_SIDEWAYS_CHARS]
    tall = sum(word.box.y1 - word.box.y0 > word.box.x1 - word.box.x0 for word in words)
    return tall > len(words) / 2


def layer_runs(layer: TextLayer) -> Iterator[Run]:
    """Yield the layer's lines, cut where they have wide gaps, as a detector would find them.

    A word drawn twice at one place, as for fake bold type or a shadow, comes once.
    """
    seen: set[tuple[str, int, int]] = set()
    for line in layer.lines:
        group: list[Word] = []
        for word in line.words or (Word(line.text, line.box),):
            place = _place(word)
            if place in seen:
                continue
            seen.add(place)
            if group and word.box.x0 - group[-1].box.x1 > WIDE_GAP * (word.box.y1 - word.box.y0):
                yield _run(group)
                group = []
            group.append(word)
        if group:
            yield _run(group)


def _place(word: Word) -> tuple[str, int, int]:
    """Return a key that equal words less than about half their height apart share."""
    unit = max(1.0, (word.box.y1 - word.box.y0) / 2)
    return word.text, round(word.box.x0 / unit), round(word.box.y0 / unit)


def _run(words: list[Word]) -> Run:
    return Run(" ".join(word.text for word in words), around(words), words=tuple(words))
