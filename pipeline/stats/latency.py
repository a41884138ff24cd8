"""Latencies in bounded memory: counts in buckets that grow by a fixed share."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_GROWTH = 1.02
"""Bucket width; a percentile is off by at most 1 %."""
_SHORTEST_S = 0.001
_LONGEST_S = 7 * 24 * 3600.0
"""With these three there are 1,020 buckets at most."""


class LatencyHistogram:
    """How many pages took how long."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()

    def add(self, seconds: float) -> None:
        """Count one page."""
        bounded = min(max(seconds, _SHORTEST_S), _LONGEST_S)
        self._counts[math.ceil(math.log(bounded / _SHORTEST_S, _GROWTH) - 1e-9)] += 1

    def update(self, other: LatencyHistogram) -> None:
        """Count the pages of another one."""
        self._counts.update(other._counts)

    def buckets(self) -> tuple[tuple[float, int], ...]:
        """Return (upper bound in seconds, pages) of the buckets that are not empty, shortest first."""
        return tuple((_SHORTEST_S * _GROWTH**index, self._counts[index]) for index in sorted(self._counts))


def merged(histograms: Iterable[Iterable[tuple[float, int]]]) -> tuple[tuple[float, int], ...]:
    """Return one histogram from several with the same buckets."""
    total: Counter[float] = Counter()
    for histogram in histograms:
        for upper_s, pages in histogram:
            total[upper_s] += pages
    return tuple(sorted(total.items()))


def percentile(buckets: tuple[tuple[float, int], ...], share: float) -> float | None:
    """Return the time within which `share` (0..1) of the pages were done; None without pages.

    Nearest rank: the smallest time that at least `share` of the pages did not pass.
    """
    rank = math.ceil(share * sum(pages for _, pages in buckets))
    for upper_s, reached in _running(buckets):
        if reached >= rank:
            # The middle of the bucket halves the error of its bounds.
            return upper_s / math.sqrt(_GROWTH)
    return None


def _running(buckets: Iterable[tuple[float, int]]) -> Iterator[tuple[float, int]]:
    reached = 0
    for upper_s, pages in buckets:
        reached += pages
        yield upper_s, reached
