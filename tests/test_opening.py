"""Documents are opened ahead of their pages: many small ones, few large ones, in the order of the listing."""

from __future__ import annotations

import threading
from contextlib import closing
from pathlib import Path

import pytest

from pipeline.data import Document, DocumentRef
from pipeline.feed.opening import LEAST, MOST, SMALL_BYTES, Opening


@pytest.mark.parametrize(("size_bytes", "at_once"), [(1000, MOST), (SMALL_BYTES, LEAST), (SMALL_BYTES // 8, 8)])
def test_small_files_are_opened_further_ahead_than_large_ones(size_bytes: int, at_once: int) -> None:
    """A bucket answers after a tenth of a second: four at a time would be forty receipts a second at best."""
    listed = [DocumentRef(f"file:///{number}", size_bytes, None) for number in range(100)]
    asked, opened = threading.Semaphore(0), threading.Event()

    def open_document(ref: DocumentRef) -> tuple[Document, Path]:
        asked.release()
        opened.wait(30)
        return Document(ref, "", "", 1), Path(ref.uri)

    refs = iter(listed)
    with closing(Opening(refs, open_document, wake=lambda: None)) as opening:
        opening.go_on()
        assert all(asked.acquire(timeout=30) for _ in range(at_once))
        assert next(refs) == listed[at_once], "more were taken from the listing"
        assert opening.take() is None
        opened.set()
        for ref in listed[:at_once]:
            while (taken := opening.take()) is None:
                pass
            assert taken[0] == ref
        assert not opening.is_over
