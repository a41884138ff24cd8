"""Lets vLLM's CPU build start beside PyPI's CUDA builds of torchvision and its kin, here and in child processes."""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path

SHIMS = Path(__file__).parent / "cpu_shims"


def put_shims_first() -> None:
    """Change the search paths of this process and of those it will start."""
    others = filter(None, [os.environ.get("PYTHONPATH")])
    os.environ["PYTHONPATH"] = os.pathsep.join([str(SHIMS), *others])
    sys.path.insert(0, str(SHIMS))
    runpy.run_path(str(SHIMS / "sitecustomize.py"))
