"""When each page was handed over and answered, and which part of that time is the steady state. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

PARTS = 5
"""Of a window, to tell how much its rate varies."""
MIN_PAGES = 10
"""Fewer answers in a window say nothing about a rate."""


def fewest_pages(width: int) -> int:
    """Return the pages without which there is no steady state where `width` are worked on at once: ramp and tail."""
    return 2 * width + MIN_PAGES


@dataclass(frozen=True, slots=True)
class Answer:
    """One request from handing it over to having its answer; times are of time.monotonic()."""

    document: str
    taken_s: float
    finished_s: float
    prompt_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    is_ok: bool = True

    @property
    def latency_s(self) -> float:
        """From handing over to answer, the time in queues included."""
        return self.finished_s - self.taken_s


class Window(NamedTuple):
    """A span of time.monotonic()."""

    start_s: float
    end_s: float

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.end_s - self.start_s

    def holds(self, at_s: float) -> bool:
        """Return whether a moment lies in it; what happens at its start belongs to what was before."""
        return self.start_s < at_s <= self.end_s


@dataclass(slots=True)
class Timeline:
    """What a feed did."""

    started_s: float
    """When the engine was ready for the first page."""
    ended_s: float = 0.0
    """When all was done: with the pipeline, when the last row was committed."""
    answers: list[Answer] = field(default_factory=list)
    laps: list[float] = field(default_factory=list)
    """When each batch ended, where there are any."""
    unanswered: list[float] = field(default_factory=list)
    """When pages were handed over that had no answer when the feed was cut off."""

    @property
    def whole(self) -> Window:
        """Ramp, steady state and tail."""
        return Window(self.started_s, self.ended_s)

    def steady(self, width: int) -> Window | None:
        """Return the time in which the engine was full and its pages were in all stages; None when there was none.

        It begins when as many pages are done as the engine works on at once, since the first ones are all at the
        same stage at the same time, and ends when fewer than that are left in it. Of batches, which have no such
        time, it is all but the first one.

        Args:
            width: how many pages the engine works on at once.
        """
        if len(self.laps) > 1:
            return Window(self.laps[0], self.laps[-1])
        finished = sorted(answer.finished_s for answer in self.answers)
        if len(finished) < width + MIN_PAGES:
            return None
        window = Window(finished[width - 1], self._full_until(width, finished))
        return window if self.finished_in(window) >= MIN_PAGES else None

    def _full_until(self, width: int, finished: Sequence[float]) -> float:
        taken = sorted([*(answer.taken_s for answer in self.answers), *self.unanswered])
        full = [at_s for number, at_s in enumerate(finished) if bisect_right(taken, at_s) - number >= width]
        return full[-1] if full else finished[0]

    def finished_in(self, window: Window) -> int:
        """Return how many answers came in a window."""
        return sum(window.holds(answer.finished_s) for answer in self.answers)

    def rates(self, window: Window) -> list[float]:
        """Return answers a second in equal parts of a window."""
        length_s = window.seconds / PARTS
        starts = [window.start_s + number * length_s for number in range(PARTS)]
        return [self.finished_in(Window(start_s, start_s + length_s)) / length_s for start_s in starts]

    def document_latencies(self, window: Window) -> list[float]:
        """Return the seconds from a document's first page to its last answer, of those answered in the window."""
        spans: dict[str, Window] = {}
        for answer in self.answers:
            span = spans.get(answer.document, Window(answer.taken_s, answer.finished_s))
            spans[answer.document] = Window(min(span[0], answer.taken_s), max(span[1], answer.finished_s))
        return [span.seconds for span in spans.values() if window.holds(span.end_s)]
