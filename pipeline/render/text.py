"""The text layer of a PDF page, with what is needed to decide whether to trust it."""

# mypy: disable-error-code="no-untyped-call"
# pymupdf has no types.

from __future__ import annotations

import unicodedata
from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

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

# MuPDF would otherwise put a glyph's number where its font has no encoding, which looks like text.
# Ligatures are left out so that they come as letters.
TEXT_FLAGS = pymupdf.TEXT_MEDIABOX_CLIP | pymupdf.TEXT_PRESERVE_WHITESPACE


class Span(NamedTuple):
    """A run of equally drawn characters."""

    text: str
    """Without spaces."""
    em_points: float
    """Font size."""
    is_visible: bool
    length_points: float
    """Along the line."""


class PageText:
    """The text of a page, extracted from its pymupdf.DisplayList once."""

    def __init__(self, shown: Any, image_share: float) -> None:
        self._page = pymupdf.TextPage(shown.get_textpage(TEXT_FLAGS))
        self._image_share = image_share
        self._spans: list[Span] | None = None

    @property
    def spans(self) -> list[Span]:
        """Return all text, in the order in which it is drawn."""
        if self._spans is None:
            self._spans = list(_spans(self._page))
        return self._spans

    def layer(self, scale: float, origin: tuple[float, float]) -> TextLayer | None:
        """Return the text in pixels, which are page coordinates less `origin` times `scale`; None when too long."""
        words = self._page.extractWORDS()
        if len(words) > MAX_WORDS or sum(len(word[4]) for word in words) > MAX_CHARS:
            return None
        num_chars = max(sum(len(span.text) for span in self.spans), 1)
        num_hidden = sum(len(span.text) for span in self.spans if not span.is_visible)
        num_unmapped = sum(_is_unmapped(char) for span in self.spans for char in span.text)
        return TextLayer(
            lines=tuple(_lines(words, scale, origin)),
            hidden_share=num_hidden / num_chars,
            unmapped_share=num_unmapped / num_chars,
            image_share=self._image_share,
        )


def _spans(page: Any) -> Iterator[Span]:
    for block in page.extractDICT()["blocks"]:
        for line in block.get("lines", ()):
            for span in line["spans"]:
                x0, y0, x1, y1 = span["bbox"]
                length = x1 - x0 if abs(line["dir"][0]) > abs(line["dir"][1]) else y1 - y0
                is_visible = bool(span["char_flags"] & FILLED_OR_STROKED)
                yield Span("".join(span["text"].split()), span["size"], is_visible, length)


@lru_cache(maxsize=4096)
def _is_unmapped(char: str) -> bool:
    return char == "\N{REPLACEMENT CHARACTER}" or unicodedata.category(char) in UNMAPPED_CATEGORIES


def _lines(words: list[Any], scale: float, origin: tuple[float, float]) -> Iterator[TextLine]:
    x, y = origin
    for _, group in groupby(words, key=lambda word: (word[5], word[6])):  # block and line number
        line = tuple(
            Word(
                word[4], Box((word[0] - x) * scale, (word[1] - y) * scale, (word[2] - x) * scale, (word[3] - y) * scale)
            )
            for word in group
        )
        yield TextLine(" ".join(word.text for word in line), _around([word.box for word in line]), words=line)


def _around(boxes: list[Box]) -> Box:
    x0s, y0s, x1s, y1s = zip(*boxes, strict=True)
    return Box(min(x0s), min(y0s), max(x1s), max(y1s))
