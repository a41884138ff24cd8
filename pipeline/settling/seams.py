"""Whom settling works with: who says that a run ends, who is told of records, and who reads the text of pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from pipeline.data import PageImage, PageKey, PageRecord, PageTask
from pipeline.trust.reading import PageText


class Stop(Protocol):
    """Says whether a run ends; see feed."""

    def is_set(self) -> bool:
        """Return whether no more pages are to be taken; it stays so."""
        ...


class Listener(Protocol):
    """Who is told of terminal records; see run."""

    def page_settled(self, record: PageRecord) -> None:
        """A page has its terminal record."""
        ...

    def page_skipped(self, record: PageRecord) -> None:
        """A page has its terminal record without the engine."""
        ...


class Texts(Protocol):
    """The text of pages whose engine tells none; see trust.reading.PageTexts."""

    @property
    def is_full(self) -> bool:
        """Whether the engine's next pages had better wait."""
        ...

    def patience_s(self, reading_s: float) -> float:
        """Return how long the end of a run that has read for so long may wait for what is still to be read."""
        ...

    def begin(self, task: PageTask, image: PageImage, wake: Callable[[], None]) -> None:
        """Begin to read a page that goes to the engine; `wake` is called when that is done, if it takes time."""
        ...

    def of(self, task: PageTask) -> PageText | None:
        """Return the text of a page; None where it is still being read."""
        ...

    def arrived(self) -> Iterator[PageKey]:
        """Yield the pages that were read, or given up, since the last call."""
        ...

    def drop(self, task: PageTask) -> None:
        """Forget a page that has its terminal record."""
        ...

    def give_up(self) -> None:
        """Read no images but those that are being read, nor these if it is called again after a while."""
        ...

    def close(self) -> None:
        """End the processes."""
        ...
