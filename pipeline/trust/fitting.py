"""Weights for confidence from values of which it is known whether they are right.

A logistic regression that begins with the stated weights and leaves them as far as the values say so: a weight of which
they say nothing (no log-probabilities, say) stays what it was. One that few documents would turn round (a broken rule
that makes a value surer) becomes 0. Fitted and tested on different documents.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.trust.confidence import logistic
from pipeline.trust.features import FEATURES, Vector

Array = npt.NDArray[np.float64]

FOLDS = 10
STEPS = 50
"""Newton's method needs less than ten."""

SPREAD = {"not_found": 0.5, "misreading": 4.0, "difference": 4.0, "broken": 4.0, "poor_page": 4.0}
OTHER_SPREAD = 1.0
"""How far a weight may be from the stated one, as a standard deviation, before the values must insist."""

KEEPS_SIGN = frozenset(
    {
        "fuzzy",
        "not_found",
        "difference",
        "misreading",
        "surprise",
        "broken",
        "guessed",
        "confirmed",
        "labelled",
        "poor_page",
        "length",
    }
)
"""Weights of which the sign is certain."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A value that was read."""

    group: str
    """Of documents that are alike; a group is never in the fit and in the test of it."""
    vector: Vector
    """See features."""
    is_right: bool


def fit_weights(samples: Sequence[Sample], prior: Mapping[str, float]) -> dict[str, float]:
    """Return the weights by which the samples are likeliest, held near the stated ones; always the same ones."""
    features = np.array([one.vector for one in samples], dtype=np.float64).reshape(-1, len(FEATURES))
    right = np.array([one.is_right for one in samples], dtype=np.float64)
    stated = np.array([prior[name] for name in FEATURES])
    free = np.ones(len(FEATURES), dtype=bool)
    while True:
        weights = _fitted(features, right, stated, free)
        turned = free & (weights * stated < 0) & np.array([name in KEEPS_SIGN for name in FEATURES])
        if not turned.any():
            return dict(zip(FEATURES, map(float, weights), strict=True))
        free &= ~turned


def _fitted(features: Array, right: Array, stated: Array, free: npt.NDArray[np.bool_]) -> Array:
    """Newton's method on the weights that are `free`; the others are 0."""
    pull = np.array([SPREAD.get(name, OTHER_SPREAD) for name in FEATURES])[free] ** -2.0
    some, centre = features[:, free], stated[free]
    weights = centre.copy()
    for _ in range(STEPS):
        likely = 1 / (1 + np.exp(-np.clip(some @ weights, -30, 30)))
        slope = some.T @ (right - likely) - pull * (weights - centre)
        bend = (some.T * (likely * (1 - likely))) @ some + np.diag(pull)
        step = np.linalg.solve(bend, slope)
        weights = weights + step / max(1.0, float(np.abs(step).max()))
        if np.abs(step).max() < 1e-6:
            break
    whole = np.zeros(len(FEATURES))
    whole[free] = weights
    return whole


def cross_validated(samples: Sequence[Sample], prior: Mapping[str, float], *, folds: int = FOLDS) -> list[float]:
    """Return each sample's probability, in their order, by weights that were fitted without any of its group."""
    found: dict[int, float] = {}
    for fold in range(folds):
        inside = [_fold(one.group, folds) == fold for one in samples]
        rest = [one for one, is_in in zip(samples, inside, strict=True) if not is_in]
        weights = fit_weights(rest, prior)
        for number, (one, is_in) in enumerate(zip(samples, inside, strict=True)):
            if is_in:
                found[number] = probability(weights, one.vector)
    return [found[number] for number in range(len(samples))]


def probability(weights: Mapping[str, float], vector: Vector) -> float:
    """Return the probability that a value with these features is right."""
    return logistic(sum(weights[name] * value for name, value in zip(FEATURES, vector, strict=True)))


def _fold(group: str, folds: int) -> int:
    """Return the same fold for the same group on every machine."""
    return int.from_bytes(hashlib.sha256(group.encode()).digest()[:8]) % folds
