"""Lets vLLM's CPU build start beside PyPI's CUDA builds of torchvision and its kin, here and in child processes."""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path

_SHIMS = Path(__file__).parent / "cpu_shims"


def prepare_cpu_build() -> None:
    """Change the search paths of this process and of those it will start, before vLLM is imported."""
    if str(_SHIMS) in sys.path:
        return
    others = filter(None, [os.environ.get("PYTHONPATH")])
    os.environ["PYTHONPATH"] = os.pathsep.join([str(_SHIMS), *others])
    sys.path.insert(0, str(_SHIMS))
    runpy.run_path(str(_SHIMS / "sitecustomize.py"))
