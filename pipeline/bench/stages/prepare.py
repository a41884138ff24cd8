"""Preparing alone: page images to model inputs on threads, against the model's image processor on as many."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any

from pipeline.bench.stages.measuring import Work
from pipeline.engines.vllm.preparing import Preparing

if TYPE_CHECKING:
    from pipeline.config import VllmConfig
    from pipeline.data import PageRequest


class PrepareStage:
    """Turns page images into what vLLM's engine takes; no model is loaded."""

    name = "prepare"
    reference = "image processor"

    def __init__(
        self, requests: Sequence[PageRequest], config: VllmConfig, instructions: str, *, threads: int, max_pixels: int
    ) -> None:
        """Read the model's configuration.

        Raises:
            EngineStartError: vLLM is not there, or cannot take the model.
        """
        self.processes = threads
        self._requests = requests
        self._numbers = count()
        self._preparing = Preparing(config, instructions, max_pixels)
        self._threads = ThreadPoolExecutor(threads, "prepare-page")

    def work(self) -> Work:
        """Prepare every page, each under a new key: nothing must be found in a cache."""
        requests = [replace(one, image_key=f"{next(self._numbers)}:{one.image_key}") for one in self._requests]
        return self._done(self._preparing.prepare, requests)

    def reference_work(self) -> Work:
        """Have the image processor alone resize, normalise and cut every page image."""
        return self._done(self._preparing.process_image, self._requests)

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown()
        self._preparing.close()

    def _done(self, work: Callable[[PageRequest], Any], requests: Sequence[PageRequest]) -> Work:
        def drop(request: PageRequest) -> int:
            work(request)
            return request.image.pixels.nbytes

        return Work(len(requests), sum(self._threads.map(drop, requests)))
