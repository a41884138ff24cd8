"""The OCR engine: RapidOCR's models on all CPU cores, one process of one thread for each."""

from __future__ import annotations

import logging
import os
from collections.abc import Generator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from functools import partial
from importlib.metadata import version

from pipeline.config import OcrConfig
from pipeline.data import EngineMetrics, FinishReason, Generation, PageImage, PageRequest
from pipeline.engines.base import EngineInfo, EngineTask, Requests
from pipeline.engines.ocr.worker import PageOutput, start_worker
from pipeline.errors import (
    EngineError,
    ErrorType,
    GenerationInvalid,
    PageError,
    WorkerCrashedError,
    WorkerError,
    WorkerMemoryError,
    WorkerTimeoutError,
)
from pipeline.workers import WorkerPool

MAX_PIXELS = 1_600_000
"""A4 at 140 dpi. Typescript reads better than at a million (median error .031 against .036), receipts
alike; more pixels gain nothing, as text is found on a smaller copy and read at one height."""

RECYCLE_AFTER_PAGES = 2000
"""An hour or two of a process, against which loading the models, 3 s, is nothing. A process held 633 MB after 40
pages and after 440; this is for what other pages and other versions of the libraries may do."""

IDLE_WAIT_S = 0.05
"""How long an engine that has room waits for the next request, or for a page in flight."""

log = logging.getLogger(__name__)


def describe(config: OcrConfig) -> EngineInfo:
    """Return what an engine with these settings is, without loading it."""
    return EngineInfo(
        engine="ocr",
        model="PP-OCRv6 small",
        revision=f"rapidocr {version('rapidocr')}",
        version=f"onnxruntime {version('onnxruntime')}, text layer {config.text_layer}",
        deterministic=True,
    )


class OcrEngine:
    """Implements engines.base.Engine on the CPU; the models come with RapidOCR, nothing is downloaded."""

    def __init__(self, config: OcrConfig, task: EngineTask) -> None:
        num_workers = config.workers or len(os.sched_getaffinity(0))
        self.info = describe(config)
        self.slots = num_workers
        self.capacity = 2 * num_workers
        self._config = config
        self._pool: WorkerPool[PageImage, PageOutput] = WorkerPool(
            partial(start_worker, config.text_layer, task),
            num_workers=num_workers,
            timeout_s=config.timeout_s,
            memory_limit_mb=config.memory_limit_mb,
            name="ocr",
            recycle_after=RECYCLE_AFTER_PAGES,
        )

    def generate(self, requests: Requests) -> Generator[Generation, None, None]:
        """Yield one generation for each request taken, in the order in which they finish.

        A page that its worker does not survive becomes a generation that failed.

        Raises:
            EngineError: no process can be started; a new engine seldom helps.
        """
        held: dict[Future[PageOutput], PageRequest] = {}
        while True:
            while len(held) < self.capacity and (taken := requests.take(0 if held else IDLE_WAIT_S)):
                held[self._pool.submit(taken.image)] = taken
            if not held and requests.exhausted:
                return
            has_room = len(held) < self.capacity
            done, _ = wait(held, timeout=IDLE_WAIT_S if has_room else None, return_when=FIRST_COMPLETED)
            for future in done:
                yield self._generation(held.pop(future).request_id, future)

    def metrics(self) -> EngineMetrics:
        """Nothing to report."""
        return EngineMetrics()

    def close(self) -> None:
        """End the processes; a second call does nothing."""
        self._pool.close()

    def _generation(self, request_id: str, future: Future[PageOutput]) -> Generation:
        error = future.exception()
        if type(error) is WorkerError:
            raise EngineError(f"OCR processes cannot start: {error}")
        if error is not None:
            log.debug("page not read", exc_info=error)
            return Generation(request_id, "", FinishReason.ERROR, error=self._explained(error))
        output = future.result()
        return Generation(
            request_id,
            output.text,
            FinishReason.STOP,
            decode_s=output.seconds,
            lines=output.lines,
            rotation_deg=output.rotation_deg,
        )

    def _explained(self, error: BaseException) -> PageError:
        """Say what the worker's fate means for the page."""
        match error:
            case PageError():
                return error
            case WorkerTimeoutError():
                limit = f"Not read within {self._config.timeout_s:g} s; raise ocr.timeout_s if the page is honest."
                return GenerationInvalid(ErrorType.ENGINE_TIMEOUT, limit)
            case WorkerMemoryError():
                limit = f"Reading it needs more than {self._config.memory_limit_mb} MB; raise ocr.memory_limit_mb."
                return GenerationInvalid(ErrorType.ENGINE_CRASH, limit)
            case WorkerCrashedError():
                return GenerationInvalid(ErrorType.ENGINE_CRASH, f"The process that read it died: {error}")
        return GenerationInvalid(ErrorType.ENGINE_CRASH, f"Reading it failed: {type(error).__name__}: {error}")
