"""Pages on their way to the engine: opened and rendered ahead, next tries first.

The engine's `take` is the only thing that moves the feed, so nothing here runs further
ahead of the engine than `ahead` page images, however long the input is.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Protocol

from pipeline.data import Document, DocumentRef, ImageFacts, PageImage, PageRequest, PageTask, TrySettings
from pipeline.errors import DocumentError, PageError

WAIT_S = 0.1
SUSPECT_SHARE = 8
"""Each death narrows the pages in flight to an eighth: 256 pages need three engines to find the one at fault,
and no page is read alone that need not be."""
OPEN_AHEAD = 4
"""Documents opened before their pages are needed; opening a large file must not stall the engine."""


@dataclass(slots=True)
class _OpenDocument:
    document: Document
    path: Path
    next_number: int = 1

    @property
    def has_more(self) -> bool:
        return self.next_number <= self.document.num_pages


class Documents(Protocol):
    """Opens documents and renders their pages; see documents.OpenDocuments."""

    def open(self, ref: DocumentRef) -> tuple[Document, Path]:
        """Return the document and its local path; blocks. Raises DocumentError."""
        ...

    def render(self, document: Document, path: Path, page_number: int, settings: TrySettings) -> Future[PageImage]:
        """Start rasterising a page; the future raises RenderError."""
        ...


class Losses(Protocol):
    """Who is told of what never reaches the engine."""

    def document_opened(self, document: Document) -> None:
        """Its pages will follow."""
        ...

    def document_failed(self, ref: DocumentRef, error: DocumentError, started_at: datetime) -> None:
        """It could not be opened."""
        ...

    def page_failed(self, task: PageTask, error: PageError) -> None:
        """It could not be rendered for this try."""
        ...

    def pages_in_engine(self, number: int) -> None:
        """The number of pages that the engine holds changed."""
        ...


class PageFeed:
    """The `Requests` of a run. Not thread-safe: take, resolve and retry are called by one thread."""

    def __init__(
        self, refs: Iterator[DocumentRef], documents: Documents, losses: Losses, first: TrySettings, *, ahead: int = 2
    ) -> None:
        self.ahead = ahead
        self._refs = refs
        self._documents = documents
        self._losses = losses
        self._first = first
        self._openers = ThreadPoolExecutor(OPEN_AHEAD, thread_name_prefix="open")
        self._opening: deque[tuple[DocumentRef, datetime, Future[tuple[Document, Path]]]] = deque()
        self._current: _OpenDocument | None = None
        self._retries: deque[PageTask] = deque()
        self._rendering = 0
        self._rendered: SimpleQueue[tuple[PageTask, Future[PageImage]] | None] = SimpleQueue()
        self._ready: deque[tuple[PageTask, PageRequest]] = deque()
        self._in_flight: dict[str, PageTask] = {}
        self._num_suspects = 0
        self._most_in_flight: int | None = None
        self._ids = itertools.count(1)
        self._all_listed = False

    @property
    def exhausted(self) -> bool:
        """True when no page is left anywhere."""
        busy = self._in_flight or self._ready or self._rendering or self._retries or self._opening or self._current
        return self._all_listed and not busy

    def wait_for_page(self) -> bool:
        """Wait until a page is ready; False when none is left, so that no engine need be loaded."""
        while not self._ready and not self.exhausted:
            self._prepare(WAIT_S)
        return bool(self._ready)

    def take(self, wait_s: float) -> PageRequest | None:
        """Return the next request, or None when none became ready in time."""
        if self._most_in_flight is not None and len(self._in_flight) >= self._most_in_flight:
            return None
        if not self._ready:
            self._prepare(wait_s)
        if not self._ready:
            return None
        task, request = self._ready.popleft()
        self._in_flight[request.request_id] = task
        self._losses.pages_in_engine(len(self._in_flight))
        return request

    def resolve(self, request_id: str) -> PageTask:
        """Return the page of a generation; it is no longer in flight."""
        task = self._in_flight.pop(request_id)
        self._clear(task)
        self._losses.pages_in_engine(len(self._in_flight))
        return task

    def retry(self, task: PageTask, settings: TrySettings) -> None:
        """Send a page again, before any new one."""
        task.settings = settings
        self._retries.append(task)

    def engine_died(self) -> PageTask | None:
        """Send the pages that the engine held again; return the page that killed it, once that is certain.

        The pages become suspects, and until all of them have been read fewer are in flight at once: an
        eighth at each death. A suspect that an engine held alone when it died was the cause.
        """
        held = list(self._in_flight.values())
        self._in_flight.clear()
        self._losses.pages_in_engine(0)
        if len(held) == 1 and held[0].suspected:
            self._clear(held[0])
            return held[0]
        for task in held:
            self._num_suspects += not task.suspected
            task.suspected = True
            self._retries.append(task)
        self._most_in_flight = max(1, len(held) // SUSPECT_SHARE)
        return None

    def close(self) -> None:
        """Stop opening documents."""
        self._openers.shutdown(wait=True, cancel_futures=True)

    def _clear(self, task: PageTask) -> None:
        if task.suspected:
            task.suspected = False
            self._num_suspects -= 1
        if not self._num_suspects:
            self._most_in_flight = None

    def _prepare(self, wait_s: float) -> None:
        """Wait for one more page to become ready, for as long as `wait_s`."""
        deadline = time.monotonic() + wait_s
        while not self._ready:
            self._fill()
            try:
                done = self._rendered.get(timeout=max(0.0, deadline - time.monotonic()))
            except Empty:
                return
            if done:
                self._receive(*done)
            if self.exhausted:
                return

    def _fill(self) -> None:
        self._open_ahead()
        while self._rendering + len(self._ready) < self.ahead:
            task = self._retries.popleft() if self._retries else self._next_page()
            if task is None:
                return
            future = self._documents.render(task.document, task.path, task.page_number, task.settings)
            self._rendering += 1
            future.add_done_callback(lambda done, task=task: self._rendered.put((task, done)))  # type: ignore[misc]

    def _open_ahead(self) -> None:
        while len(self._opening) < OPEN_AHEAD and not self._all_listed:
            ref = next(self._refs, None)
            if ref is None:
                self._all_listed = True
                return
            future = self._openers.submit(self._documents.open, ref)
            future.add_done_callback(lambda _: self._rendered.put(None))  # wakes a waiting take
            self._opening.append((ref, datetime.now(UTC), future))

    def _next_page(self) -> PageTask | None:
        while self._current is None:
            if not self._opening or not self._opening[0][2].done():
                return None
            self._admit(*self._opening.popleft())
            self._open_ahead()
        opened = self._current
        task = PageTask(opened.document, opened.path, opened.next_number, self._first)
        opened.next_number += 1
        if not opened.has_more:
            self._current = None
        return task

    def _admit(self, ref: DocumentRef, started_at: datetime, opened: Future[tuple[Document, Path]]) -> None:
        try:
            document, path = opened.result()
        except DocumentError as error:
            self._losses.document_failed(ref, error, started_at)
            return
        self._losses.document_opened(document)
        self._current = _OpenDocument(document, path)

    def _receive(self, task: PageTask, rendered: Future[PageImage]) -> None:
        self._rendering -= 1
        try:
            image = rendered.result()
        except PageError as error:
            self._clear(task)
            self._losses.page_failed(task, error)
            return
        spec = image.spec
        task.settings = replace(task.settings, render=spec)
        task.shown = ImageFacts(image.width_px, image.height_px, image.dpi, spec.rotation_deg, image.render_s)
        request = PageRequest(
            request_id=f"{next(self._ids)}",
            image_key=f"{task.document.sha256}:{task.page_number}:{spec.max_pixels}:{spec.rotation_deg}",
            image=image,
            settings=task.settings,
        )
        self._ready.append((task, request))
