"""Finds which way up a page image stands, for engines that cannot."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from pipeline.workers import WorkerPool

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.data import PageImage

TIMEOUT_S = 60.0

log = logging.getLogger(__name__)


class UprightFinder:
    """OCR's detector in one process, which starts when it is first asked."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pool: WorkerPool[PageImage, int] | None = None
        self._closed = False

    def find(self, image: PageImage) -> int:
        """Return the clockwise turn in degrees that makes the page upright, 0 where that is not to be found out."""
        with self._lock:
            if self._closed:
                return 0
            self._pool = self._pool or WorkerPool(_start, num_workers=1, timeout_s=TIMEOUT_S, name="upright")
        try:
            return self._pool.submit(image).result()
        except Exception as error:  # the page is read as it stands, and fails there if it must
            log.debug("page not turned", exc_info=error)
            return 0

    def close(self) -> None:
        """End the process, also under a `find` that waits for it; no other starts, and a second call does nothing."""
        with self._lock:
            self._closed = True
        if self._pool:
            self._pool.close()


def _start() -> Callable[[PageImage], int]:
    from pipeline.engines.ocr.read import PageReader

    reader = PageReader()
    return lambda image: reader.find_rotation(image.pixels)
