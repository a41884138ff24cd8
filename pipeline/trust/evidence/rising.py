"""One row for each of many, rising."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

_NOTHING = (0.0, 1)


def rising(votes: Sequence[Sequence[tuple[int, float]]]) -> list[int | None]:
    """Return a row for each, rising, so that most speaks for them together; None where none fits.

    The heaviest rising subsequence, by a Fenwick tree of maxima over rows: n log n in all votes. Ties go to the
    earlier.

    Args:
        votes: (row, weight above 0) for each.
    """
    rows = sorted({row for options in votes for row, _ in options})
    tree = [_NOTHING] * (len(rows) + 1)  # weight, and number of a step as 0, -1, ...
    steps: list[tuple[int, int, int]] = []  # whose, row, step before
    for number, options in enumerate(votes):
        found = []
        for row, weight in options:
            at = bisect_left(rows, row)
            best = _best_below(tree, at)
            found.append((at + 1, (best[0] + weight, -len(steps))))
            steps.append((number, row, best[1]))
        for at, entry in found:
            _enter(tree, at, entry)
    chosen: list[int | None] = [None] * len(votes)
    step = max(tree)[1]
    while step <= 0:
        number, row, step = steps[-step]
        chosen[number] = row
    return chosen


def _best_below(tree: Sequence[tuple[float, int]], at: int) -> tuple[float, int]:
    best = _NOTHING
    while at > 0:
        best = max(best, tree[at])
        at -= at & -at
    return best


def _enter(tree: list[tuple[float, int]], at: int, entry: tuple[float, int]) -> None:
    while at < len(tree):
        tree[at] = max(tree[at], entry)
        at += at & -at
