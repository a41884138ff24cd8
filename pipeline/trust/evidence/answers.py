"""Where a page answers a question with yes or no: words and ticks beside a label."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.data import Verdict
from pipeline.trust.evidence.fold import fold
from pipeline.trust.evidence.labels import Label, Labels
from pipeline.trust.evidence.leaves import Leaf
from pipeline.trust.evidence.page import Piece
from pipeline.trust.evidence.place import Place, Span
from pipeline.trust.evidence.text import PageText

_WORDS = {
    True: frozenset({"yes", "true", "y", "ja", "oui", "si", "sim", "x", "✓", "✔", "☑", "☒", "✗", "✘"}),
    False: frozenset({"no", "false", "n", "nein", "non", "nee", "nao", "☐", "□"}),
}
"""In English, German, Dutch, French, Spanish, Italian and Portuguese, folded; and marks."""

REACH = 3
"""Words beside a label among which its answer is looked for."""


def answers(text: PageText, labels: Labels, leaf: Leaf) -> list[Place]:
    """Return the labels of a field with the answer that it has, label and answer in one place."""
    return [place for label in labels.of(leaf.spec.owner) for place in _answered(text, label, value=bool(leaf.value))]


def _answered(text: PageText, label: Label, *, value: bool) -> Iterator[Place]:
    row = text.page.row_pieces[label.row]
    before, after = row[max(0, label.first - 1) : label.first], row[label.last + 1 : label.last + 1 + REACH]
    named = [Span(piece, 0, len(piece.text)) for piece in row[label.first : label.last + 1]]
    for piece in (*after, *before):
        if _says(piece, _WORDS[not value]):
            return
        if _says(piece, _WORDS[value]):
            spans = sorted([*named, Span(piece, 0, len(piece.text))], key=lambda span: span.piece.place)
            yield Place(tuple(spans), Verdict.NORMALISED)
            return


def _says(piece: Piece, words: frozenset[str]) -> bool:
    return piece.text in words or fold(piece.text) in words
