"""Which prepared pages enter the engine together, so that a step either fills with prompts or decodes alone.

Pure. A step that mixes one page's prompt with the decoding of others is larger than the captured CUDA graphs,
and every such step is slow; as many prompts as one step takes cost one such step instead of several.
"""

from __future__ import annotations

from collections.abc import Iterable

MOST_SHARE = 2
"""A burst is half of the sequences at most. While it waits for room, half of it is empty on average: one sequence
in a hundred for pages of usual size on a GPU (6 of 256), a fourth of them where few may run."""


def most_pages(tokens: int, *, budget: int, slots: int) -> int:
    """Return how many pages of so many tokens make a full burst; `budget` and `slots` as for burst_size."""
    return max(1, min(budget // max(1, tokens), slots // MOST_SHARE))


def burst_size(tokens: Iterable[int], *, free: int, budget: int, slots: int, more: bool) -> int:
    """Return how many of the prepared pages enter now, from the first one on; 0 while it pays to wait.

    Args:
        tokens: of each page, those that have to be computed; not empty.
        free: sequences that could begin.
        budget: tokens that one step computes beside those of running sequences.
        slots: sequences that may run at once.
        more: whether pages are on their way here; without them nothing is worth waiting for.
    """
    most = most_pages(1, budget=budget, slots=slots)
    size = used = largest = 0
    for count in tokens:
        if size and (used + count > budget or size == most):
            return size if size <= free else 0
        size, used, largest = size + 1, used + count, max(largest, count)
    is_full = size == most or used + largest > budget
    return size if size <= free and (is_full or not more) else 0
