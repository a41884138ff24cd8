"""Two readings of the same documents, held against each other: what got better, what worse, and what may be chance.

Pure. P-values are those of permutation tests over documents, corrected by Holm for all figures of the comparison.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from pipeline.eval.calibration import clusters_of
from pipeline.eval.figures import field_ratio, of_field
from pipeline.eval.intervals import Change, Ratio, changes, holm

if TYPE_CHECKING:
    from pipeline.eval.scoring import DocumentScore, ScoredValue
    from pipeline.eval.texts import TextScore

SIGNIFICANT = 0.05
CHANGED_CER = 0.01
"""Less is no better and no worse."""


@dataclass(frozen=True, slots=True)
class FigureChange:
    """A figure of a kind of documents, before and after."""

    group: str
    figure: str
    change: Change
    p_corrected: float
    is_better: bool | None
    """None: too little to tell from chance."""


@dataclass(frozen=True, slots=True)
class DocumentChange:
    """A document that was read better or worse."""

    id: str
    kind: str
    values_gained: int
    """Right now and not before, less those that are right no more."""
    fields_better: tuple[str, ...]
    fields_worse: tuple[str, ...]
    cer_change: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two readings of the same documents."""

    documents: int
    left_out: int
    """Documents that only one of the two has scores of."""
    figures: tuple[FigureChange, ...]
    better: tuple[DocumentChange, ...]
    worse: tuple[DocumentChange, ...]


class _Pair(NamedTuple):
    before: DocumentScore
    after: DocumentScore


class _Figure(NamedTuple):
    group: str
    name: str
    ratios: tuple[Ratio, Ratio]
    """Before and after."""
    clusters: Sequence[str]
    more_is_better: bool = True


def compare(before: Sequence[DocumentScore], after: Sequence[DocumentScore]) -> Comparison:
    """Return how two readings of the same documents differ."""
    earlier = {score.id: score for score in before}
    pairs = [_Pair(earlier[score.id], score) for score in after if score.id in earlier]
    figures = list(_figures(pairs))
    found = [changes([one.ratios], one.clusters)[0] for one in figures]
    known = [(one, change) for one, change in zip(figures, found, strict=True) if change]
    corrected = holm([change.p for _, change in known])
    told = [document for document in map(_document, pairs) if document]
    return Comparison(
        documents=len(pairs),
        left_out=len(before) + len(after) - 2 * len(pairs),
        figures=tuple(_told(one, change, p) for (one, change), p in zip(known, corrected, strict=True)),
        better=tuple(sorted((one for one in told if _gain(one) > 0), key=_gain, reverse=True)),
        worse=tuple(sorted((one for one in told if _gain(one) < 0), key=_gain)),
    )


def _figures(pairs: Sequence[_Pair]) -> Iterator[_Figure]:
    kinds: dict[str, list[_Pair]] = {}
    for pair in pairs:
        kinds.setdefault(pair.after.kind, []).append(pair)
    for kind, chosen in sorted(kinds.items()):
        yield from _field_figures(kind, [pair.before for pair in chosen], [pair.after for pair in chosen])
        yield from _text_figures(kind, chosen)


def _field_figures(kind: str, before: list[DocumentScore], after: list[DocumentScore]) -> Iterator[_Figure]:
    def fields(score: DocumentScore) -> Sequence[ScoredValue]:
        return score.fields

    clusters = clusters_of(after)
    yield _Figure(kind, "all fields, F1", (field_ratio(before, fields), field_ratio(after, fields)), clusters)
    yield _Figure(kind, "documents with all fields right", (_all_right(before), _all_right(after)), clusters)
    for name in dict.fromkeys(value.field for score in (*before, *after) for value in score.values):
        ratios = field_ratio(before, of_field(name)), field_ratio(after, of_field(name))
        yield _Figure(kind, f"{name}, F1", ratios, clusters)


def _all_right(scores: Sequence[DocumentScore]) -> Ratio:
    has_fields = [bool(score.fields) for score in scores]
    return Ratio([score.is_all_right and known for score, known in zip(scores, has_fields, strict=True)], has_fields)


def _text_figures(kind: str, pairs: Sequence[_Pair]) -> Iterator[_Figure]:
    texts = [(old.text, new.text) for old, new in pairs if old.text and new.text]
    clusters = clusters_of([new for old, new in pairs if old.text and new.text])
    if texts:
        before, after = zip(*texts, strict=True)
        yield _Figure(kind, "characters wrong", (_errors(before), _errors(after)), clusters, more_is_better=False)
        yield _Figure(kind, "words read", (_words(before), _words(after)), clusters)


def _errors(texts: Sequence[TextScore]) -> Ratio:
    return Ratio([text.character_errors for text in texts], [text.characters for text in texts], is_share=False)


def _words(texts: Sequence[TextScore]) -> Ratio:
    return Ratio([text.bag_alnum for text in texts], [1] * len(texts))


def _told(figure: _Figure, change: Change, p: float) -> FigureChange:
    is_better = (change.difference.value > 0) is figure.more_is_better if p < SIGNIFICANT else None
    return FigureChange(figure.group, figure.name, change, p, is_better)


def _document(pair: _Pair) -> DocumentChange | None:
    """Return what changed in a document; None when nothing did that counts."""
    old, new = _right(pair.before), _right(pair.after)
    names = sorted(old.keys() | new.keys())
    better = tuple(name for name in names if new.get(name, 0) > old.get(name, 0))
    worse = tuple(name for name in names if new.get(name, 0) < old.get(name, 0))
    texts = pair.before.text, pair.after.text
    cer = texts[1].cer - texts[0].cer if texts[0] and texts[1] else 0.0
    if not better and not worse and abs(cer) < CHANGED_CER:
        return None
    gained = sum(new.values()) - sum(old.values())
    return DocumentChange(pair.after.id, pair.after.kind, gained, better, worse, cer)


def _right(score: DocumentScore) -> dict[str, int]:
    """Return how many values of each field are right, less those that were invented."""
    found: dict[str, int] = {}
    for value in score.values:
        invented = value.is_read and value.is_known and not value.is_labelled and not value.is_right
        found[value.field] = found.get(value.field, 0) + value.is_right - invented
    return found


def _gain(change: DocumentChange) -> float:
    cer = change.cer_change if abs(change.cer_change) >= CHANGED_CER else 0.0
    return change.values_gained or -cer
