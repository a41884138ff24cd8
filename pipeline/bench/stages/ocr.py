"""OCR alone: page images through the `ocr` engine, against RapidOCR as it comes in as many processes."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pipeline.bench.stages.measuring import Work
from pipeline.config import OcrConfig
from pipeline.engines.ocr import OcrEngine
from pipeline.errors import ConfigError
from pipeline.workers import WorkerPool

if TYPE_CHECKING:
    from pipeline.data import PageRequest
    from pipeline.engines.base import EngineTask

Pixels = npt.NDArray[np.uint8]


class OcrStage:
    """Reads page images from their pixels; what is read is the same page images for both."""

    name = "ocr"
    reference = "RapidOCR"

    def __init__(self, requests: Sequence[PageRequest], task: EngineTask, config: OcrConfig) -> None:
        """Start the processes.

        Raises:
            ConfigError: there is no page.
        """
        if not requests:
            raise ConfigError("The documents have no page that can be rendered.")
        self.processes = config.workers or len(os.sched_getaffinity(0))
        self._requests = requests
        self._engine = OcrEngine(config.model_copy(update={"workers": self.processes, "text_layer": "never"}), task)
        self._bare: WorkerPool[Pixels, int] = WorkerPool(
            start_rapidocr, num_workers=self.processes, timeout_s=300, name="rapidocr"
        )

    def work(self) -> Work:
        """Read every page image with the engine.

        Raises:
            PageError: one could not be read.
        """
        for generation in self._engine.generate(_Given(self._requests)):
            if generation.error:
                raise generation.error
        return Work(len(self._requests), self._size_bytes)

    def reference_work(self) -> Work:
        """Read every page image with RapidOCR."""
        for future in [self._bare.submit(request.image.pixels) for request in self._requests]:
            future.result()
        return Work(len(self._requests), self._size_bytes)

    def close(self) -> None:
        """End the processes."""
        self._engine.close()
        self._bare.close()

    @property
    def _size_bytes(self) -> int:
        return sum(request.image.pixels.nbytes for request in self._requests)


class _Given:
    """Requests that are all there."""

    def __init__(self, requests: Sequence[PageRequest]) -> None:
        self._left = list(reversed(requests))

    @property
    def exhausted(self) -> bool:
        return not self._left

    def take(self, wait_s: float) -> PageRequest | None:  # noqa: ARG002 - the pages are there already
        return self._left.pop() if self._left else None


def start_rapidocr() -> Callable[[Pixels], int]:
    """Return RapidOCR as it comes, on one thread; each call returns how many runs of text it read."""
    from rapidocr import RapidOCR

    threads: Any = {f"EngineConfig.onnxruntime.{kind}_op_num_threads": 1 for kind in ("intra", "inter")}
    ocr: Any = RapidOCR(params={"Global.log_level": "critical", **threads})

    def read(pixels: Pixels) -> int:
        return len(ocr(pixels[:, :, ::-1]).txts or ())

    return read
