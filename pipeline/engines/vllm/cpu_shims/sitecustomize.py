"""Lets torchvision's CUDA build import beside a CPU torch, in this process and every child.

PyPI has only the CUDA build; importing it registers fake kernels for two operators that its
missing C++ library would have declared. Declaring them first is enough: nothing calls them.
Python runs this file at start-up when its folder is on PYTHONPATH.
"""

from __future__ import annotations

import importlib.abc
import sys
from importlib.metadata import version


class _DeclareOperatorsFirst(importlib.abc.MetaPathFinder):
    """Declares the operators at the first import of torchvision, so that other processes pay nothing."""

    def find_spec(self, fullname: str, *_: object) -> None:
        if fullname == "torchvision":
            sys.meta_path.remove(self)
            _declare_operators()


def _declare_operators() -> None:
    import torch

    if torch.version.cuda is not None or version("torchvision").endswith("+cpu"):
        return  # they fit: torchvision declares the operators itself
    for name in ("nms", "qnms"):
        torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


sys.meta_path.insert(0, _DeclareOperatorsFirst())
