"""What an engine is started with: settings, card, model and adapter, all of it checked, nothing of it loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipeline.config import MAX_PIXEL_GROWTH, VllmConfig
from pipeline.engines.base import EngineInfo
from pipeline.engines.vllm.cards import Card, detect_gpu
from pipeline.engines.vllm.installed import VllmMissingError, find_installed
from pipeline.engines.vllm.lora import Adapter, find_adapter
from pipeline.engines.vllm.models import ModelSource, find_model
from pipeline.engines.vllm.settings import EngineSettings, resolve_settings
from pipeline.engines.vllm.tuned import Place, apply_profile

SIDE_PX = 56
MIN_PIXELS = SIDE_PX * SIDE_PX
"""The smallest image Qwen2.5-VL takes."""


def find_place(config: VllmConfig) -> Place:
    """Return what a tuned profile for these settings on this machine has to be for.

    Raises:
        EngineStartError: they cannot work here; the message says what to change.
    """
    installed = find_installed()
    card = None if installed.is_cpu else find_card()
    return _place(config, card, find_model(config.model, config.revision), installed.version)


def describe(config: VllmConfig, extraction: str | None = None, window_pages: int = 1) -> EngineInfo:
    """Return what an engine with these settings would be, without loading it; reads at most a config.json.

    Args:
        extraction: whose LoRA adapter is meant, if the configuration has one for it.
        window_pages: that a request shows at most.

    Raises:
        EngineStartError: it could not start; the message says what to change.
    """
    return plan_engine(config, extraction, window_pages).info


@dataclass(frozen=True, slots=True)
class Plan:
    """What an engine would be started with, all of it checked."""

    source: ModelSource
    config: VllmConfig
    """As it was given, with what a tuned profile adds."""
    profile_note: str | None
    settings: EngineSettings
    adapter: Adapter | None
    version: str
    has_random_weights: bool
    window_pages: int

    @property
    def info(self) -> EngineInfo:
        """What stands in every row."""
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


def plan_engine(config: VllmConfig, extraction: str | None, window_pages: int = 1) -> Plan:
    """Return what an engine would be started with; raises what `describe` does.

    Args:
        window_pages: that a request shows at most.
    """
    installed = find_installed()
    card = None if installed.is_cpu else find_card()
    source = find_model(config.model, config.revision)
    place = _place(config, card, source, installed.version)
    config, note = apply_profile(config, place)
    settings = resolve_settings(config, card, source.shape, window_pages)
    adapter = find_adapter(config, extraction) if extraction else None
    is_random = config.load_format == "dummy"
    return Plan(source, config, note, settings, adapter, installed.version, is_random, window_pages)


def _place(config: VllmConfig, card: Card | None, source: ModelSource, version: str) -> Place:
    kv_cache_dtype = resolve_settings(config, card, source.shape).kv_cache_dtype
    return Place.of(card, source.shape, kv_cache_dtype, version, config.tensor_parallel_size)


def find_card() -> Card:
    """Return the GPU.

    Raises:
        VllmMissingError: none is visible.
    """
    card = detect_gpu()
    if card is None:
        raise VllmMissingError("No NVIDIA GPU is visible: check `nvidia-smi` and CUDA_VISIBLE_DEVICES")
    return card


def image_limit(max_pixels: int) -> int:
    """Return the pixels of the largest image of a later try, where the usual ones have `max_pixels`."""
    return int(MAX_PIXEL_GROWTH * max_pixels)


def engine_arguments(plan: Plan, max_pixels: int) -> dict[str, Any]:
    """Return keyword arguments for vLLM's LLM; `engine_args` of the configuration win."""
    return {
        "model": plan.source.location,
        "revision": plan.source.revision,
        "tokenizer_revision": plan.source.revision,
        "load_format": plan.config.load_format,
        "seed": 0,
        **plan.settings.arguments(),
        **(plan.adapter.arguments() if plan.adapter else {}),
        "enable_prefix_caching": True,
        # A video would otherwise enter the profiling run and take memory.
        "limit_mm_per_prompt": {"image": plan.window_pages, "video": 0},
        # transformers drops `max_pixels` in 5.23; both vLLM versions read `size`.
        "mm_processor_kwargs": {"size": {"shortest_edge": MIN_PIXELS, "longest_edge": image_limit(max_pixels)}},
        # Pages never repeat, and the cache has hung (vllm#31404, #43941, #46354).
        "mm_processor_cache_gb": 0,
        # Guidance costs 13-47 us a sequence and step; xgrammar 226 us where the schema has maxLength. Whitespace
        # is a common loop (vllm#38696, #44619), and only the engine as a whole can turn it off.
        "structured_outputs_config": {"backend": "guidance", "disable_any_whitespace": True},
        # Without statistics vLLM gives no times per page.
        "disable_log_stats": False,
        **plan.config.engine_args,
    }
