"""Which documents a run still takes: as many as can be done by its deadline, and as its page budget allows.

Knows neither documents nor engines: it is asked with page counts, and it reads the run's tally.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from pipeline.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

SLACK = 1.15
"""Time that the last pages of a run take over what the mean rate says: they no longer fill the engine."""
COMMIT_S = 5.0
"""Time for closing and uploading the last shard."""
TRUSTED_AFTER_S = 30.0
"""Seconds of reading after which the run's own rate counts more than the one that was expected."""
MOST_PASSED_OVER = 100
"""Documents in a row that are opened, which fetches them, and found too long for what is left of the night."""


class Admission:
    """Closes when the deadline is near or the budget is used up; once closed, no further document is opened.

    A document that would not be done in time is carried over, and shorter ones are still
    taken, if one is soon found. The first one is taken whatever its length: its pages outlive the run in the
    journal, so that no document is too long for every night.
    """

    def __init__(
        self,
        tally: Tally,
        stop: threading.Event,
        *,
        deadline_at: datetime | None = None,
        page_budget: int | None = None,
        expected_pages_per_s: float | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Read the clock by `now`.

        Args:
            stop: somebody else's wish to end the run.
            expected_pages_per_s: from earlier runs; without it, everything is taken until the run has its own rate.
        """
        self.deadline_at = deadline_at
        self.closed_by: str | None = None
        """What ended or narrowed the run: "deadline" or "page budget"."""
        self.expected_pages_per_s = expected_pages_per_s
        self.pages_in_engine = 0
        self._tally = tally
        self._stop = stop
        self.page_budget = page_budget
        self._now = now
        self._pages_taken = self._documents_taken = self._passed_over = 0

    def limited(self, refs: Iterable[T]) -> Iterator[T]:
        """Yield what may still be opened."""
        for ref in refs:
            if self._passed_over >= MOST_PASSED_OVER or not self._has_room_for(1):
                return
            yield ref

    def admits(self, num_pages: int) -> bool:
        """Tell whether a document of `num_pages` may be read, and count it if so."""
        if self._documents_taken and not self._has_room_for(num_pages):
            self._passed_over += 1
            return False
        self._passed_over = 0
        self._documents_taken += 1
        self._pages_taken += num_pages
        return True

    def need_not_be_read(self, num_pages: int) -> None:
        """Give back what was counted for pages that an earlier reading has."""
        self._pages_taken -= num_pages

    def is_set(self) -> bool:
        """Tell whether the engine gets no more pages; what threading.Event calls it."""
        return self._stop.is_set() or self._is_last_minute()

    def _has_room_for(self, num_pages: int) -> bool:
        if self.page_budget is not None and self._pages_taken + num_pages > self.page_budget:
            self.closed_by = self.closed_by or "page budget"
            return False
        if self._time_left_s() < self._time_for(self._tally.pages_left + num_pages):
            self.closed_by = "deadline"
            return False
        return True

    def _is_last_minute(self) -> bool:
        """Whether the pages that the engine holds take all the time that is left."""
        if self.deadline_at is None or self._time_left_s() > self._time_for(self.pages_in_engine):
            return False
        self.closed_by = "deadline"
        return True

    def _time_left_s(self) -> float:
        return (self.deadline_at - self._now()).total_seconds() if self.deadline_at else float("inf")

    def _time_for(self, num_pages: int) -> float:
        """Return seconds for reading and committing so many pages; a page's own latency is rate times pages held."""
        own = self._tally.pages_per_s if self._tally.reading_s >= TRUSTED_AFTER_S else None
        rate = own or self.expected_pages_per_s
        return COMMIT_S + (SLACK * num_pages / rate if rate else 0.0)
