"""Whether a label of a field stands by its value."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache, cached_property, lru_cache
from typing import TYPE_CHECKING

from pipeline.trust.evidence.leaves import Kind, Spec, spec_of

if TYPE_CHECKING:
    from pydantic import BaseModel

    from pipeline.data import Box, TextLine

ROW_OVERLAP = 0.5
"""Share of the lower height that a label and its value have in common."""

HEIGHTS_ABOVE = 2.5
"""How far a label is above its value at most, in heights of the value."""

_NOT_WORD = re.compile(r"[\W_]+")
_TEXTS = frozenset({Kind.TEXT, Kind.PLAIN_TEXT, None})


class PageSupport:
    """A page's text and the labels of a schema."""

    def __init__(self, lines: Sequence[TextLine], model: type[BaseModel]) -> None:
        self._lines = lines
        self._model = model
        self.plain_text_field: str | None = getattr(model, "plain_text_field", None)
        """The field that holds the page's whole text."""

    @cached_property
    def misread_share(self) -> float:
        """1 - mean recognition score of the lines, at most 0.5; 0 where they have none."""
        scores = [line.confidence for line in self._lines if line.confidence is not None]
        return min(1 - sum(scores) / len(scores), 0.5) if scores else 0.0

    def is_text(self, path: str) -> bool:
        """Tell whether a field holds a text: no amount, date, code or choice."""
        spec = _spec_at(self._model, _owner(path))
        return spec is not None and spec.kind in _TEXTS

    def has_label(self, path: str, box: Box) -> bool | None:
        """Tell whether a label of a field stands left of `box` on its row, or right above it.

        None where the field has no labels, or the page no text, and for items of lists: their labels are the heads of
        columns.
        """
        spec = None if "[" in path else _spec_at(self._model, path)
        if spec is None or not spec.labels or not self._lines:
            return None
        pattern = _pattern(spec.labels)
        return any(pattern.search(_spaced(line.text)) for line in self._lines if _is_by(line.box, box))


def _is_by(line: Box, box: Box) -> bool:
    """Whether a line is, at least in part, left of a box on its row, or above it; the line that holds it is."""
    height = box.y1 - box.y0
    overlap = min(line.y1, box.y1) - max(line.y0, box.y0)
    if overlap >= ROW_OVERLAP * min(height, line.y1 - line.y0):
        return line.x0 < box.x1
    gap = box.y0 - line.y1
    return -ROW_OVERLAP * height <= gap <= HEIGHTS_ABOVE * height and line.x0 < box.x1 and box.x0 < line.x1


def _owner(path: str) -> str:
    return re.sub(r"\[\d+\]", "", path)


@lru_cache(maxsize=4096)
def _spec_at(model: type[BaseModel], owner: str) -> Spec | None:
    spec: Spec | None = spec_of(model)
    for name in owner.split("."):
        spec = spec.fields.get(name) if spec else None
    return spec


@cache
def _pattern(labels: tuple[str, ...]) -> re.Pattern[str]:
    """Match any of the labels as whole words of a text that is `_spaced`."""
    texts = sorted({_spaced(label).strip() for label in labels} - {""}, key=len, reverse=True)
    return re.compile(f" (?:{'|'.join(map(re.escape, texts))}) ")


@lru_cache(maxsize=8192)
def _spaced(text: str) -> str:
    """Lower case, words apart by one space, and a space at both ends."""
    return f" {_NOT_WORD.sub(' ', text.casefold())} ".replace("  ", " ")
