"""What is measured on: a GPU as it is, or vLLM's CPU build with cores of its own and a tiny model."""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.bench.model_folder import TINY, write_model
from pipeline.capacity import PROFILES
from pipeline.config import VllmConfig
from pipeline.engines.vllm.cpu_build import prepare_cpu_build
from pipeline.engines.vllm.installed import find_installed
from pipeline.engines.vllm.start import find_card

TINY_WORDS = replace(TINY, vocabulary=1024)
"""With room for the words of a prompt."""
ENGINE_PROCESS = "VLLM::EngineCor"
"""As the kernel keeps the name: 15 letters."""
TINY_SETTINGS = {"max_model_len": 8192, "max_num_batched_tokens": 2048, "load_format": "dummy"}
TINY_ENGINE_ARGS = {"enforce_eager": True, "kv_cache_memory_bytes": 1 << 28}


@dataclass(frozen=True, slots=True)
class Host:
    """Where vLLM runs."""

    device: str
    """As a GPU's driver names it."""
    is_cpu: bool
    engine_cores: frozenset[int] = frozenset()
    """For vLLM's engine process, which drives the model; none: wherever there is room."""

    def model_for(self, config: VllmConfig, scratch: Path, known_text: str) -> VllmConfig:
        """Return settings under which the model can be loaded here.

        Profiles with random weights become folders of the real dimensions, so that nothing is downloaded; on vLLM's
        CPU build a tiny model stands for whatever was asked.
        """
        if self.is_cpu:
            folder = write_model(scratch / "model", TINY_WORDS, known_text=known_text)
            changes = TINY_SETTINGS | {name: getattr(config, name) for name in config.model_fields_set}
            changes |= {"model": str(folder), "load_format": "dummy"}
            return config.model_copy(update=changes | {"engine_args": TINY_ENGINE_ARGS | config.engine_args})
        profile = PROFILES.get(config.model.lower())
        if profile and config.load_format == "dummy":
            folder = write_model(scratch / "model", profile.shape, known_text=known_text)
            return config.model_copy(update={"model": str(folder), "revision": None})
        return config


def find_host() -> Host:
    """Return where vLLM runs; on its CPU build, give it half of the cores and this process the others.

    So the model has a device of its own, as it has on a GPU, and rendering takes nothing from it. Must be called
    before vLLM is imported.

    Raises:
        EngineStartError: vLLM is not installed, or its GPU build is and no GPU is visible.
    """
    installed = find_installed()
    if not installed.is_cpu:
        return Host(find_card().name, is_cpu=False)
    prepare_cpu_build()
    os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")  # else kernels are compiled, which takes g++ and minutes
    cores = sorted(os.sched_getaffinity(0))
    ours, engines = cores[: len(cores) // 2], cores[len(cores) // 2 :]
    if not ours:
        return Host("CPU, 1 core", is_cpu=True)
    # The engine waits for the model by spinning: on one core they would take the time from each other.
    models = engines[1:] or engines
    os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", ",".join(map(str, models)))
    os.sched_setaffinity(0, ours)
    shares = f"the model {len(models)}, its engine 1, all else {len(ours)}"
    return Host(f"CPU of {len(cores)} cores ({shares})", is_cpu=True, engine_cores=frozenset(engines[:1]))


def bind_engines(cores: Collection[int]) -> None:
    """Have the engine processes below this one run on these cores; on none means wherever there is room."""
    import psutil

    for process in psutil.Process().children(recursive=True) if cores else ():
        with suppress(psutil.NoSuchProcess, ProcessLookupError):
            if ENGINE_PROCESS in process.name():
                for thread in process.threads():
                    os.sched_setaffinity(thread.id, cores)
