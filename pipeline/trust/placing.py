"""Lines read from one image of a page, as they lie on another image of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline.data import Box, Word

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pipeline.data import ImageFacts, TextLine

    Place = Callable[[Box], Box]


def placed(lines: Sequence[TextLine], read_on: ImageFacts, shown: ImageFacts) -> tuple[TextLine, ...]:
    """Return lines with boxes on the image `shown`; tries differ in size and in how the page was turned."""
    if _facts(read_on) == _facts(shown) or not (read_on.width_px and shown.width_px):
        return tuple(lines)
    place = _placing(read_on, shown)
    return tuple(
        replace(line, box=place(line.box), words=tuple(Word(text, place(box)) for text, box in line.words))
        for line in lines
    )


def _facts(image: ImageFacts) -> tuple[int | None, int | None, int]:
    return image.width_px, image.height_px, image.rotation_deg or 0


def _placing(read_on: ImageFacts, shown: ImageFacts) -> Place:
    turn = _TURNS[((shown.rotation_deg or 0) - (read_on.rotation_deg or 0)) % 360]
    width, height = read_on.width_px or 1, read_on.height_px or 1
    turned = turn(Box(0, 0, width, height), width, height)
    across, down = (shown.width_px or 1) / turned.x1, (shown.height_px or 1) / turned.y1

    def place(box: Box) -> Box:
        x0, y0, x1, y1 = turn(box, width, height)
        return Box(x0 * across, y0 * down, x1 * across, y1 * down)

    return place


_TURNS: dict[int, Callable[[Box, float, float], Box]] = {
    0: lambda box, _width, _height: box,
    90: lambda box, _width, height: Box(height - box.y1, box.x0, height - box.y0, box.x1),
    180: lambda box, width, height: Box(width - box.x1, height - box.y1, width - box.x0, height - box.y0),
    270: lambda box, width, _height: Box(box.y0, width - box.x1, box.y1, width - box.x0),
}
"""Of a box on an image of this width and height, clockwise."""
