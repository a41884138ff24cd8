"""Where on a page a value may stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.data import Box, Verdict
from pipeline.trust.evidence.page import Page, Piece, Run, around, part_of


@dataclass(frozen=True, slots=True)
class Span:
    """Part of a piece: all of it, unless something is glued to it."""

    piece: Piece
    start: int
    end: int

    @property
    def text(self) -> str:
        """As it is printed."""
        return self.piece.text[self.start : self.end]

    @property
    def flat(self) -> Box:
        """Where it stands."""
        return part_of(self.piece.flat, self.piece.text, self.start, self.end)


@dataclass(frozen=True, slots=True)
class Place:
    """Text on the page that shows a value, more or less."""

    spans: tuple[Span, ...]
    verdict: Verdict
    similarity: float = 1.0
    doubt: float = 0.0
    """What speaks against it by itself: glued to other letters, an unusual way to read it. 0 is nothing, 1 a lot."""

    @property
    def row(self) -> int:
        """Of its first word."""
        return self.spans[0].piece.row

    @property
    def start(self) -> tuple[int, int, int]:
        """Row, piece and character at which it begins; equal for places that are the same."""
        first = self.spans[0]
        return first.piece.row, first.piece.place, first.start

    @property
    def flat(self) -> Box:
        """Around it, on the upright page."""
        return around(span.flat for span in self.spans)

    @property
    def text(self) -> str:
        """As printed; lines below each other are separated by newlines."""
        parts = [self.spans[0].text]
        for before, span in zip(self.spans, self.spans[1:], strict=False):
            parts += ["\n" if span.piece.row != before.piece.row else " ", span.text]
        return "".join(parts)

    def box(self, page: Page) -> Box:
        """Around it, as places were given."""
        return page.box(span.flat for span in self.spans)

    def score(self, page: Page) -> float | None:
        """Least recognition score of its lines."""
        return page.score({span.piece.line for span in self.spans})

    def overlaps(self, other: Place) -> bool:
        """Whether both stand on some letter."""
        return any(a.piece is b.piece and a.start < b.end and b.start < a.end for a in self.spans for b in other.spans)


def spans_of(pieces: Sequence[Piece], start: int, end: int) -> tuple[Span, ...]:
    """Return spans of pieces from character `start` of the first to `end` of the last."""
    last = len(pieces) - 1
    return tuple(
        Span(piece, start if number == 0 else 0, end if number == last else len(piece.text))
        for number, piece in enumerate(pieces)
    )


def spans_in(run: Run, start: int, end: int) -> tuple[Span, ...]:
    """Return the words of a run between characters of its text, words being joined by one space."""
    spans, at = [], 0
    for piece in run.pieces:
        stop = at + len(piece.text)
        if start < stop and at < end:
            spans.append(Span(piece, max(0, start - at), min(len(piece.text), end - at)))
        at = stop + 1
    return tuple(spans)
