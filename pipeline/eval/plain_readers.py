"""Readers of plain text, as they are commonly used; they run in worker processes, as their libraries may crash."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

DPI = 300
"""At which PDFs are commonly rasterised for Tesseract."""


class Wanted(NamedTuple):
    """A document to be read."""

    name: str
    path: Path
    languages: str
    """As Tesseract names them: deu+eng."""


class Plain(NamedTuple):
    """What was read of it."""

    name: str
    text: str
    pages: int


def start_tesseract() -> Callable[[Wanted], Plain]:
    """Return what reads a document with Tesseract: its own files as they are, PDFs page by page."""
    import pymupdf

    pymupdf.TOOLS.mupdf_display_errors(False)  # type: ignore[no-untyped-call]
    return _with_tesseract


def start_pymupdf() -> Callable[[Wanted], Plain]:
    """Return what takes a document's text layer."""
    import pymupdf

    pymupdf.TOOLS.mupdf_display_errors(False)  # type: ignore[no-untyped-call]
    return _with_pymupdf


def _with_tesseract(wanted: Wanted) -> Plain:
    if wanted.path.suffix.lower() != ".pdf":
        return Plain(wanted.name, _tesseract(wanted.path, wanted.languages), _num_pages(wanted.path))
    with tempfile.TemporaryDirectory(prefix="pagemill-tesseract-") as folder:
        texts = [_tesseract(image, wanted.languages) for image in _images(wanted.path, Path(folder))]
    return Plain(wanted.name, "\n".join(texts), len(texts))


def _tesseract(image: Path, languages: str) -> str:
    """Raises: OSError: Tesseract failed."""
    done = subprocess.run(
        ["tesseract", str(image), "stdout", "-l", languages],  # noqa: S607 - whatever is installed
        capture_output=True,
        env={**os.environ, "OMP_THREAD_LIMIT": "1"},  # several threads on shared cores slow it down many times
        check=False,
    )
    if done.returncode:
        raise OSError(f"tesseract ended with {done.returncode}")
    return done.stdout.decode("utf-8", "replace")


def _images(pdf: Path, folder: Path) -> Iterator[Path]:
    import pymupdf

    with pymupdf.open(pdf) as document:  # type: ignore[no-untyped-call]
        for number, page in enumerate(document):
            target = folder / f"{number}.png"
            page.get_pixmap(dpi=DPI).save(target)
            yield target
            target.unlink()


def _num_pages(path: Path) -> int:
    import pymupdf

    with pymupdf.open(path) as document:  # type: ignore[no-untyped-call]
        return int(document.page_count)


def _with_pymupdf(wanted: Wanted) -> Plain:
    import pymupdf

    with pymupdf.open(wanted.path) as document:  # type: ignore[no-untyped-call]
        texts = [page.get_text() for page in document]
    return Plain(wanted.name, "\n".join(texts), len(texts))
