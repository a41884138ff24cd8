"""A tiny random model that vLLM's CPU build can run."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.bench.model_folder import write_model
from pipeline.config import VllmConfig
from pipeline.engines.vllm.cpu_build import prepare_cpu_build


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A Qwen2.5-VL of two layers; engines opened while this lives can run it."""
    with pytest.MonkeyPatch.context() as restored:
        restored.setattr(sys, "path", [*sys.path])
        restored.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
        restored.setenv("TORCHDYNAMO_DISABLE", "1")  # else the CPU build compiles kernels: needs g++, doubles the time
        restored.setenv("OMP_NUM_THREADS", "2")  # of an engine without worker processes nobody else says it
        prepare_cpu_build()
        yield write_model(tmp_path_factory.mktemp("tiny-qwen2.5-vl"))


@pytest.fixture(scope="session")
def tiny_config(tiny_model: Path) -> VllmConfig:
    """Settings under which the tiny model loads in a few seconds of computing."""
    return VllmConfig(
        model=str(tiny_model),
        load_format="dummy",
        max_model_len=8192,
        max_num_seqs=4,
        max_num_batched_tokens=2048,
        engine_args={
            "enforce_eager": True,
            "kv_cache_memory_bytes": 1 << 28,
            # As on one GPU. The CPU build asks for another process with a copy of everything, half a minute a start.
            "distributed_executor_backend": "vllm.v1.executor.uniproc_executor.UniProcExecutor",
        },
    )
