"""What a file is, by its content: names and extensions lie."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pipeline.errors import DocumentError, ErrorType
from pipeline.render.image import ImageSource
from pipeline.render.pdf import PdfSource

if TYPE_CHECKING:
    from io import BufferedReader

    from pipeline.config import RenderConfig
    from pipeline.render.jobs import PageSource

HEAD_BYTES = 1024
"""A PDF header may stand anywhere in the first 1024 bytes (ISO 32000-1, Annex H, note 13)."""
TAIL_BYTES = 2048
SEARCH_BYTES = 1 << 20

# Signature at offset 0 -> Pillow's formats. Few and well-kept decoders: each one is attack surface.
IMAGE_SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": ("PNG",),
    b"\xff\xd8\xff": ("JPEG", "MPO"),
    b"II*\0": ("TIFF",),
    b"MM\0*": ("TIFF",),
    b"II+\0": ("TIFF",),
    b"MM\0+": ("TIFF",),
    b"GIF87a": ("GIF",),
    b"GIF89a": ("GIF",),
    b"\0\0\0\x0cjP  \r\n\x87\n": ("JPEG2000",),
    b"\xff\x4f\xff\x51": ("JPEG2000",),
}

# What people put beside their documents, in their words.
OTHER_SIGNATURES = {
    b"PK\x03\x04": "an Office document or ZIP archive",
    b"\xd0\xcf\x11\xe0": "an old Office document",
    b"{\\rtf": "an RTF document",
    b"%!PS": "PostScript",
    b"AT&TFORM": "a DjVu document",
    b"<?xml": "XML",
    b"<svg": "an SVG drawing",
    b"<html": "a web page",
    b"<!DOC": "a web page",
    b"\x1f\x8b": "a gzip archive",
    b"\x7fELF": "a program",
    b"MZ": "a program",
}


def open_source(file: BufferedReader, config: RenderConfig) -> PageSource:
    """Open `file` as what it is; the source keeps a duplicate of the descriptor.

    Raises:
        DocumentError: empty, not a document, encrypted, damaged, without pages or too large.
        Exception: whatever the parsers raise on damaged content.
    """
    head = os.pread(file.fileno(), HEAD_BYTES, 0)
    if not head:
        raise DocumentError(ErrorType.EMPTY_FILE, "The file is empty.")
    formats = _image_formats(head)
    truncated = _is_truncated(head, file)
    if formats:
        return ImageSource(file, formats, config, truncated=truncated)
    if b"%PDF-" in head or b"PDF-" in head[:32] or _has_pdf_structure(head, file):
        return PdfSource(file, config, truncated=truncated)
    raise DocumentError(
        ErrorType.NOT_A_DOCUMENT,
        f"This is {_name(head)}; PDF, PNG, JPEG, TIFF, WebP, GIF, BMP and JPEG 2000 can be read.",
    )


def _image_formats(head: bytes) -> tuple[str, ...]:
    for signature, formats in IMAGE_SIGNATURES.items():
        if head.startswith(signature):
            return formats
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return ("WEBP",)
    if head[:2] == b"BM" and head[6:10] == b"\0\0\0\0":
        return ("BMP",)
    return ()


def _has_pdf_structure(head: bytes, file: BufferedReader) -> bool:
    """A PDF whose header is damaged still has objects and a trailer that MuPDF finds."""
    tail = _tail(file)
    return b" 0 obj" in head or b"startxref" in tail or b"%%EOF" in tail


def _is_truncated(head: bytes, file: BufferedReader) -> bool:
    """Return whether the mark that ends a PNG, JPEG, GIF or PDF is missing, or a BMP or WebP shorter than it says."""
    if head.startswith(b"\x89PNG"):
        return not _has(b"IEND", file.fileno(), len(b"\x89PNG"))
    if head.startswith(b"\xff\xd8\xff"):
        # Searched from the pixels on: thumbnails before them have ends of their own, and
        # phones append whole videos behind them.
        return not _has(b"\xff\xd9", file.fileno(), _jpeg_pixels(file.fileno()))
    if head.startswith(b"GIF8"):
        return not _tail(file).rstrip(b"\0").endswith(b";")
    if head.startswith(b"BM"):
        return os.fstat(file.fileno()).st_size < int.from_bytes(head[2:6], "little")
    if head.startswith(b"RIFF"):
        return os.fstat(file.fileno()).st_size < int.from_bytes(head[4:8], "little") + 8
    return head.startswith(b"%PDF") and b"%%EOF" not in _tail(file)


def _jpeg_pixels(fd: int) -> int:
    """Return the offset of the first scan, by walking the segments before it (ITU-T T.81, annex B)."""
    offset = 2
    while len(start := os.pread(fd, 4, offset)) == 4 and start[0] == 0xFF and start[1] != 0xDA:
        offset += 1 if start[1] == 0xFF else 2 + int.from_bytes(start[2:])
    return offset


def _has(mark: bytes, fd: int, offset: int) -> bool:
    while len(chunk := os.pread(fd, SEARCH_BYTES, offset)) >= len(mark):
        if mark in chunk:
            return True
        offset += len(chunk) - len(mark) + 1
    return False


def _tail(file: BufferedReader) -> bytes:
    size_bytes = os.fstat(file.fileno()).st_size
    return os.pread(file.fileno(), TAIL_BYTES, max(0, size_bytes - TAIL_BYTES))


def _name(head: bytes) -> str:
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    for signature, name in OTHER_SIGNATURES.items():
        if start[: len(signature)].lower() == signature.lower():
            return name
    if head[4:8] == b"ftyp":
        return "a HEIC or AVIF photo or a video (export photos as JPEG)"
    printable = sum(byte >= 32 or byte in b"\t\r\n\f" for byte in head)
    return "plain text" if printable == len(head) else "of an unknown type"
