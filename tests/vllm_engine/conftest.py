"""A tiny random model, and what makes vLLM's CPU build start beside PyPI's torchvision."""

import os
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from vllm_engine.tiny_model import build_tiny_model

from pipeline.config import VllmConfig

SHIMS = Path(__file__).parent / "cpu_shims"


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A Qwen2.5-VL of two layers; engines opened while this lives can run it on a CPU."""
    search_path = [str(SHIMS), *filter(None, [os.environ.get("PYTHONPATH")])]
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PYTHONPATH", os.pathsep.join(search_path))  # for the engine's processes
        environment.setattr(sys, "path", [str(SHIMS), *sys.path])  # for this one
        runpy.run_path(str(SHIMS / "sitecustomize.py"))
        yield build_tiny_model(tmp_path_factory.mktemp("tiny-qwen2.5-vl"))


@pytest.fixture(scope="session")
def tiny_config(tiny_model: Path) -> VllmConfig:
    """Settings under which the tiny model loads in a few seconds of computing."""
    return VllmConfig(
        model=str(tiny_model),
        load_format="dummy",
        max_model_len=8192,
        max_num_seqs=4,
        max_num_batched_tokens=2048,
        engine_args={"enforce_eager": True, "kv_cache_memory_bytes": 1 << 28},
    )
