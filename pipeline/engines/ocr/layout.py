"""Puts the text runs of a page into reading order: columns one after another, rows kept together."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import fmean

from pipeline.data import TextLine, Word
from pipeline.engines.ocr.columns import split_columns
from pipeline.engines.ocr.rows import Piece, Run, around, page_slope


def reading_order(runs: Iterable[Run]) -> tuple[TextLine, ...]:
    """Return the rows of the page's columns in reading order; runs without text are dropped."""
    kept = [run for run in runs if run.text.strip()]
    slope = page_slope(kept)
    rows = (row for column in split_columns([Piece(run, slope) for run in kept]) for row in column)
    return tuple(_text_line([piece.run for piece in row]) for row in rows)


def _text_line(runs: list[Run]) -> TextLine:
    scores = [run.score for run in runs if run.score is not None]
    words = [word for run in runs for word in run.words or (Word(run.text.strip(), run.box),)]
    return TextLine(
        text=" ".join(run.text.strip() for run in runs),
        box=around([Word(run.text, run.box) for run in runs]),
        confidence=fmean(scores) if scores else None,
        words=tuple(words),
    )
