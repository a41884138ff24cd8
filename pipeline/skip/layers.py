"""Reads the text layers of born-digital pages on the CPU, in processes beside the engine."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import partial

from pipeline.config import OcrConfig
from pipeline.data import PageImage, PageTask
from pipeline.engines.base import EngineTask
from pipeline.engines.ocr import LayerPage, PageOutput, is_whole_page, start_layer_worker
from pipeline.errors import WorkerError
from pipeline.workers import WorkerPool

log = logging.getLogger(__name__)

SHARE_OF_CORES = 4
"""Rendering, preparation and the engine's own process need the others; a layer takes a few milliseconds."""


class LayerReader:
    """The OCR engine's reading of text layers, without its recognition. Used by one thread, which closes it.

    Holds layers, not images, of the pages that are being read.
    """

    def __init__(self, config: OcrConfig, task: EngineTask) -> None:
        """Start no process before there is a page to read."""
        self._open = partial(
            WorkerPool,
            partial(start_layer_worker, task),
            num_workers=config.workers or max(1, len(os.sched_getaffinity(0)) // SHARE_OF_CORES),
            timeout_s=config.timeout_s,
            memory_limit_mb=config.memory_limit_mb,
            name="text layer",
        )
        self._pool: WorkerPool[LayerPage, PageOutput] | None = None
        self._pending: dict[Future[PageOutput], PageTask] = {}
        self._done: deque[Future[PageOutput]] = deque()
        self._is_broken = False

    @property
    def num_pending(self) -> int:
        """Pages that are being read, or were and are not fetched."""
        return len(self._pending)

    def take(self, task: PageTask, image: PageImage, wake: Callable[[], None]) -> bool:
        """Begin to read a page if its layer says all that the page shows; `wake` is called when that is done."""
        layer = image.text_layer
        if self._is_broken or task.layer_refused or layer is None or not is_whole_page(layer):
            return False
        self._pool = self._pool or self._open()
        future = self._pool.submit(LayerPage(layer, image.width_px, image.height_px))
        self._pending[future] = task
        future.add_done_callback(partial(self._finished, wake))
        return True

    def done(self) -> Iterator[tuple[PageTask, PageOutput | None]]:
        """Yield the pages that were read since the last call; None where that failed."""
        while self._done:
            future = self._done.popleft()
            yield self._pending.pop(future), self._output(future)

    def close(self) -> None:
        """End the processes; a second call does nothing."""
        self._is_broken = True
        if self._pool:
            self._pool.close()

    def _finished(self, wake: Callable[[], None], future: Future[PageOutput]) -> None:
        self._done.append(future)
        wake()

    def _output(self, future: Future[PageOutput]) -> PageOutput | None:
        error = future.exception()
        if error is None:
            return future.result()
        if type(error) is WorkerError and not self._is_broken:
            log.warning("Text layers are not read, the engine reads these pages: %s", error)
            self._is_broken = True
        log.debug("text layer not read", exc_info=error)
        return None
