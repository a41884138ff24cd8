"""How many pages to hold beyond those that run, and how many to let run: controlled by what the engine reports.

Pure: it is told figures and the time, and keeps two numbers. The aim is a waiting queue that is never quite
empty when a sequence ends, and not much longer, since a prepared page holds 6-11 MiB. A dry queue costs time
and a long one only memory, so the depth grows by half at once and shrinks by one a second.
"""

from __future__ import annotations

import math

WINDOW_S = 1.0
GROWTH = 0.5
BYTES_PER_PIXEL = 12
"""Of prepared inputs; measured 6 MiB (vLLM 0.32) to 11 MiB (0.25.1) for a page of one megapixel."""
SMOOTHING = 0.3
"""Weight of the newest figure in running means."""
RECOVERY = 4
"""A lowered limit rises by one each time a fourth of its pages have finished without a preemption."""


class Depth:
    """Two numbers for one engine: `depth` and `limit`. Used by one thread."""

    def __init__(self, slots: int, threads: int, *, most: int, max_bytes: int) -> None:
        """Begin with what keeps all threads busy.

        Args:
            slots: sequences that may run at once.
            threads: that prepare pages.
            most: `depth` never exceeds this,
            max_bytes: nor what this holds of pages like those seen.
        """
        self.limit = slots
        """Sequences to let run: all there are, but fewer where their cache did not hold them."""
        self.slots = slots
        self.most_preparing = 2 * threads
        """Pages to hand to the threads at once; one each is being prepared and one is next."""
        self.pages_per_s = 0.0
        """That finish; 0 until the first have."""
        self._most = most
        self._max_bytes = max_bytes
        self._wanted = min(self.most_preparing, most)
        self._page_bytes = self._prepare_s = 0.0
        self._window_at = self._grown_at = -math.inf
        self._lowest: int | None = None
        self._was_full = False
        self._finished = self._unpreempted = 0

    @property
    def depth(self) -> int:
        """Pages to hold beyond those that run: being prepared, held back, or waiting inside the engine."""
        needed = 1 + math.ceil(self.pages_per_s * self._prepare_s)
        fitting = self._max_bytes / self._page_bytes if self._page_bytes else self._most
        return max(1, int(min(max(self._wanted, needed), fitting, self._most)))

    def took(self, pixels: int) -> None:
        """A page of so many pixels is about to be prepared."""
        self._page_bytes = _mean(self._page_bytes, BYTES_PER_PIXEL * pixels)

    def prepared(self, seconds: float) -> None:
        """A page was ready for the engine so long after it was taken."""
        self._prepare_s = _mean(self._prepare_s, seconds)

    def was_full(self) -> None:
        """Pages could have been taken, and only `depth` kept them out."""
        self._was_full = True

    def stepped(self, *, running: int, waiting: int, preempted: int, finished: int, now: float) -> None:
        """Take note of a step of the engine.

        Args:
            running: sequences after the step.
            waiting: prepared pages that do not run, wherever they wait.
            preempted: sequences that lost their place in it.
            finished: pages that ended with it.
            now: seconds, by any clock that does not jump.
        """
        self._finished += finished
        self._lowest = waiting if self._lowest is None else min(waiting, self._lowest)
        self._set_limit(running, preempted, finished)
        # What was taken after the last growth must have had the time to arrive.
        if not waiting and self._was_full and now - self._grown_at > self._prepare_s:
            self._wanted = min(self._most, self.depth + max(1, int(GROWTH * self.depth)))
            self._grown_at, self._was_full = now, False
        if now - self._window_at >= WINDOW_S:
            self._begin_window(now)

    def _begin_window(self, now: float) -> None:
        if self._window_at > -math.inf:
            self.pages_per_s = _mean(self.pages_per_s, self._finished / (now - self._window_at))
        self._wanted -= bool(self._lowest and self._lowest > 1 and self._wanted > 1)
        self._window_at, self._lowest, self._was_full, self._finished = now, None, False, 0

    def _set_limit(self, running: int, preempted: int, finished: int) -> None:
        """A preempted page is computed again from its first token, which costs as much as another page."""
        if preempted:
            self.limit, self._unpreempted = max(1, min(self.limit, running)), 0
            return
        self._unpreempted += finished
        if self.limit < self.slots and RECOVERY * self._unpreempted >= self.limit:
            self.limit, self._unpreempted = self.limit + 1, 0


def _mean(mean: float, value: float) -> float:
    """Return the running mean; the first value stands for itself."""
    return mean + SMOOTHING * (value - mean) if mean else value
