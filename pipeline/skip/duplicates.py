"""Pages whose image is exactly that of another page of the run, in whatever document it stands."""

from __future__ import annotations

import hashlib
import pickle
import zlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline.data import PageRecord, Status, TextLine

if TYPE_CHECKING:
    from pipeline.data import PageImage, PageTask

KEPT_BYTES = 64 << 20
"""Memory for what pages said that another one may repeat: 31,000 transcripts of 3,500 characters, or 39,000 receipts
with 40 lines and their boxes. Beyond it, what was not asked for longest is forgotten."""
ENTRY_BYTES = 200
"""What an entry takes beside its content: its key, and its places in two containers."""
MOST_WAITING = 1000
"""Pages that wait for another one; they are recorded at one go, which must not hold up the engine for long."""

_Page = tuple[str, int | None]
"""URI of the document, page number."""


def identity_of(image: PageImage) -> bytes | None:
    """Return 16 bytes that are equal for pages that no engine can tell apart: by pixels and by text layer."""
    if image.digest is None:
        return None
    pixels = bytes.fromhex(image.digest)
    if image.text_layer is None:
        return pixels
    text = "\n".join(line.text for line in image.text_layer.lines)
    return hashlib.blake2b(text.encode(errors="surrogatepass"), key=pixels, digest_size=16).digest()


class Duplicates:
    """Which images are being read, and what those said that were.

    An image whose page failed is remembered as such: its other pages are each read themselves until one is ok.
    """

    def __init__(self, *, kept_bytes: int = KEPT_BYTES, most_waiting: int = MOST_WAITING) -> None:
        self._most_waiting = most_waiting
        self._num_waiting = 0
        self._reading: dict[_Page, bytes] = {}
        self._waiting: dict[bytes, list[PageTask]] = {}
        """By the image of the one page that is being read."""
        self._said = _Memory(kept_bytes)

    def find(self, key: bytes) -> PageRecord | None:
        """Return what the page with this image said, as another one may repeat it."""
        said = self._said.get(key)
        return pickle.loads(zlib.decompress(said)) if said else None  # noqa: S301 - made below

    def must_wait(self, task: PageTask, key: bytes) -> bool:
        """Return whether a page with this image is being read already; if not, this one is now."""
        page = task.key
        if page in self._reading:  # it comes again because its engine died, or its text layer was not enough
            return False
        if key in self._waiting and self._num_waiting < self._most_waiting:
            self._waiting[key].append(task)
            self._num_waiting += 1
            return True
        self._reading[page] = key
        if self._said.get(key) is None:
            self._waiting.setdefault(key, [])
        return False

    def settled(self, record: PageRecord) -> Sequence[PageTask]:
        """Keep what a page said that was being read; return those that waited for it."""
        key = self._reading.pop((record.document.ref.uri, record.page_number), None)
        if key is None:
            return ()
        if record.status is Status.OK:
            self._said.put(key, zlib.compress(pickle.dumps(_repeatable(record), protocol=5), 1))
        elif self._said.get(key) is None:
            self._said.put(key, b"")
        waiting = self._waiting.pop(key, [])
        self._num_waiting -= len(waiting)
        return waiting


class _Memory:
    """Bytes by key, within a limit; what was not asked for longest goes first."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._entries: OrderedDict[bytes, bytes] = OrderedDict()

    def get(self, key: bytes) -> bytes | None:
        if key in self._entries:
            self._entries.move_to_end(key)
        return self._entries.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        self._bytes += len(value) + ENTRY_BYTES
        if (before := self._entries.pop(key, None)) is not None:
            self._bytes -= len(before) + ENTRY_BYTES
        self._entries[key] = value
        while self._bytes > self._most_bytes:
            _, oldest = self._entries.popitem(last=False)
            self._bytes -= len(oldest) + ENTRY_BYTES


def _repeatable(record: PageRecord) -> PageRecord:
    """Return a record without what only says how it came about."""
    lines = tuple(TextLine(line.text, line.box, line.confidence) for line in record.lines)
    return replace(record, lines=lines, attempts=(), token_logprobs=())
