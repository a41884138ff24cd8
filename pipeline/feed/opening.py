"""Documents opened before their pages are needed, in the order in which they are listed.

Opening a large file, or fetching one from a bucket, must not stall the engine. Small files are opened further
ahead: a run over receipts of one page each needs as many openings as pages, and a bucket answers after a tenth
of a second, however small the file.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from pipeline.data import Document, DocumentRef

LEAST, MOST = 4, 32
"""Documents being opened or waiting for their turn: large ones, and small ones."""
SMALL_BYTES = 64 << 20
"""Together; copies of what lies in a bucket are on disk meanwhile."""

Opened = tuple[DocumentRef, datetime, Future[tuple[Document, Path]]]
"""A document, when it was taken, and what became of it."""


class Opening:
    """Used by one thread; `open_document` and `wake` are called on others."""

    def __init__(
        self,
        refs: Iterator[DocumentRef],
        open_document: Callable[[DocumentRef], tuple[Document, Path]],
        wake: Callable[[], None],
    ) -> None:
        """Open nothing yet.

        Args:
            wake: told of each document that is open or cannot be opened.
        """
        self._refs = refs
        self._open_document = open_document
        self._wake = wake
        self._threads = ThreadPoolExecutor(MOST, thread_name_prefix="open")
        self._ahead: deque[Opened] = deque()
        self._bytes = 0
        self._all_listed = False

    @property
    def is_over(self) -> bool:
        """Whether no document is left."""
        return self._all_listed and not self._ahead

    def go_on(self) -> None:
        """Begin to open what may be opened by now."""
        while not self._all_listed and self._has_room():
            ref = next(self._refs, None)
            if ref is None:
                self._all_listed = True
                return
            future = self._threads.submit(self._open_document, ref)
            future.add_done_callback(lambda _: self._wake())
            self._ahead.append((ref, datetime.now(UTC), future))
            self._bytes += ref.size_bytes

    def take(self) -> Opened | None:
        """Return the next document if it has been opened, or could not be."""
        if not self._ahead or not self._ahead[0][2].done():
            return None
        opened = self._ahead.popleft()
        self._bytes -= opened[0].size_bytes
        return opened

    def close(self) -> None:
        """Open no more; those being opened end when their renderer is closed."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _has_room(self) -> bool:
        number = len(self._ahead)
        return number < LEAST or (number < MOST and self._bytes < SMALL_BYTES)
