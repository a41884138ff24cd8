"""Files, and the text that stands on their pages."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import unquote_to_bytes


class Box(NamedTuple):
    """A rectangle in page-image pixels."""

    x0: float
    y0: float
    x1: float
    y1: float


class Word(NamedTuple):
    """One word or text run as it stands on a page."""

    text: str
    box: Box


def utc(seconds: float) -> datetime:
    """Return a file's time, from seconds since 1970; one that no calendar has (tmpfs takes any) as the nearest."""
    return datetime.fromtimestamp(min(max(seconds, _FIRST_S), _LAST_S), UTC)


_FIRST_S, _LAST_S = -62135596800, 253402300799
"""The years 1 to 9999."""


@dataclass(frozen=True, slots=True)
class DocumentRef:
    """A file that was found, not yet opened."""

    uri: str
    """file:///… or s3://…, percent-encoded by bytes, so that any name survives."""
    size_bytes: int
    modified_at: datetime | None

    @property
    def name(self) -> str:
        """What people call it: the path of a local file, else the URI. Not safe to print as it is."""
        return os.fsdecode(unquote_to_bytes(self.uri.removeprefix("file://")))


@dataclass(frozen=True, slots=True)
class Document:
    """A file that was opened: what it is and how many pages it has."""

    ref: DocumentRef
    sha256: str
    media_type: str
    num_pages: int
    flags: tuple[str, ...] = ()
    """What a reader should know: "repaired", "decrypted", "truncated"."""


@dataclass(frozen=True, slots=True)
class TextLine:
    """One line of text read from a page, by OCR or from the text layer."""

    text: str
    box: Box
    confidence: float | None = None
    """Mean recognition score 0..1; None when the source gives none (a text layer)."""
    words: tuple[Word, ...] = ()
    """The line's words left to right; empty when the source gives only lines."""

    def __reduce__(self) -> tuple[type[TextLine], tuple[object, ...]]:
        """Pickle without asking for the fields: pages have dozens of lines."""
        return TextLine, (self.text, self.box, self.confidence, self.words)


@dataclass(frozen=True, slots=True)
class TextLayer:
    """The text a born-digital page carries, and what is needed to decide whether to trust it."""

    lines: tuple[TextLine, ...]
    hidden_share: float
    """Share of characters drawn invisibly (render mode 3), as OCR software writes over scans."""
    unmapped_share: float
    """Share of characters that are U+FFFD, private use or control: fonts without a usable encoding."""
    image_share: float
    """Share of the page area covered by images, 0..1."""
