"""The feed of pages: it hands control back to the engine whatever becomes of the pages that it goes through."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from made_records import document

from pipeline.data import Document, DocumentRef, PageImage, RenderSpec, TrySettings
from pipeline.feed import PageFeed

SPEC = RenderSpec(784)
FIRST = TrySettings(1, 8, 0.0, constrained=False, render=SPEC)
NUM_PAGES = 1_000_000


class Drawn:
    """Documents of which every page is drawn at once."""

    def open(self, ref: DocumentRef) -> tuple[Document, Path]:
        """Return one long document."""
        del ref
        return document(num_pages=NUM_PAGES), Path("a.pdf")

    def render(self, _: Document, __: Path, page_number: int, ___: TrySettings) -> Future[PageImage]:
        """Return a page that is done."""
        future: Future[PageImage] = Future()
        future.set_result(PageImage(page_number, np.zeros((28, 28, 3), np.uint8), SPEC, 72, None, 0))
        return future


class Nothing:
    """Is told of losses, and says that all pages have to be read."""

    def document_opened(self, _: Document) -> set[int]:
        """Return no page."""
        return set()

    def pages_in_engine(self, *_: object) -> None:
        """Pass it over."""


@dataclass
class Skipping:
    """Takes every page but the first."""

    stop: threading.Event
    stops_after: int = NUM_PAGES
    num_pending: int = 0
    may_return: bool = False
    is_full: bool = False
    taken: list[int] = field(default_factory=list)

    def take(self, task: Any, *_: object) -> bool:
        """Take it."""
        if task.page_number == 1:
            return False
        self.taken.append(task.page_number)
        if len(self.taken) == self.stops_after:
            self.stop.set()
        return True

    def again(self) -> Iterator[Any]:
        """None has to be read after all."""
        return iter(())


@pytest.mark.timeout(20)
@pytest.mark.parametrize("stops_after", [50, NUM_PAGES])
def test_long_stretches_of_skipped_pages_keep_the_feed_neither_from_the_engine_nor_from_a_stop(
    stops_after: int,
) -> None:
    """The thread that goes through blank pages is the one that collects what the engine has read."""
    stop = threading.Event()
    skipping = Skipping(stop, stops_after)
    refs = iter([document(num_pages=NUM_PAGES).ref])
    losses = cast("Any", Nothing())
    feed = PageFeed(refs, Drawn(), losses, FIRST, shortcuts=skipping, stop=stop, ahead_bytes=1 << 20, ahead=8)
    with closing(feed):
        while not (first := feed.take(0.1)):
            pass
        began = time.monotonic()
        for _ in range(3):
            assert feed.take(0) is None
        assert time.monotonic() - began < 1
        assert 0 < len(skipping.taken) < NUM_PAGES - 1
        assert feed.take(0) is None
        assert feed.resolve(first.request_id).page_number == 1
    assert stops_after == NUM_PAGES or len(skipping.taken) == stops_after
