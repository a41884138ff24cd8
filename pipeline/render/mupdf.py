"""PyMuPDF, without the layout models that it loads when they are installed.

They cost each render worker 1.5 s and 100 MB, and under a memory limit below 800 MB their ONNX
Runtime waits for ever for threads that it could not start. Nothing here uses them.
"""

from __future__ import annotations

import sys

sys.modules.setdefault("pymupdf.layout", None)  # type: ignore[arg-type]  # None: importing it raises ImportError

import pymupdf  # noqa: E402 - after the line above

__all__ = ["pymupdf"]
