"""Whether confidences are what they claim to be: of values with confidence 0.9, nine in ten should be right. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.eval.intervals import Estimate, Ratio, estimates

if TYPE_CHECKING:
    from pipeline.eval.scoring import DocumentScore, ScoredValue

BINS = 10
THRESHOLDS = (0.5, 0.7, 0.8, 0.9, 0.95, 0.97, 0.99)


@dataclass(frozen=True, slots=True)
class Bin:
    """Values of similar confidence."""

    low: float
    high: float
    values: int
    confidence: float
    """On average."""
    right: float
    """Share of them."""


@dataclass(frozen=True, slots=True)
class Cut:
    """The values at or above a confidence."""

    threshold: float
    values: int
    share: Estimate
    """Of all values that have a confidence."""
    precision: Estimate | None
    """Share of them that is right; None where there is none."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """How confidences and what was right go together."""

    values: int
    without: int
    """Values that were read and have no confidence."""
    ece: float
    """Expected calibration error: how far confidence and share of right values are apart, on average over values."""
    brier: float
    """Mean squared error of the confidence as a forecast of right (1) or wrong (0)."""
    brier_reference: float
    """The same of one who always says the mean."""
    bins: tuple[Bin, ...]
    cuts: tuple[Cut, ...]
    """At THRESHOLDS and at the setting trust.min_confidence."""


def judged_values(score: DocumentScore) -> Iterator[ScoredValue]:
    """Yield the values that were read and of which it is known whether they are right."""
    return (one for one in score.values if one.is_read and one.is_known)


def clusters_of(scores: Sequence[DocumentScore]) -> list[str]:
    """Return what must be drawn together, of each document."""
    return [score.cluster or score.id for score in scores]


def calibration_of(scores: Sequence[DocumentScore], *, min_confidence: float) -> Calibration | None:
    """Return how confidences turned out; None where no value has one."""
    judged = [[_pair(one) for one in judged_values(score)] for score in scores]
    known = [[pair for pair in pairs if pair is not None] for pairs in judged]
    pairs = [pair for document in known for pair in document]
    if not pairs:
        return None
    mean = sum(is_right for _, is_right in pairs) / len(pairs)
    bins = tuple(_bins(pairs))
    clusters = clusters_of(scores)
    return Calibration(
        values=len(pairs),
        without=sum(map(len, judged)) - len(pairs),
        ece=sum(one.values * abs(one.confidence - one.right) for one in bins) / len(pairs),
        brier=sum((confidence - is_right) ** 2 for confidence, is_right in pairs) / len(pairs),
        brier_reference=mean * (1 - mean),
        bins=bins,
        cuts=tuple(_cut(known, threshold, clusters) for threshold in sorted({*THRESHOLDS, min_confidence})),
    )


def _pair(value: ScoredValue) -> tuple[float, bool] | None:
    if value.evidence is None or value.evidence.confidence is None:
        return None
    return value.evidence.confidence, value.is_right


def _bins(pairs: Iterable[tuple[float, bool]]) -> Iterator[Bin]:
    """Yield bins of equal width that hold anything."""
    members: dict[int, list[tuple[float, bool]]] = {}
    for confidence, is_right in pairs:
        members.setdefault(min(BINS - 1, int(confidence * BINS)), []).append((confidence, is_right))
    for number, inside in sorted(members.items()):
        count = len(inside)
        confidence, right = sum(one for one, _ in inside) / count, sum(one for _, one in inside) / count
        yield Bin(number / BINS, (number + 1) / BINS, count, confidence, right)


def _cut(documents: Sequence[Sequence[tuple[float, bool]]], threshold: float, clusters: Sequence[str]) -> Cut:
    above = [[is_right for confidence, is_right in pairs if confidence >= threshold] for pairs in documents]
    counts = [len(one) for one in above]
    ratios = [Ratio(counts, list(map(len, documents))), Ratio(list(map(sum, above)), counts)]
    share, precision = estimates(ratios, clusters)
    return Cut(threshold, sum(counts), share or Estimate(0), precision)
