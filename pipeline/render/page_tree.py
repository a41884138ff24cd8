"""How many pages a PDF holds, by looking: `/Count` may say anything.

MuPDF believes `/Count` of the page tree's root and silently leaves out pages beyond it.
Source: ISO 32000-1, 7.7.3.
"""

# mypy: disable-error-code="no-untyped-call"
# pymupdf has no types.

from __future__ import annotations

from typing import Any

from pipeline.render.mupdf import pymupdf


def find_pages(document: Any, *, at_most: int) -> int:
    """Return the number of pages in the page tree of a pymupdf.Document, `at_most` or one more when there are more.

    Each node counts its kids once, so a tree that contains itself ends. Objects that cannot be
    read are no pages. Takes 5 µs a page.
    """
    mupdf = pymupdf.mupdf
    kids_name, type_name = pymupdf.PDF_NAME("Kids"), pymupdf.PDF_NAME("Type")
    trailer = mupdf.pdf_trailer(mupdf.pdf_specifics(document.this))
    waiting = [mupdf.pdf_dict_getp(trailer, "Root/Pages")]
    visited: set[int] = set()
    num_pages = 0
    while waiting and num_pages <= at_most:
        node = waiting.pop()
        kids = mupdf.pdf_dict_get(node, kids_name)
        if mupdf.pdf_is_array(kids):
            number = mupdf.pdf_to_num(node)
            if number not in visited:
                visited.add(number)
                length = min(mupdf.pdf_array_len(kids), at_most + 1)
                waiting.extend(mupdf.pdf_array_get(kids, index) for index in range(length))
        elif mupdf.pdf_to_name(mupdf.pdf_dict_get(node, type_name)) == "Page":
            num_pages += 1
    return num_pages


def correct_count(document: Any, num_pages: int) -> None:
    """Make MuPDF find this many pages, by a change to the open document that is never saved."""
    mupdf = pymupdf.mupdf
    trailer = mupdf.pdf_trailer(mupdf.pdf_specifics(document.this))
    mupdf.pdf_dict_put_int(mupdf.pdf_dict_getp(trailer, "Root/Pages"), pymupdf.PDF_NAME("Count"), num_pages)
