"""Scores of documents, summed up: fields, items, texts, verdicts, rules; of all, by kind and by language. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from pipeline.data import Status
from pipeline.eval.calibration import Calibration, calibration_of, clusters_of, judged_values
from pipeline.eval.intervals import Estimate, Ratio, estimates, median_estimate

if TYPE_CHECKING:
    from pipeline.eval.scoring import DocumentScore, ScoredValue

ALL = "all"
UNCHECKED = "not checked"
"""Stands for a verdict where there was no text to hold a value against."""
ANY_RULE = "any rule"
REVIEW = "marked for review"


class Group(NamedTuple):
    """Documents that are summed up together."""

    name: str
    language: str | None
    scores: Sequence[DocumentScore]


@dataclass(frozen=True, slots=True)
class Rates:
    """How many of the values read are right, and how many of those labelled were read right."""

    precision: Estimate | None
    recall: Estimate | None
    f1: Estimate | None


@dataclass(frozen=True, slots=True)
class FieldFigures:
    """How a field, or several together, was read."""

    labelled: int
    read: int
    right: int
    exactly: int
    """Right to the letter."""
    normalised: Rates
    """By the rules of equality."""
    exact: Rates


@dataclass(frozen=True, slots=True)
class ItemFigures:
    """How items of lists were found and read."""

    documents: int
    found: Rates
    right: Rates
    columns: dict[str, FieldFigures]


@dataclass(frozen=True, slots=True)
class TextFigures:
    """How texts were read; error rates have no upper bound."""

    documents: int
    characters: int
    cer_micro: Estimate | None
    """Errors of all documents by their characters."""
    cer_mean: Estimate | None
    cer_median: Estimate | None
    wer_micro: Estimate | None
    wer_median: Estimate | None
    bag: Estimate | None
    bag_alnum: Estimate | None


@dataclass(frozen=True, slots=True)
class VerdictFigures:
    """The values of one verdict."""

    verdict: str
    values: int
    right: int
    precision: Estimate | None


@dataclass(frozen=True, slots=True)
class FlagFigures:
    """What a warning says about records."""

    name: str
    flagged: int
    """Records with this warning."""
    flagged_wrong: int
    """Those of them with a wrong or missing value."""
    wrong: int
    """Records with a wrong or missing value, flagged or not."""
    precision: Estimate | None
    recall: Estimate | None


@dataclass(frozen=True, slots=True)
class Figures:
    """How a group of documents was read."""

    group: str
    """A kind, or ALL."""
    language: str | None
    """None: of all languages."""
    documents: int
    distinct: int
    """Documents that say different things: one printed by several programs, or turned, counts once in intervals."""
    missing: int
    """Documents that the output does not have."""
    failed: int
    pages: int
    pages_failed: int
    fields: dict[str, FieldFigures]
    """Those outside items."""
    all_fields: FieldFigures | None
    all_right: Estimate | None
    """Share of documents all of whose labelled fields outside items are right."""
    items: dict[str, ItemFigures]
    text: TextFigures | None
    verdicts: tuple[VerdictFigures, ...]
    flags: tuple[FlagFigures, ...]
    calibration: Calibration | None


def figures_of(group: Group, *, min_confidence: float) -> Figures:
    """Sum up the scores of a group of documents."""
    scores = group.scores
    names = list(dict.fromkeys(value.field for score in scores for value in score.fields))
    fields = {name: field_figures(scores, of_field(name)) for name in names}
    with_fields = [score for score in scores if score.fields]
    all_right = [Ratio([score.is_all_right for score in with_fields], [1] * len(with_fields))] * bool(with_fields)
    lists = dict.fromkeys(item.name for score in scores for item in score.items)
    return Figures(
        group=group.name,
        language=group.language,
        documents=len(scores),
        distinct=len(set(clusters_of(scores))),
        missing=sum(score.status is None for score in scores),
        failed=sum(score.status is Status.FAILED for score in scores),
        pages=sum(score.pages for score in scores),
        pages_failed=sum(score.pages_failed for score in scores),
        fields=fields,
        all_fields=field_figures(scores, lambda score: score.fields) if names else None,
        all_right=next(iter(estimates(all_right, clusters_of(with_fields))), None),
        items={name: _items(scores, name) for name in lists},
        text=text_figures(scores),
        verdicts=tuple(_verdicts(scores)),
        flags=tuple(_flags(scores)),
        calibration=calibration_of(scores, min_confidence=min_confidence),
    )


def groups(scores: Sequence[DocumentScore]) -> Iterator[Group]:
    """Yield the scores of all documents, of each kind, and of each language of a kind that has several."""
    yield Group(ALL, None, scores)
    for kind, of_kind in _grouped(scores, lambda score: score.kind):
        yield Group(kind, None, of_kind)
        languages = list(_grouped(of_kind, lambda score: score.language))
        if len(languages) > 1:
            yield from (Group(kind, language, chosen) for language, chosen in languages)


def field_figures(
    scores: Sequence[DocumentScore], choose: Callable[[DocumentScore], Iterable[ScoredValue]]
) -> FieldFigures:
    """Sum up some values of each document."""
    counts = [_counts(choose(score)) for score in scores]
    labelled, read, right, exactly = (list(column) for column in zip(*counts, strict=True))
    normalised, exact = _rates([(labelled, read, right), (labelled, read, exactly)], clusters_of(scores))
    return FieldFigures(sum(labelled), sum(read), sum(right), sum(exactly), normalised, exact)


def field_ratio(scores: Sequence[DocumentScore], choose: Callable[[DocumentScore], Iterable[ScoredValue]]) -> Ratio:
    """Return what the F1 score of some values is made of."""
    counts = [_counts(choose(score)) for score in scores]
    return Ratio([2 * right for _, _, right, _ in counts], [labelled + read for labelled, read, _, _ in counts])


def of_field(name: str) -> Callable[[DocumentScore], list[ScoredValue]]:
    """Return what chooses the values of a field."""
    return lambda score: [value for value in score.values if value.field == name]


def text_figures(scores: Sequence[DocumentScore]) -> TextFigures | None:
    """Sum up how texts were read; None where none is labelled."""
    texts = [score.text for score in scores if score.text]
    clusters = clusters_of([score for score in scores if score.text])
    if not texts:
        return None
    ones = [1] * len(texts)
    micro, mean, words, bag, bag_alnum = estimates(
        [
            Ratio([one.character_errors for one in texts], [one.characters for one in texts], is_share=False),
            Ratio([one.cer for one in texts], ones, is_share=False),
            Ratio([one.word_errors for one in texts], [one.words for one in texts], is_share=False),
            Ratio([one.bag for one in texts], ones),
            Ratio([one.bag_alnum for one in texts], ones),
        ],
        clusters,
    )
    medians = [median_estimate(rates, clusters) for rates in ([one.cer for one in texts], [one.wer for one in texts])]
    characters = sum(one.characters for one in texts)
    return TextFigures(len(texts), characters, micro, mean, medians[0], words, medians[1], bag, bag_alnum)


def is_wrong(score: DocumentScore) -> bool:
    """Tell whether a record has a value that is wrong or missing, in items too."""
    return any(value.is_known and not value.is_right for value in score.values)


def _counts(values: Iterable[ScoredValue]) -> tuple[int, int, int, int]:
    labelled = read = right = exactly = 0
    for value in values:
        labelled += value.is_labelled
        read += value.is_read
        right += value.is_right
        exactly += value.is_exact
    return labelled, read, right, exactly


def _rates(
    counts: Sequence[tuple[Sequence[int], Sequence[int], Sequence[int]]], clusters: Sequence[str]
) -> list[Rates]:
    """Args: counts: labelled, read and right values of each document."""
    ratios = []
    for labelled, read, right in counts:
        both = [one + other for one, other in zip(labelled, read, strict=True)]
        ratios += [Ratio(right, read), Ratio(right, labelled), Ratio([2 * one for one in right], both)]
    found = estimates(ratios, clusters)
    return [Rates(*found[start : start + 3]) for start in range(0, len(found), 3)]


def _items(scores: Sequence[DocumentScore], name: str) -> ItemFigures:
    having = [score for score in scores if any(item.name == name for item in score.items)]
    present = [item for score in having for item in score.items if item.name == name]
    labelled, read = [one.labelled for one in present], [one.read for one in present]
    found, right = _rates(
        [(labelled, read, [one.found for one in present]), (labelled, read, [one.right for one in present])],
        clusters_of(having),
    )
    prefix = f"{name}."
    columns = dict.fromkeys(value.field for score in scores for value in score.values if value.field.startswith(prefix))
    return ItemFigures(
        documents=len(present),
        found=found,
        right=right,
        columns={column.removeprefix(prefix): field_figures(scores, of_field(column)) for column in columns},
    )


def _verdicts(scores: Sequence[DocumentScore]) -> Iterator[VerdictFigures]:
    found: dict[str, list[list[bool]]] = {}
    for number, score in enumerate(scores):
        for value in judged_values(score):
            if value.evidence:
                verdict = value.evidence.verdict or UNCHECKED
                found.setdefault(verdict, [[] for _ in scores])[number].append(value.is_right)
    for verdict, documents in sorted(found.items()):
        right, counts = list(map(sum, documents)), list(map(len, documents))
        [precision] = estimates([Ratio(right, counts)], clusters_of(scores))
        yield VerdictFigures(verdict, sum(counts), sum(right), precision)


def _flags(scores: Sequence[DocumentScore]) -> Iterator[FlagFigures]:
    """Yield what breaches and marks for review say, of documents with any labelled value that were read."""
    known = [score for score in scores if score.values and score.status is not None]
    rules = sorted({rule for score in known for rule in score.breaches})
    if rules:
        yield _flag(ANY_RULE, known, [bool(score.breaches) for score in known])
        for rule in rules:
            yield _flag(rule, known, [rule in score.breaches for score in known])
    if any(score.needs_review for score in known):
        yield _flag(REVIEW, known, [score.needs_review for score in known])


def _flag(name: str, scores: Sequence[DocumentScore], flagged: Sequence[bool]) -> FlagFigures:
    wrong = [is_wrong(score) for score in scores]
    both = [one and other for one, other in zip(flagged, wrong, strict=True)]
    precision, recall = estimates([Ratio(both, flagged), Ratio(both, wrong)], clusters_of(scores))
    return FlagFigures(name, sum(flagged), sum(both), sum(wrong), precision, recall)


def _grouped(
    scores: Iterable[DocumentScore], key: Callable[[DocumentScore], str]
) -> Iterable[tuple[str, list[DocumentScore]]]:
    found: dict[str, list[DocumentScore]] = {}
    for score in scores:
        found.setdefault(key(score), []).append(score)
    return sorted(found.items())
