"""The vLLM engine: one loaded model that reads a stream of pages."""

from __future__ import annotations

import logging
import os
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.config import MAX_PIXEL_GROWTH, VllmConfig
from pipeline.data import EngineMetrics, FinishReason, Generation, PageImage, PageRequest, RenderSpec, TrySettings
from pipeline.engines.base import EngineInfo, EngineTask, Requests
from pipeline.engines.vllm.cards import Card, detect_gpu
from pipeline.engines.vllm.core import Core, Prompt
from pipeline.engines.vllm.host import host_memory_limit
from pipeline.engines.vllm.installed import find_installed
from pipeline.engines.vllm.lora import Adapter, find_adapter
from pipeline.engines.vllm.metrics import read_metrics
from pipeline.engines.vllm.models import ModelSource, find_model
from pipeline.engines.vllm.prompt import TRANSCRIPTION, compose_instructions, shared_prefix_tokens
from pipeline.engines.vllm.sampling import Sampler, read_output
from pipeline.engines.vllm.settings import MAX_PIXELS, EngineSettings, resolve_settings
from pipeline.engines.vllm.stream import Stream
from pipeline.engines.vllm.tuned import Place, apply_profile
from pipeline.errors import EngineStartError

log = logging.getLogger(__name__)

AHEAD_SHARE = 0.5
"""Pages held beyond those that run, as a share of them: enough that a finished one is replaced within a
step, few enough for the host's memory (6-11 MiB a page)."""
MAX_THREADS = 12
"""Measured on 16 cores beside a running engine: one thread prepares 19 pages/s, twelve 60."""
SIDE_PX = 56
MIN_PIXELS = SIDE_PX * SIDE_PX
"""The smallest image Qwen2.5-VL takes."""


def find_place(config: VllmConfig) -> Place:
    """Return what a tuned profile for these settings on this machine has to be for.

    Raises:
        EngineStartError: they cannot work here; the message says what to change.
    """
    installed = find_installed()
    card = None if installed.is_cpu else _find_card()
    return _place(config, card, find_model(config.model, config.revision), installed.version)


