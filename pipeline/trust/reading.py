"""The text of pages whose engine tells none: from their text layers, else by CPU OCR beside the engine."""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import NamedTuple

from pipeline.config import OcrConfig, TrustConfig
from pipeline.data import ImageFacts, PageImage, PageKey, PageTask, TextLayer, TextLine
from pipeline.engines.ocr import (
    RECYCLE_AFTER_PAGES,
    PageOutput,
    is_trustworthy,
    is_whole_page,
    layer_lines,
    start_text_worker,
)
from pipeline.errors import WorkerError
from pipeline.workers import WorkerPool

log = logging.getLogger(__name__)

SHARE_OF_CORES = 2
SPARE_S = 60.0
SPARE_SHARE = 0.1
"""How long a run waits at its end for the text of scans, with `trust.scans = spare`: a minute, or this share of the
time that it has read."""

GRACE_S = 10.0
"""How long a page that is being read may still take once the others are given up: most take one or two seconds, and
whoever stopped the run may soon kill it."""


class PageText(NamedTuple):
    """What was read, and the image it lies on."""

    lines: tuple[TextLine, ...]
    """None where nothing could be read."""
    image: ImageFacts


NO_TEXT = PageText((), ImageFacts())


@dataclass(slots=True)
class _Page:
    image: ImageFacts
    layer: TextLayer | None
    """One that can be trusted."""
    future: Future[PageOutput] | None
    """Of what is read from the image; None where nobody reads it."""


class PageTexts:
    """Reads pages while the engine does. Used by one thread, which closes it.

    Its processes are nice to others: rendering, preparing and the engine itself come first. Memory is bounded by
    `trust.backlog_mb` of images, and by the layers of pages that are on their way.
    """

    def __init__(self, config: TrustConfig, ocr: OcrConfig, *, grace_s: float = GRACE_S) -> None:
        """Start no process before there is a page to read."""
        self._policy = config.scans
        self._most_bytes = config.backlog_mb << 20
        self._bytes = 0
        self._open = partial(
            WorkerPool,
            start_text_worker,
            num_workers=config.workers or max(1, len(os.sched_getaffinity(0)) // SHARE_OF_CORES),
            timeout_s=ocr.timeout_s,
            memory_limit_mb=ocr.memory_limit_mb,
            name="page text",
            recycle_after=RECYCLE_AFTER_PAGES,
        )
        self._pool: WorkerPool[PageImage, PageOutput] | None = None
        self._pages: dict[PageKey, _Page] = {}
        self._arrived: deque[tuple[PageKey, int]] = deque()
        self._given_up = False
        self._grace_s = grace_s
        self._over_at = inf
        self._cannot_start = False
        self._was_told = False
        """Whether the log says that texts are not read; it says so once."""

    @property
    def is_full(self) -> bool:
        """Whether the engine's next pages had better wait: all scans are to be read, and enough of them wait."""
        return self._policy == "all" and self._bytes >= self._most_bytes

    def patience_s(self, reading_s: float) -> float:
        """Return how long the end of a run that has read for so long may wait for what is still to be read."""
        return inf if self._policy == "all" else max(SPARE_S, SPARE_SHARE * reading_s)

    def begin(self, task: PageTask, image: PageImage, wake: Callable[[], None]) -> None:
        """Begin to read a page that goes to the engine; `wake` is called when that is done, if it takes time."""
        if task.key in self._pages:  # it comes again: its engine was replaced, or it is read by itself now
            return
        layer = image.text_layer
        layer = layer if layer and is_trustworthy(layer) else None
        future = None if layer and is_whole_page(layer) else self._submit(task, image, wake)
        self._pages[task.key] = _Page(task.shown, layer, future)

    def of(self, task: PageTask) -> PageText | None:
        """Return the text of a page; None where it is still being read."""
        page = self._pages.get(task.key)
        if page is None:
            return PageText((), task.shown)
        if page.future and not page.future.done():
            return None
        lines = _lines(page.future) if page.future else ()
        if not lines and page.layer:
            lines = layer_lines(page.layer)
        return PageText(lines, page.image)

    def arrived(self) -> Iterator[PageKey]:
        """Yield the pages whose images were read since the last call, or were given up."""
        if self._cannot_start and not self._given_up:
            self.give_up()  # each of the others would try to start a process
        while self._arrived:
            key, size_bytes = self._arrived.popleft()
            self._bytes -= size_bytes
            yield key

    def drop(self, task: PageTask) -> None:
        """Forget a page that has its terminal record."""
        page = self._pages.pop(task.key, None)
        if page and page.future:
            page.future.cancel()

    def give_up(self) -> None:
        """Read no images but those that are being read, nor these if it is called again after a while."""
        now = time.monotonic()
        if not self._given_up:
            self._given_up, self._over_at = True, now + self._grace_s
        for key, page in self._pages.items():
            if page.future and not page.future.cancel() and not page.future.done() and now >= self._over_at:
                page.future = None
                self._arrived.append((key, 0))

    def close(self) -> None:
        """End the processes; a second call does nothing."""
        self._given_up = True
        if self._pool:
            self._pool.close()

    def _submit(self, task: PageTask, image: PageImage, wake: Callable[[], None]) -> Future[PageOutput] | None:
        has_time = self._policy == "all" or (self._policy == "spare" and self._bytes < self._most_bytes)
        if self._given_up or self._cannot_start or not has_time:
            return None
        self._pool = self._pool or self._open()
        self._bytes += image.pixels.nbytes
        future = self._pool.submit(image)
        future.add_done_callback(partial(self._finished, task.key, image.pixels.nbytes, wake))
        return future

    def _finished(self, key: PageKey, size_bytes: int, wake: Callable[[], None], future: Future[PageOutput]) -> None:
        self._arrived.append((key, size_bytes))
        if not future.cancelled() and not self._given_up and (error := future.exception()):
            level = logging.DEBUG if self._was_told else logging.WARNING
            log.log(level, "The text of a scanned page is not read, its values are not checked: %s", error)
            self._was_told = True
            self._cannot_start |= type(error) is WorkerError
        wake()


def _lines(future: Future[PageOutput]) -> tuple[TextLine, ...]:
    return () if future.cancelled() or future.exception() else future.result().lines
