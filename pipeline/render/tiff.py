"""Where the pages of a TIFF file are.

Pillow reaches frame n by decoding the tags of all frames before it, which takes half a
minute for a hundred thousand. Here the chain is walked by its offsets alone, and each
frame is then shown to Pillow as if it were the first.
Source: TIFF 6.0 (Adobe, 1992), section 2; BigTIFF (Aware Systems).
"""

from __future__ import annotations

import io
import os
import struct
from typing import NamedTuple

SUBFILE_TYPE_TAG = 254
THUMBNAIL_OR_MASK = 0b101
"""NewSubfileType bits 0 and 2 (TIFF 6.0, page 36): a smaller copy or a mask of another frame, not a page."""
MAX_TAGS = 4096
"""Real frames have fewer than a hundred; more are damage."""


class Frames(NamedTuple):
    """The frames that are pages."""

    offsets: list[int]
    broken: bool
    """Whether the chain ends in damage, so that frames may be missing."""
    too_many: bool = False
    """Whether the search ended early; thumbnails and masks count too."""


class _Layout(NamedTuple):
    """The differences between TIFF and BigTIFF, as struct formats."""

    first: str
    """Format of the header up to the offset of the first frame."""
    num_tags: str
    entry: str
    """Tag, type, number of values and the first four bytes of the value."""
    offset: str


def find_frames(fd: int, *, at_most: int) -> Frames:
    """Return the offsets of all pages, in order; an empty list when there is none.

    The search ends when more than `at_most` frames were found.
    """
    header = os.pread(fd, 16, 0)
    layout = _layout(header)
    next_offset = struct.unpack_from(layout.first, header)[-1]
    pages: list[int] = []
    others: list[int] = []
    seen: set[int] = set()
    while next_offset and len(seen) <= at_most:
        found = None if next_offset in seen else _read_frame(fd, next_offset, layout)
        if found is None:
            return Frames(pages or others, broken=True)
        seen.add(next_offset)
        is_page, following = found
        (pages if is_page else others).append(next_offset)
        next_offset = following
    return Frames(pages or others, broken=False, too_many=len(seen) > at_most)


class FrameReader(io.FileIO):
    """An image file from its beginning; of a TIFF, with a header that names another frame as the first.

    libtiff gets the frame's offset from Pillow and reads the descriptor itself.

    Args:
        fd: Duplicated; the duplicate is closed with the reader.
        offset: Of the frame; None to change nothing.
    """

    def __init__(self, fd: int, offset: int | None) -> None:
        super().__init__(os.dup(fd))
        self._header = b""
        if offset is not None:
            header = os.pread(fd, 16, 0)
            first = _layout(header).first
            self._header = struct.pack(first, *struct.unpack_from(first, header)[:-1], offset)
        self.seek(0)

    def read(self, size: int | None = -1) -> bytes:
        """Return the next bytes, the changed header among them."""
        start = self.tell()
        data = super().read(-1 if size is None else size) or b""
        changed = self._header[start : start + len(data)]
        return changed + data[len(changed) :]


def _layout(header: bytes) -> _Layout:
    order = "<" if header[:2] == b"II" else ">"
    if header[2:4] in {b"+\0", b"\0+"}:
        return _Layout(order + "8sQ", order + "Q", order + "HHQ4s4x", order + "Q")
    return _Layout(order + "4sI", order + "H", order + "HHI4s", order + "I")


def _read_frame(fd: int, offset: int, layout: _Layout) -> tuple[bool, int] | None:
    """Return whether the frame at `offset` is a page and the offset of the next; None when it is damaged."""
    count_bytes = struct.calcsize(layout.num_tags)
    head = os.pread(fd, count_bytes, offset)
    if len(head) < count_bytes:
        return None
    (num_tags,) = struct.unpack(layout.num_tags, head)
    if not 0 < num_tags <= MAX_TAGS:
        return None
    tags_bytes = num_tags * struct.calcsize(layout.entry)
    body = os.pread(fd, tags_bytes + struct.calcsize(layout.offset), offset + count_bytes)
    if len(body) < tags_bytes:
        return None
    # Some writers leave out the offset after the last frame.
    ends = len(body) < tags_bytes + struct.calcsize(layout.offset)
    following = 0 if ends else struct.unpack_from(layout.offset, body, tags_bytes)[0]
    return not _subfile_type(body[:tags_bytes], layout) & THUMBNAIL_OR_MASK, following


def _subfile_type(tags: bytes, layout: _Layout) -> int:
    for tag, _, _, value in struct.iter_unpack(layout.entry, tags):
        if tag == SUBFILE_TYPE_TAG:
            return int(struct.unpack(layout.entry[0] + "I", value)[0])
        if tag > SUBFILE_TYPE_TAG:  # tags are sorted
            break
    return 0