def describe(config: VllmConfig, extraction: str | None = None) -> EngineInfo:
    """Return what an engine with these settings would be, without loading it; reads at most a config.json.

    Args:
        extraction: whose LoRA adapter is meant, if the configuration has one for it.

    Raises:
        EngineStartError: it could not start; the message says what to change.
    """
    return _plan(config, extraction).info


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
        plan = _plan(config, task.name)
        config = plan.config
        if plan.profile_note:
            log.info(plan.profile_note)
        self.info = plan.info
        self.slots = plan.settings.max_num_seqs
        self.capacity = plan.settings.max_num_seqs + max(2, int(AHEAD_SHARE * plan.settings.max_num_seqs))
        self._image_limit = int(MAX_PIXEL_GROWTH * max_pixels)
        self._host_memory_limit = host_memory_limit(config.host_memory_mb)
        self._page_timeout_s = config.page_timeout_s
        # No longer than a page may take: else the pages of an engine that hangs would each be counted out as slow.
        patience_s = min(config.no_progress_s, config.page_timeout_s)
        self._core = Core(_arguments(config, plan, self._image_limit), plan.settings.environment, patience_s)
        self._threads = ThreadPoolExecutor(config.prepare_threads or _default_threads(), "prepare-page")
        try:
            self._task = self._question(config, task, plan.adapter)
            self._transcription = _Question(self._core.build_prompt(TRANSCRIPTION), Sampler(None, config.logprobs))
            self._rehearse()
        except BaseException:
            self.close()
            raise

    @property
    def shared_prefix_tokens(self) -> int:
        """Prompt tokens that every page after the first takes from the prefix cache."""
        prompt = self._task.prompt
        return shared_prefix_tokens(prompt.token_ids, prompt.image_token_id, self._core.block_size)

    @property
    def process_id(self) -> int:
        """Of the process that runs the model."""
        return self._core.process_id

    def generate(self, requests: Requests) -> Generator[Generation, None, None]:
        """Yield one generation for each request taken, in the order in which they finish.

        Raises:
            EngineError: the engine's process died, or made no token for `no_progress_s` seconds.
        """
        stream = Stream(
            self._core,
            self._threads,
            capacity=self.capacity,
            page_timeout_s=self._page_timeout_s,
            prepare=self._prepare,
            send=self._send,
            read=read_output,
        )
        return stream.run(requests)

    def metrics(self) -> EngineMetrics:
        """Return vLLM's gauges and counters under the names in metrics.py; what its processes hold, and may hold."""
        metrics = read_metrics(self._core.read_metrics())
        metrics.gauges["host_memory_bytes"] = self._core.host_memory_bytes()
        metrics.gauges["host_memory_limit_bytes"] = self._host_memory_limit
        return metrics

    def close(self) -> None:
        """End the engine's processes and release its memory, about 6 s; a second call does nothing."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._core.close()

    def _prepare(self, request: PageRequest) -> Any:
        height_px, width_px = request.image.pixels.shape[:2]
        if height_px * width_px > self._image_limit:
            raise ValueError(
                f"the page image has {width_px} x {height_px} px, the engine was opened for "
                f"{self._image_limit} pixels: lower render.max_pixels"
            )
        return self._core.prepare(self._asked(request).prompt, request.image.pixels, request.image_key)

    def _send(self, request: PageRequest, prepared: Any) -> None:
        asked = self._asked(request)
        self._core.add(request.request_id, prepared, asked.sampler.build(request.settings), asked.lora)

    def _asked(self, request: PageRequest) -> _Question:
        return self._transcription if request.plain_text else self._task

    def _question(self, config: VllmConfig, task: EngineTask, adapter: Adapter | None) -> _Question:
        sampler = Sampler(None if task.plain_text else task.json_schema, config.logprobs)
        prompt = self._core.build_prompt(compose_instructions(task.prompt, sampler.json_schema))
        return _Question(prompt, sampler, adapter.request() if adapter else None)

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


@dataclass(frozen=True, slots=True)
class _Plan:
    """What an engine would be started with, all of it checked."""

    source: ModelSource
    config: VllmConfig
    """As it was given, with what a tuned profile adds."""
    profile_note: str | None
    settings: EngineSettings
    adapter: Adapter | None
    version: str
    has_random_weights: bool

    @property
    def info(self) -> EngineInfo:
        adapter = f"+lora:{self.adapter.identity}" if self.adapter else ""
        # Else what random weights wrote would count as done.
        random = "+random" if self.has_random_weights else ""
        return EngineInfo(
            engine="vllm",
            model=self.source.location,
            revision=f"{self.source.identity}{adapter}{random}",
            version=self.version,
            quantisation=self.source.shape.quantisation,
            kv_cache_dtype=self.settings.kv_cache_dtype,
        )


def _plan(config: VllmConfig, extraction: str | None) -> _Plan:
    installed = find_installed()
    card = None if installed.is_cpu else _find_card()
    source = find_model(config.model, config.revision)
    place = _place(config, card, source, installed.version)
    config, note = apply_profile(config, place)
    settings = resolve_settings(config, card, source.shape)
    adapter = find_adapter(config, extraction) if extraction else None
    return _Plan(source, config, note, settings, adapter, installed.version, config.load_format == "dummy")


def _place(config: VllmConfig, card: Card | None, source: ModelSource, version: str) -> Place:
    kv_cache_dtype = resolve_settings(config, card, source.shape).kv_cache_dtype
    return Place.of(card, source.shape, kv_cache_dtype, version, config.tensor_parallel_size)


def _find_card() -> Card:
    card = detect_gpu()
    if card is None:
        raise EngineStartError(
            "No NVIDIA GPU is visible: check `nvidia-smi` and CUDA_VISIBLE_DEVICES, or read with `--engine ocr`."
        )
    return card


def _default_threads() -> int:
    """Half the cores: the other half renders pages."""
    return min(MAX_THREADS, max(1, len(os.sched_getaffinity(0)) // 2))


def _arguments(config: VllmConfig, plan: _Plan, image_limit: int) -> dict[str, Any]:
    """Return keyword arguments for vLLM's LLM; `engine_args` of the configuration win."""
    return {
        "model": plan.source.location,
        "revision": plan.source.revision,
        "tokenizer_revision": plan.source.revision,
        "load_format": config.load_format,
        "seed": 0,
        **plan.settings.arguments(),
        **(plan.adapter.arguments() if plan.adapter else {}),
        "enable_prefix_caching": True,
        # A video would otherwise enter the profiling run and take memory.
        "limit_mm_per_prompt": {"image": 1, "video": 0},
        # transformers drops `max_pixels` in 5.23; both vLLM versions read `size`.
        "mm_processor_kwargs": {"size": {"shortest_edge": MIN_PIXELS, "longest_edge": image_limit}},
        # Pages never repeat, and the cache has hung (vllm#31404, #43941, #46354).
        "mm_processor_cache_gb": 0,
        # Guidance costs 13-47 us a sequence and step; xgrammar 226 us where the schema has maxLength. Whitespace
        # is a common loop (vllm#38696, #44619), and only the engine as a whole can turn it off.
        "structured_outputs_config": {"backend": "guidance", "disable_any_whitespace": True},
        # Without statistics vLLM gives no times per page.
        "disable_log_stats": False,
        **config.engine_args,
    }
