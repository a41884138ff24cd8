"""Which engine reads the pages of a run."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from pipeline.config import RenderConfig, RunConfig
from pipeline.engines.base import Engine, EngineInfo, EngineTask

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """An engine that is known but not loaded."""

    info: EngineInfo
    open: Callable[[], Engine]
    """Loads the engine; seconds for ocr, minutes for vllm. Raises EngineStartError."""
    max_pixels: int
    """Page size at first tries: the configured one, or what this engine reads best."""
    legible_px: float | None = None
    """Em height that small print keeps where a page is sent smaller than that; None: no page is."""


def choose_engine(config: RunConfig, task: EngineTask) -> EngineChoice:
    """Return the engine that `config` asks for; `auto` is vLLM where a GPU and vLLM are found, else OCR.

    Raises:
        EngineStartError: vLLM is asked for and these settings cannot work here; says what to change.
    """
    return _vllm(config, task) if _wants_vllm(config) else _ocr(config, task)


def legible_px(config: RenderConfig, engine: str) -> float | None:
    """Return the em height down to which pages are made smaller for an engine; None: they keep full size.

    OCR finds text on a copy of one size and reads lines at one height: smaller pages spare it little.
    """
    is_adaptive = engine == "vllm" if config.adaptive == "auto" else config.adaptive == "on"
    return config.legible_px if is_adaptive else None


def _wants_vllm(config: RunConfig) -> bool:
    if config.engine != "auto":
        return config.engine == "vllm"
    from pipeline.engines.vllm import detect_gpu, is_installed

    card = detect_gpu()
    if card and not is_installed():
        log.warning("%s found, but vLLM is not installed: reading with CPU OCR. `make gpu` installs it.", card.name)
    return bool(card) and is_installed()


def _ocr(config: RunConfig, task: EngineTask) -> EngineChoice:
    from pipeline.engines import ocr

    max_pixels = config.render.max_pixels or ocr.MAX_PIXELS
    open_engine = partial(ocr.OcrEngine, config.ocr, task)
    return EngineChoice(ocr.describe(config.ocr), open_engine, max_pixels, legible_px(config.render, "ocr"))


def _vllm(config: RunConfig, task: EngineTask) -> EngineChoice:
    from pipeline.engines import vllm

    max_pixels = config.render.max_pixels or vllm.MAX_PIXELS
    open_engine = partial(vllm.VllmEngine, config.vllm, task, max_pixels)
    info = vllm.describe(config.vllm, task.name, task.window_pages)
    return EngineChoice(info, open_engine, max_pixels, legible_px(config.render, "vllm"))
