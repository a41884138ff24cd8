"""The text layer of a PDF page, with what is needed to decide whether to trust it."""

# mypy: disable-error-code="no-untyped-call"
# pymupdf has no types.

from __future__ import annotations

import unicodedata
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.data import Box, TextLayer, TextLine, Word
from pipeline.render.mupdf import pymupdf

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_WORDS = 100_000
MAX_CHARS = 1_000_000
"""A dense newspaper page has 5,000 words of 30,000 characters. A text layer travels between processes, so
there is a limit; beyond it nobody could read the page, and its text is taken as no text at all and not cut."""

FILLED_OR_STROKED = 16 | 32
"""Bits of MuPDF's char_flags; render mode 3 (ISO 32000-1, table 106) and clipping set neither."""

UNMAPPED_CATEGORIES = frozenset({"Cc", "Cn", "Co", "Cs"})
"""Unicode categories that no printed character has: control, unassigned, private use, surrogate."""

COVERAGE_CELLS = 100
"""Covered area is counted on a grid of this many cells a side, so that overlapping images count once."""

# MuPDF would otherwise put a glyph's number where its font has no encoding, which looks like text.
# Ligatures are left out so that they come as letters.
TEXT_FLAGS = pymupdf.TEXT_MEDIABOX_CLIP | pymupdf.TEXT_PRESERVE_WHITESPACE


def read_text_layer(shown: Any, matrix: Any, image_share: float) -> TextLayer | None:
    """Return the text of a pymupdf.DisplayList in pixels (page coordinates times `matrix`); None when too long."""
    page = pymupdf.TextPage(shown.get_textpage(TEXT_FLAGS))
    words = page.extractWORDS()
    if len(words) > MAX_WORDS or sum(len(word[4]) for word in words) > MAX_CHARS:
        return None
    num_chars = num_hidden = num_unmapped = 0
    for text, char_flags in _spans(page):
        num_chars += len(text)
        num_hidden += 0 if char_flags & FILLED_OR_STROKED else len(text)
        num_unmapped += sum(_is_unmapped(char) for char in text)
    return TextLayer(
        lines=tuple(_lines(words, matrix)),
        hidden_share=num_hidden / max(num_chars, 1),
        unmapped_share=num_unmapped / max(num_chars, 1),
        image_share=image_share,
    )


def image_share(images: list[dict[str, Any]], page: Any) -> float:
    """Return the share of the page's area that lies under images, clipping ignored."""
    covered = np.zeros((COVERAGE_CELLS, COVERAGE_CELLS), bool)
    origin = np.array([page.x0, page.y0, page.x0, page.y0])
    cell = np.array([page.width, page.height, page.width, page.height]) / COVERAGE_CELLS
    for image in images:
        x0, y0, x1, y1 = np.clip((np.array(image["bbox"]) - origin) / cell, 0, COVERAGE_CELLS).round().astype(int)
        covered[y0:y1, x0:x1] = True
    return float(covered.mean())


def _spans(page: Any) -> Iterator[tuple[str, int]]:
    """Yield each run of equally drawn characters, without spaces, and how it is drawn."""
    for block in page.extractDICT()["blocks"]:
        for line in block.get("lines", ()):
            for span in line["spans"]:
                yield "".join(span["text"].split()), span["char_flags"]


def _is_unmapped(char: str) -> bool:
    return char == "\N{REPLACEMENT CHARACTER}" or unicodedata.category(char) in UNMAPPED_CATEGORIES


def _lines(words: list[Any], matrix: Any) -> Iterator[TextLine]:
    for _, group in groupby(words, key=lambda word: (word[5], word[6])):  # block and line number
        line = tuple(Word(word[4], Box(*(pymupdf.Rect(word[:4]) * matrix))) for word in group)
        yield TextLine(" ".join(word.text for word in line), _around([word.box for word in line]), words=line)


def _around(boxes: list[Box]) -> Box:
    x0s, y0s, x1s, y1s = zip(*boxes, strict=True)
    return Box(min(x0s), min(y0s), max(x1s), max(y1s))
