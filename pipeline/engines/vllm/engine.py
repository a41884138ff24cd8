"""The vLLM engine: one loaded model that reads a stream of pages."""

from __future__ import annotations

import logging
import os
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from pipeline.config import VllmConfig
from pipeline.data import EngineMetrics, FinishReason, Generation, PageImage, PageRequest, RenderSpec, TrySettings
from pipeline.engines.base import EngineTask, Requests
from pipeline.engines.vllm.core import Core, Prompt, prompt_of
from pipeline.engines.vllm.depth import Depth
from pipeline.engines.vllm.host import host_memory_limit
from pipeline.engines.vllm.lora import Adapter
from pipeline.engines.vllm.metrics import NAMES, read_metrics
from pipeline.engines.vllm.prompt import TRANSCRIPTION, compose_instructions, shared_prefix_tokens
from pipeline.engines.vllm.sampling import Sampler, read_output
from pipeline.engines.vllm.settings import MAX_PIXELS
from pipeline.engines.vllm.start import MIN_PIXELS, SIDE_PX, engine_arguments, image_limit, plan_engine
from pipeline.engines.vllm.stream import Handlers, Prepared, Stream
from pipeline.errors import EngineStartError

log = logging.getLogger(__name__)

AHEAD_SHARE = 2
"""Pages held beyond those that run are at most half as many; a memory bound, as Depth finds how many it takes."""
PREPARED_SHARE = 8
"""They take at most an eighth of the host memory that the engine may hold."""
MAX_THREADS = 12
"""Measured on 16 cores beside a running engine: one thread prepares 19 pages/s, twelve 60."""


