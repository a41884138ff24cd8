"""How far figures of a sample of documents can be trusted. Pure; the same documents give the same intervals.

Documents are what is drawn, not values: values of one document are right or wrong together. Nor are documents drawn
that are copies of each other, by `clusters`: an invoice that three programs have printed is one draw. Every figure here
is a ratio of two sums over documents; F1, for one, is 2 x right / (labelled + read).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Numbers = npt.NDArray[np.float64]

DRAWS = 2000
SWAPS = 9999
_BLOCK = 200
_LOW, _HIGH = 2.5, 97.5
_Z2 = 1.959964**2
"""Of 95 %, squared."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its 95 % confidence interval."""

    value: float
    low: float | None = None
    """None, as `high`: of one document nothing can be said."""
    high: float | None = None

    def __str__(self) -> str:
        interval = "" if self.low is None or self.high is None else f" [{self.low:.3f}, {self.high:.3f}]"
        return f"{self.value:.3f}{interval}"


class Ratio(NamedTuple):
    """What a figure is made of: two numbers for each document."""

    above: Sequence[float]
    below: Sequence[float]
    is_share: bool = True
    """Whether it lies between 0 and 1."""


def estimates(
    ratios: Sequence[Ratio], clusters: Sequence[str] | None = None, *, seed: int = 0
) -> list[Estimate | None]:
    """Return figures with percentile intervals of a bootstrap over documents; None where a ratio has nothing below.

    Where every draw gives the same, as all or none is right, Wilson's interval for as many documents stands instead:
    30 documents without a fault do not promise that there is none.

    Args:
        clusters: of each document; None: each is its own.
    """
    if not ratios:
        return []
    above, below = (
        _summed(np.array(rows, dtype=np.float64).T, clusters) for rows in zip(*(one[:2] for one in ratios), strict=True)
    )
    drawn = np.concatenate([_divided(weights @ above, weights @ below) for weights in _draws(len(above), seed)])
    return [
        _estimate(drawn[:, number], float(above[:, number].sum()), below[:, number], is_share=ratio.is_share)
        for number, ratio in enumerate(ratios)
    ]


def median_estimate(
    values: Sequence[float], clusters: Sequence[str] | None = None, *, seed: int = 0
) -> Estimate | None:
    """Return the median of one number for each document, with its interval."""
    if not values:
        return None
    numbers = np.array(values, dtype=np.float64)
    names, member_of = np.unique(clusters or list(map(str, range(len(values)))), return_inverse=True)
    if len(names) == 1:
        return Estimate(float(np.median(numbers)))
    medians = [
        float(np.median(np.repeat(numbers, counts[member_of])))
        for weights in _draws(len(names), seed)
        for counts in weights.astype(np.int64)
    ]
    return Estimate(float(np.median(numbers)), *_bounds(np.array(medians)))


@dataclass(frozen=True, slots=True)
class Change:
    """A figure of two readings of the same documents."""

    before: float
    after: float
    difference: Estimate
    p: float
    """How often chance alone makes a difference as large: both readings of each document swapped at random."""


def changes(
    ratios: Sequence[tuple[Ratio, Ratio]], clusters: Sequence[str] | None = None, *, seed: int = 0
) -> list[Change | None]:
    """Return how figures differ between two readings of the same documents, in the same order.

    The interval is that of a bootstrap over documents, both readings of each drawn together; p that of a permutation
    test over documents, two-sided. Clusters are drawn, and swapped, whole.
    """
    found = []
    for before, after in ratios:
        columns = np.array([before.above, before.below, after.above, after.below], dtype=np.float64).T
        found.append(_change(_summed(columns, clusters), seed))
    return found


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for being several (Holm 1979): the chance of any false alarm stays as stated."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    corrected, largest = [1.0] * len(p_values), 0.0
    for rank, number in enumerate(order):
        largest = max(largest, min(1.0, p_values[number] * (len(p_values) - rank)))
        corrected[number] = largest
    return corrected


def _summed(columns: Numbers, clusters: Sequence[str] | None) -> Numbers:
    """Add up the rows of each cluster."""
    if clusters is None:
        return columns
    names, member_of = np.unique(list(clusters), return_inverse=True)
    found = np.zeros((len(names), columns.shape[1]))
    np.add.at(found, member_of, columns)
    return found


def _change(columns: Numbers, seed: int) -> Change | None:
    """Args: columns: above and below before, above and below after."""
    sums = columns.sum(axis=0)
    if not sums[1] or not sums[3]:
        return None
    old, new = float(sums[0] / sums[1]), float(sums[2] / sums[3])
    if np.count_nonzero(columns[:, 1] + columns[:, 3]) == 1:
        return Change(old, new, Estimate(new - old), 1.0)
    drawn = np.concatenate([_difference(weights @ columns) for weights in _draws(len(columns), seed)])
    low, high = _bounds(drawn)
    return Change(old, new, Estimate(new - old, low, high), _p_value(columns, new - old, seed))


def _p_value(columns: Numbers, difference: float, seed: int) -> float:
    if not np.any(columns[:, :2] != columns[:, 2:]):
        return 1.0
    generator = np.random.default_rng(seed + 1)
    swapped = columns[:, [2, 3, 0, 1]] - columns
    extreme = 0
    for start in range(0, SWAPS, _BLOCK):
        swaps = generator.integers(0, 2, size=(min(_BLOCK, SWAPS - start), len(columns))).astype(np.float64)
        found = _difference(columns.sum(axis=0) + swaps @ swapped)
        extreme += int(np.sum(np.abs(found) >= abs(difference) - 1e-12))
    return (extreme + 1) / (SWAPS + 1)


def _difference(sums: Numbers) -> Numbers:
    return _divided(sums[:, 2], sums[:, 3]) - _divided(sums[:, 0], sums[:, 1])


def _draws(clusters: int, seed: int) -> Iterator[Numbers]:
    """Yield how often each cluster is drawn, in blocks of draws: shape (draws, clusters)."""
    generator = np.random.default_rng(seed)
    shares = np.full(clusters, 1 / clusters)
    for _ in range(DRAWS // _BLOCK):
        yield generator.multinomial(clusters, shares, size=_BLOCK).astype(np.float64)


def _divided(above: Numbers, below: Numbers) -> Numbers:
    result = np.full(above.shape, np.nan)
    np.divide(above, below, out=result, where=below != 0)
    return result


def _estimate(drawn: Numbers, above: float, below: Numbers, *, is_share: bool) -> Estimate | None:
    total = float(below.sum())
    if not total:
        return None
    value = above / total
    if np.count_nonzero(below) == 1:
        return Estimate(value)
    if is_share and value in {0.0, 1.0}:
        documents = int(np.count_nonzero(below))
        likely, unlikely = documents / (documents + _Z2), _Z2 / (documents + _Z2)
        return Estimate(1.0, likely, 1.0) if value else Estimate(0.0, 0.0, unlikely)
    return Estimate(value, *_bounds(drawn))


def _bounds(drawn: Numbers) -> tuple[float, float]:
    low, high = np.nanpercentile(drawn, [_LOW, _HIGH])
    return float(low), float(high)
