"""Which of the pages that an engine held when it died was the cause."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.data import PageTask

SHARE = 8
"""Each death narrows the pages in flight to an eighth: 256 pages need three engines to find the one at fault,
and no page is read alone that need not be."""


class Suspects:
    """Pages that a dead engine held; until all of them have been read, fewer are in flight at once."""

    def __init__(self) -> None:
        self.most_in_flight: int | None = None
        """None while nothing is suspected."""
        self._number = 0

    def accuse(self, held: Sequence[PageTask]) -> PageTask | None:
        """Suspect the pages that an engine held when it died; return the one that killed it, once that is certain.

        A suspect that an engine held alone when it died was the cause.
        """
        if len(held) == 1 and held[0].suspected:
            self.clear(held[0])
            return held[0]
        for task in held:
            self._number += not task.suspected
            task.suspected = True
        self.most_in_flight = max(1, len(held) // SHARE)
        return None

    def clear(self, task: PageTask) -> None:
        """Suspect a page no longer: it was read, or has failed."""
        if task.suspected:
            task.suspected = False
            self._number -= 1
        if not self._number:
            self.most_in_flight = None
