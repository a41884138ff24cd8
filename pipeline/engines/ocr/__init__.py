"""The embedded CPU engine: reads page images or text layers, fills records from layout and labels.

Importing this package is cheap: models and image libraries are imported in its processes.
"""

from pipeline.engines.ocr.engine import MAX_PIXELS, RECYCLE_AFTER_PAGES, OcrEngine, describe
from pipeline.engines.ocr.text_layer import is_trustworthy, is_whole_page
from pipeline.engines.ocr.worker import LayerPage, PageOutput, layer_lines, start_layer_worker, start_text_worker

__all__ = [
    "MAX_PIXELS",
    "RECYCLE_AFTER_PAGES",
    "LayerPage",
    "OcrEngine",
    "PageOutput",
    "describe",
    "is_trustworthy",
    "is_whole_page",
    "layer_lines",
    "start_layer_worker",
    "start_text_worker",
]
