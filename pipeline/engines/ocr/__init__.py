"""The embedded CPU engine: reads page images or text layers, fills records from layout and labels.

Importing this package is cheap: models and image libraries are imported in its processes.
"""

from pipeline.engines.ocr.engine import MAX_PIXELS, OcrEngine, describe

__all__ = ["MAX_PIXELS", "OcrEngine", "describe"]
