"""PDF documents to measure with: letters, invoices with tables, dense reports, scans. The same seed, the same pages.

They have what decides how long a page takes on its way to the model: vector text of several sizes, rules and
tables, or one compressed image that covers the page. No two pages are alike and none is blank.
"""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

A4 = (595, 842)
"""Points."""
LONGEST = 8
"""Pages of a document."""
SCAN_DPI = 150
WORDS = (
    "the of and to in that is was for on with as at by from this which are not have its were been their has one "
    "invoice payment delivery account quantity description balance amount customer reference warehouse agreement "
    "Darjeeling Grosvenor Rotterdam quarterly insurance schedule pursuant hereunder remittance despatched carriage"
).split()


def write_documents(folder: Path, num_pages: int, *, seed: int = 0) -> Path:
    """Write documents of 1 to LONGEST pages with `num_pages` altogether; return the folder. About 10 ms a page."""
    folder.mkdir(parents=True, exist_ok=True)
    draw = Random(seed)
    left = num_pages
    number = 0
    while left:
        pages = min(left, draw.randint(1, LONGEST))
        _write_document(folder / f"{number:05}.pdf", pages, draw)
        left -= pages
        number += 1
    return folder


def _write_document(path: Path, num_pages: int, draw: Random) -> None:
    with _pymupdf().open() as document:
        for _ in range(num_pages):
            kind = draw.choices((_letter, _invoice, _report, _scan), (3, 3, 2, 1))[0]
            kind(document.new_page(width=A4[0], height=A4[1]), draw)
        document.save(path, deflate=True, no_new_id=True)


def _letter(page: Any, draw: Random) -> None:
    shape = page.new_shape()  # drawn all at once: each change of a page reads it anew
    _lines(shape, draw, size=draw.choice((10.5, 11, 12)), left=70, width=455, top=140)
    shape.commit()


def _report(page: Any, draw: Random) -> None:
    shape = page.new_shape()
    shape.insert_text((50, 60), _text(draw, 5).title(), fontsize=18)
    for left in (50, 308):
        _lines(shape, draw, size=draw.choice((8, 8.5, 9)), left=left, width=238, top=90)
    shape.commit()


def _invoice(page: Any, draw: Random) -> None:
    shape = page.new_shape()
    shape.insert_text((60, 80), f"Invoice {draw.randint(10_000, 99_999)}", fontsize=20)
    size, columns, rows = draw.choice((7.5, 8, 9)), (60, 300, 370, 450), draw.randint(12, 38)
    for row in range(rows):
        y = 200 + row * 15
        cells = (_text(draw, 5), f"{draw.randint(1, 40)}", f"{draw.random() * 90:.2f}", f"{draw.random() * 900:.2f}")
        for x, cell in zip(columns, cells, strict=True):
            shape.insert_text((x, y), cell, fontsize=size)
        shape.draw_line((56, y + 4), (535, y + 4))
    for x in (56, *(column - 6 for column in columns[1:]), 535):
        shape.draw_line((x, 188), (x, 189 + rows * 15))
    shape.finish(width=0.4)
    _lines(shape, draw, size=6.5, left=60, width=475, top=795)
    shape.commit()


def _scan(page: Any, draw: Random) -> None:
    """One grey JPEG over the whole page, as an office scanner makes it."""
    pymupdf = _pymupdf()
    with pymupdf.open() as source:
        drawn = source.new_page(width=A4[0], height=A4[1])
        draw.choice((_letter, _invoice))(drawn, draw)
        pixels = drawn.get_pixmap(dpi=SCAN_DPI, colorspace=pymupdf.csGRAY)
    page.insert_image(page.rect, stream=pixels.tobytes("jpeg", jpg_quality=75))


def _lines(shape: Any, draw: Random, *, size: float, left: float, width: float, top: float) -> None:
    """Fill a column down to the lower margin; its length is drawn."""
    words = int(width / (size * 3.6))
    end = top + (A4[1] - 40 - top) * draw.uniform(0.6, 1)
    y = top
    while y < end:
        shape.insert_text((left, y), _text(draw, words), fontsize=size)
        y += size * 1.35


def _text(draw: Random, words: int) -> str:
    return " ".join(draw.choices(WORDS, k=words))


def _pymupdf() -> Any:
    """It has no types."""
    import pymupdf

    return pymupdf
