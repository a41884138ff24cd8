"""A page as it was drawn, and how it is turned and put on its grid."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pipeline.data import Box, TextLayer, TextLine, Word
from pipeline.workers.shared import result_memory

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.render.grid import Grid

WHITE = 255


@dataclass(frozen=True, slots=True)
class Drawing:
    """One upright page before padding."""

    content: npt.NDArray[np.uint8]
    """RGB, shape (height_px, width_px, 3); no larger than the grid but for a row and a column."""
    grid: Grid
    dpi: float | None
    text_layer: TextLayer | None
    """In pixels of `content`."""
    glyph_px: float | None = None
    """Em height of its small print in `content`, where that was found."""
    full_pixels: int | None = None
    """Pixels of the image that it would have been at full size; None: it is."""
    is_blank: bool = False
    """Whether nothing is on it, where that was asked for."""
    canvas: npt.NDArray[np.uint8] | None = None
    """The page image, of the grid's size and white beside `content`, where `content` is its top left part; such
    a page need not be copied."""

    def placed(self, rotation_deg: int) -> tuple[npt.NDArray[np.uint8], TextLayer | None]:
        """Return the page image and its text after a clockwise turn, padded with white to its grid."""
        turns = rotation_deg // 90 % 4
        if turns == 0 and self.canvas is not None:
            return self.canvas, self.text_layer
        content = np.rot90(self.content, -turns)
        grid = self.grid.turned() if turns % 2 else self.grid
        pixels = new_canvas(grid)
        content = content[: grid.height_px, : grid.width_px]
        pixels[: content.shape[0], : content.shape[1]] = content
        if self.text_layer is None or turns == 0:
            return pixels, self.text_layer
        height, width = self.content.shape[:2]
        return pixels, move_layer(self.text_layer, lambda box: turn_box(box, turns, width, height))


def new_canvas(grid: Grid) -> npt.NDArray[np.uint8]:
    """Return a white page image of a grid's size."""
    shape = grid.height_px, grid.width_px, 3
    canvas = np.frombuffer(result_memory(math.prod(shape)), np.uint8).reshape(shape)
    canvas.fill(WHITE)
    return canvas


def turn_box(box: Box, turns: int, width: float, height: float) -> Box:
    """Return `box` after `turns` quarter turns clockwise of its `width` x `height` page."""
    x0, y0, x1, y1 = box
    match turns % 4:
        case 1:
            return Box(height - y1, x0, height - y0, x1)
        case 2:
            return Box(width - x1, height - y1, width - x0, height - y0)
        case 3:
            return Box(y0, width - x1, y1, width - x0)
        case _:
            return box


def move_layer(layer: TextLayer, move: Callable[[Box], Box]) -> TextLayer:
    """Return the text with each of its boxes moved."""

    def move_line(line: TextLine) -> TextLine:
        words = tuple(Word(word.text, move(word.box)) for word in line.words)
        return replace(line, box=move(line.box), words=words)

    return replace(layer, lines=tuple(move_line(line) for line in layer.lines))
