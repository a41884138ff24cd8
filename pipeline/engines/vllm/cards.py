"""The GPU of this machine, found through NVML without starting CUDA."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Card:
    """The first GPU this process may use."""

    name: str
    total_bytes: int
    free_bytes: int
    capability: tuple[int, int]
    """CUDA compute capability: (8, 9) is Ada, (9, 0) is Hopper."""
    count: int = 1
    """GPUs this process may use."""
    can_compile: bool = False
    """Whether nvcc and ninja are there, which FlashInfer needs to compile kernels at first use."""


def detect_gpu() -> Card | None:
    """Return the first GPU that CUDA_VISIBLE_DEVICES leaves visible; None without driver, GPU or pynvml."""
    try:
        pynvml: Any = import_module("pynvml")
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    try:
        handles = _visible_handles(pynvml)
        return _read_card(pynvml, handles) if handles else None
    except pynvml.NVMLError:
        return None
    finally:
        pynvml.nvmlShutdown()


def _visible_handles(nvml: Any) -> list[Any]:
    """NVML lists every GPU; CUDA only those in CUDA_VISIBLE_DEVICES, and none after the first invalid entry."""
    count = nvml.nvmlDeviceGetCount()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(count)]
    handles = []
    for entry in (part.strip() for part in visible.split(",")):
        if entry.isdigit() and int(entry) < count:
            handles.append(nvml.nvmlDeviceGetHandleByIndex(int(entry)))
        elif entry.startswith(("GPU-", "MIG-")):
            handles.append(nvml.nvmlDeviceGetHandleByUUID(entry))
        else:
            break
    return handles


def _read_card(nvml: Any, handles: list[Any]) -> Card:
    memory = nvml.nvmlDeviceGetMemoryInfo(handles[0])
    name = nvml.nvmlDeviceGetName(handles[0])
    major, minor = nvml.nvmlDeviceGetCudaComputeCapability(handles[0])
    return Card(
        name=name.decode() if isinstance(name, bytes) else str(name),
        total_bytes=int(memory.total),
        free_bytes=int(memory.free),
        capability=(int(major), int(minor)),
        count=len(handles),
        can_compile=bool(_find_nvcc() and shutil.which("ninja")),
    )


def _find_nvcc() -> str | None:
    home = Path(os.environ.get("CUDA_HOME", "/usr/local/cuda"))
    return shutil.which("nvcc") or shutil.which("nvcc", path=str(home / "bin"))
