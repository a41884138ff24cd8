"""Finds which way up a page image stands, for engines that cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.errors import WorkerError
from pipeline.workers import WorkerPool

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.data import PageImage

TIMEOUT_S = 60.0


class UprightFinder:
    """OCR's detector in one process, which starts when it is first asked."""

    def __init__(self) -> None:
        self._pool: WorkerPool[PageImage, int] | None = None

    def find(self, image: PageImage) -> int:
        """Return the clockwise turn in degrees that makes the page upright, 0 where that is not to be found out."""
        self._pool = self._pool or WorkerPool(_start, num_workers=1, timeout_s=TIMEOUT_S, name="upright")
        try:
            return self._pool.submit(image).result()
        except WorkerError:
            return 0

    def close(self) -> None:
        """End the process; a second call does nothing."""
        if self._pool:
            self._pool.close()


def _start() -> Callable[[PageImage], int]:
    from pipeline.engines.ocr.read import PageReader

    reader = PageReader()
    return lambda image: reader.find_rotation(image.pixels)
