"""What happens to a page inside an OCR process: read, put in order, filled into the record."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from pipeline.data import Box, PageImage, TextLayer, TextLine, Word
from pipeline.engines.base import EngineTask
from pipeline.engines.ocr.layout import reading_order
from pipeline.engines.ocr.read import PageReader, PageReading
from pipeline.engines.ocr.rows import Run
from pipeline.engines.ocr.text_layer import SCAN_IMAGE_SHARE, has_pictures, is_trustworthy, layer_runs
from pipeline.errors import ErrorType, GenerationInvalid
from pipeline.values import DateOrder

if TYPE_CHECKING:
    from pydantic import BaseModel

NICENESS = 10
"""Of processes whose work must not hold up anybody: half of the way to the least."""

TextLayerUse = Literal["auto", "never", "only"]


@dataclass(frozen=True, slots=True)
class PageOutput:
    """What an OCR process returns for a page."""

    text: str
    """JSON for the schema, or the page's text."""
    lines: tuple[TextLine, ...]
    """In reading order; boxes in pixels of the page image as it was sent."""
    rotation_deg: int
    """Clockwise turn that makes the page upright."""
    seconds: float


@dataclass(frozen=True, slots=True)
class LayerPage:
    """A page without its pixels, whose text layer says all that is to be read."""

    layer: TextLayer
    width_px: int
    height_px: int


def start_layer_worker(task: EngineTask) -> Callable[[LayerPage], PageOutput]:
    """Return the function that reads text layers; no models are loaded."""
    return PageWorker("only", task).read_layer


def start_worker(text_layer: TextLayerUse, task: EngineTask) -> Callable[[PageImage], PageOutput]:
    """Return the function that reads pages; the models are loaded when the first page needs them."""
    return PageWorker(text_layer, task).read


def start_text_worker() -> Callable[[PageImage], PageOutput]:
    """Return the function that reads the text of pages beside another engine, which comes first."""
    os.nice(NICENESS)
    nothing = EngineTask("text", "", {}, load_model=_no_model, plain_text=True, date_order=DateOrder.DAY_FIRST)
    return PageWorker("auto", nothing).read


def layer_lines(layer: TextLayer) -> tuple[TextLine, ...]:
    """Return the lines of a text layer in reading order."""
    return reading_order(tuple(layer_runs(layer)))


def _no_model() -> type[BaseModel]:
    raise NotImplementedError("plain text needs no model")


class PageWorker:
    """Reads pages for one task."""

    def __init__(self, text_layer: TextLayerUse, task: EngineTask) -> None:
        self._text_layer = text_layer
        self._task = task

    @cached_property
    def _reader(self) -> PageReader:
        return PageReader()

    @cached_property
    def _model(self) -> type[BaseModel]:
        return self._task.load_model()

    def read(self, page: PageImage) -> PageOutput:
        """Return the lines of a page and what they say for the task."""
        started = time.perf_counter()
        return self._output(self._reading(page), started)

    def read_layer(self, page: LayerPage) -> PageOutput:
        """Return the lines of a text layer and what they say for the task."""
        started = time.perf_counter()
        runs = tuple(layer_runs(page.layer))
        return self._output(PageReading(runs, page.width_px, page.height_px, rotation_deg=0), started)

    def _output(self, reading: PageReading, started: float) -> PageOutput:
        lines = reading_order(reading.runs)
        return PageOutput(
            text=self._text(lines, reading),
            lines=tuple(_on_image(line, reading) for line in lines) if reading.rotation_deg else lines,
            rotation_deg=reading.rotation_deg,
            seconds=time.perf_counter() - started,
        )

    def _reading(self, page: PageImage) -> PageReading:
        """Take the text layer where that is wanted and sound, and the image for everything else."""
        layer = page.text_layer
        if self._text_layer == "only":
            return PageReading(_all_runs(layer), page.width_px, page.height_px, rotation_deg=0)
        if self._text_layer == "never" or layer is None or not is_trustworthy(layer):
            return self._reader.read_page(page.pixels)
        runs = tuple(layer_runs(layer))
        if has_pictures(layer):
            runs += self._reader.read_beside(page.pixels, [run.box for run in runs])
        return PageReading(runs, page.width_px, page.height_px, rotation_deg=0)

    def _text(self, lines: tuple[TextLine, ...], reading: PageReading) -> str:
        if self._task.plain_text:
            return "\n".join(line.text for line in lines)
        from pipeline.engines.ocr.fields import fill_record

        record = fill_record(lines, reading.width_px, reading.height_px, self._model, self._task.date_order)
        return json.dumps(record, ensure_ascii=False)


def _all_runs(layer: TextLayer | None) -> tuple[Run, ...]:
    """Return the layer's runs as they are, for users who want nothing else."""
    if layer is None or not (layer.lines or layer.image_share < SCAN_IMAGE_SHARE):
        raise GenerationInvalid(ErrorType.INPUT_REJECTED, "The page has no text layer; --text-layer auto reads it.")
    return tuple(layer_runs(layer))


def _on_image(line: TextLine, reading: PageReading) -> TextLine:
    """Return a line of the upright page with boxes on the page image as it was sent."""
    return replace(
        line,
        box=_turned_back(line.box, reading),
        words=tuple(Word(word.text, _turned_back(word.box, reading)) for word in line.words),
    )


def _turned_back(box: Box, reading: PageReading) -> Box:
    """Undo the clockwise turn that made the page upright."""
    x0, y0, x1, y1 = box
    width_px, height_px = reading.width_px, reading.height_px
    match reading.rotation_deg:
        case 90:
            return Box(y0, width_px - x1, y1, width_px - x0)
        case 180:
            return Box(width_px - x1, height_px - y1, width_px - x0, height_px - y0)
        case _:
            return Box(height_px - y1, x0, height_px - y0, x1)
