"""Documents whose pages say who they are, and an engine that reads exactly that.

A page carries its document's number and its own as black and white cells, each number twice,
the second time inverted. So a row that holds another page's values, a page that was rendered
for another and a page that was read twice can all be told from what is in the output.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pymupdf
from PIL import Image

from pipeline.data import PageImage, PageRequest
from pipeline.engines import EngineChoice
from pipeline.engines.scripted import ScriptedEngine

COLUMNS, ROWS, CELL = 16, 8, 14
WIDTH, HEIGHT = COLUMNS * CELL, ROWS * CELL
MAX_PIXELS = WIDTH * HEIGHT
"""At the first try a cell is as many pixels as points; later tries are larger."""
BITS = 8
CAPACITY = 4
"""Pages that the engine holds."""
NO_JSON = "no JSON"


@dataclass(frozen=True, slots=True)
class Source:
    """One file of the input and what must become of it."""

    name: str
    number: int
    """What its pages say; files with the same bytes have the same."""
    num_pages: int
    error_type: str | None = None
    """Why it cannot be opened; it has no pages then."""


SOURCES = (
    *(Source(f"{number:02}.pdf", number, num_pages) for number, num_pages in enumerate((1, 2, 12, 5, 1, 7, 3, 9), 1)),
    Source("again/02.pdf", 2, 2),
    Source("again/04.pdf", 4, 5),
    Source("photo.png", 21, 1),
    Source("same photo.png", 21, 1),
    Source("fax.tiff", 22, 4),
    Source("begins like 03.pdf", 3, 4),
    Source("begins like 04.pdf", 4, 3),
    Source("backs of sheets.pdf", 23, 5),
    Source("damaged.pdf", 0, 0, "damaged"),
    Source("empty.pdf", 0, 0, "empty_file"),
    Source("notes.txt", 0, 0, "not_a_document"),
)
NUM_PAGES = sum(max(source.num_pages, 1) for source in SOURCES)
"""Rows of the pages table."""


def is_blank(number: int, page_number: int) -> bool:
    """Whether nothing is drawn on this page."""
    return number == 23 and page_number % 2 == 0


def must_be_read() -> int:
    """Return how many pages an engine is asked for: equal ones once, unless they fail, and the same bytes once."""
    contents = {(source.number, source.num_pages) for source in SOURCES}
    pages = [(number, page) for number, num_pages in contents for page in range(1, num_pages + 1)]
    ok = {page for page in pages if not is_blank(*page) and not never_read(*page)}
    return len(ok) + sum(never_read(*page) for page in pages)


def never_read(number: int, page_number: int) -> bool:
    """Whether every try of this page fails."""
    return (number, page_number) in {(4, 2), (5, 1), (8, 9)}


def read_at_last(number: int, page_number: int) -> bool:
    """Whether the first try of this page fails and the second does not."""
    return number % 2 == 0 and page_number == 3


def write_input(folder: Path) -> None:
    """Write the files of SOURCES."""
    (folder / "again").mkdir(parents=True)
    for source in SOURCES:
        write_source(folder / source.name, source)


def write_source(path: Path, source: Source) -> None:
    """Write one file; the same number and pages give the same bytes."""
    if source.error_type:
        path.write_bytes({".pdf": b"%PDF-1.7 nothing of the kind", ".txt": b"Buy milk."}[path.suffix])
        if source.error_type == "empty_file":
            path.write_bytes(b"")
    elif path.suffix == ".pdf":
        _write_pdf(path, source)
    else:
        first, *others = [_drawn(source.number, page) for page in range(1, source.num_pages + 1)]
        several: dict[str, Any] = {"save_all": True, "append_images": others} if others else {}
        first.save(path, **several)


def engine_choice(asked: Callable[[str, int], None]) -> EngineChoice:
    """Return an engine that reads pages as they are drawn.

    Args:
        asked: told SHA-256 of the document and page number at the first try of a page, before it is answered.
    """

    def answer(request: PageRequest) -> str:
        number, page_number = decoded(request.image)
        first_try = request.settings.number == 1
        if first_try:
            asked(request.image_key.partition(":")[0], request.image.page_number)
        if never_read(number, page_number) or (first_try and read_at_last(number, page_number)):
            return NO_JSON
        return json.dumps({"seller": seller(number), "total": str(page_number)})

    def open_engine() -> ScriptedEngine:
        return ScriptedEngine(answer, capacity=CAPACITY)

    # A deterministic engine's pages are not turned upright between tries, which would load OCR models.
    return EngineChoice(replace(open_engine().info, deterministic=True), open_engine, MAX_PIXELS)


def seller(number: int) -> str:
    """Return what the records of a document say."""
    return f"Document {number}"


def decoded(image: PageImage) -> tuple[int, int]:
    """Return the document's number and the page's from a page image; ValueError when it is none of ours."""
    down = ((np.arange(ROWS) + 0.5) * image.height_px / ROWS).astype(int)
    right = ((np.arange(COLUMNS) + 0.5) * image.width_px / COLUMNS).astype(int)
    cells = image.pixels[np.ix_(down, right)][..., 0] < 128
    if np.any(cells[2] == cells[4]):
        raise ValueError(f"an image of {image.width_px} x {image.height_px} px that no page has")
    bits = np.packbits(cells[2])
    return int(bits[0]), int(bits[1])


def _cells(number: int, page_number: int) -> list[tuple[int, int]]:
    """Return the black cells as (column, row)."""
    if is_blank(number, page_number):
        return []
    bits = f"{number:0{BITS}b}{page_number:0{BITS}b}"
    return [(column, 2 if bit == "1" else 4) for column, bit in enumerate(bits)]


def _write_pdf(path: Path, source: Source) -> None:
    document: Any
    with pymupdf.open() as document:  # type: ignore[no-untyped-call]
        for page_number in range(1, source.num_pages + 1):
            page = document.new_page(width=WIDTH, height=HEIGHT)
            for column, row in _cells(source.number, page_number):
                x, y = column * CELL, row * CELL
                page.draw_rect((x, y, x + CELL, y + CELL), color=None, fill=(0, 0, 0))
        document.save(path, no_new_id=True)


def _drawn(number: int, page_number: int) -> Image.Image:
    pixels = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    for column, row in _cells(number, page_number):
        pixels[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL] = 0
    return Image.fromarray(pixels)


def append_line(path: Path, text: str) -> None:
    """Append a line whole, from any number of processes, so that it survives SIGKILL a moment later."""
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(fd, f"{text}\n".encode())
    finally:
        os.close(fd)
