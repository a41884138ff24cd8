"""The in-process vLLM engine: Qwen2.5-VL and its relatives on a GPU.

Importing this package is cheap: vLLM itself is imported when an engine is opened.
"""

from __future__ import annotations

from pipeline.capacity import PROFILES
from pipeline.engines.vllm.cards import Card, detect_gpu
from pipeline.engines.vllm.engine import VllmEngine, default_threads
from pipeline.engines.vllm.host import host_memory_limit
from pipeline.engines.vllm.installed import is_installed
from pipeline.engines.vllm.settings import MAX_PIXELS
from pipeline.engines.vllm.start import describe, find_place

__all__ = [
    "MAX_PIXELS",
    "PROFILES",
    "Card",
    "VllmEngine",
    "default_threads",
    "describe",
    "detect_gpu",
    "find_place",
    "host_memory_limit",
    "is_installed",
]