class VllmEngine:
    """Implements engines.base.Engine with vLLM's in-process `LLM`.

    vLLM runs the model in a process of its own, which `close` ends; a second engine may then
    be opened in this process. After an EngineError only `close` is allowed.
    """

    def __init__(self, config: VllmConfig, task: EngineTask, max_pixels: int = MAX_PIXELS) -> None:
        """Load the model and have it read one blank page: half a minute to several minutes.

        Args:
            max_pixels: usual page size; single images may have up to MAX_PIXEL_GROWTH times as many.

        Raises:
            EngineStartError: the message says what to change.
        """
        plan = plan_engine(config, task.name, task.window_pages)
        config = plan.config
        if plan.profile_note:
            log.info(plan.profile_note)
        self.info = plan.info
        self.slots = plan.settings.max_num_seqs
        self.instructions = compose_instructions(task.prompt, _schema_of(task), window_pages=task.window_pages)
        """The system message of every page."""
        self.arguments = engine_arguments(plan, max_pixels)
        """What vLLM's LLM is given."""
        threads = config.prepare_threads or default_threads()
        ahead = max(2 * threads, self.slots // AHEAD_SHARE)
        self.capacity = self.slots + ahead
        self._image_limit = image_limit(max_pixels)
        self._host_memory_limit = host_memory_limit(config.host_memory_mb)
        self._depth = Depth(self.slots, threads, most=ahead, max_bytes=self._host_memory_limit // PREPARED_SHARE)
        self._config = config
        # No longer than a page may take: else the pages of an engine that hangs would each be counted out as slow.
        patience_s = min(config.no_progress_s, config.page_timeout_s)
        self._core = Core(self.arguments, plan.settings.environment, patience_s)
        self._threads = ThreadPoolExecutor(threads, "prepare-page")
        try:
            sampler = Sampler(_schema_of(task), config.logprobs)
            self._tasks = [
                self._question(self.instructions, sampler, plan.adapter, num_images)
                for num_images in range(1, task.window_pages + 1)
            ]
            """By the number of pages, from one on."""
            self._transcription = self._question(TRANSCRIPTION, Sampler(None, config.logprobs))
            self._rehearse()
        except BaseException:
            self.close()
            raise

    @property
    def shared_prefix_tokens(self) -> int:
        """Prompt tokens that every page after the first takes from the prefix cache."""
        return self._tasks[0].shared_tokens

    @property
    def process_id(self) -> int:
        """Of the process that runs the model."""
        return self._core.process_id

    def generate(
        self, requests: Requests, prepared: Mapping[str, Prepared] | None = None
    ) -> Generator[Generation, None, None]:
        """Yield one generation for each request taken, in the order in which they finish.

        Args:
            prepared: what `prepare` returned, by request id, for pages that were prepared in advance.

        Raises:
            EngineError: the engine's process died, or made no token for `no_progress_s` seconds.
        """
        return Stream(
            self._core,
            self._threads,
            self._depth,
            Handlers(partial(self._prepare, prepared or {}), self._send, self._read),
            page_timeout_s=self._config.page_timeout_s,
            step_tokens=self._core.step_tokens if self._config.admission == "bursts" else None,
        ).run(requests)

    def generate_list(self, requests: Sequence[PageRequest]) -> list[tuple[Generation, float, float]]:
        """Read pages as scripts do, with one call of vLLM's `LLM.generate`; for measuring.

        Returns:
            For each request its generation, and when vLLM queued it and gave its last token, by time.monotonic.
        """
        pages = [(self._asked(request), request) for request in requests]
        outputs = self._core.generate(
            [prompt_of(asked.prompt, request.shown) for asked, request in pages],
            [asked.sampler.build(request.settings) for asked, request in pages],
            [asked.lora for asked, _ in pages],
        )
        return [
            (self._read(request.request_id, output), output.metrics.queued_ts, output.metrics.last_token_ts)
            for request, output in zip(requests, outputs, strict=True)
        ]

    def metrics(self) -> EngineMetrics:
        """Return vLLM's gauges and counters under the names in metrics.py, and those of steps.py.

        Beside them what its processes hold and may hold, pages wanted beyond those that run, and how many may run.
        """
        metrics = read_metrics(self._core.read_metrics(NAMES))
        metrics.counters.update(self._core.steps.counters)
        metrics.gauges["queue_depth"] = self._depth.depth
        metrics.gauges["admit_limit"] = self._depth.limit
        metrics.gauges["host_memory_bytes"] = self._core.host_memory_bytes()
        metrics.gauges["host_memory_limit_bytes"] = self._host_memory_limit
        return metrics

    def close(self) -> None:
        """End the engine's processes and release its memory, about 6 s; a second call does nothing."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._core.close()

    def prepare(self, request: PageRequest) -> Prepared:
        """Return the inputs of a page, or of several, 6-11 MiB per megapixel; 15-50 ms of CPU time each, on any thread.

        Raises:
            ValueError: an image is not acceptable.
        """
        for _, image in request.shown:
            if image.height_px * image.width_px > self._image_limit:
                raise ValueError(
                    f"the page image has {image.width_px} x {image.height_px} px, the engine was opened for "
                    f"{self._image_limit} pixels: lower render.max_pixels"
                )
        asked = self._asked(request)
        inputs = self._core.prepare(asked.prompt, request.shown)
        return Prepared(inputs, new_tokens=len(inputs["prompt_token_ids"]) - asked.shared_tokens)

    def _prepare(self, in_advance: Mapping[str, Prepared], request: PageRequest) -> Prepared:
        return in_advance.get(request.request_id) or self.prepare(request)

    def _send(self, request: PageRequest, prepared: Prepared) -> None:
        asked = self._asked(request)
        self._core.add(request.request_id, prepared.inputs, asked.sampler.build(request.settings), asked.lora)

    def _read(self, request_id: str, output: Any) -> Generation:
        return read_output(self._core.spell, request_id, output)

    def _asked(self, request: PageRequest) -> _Question:
        return self._transcription if request.plain_text else self._tasks[len(request.others)]

    def _question(
        self, instructions: str, sampler: Sampler, adapter: Adapter | None = None, num_images: int = 1
    ) -> _Question:
        prompt = self._core.build_prompt(instructions, num_images)
        shared = shared_prefix_tokens(prompt.token_ids, prompt.image_token_id, self._core.block_size)
        return _Question(prompt, sampler, shared, adapter.request() if adapter else None)

    def _rehearse(self) -> None:
        """Read one blank page: finds a schema or adapter that vLLM refuses, and fills the prefix cache."""
        for result in self.generate(_OneBlankPage()):
            if result.finish_reason is FinishReason.ERROR:
                raise EngineStartError(f"The engine cannot read a blank page with this extraction: {result.error}")


@dataclass(frozen=True, slots=True)
class _Question:
    """What the model is asked about a page."""

    prompt: Prompt
    sampler: Sampler
    shared_tokens: int
    """Of the prompt, those that every page after the first takes from the prefix cache."""
    lora: Any = None


class _OneBlankPage:
    """Requests with a single page in them."""

    exhausted = False

    def take(self, wait_s: float) -> PageRequest | None:  # noqa: ARG002 - the page is there already
        """Return the page, once."""
        if self.exhausted:
            return None
        self.exhausted = True
        spec = RenderSpec(MIN_PIXELS)
        pixels = np.full((SIDE_PX, SIDE_PX, 3), 255, np.uint8)
        image = PageImage(1, pixels, spec, dpi=None, text_layer=None, render_s=0)
        settings = TrySettings(number=1, max_tokens=1, temperature=0, constrained=True, render=spec)
        return PageRequest("rehearsal", "blank page", image, settings)


def _schema_of(task: EngineTask) -> dict[str, Any] | None:
    return None if task.plain_text else task.json_schema


def default_threads() -> int:
    """Return how many threads prepare pages: half the cores, the other half renders pages."""
    return min(MAX_THREADS, max(1, len(os.sched_getaffinity(0)) // 2))
