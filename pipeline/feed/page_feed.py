"""Pages on their way to the engine: opened and rendered ahead, next tries first.

The engine's `take` is the only thing that moves the feed, so nothing here runs further
ahead of the engine than `ahead` page images or `ahead_bytes` of them, however long the input is.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Container, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from queue import Empty, SimpleQueue

from pipeline.data import Document, DocumentRef, ImageFacts, PageImage, PageRequest, PageTask, Supply, TrySettings
from pipeline.errors import DocumentError, ErrorType, PageError, RenderError
from pipeline.feed.opening import Opening
from pipeline.feed.seams import Documents, Losses, Shortcuts, Stop
from pipeline.suspects import Suspects

WAIT_S = 0.1
LONGEST_S = 0.02
"""How long an engine that cannot wait is kept by pages that need none: about as long as one of its steps."""
BYTES_PER_PIXEL = 3
MAX_TIMEOUTS = 5
"""Pages of a document that may run out of time one after the other; the others are then given up, as twenty
thousand of them would take days."""


@dataclass(slots=True)
class _OpenDocument:
    document: Document
    path: Path
    done: Container[int]
    """Pages that need no reading."""
    number: int = 0

    def next_number(self) -> int | None:
        """Return the next page to read."""
        while self.number < self.document.num_pages:
            self.number += 1
            if self.number not in self.done:
                return self.number
        return None


class PageFeed:
    """The `Requests` of a run. Not thread-safe: take, resolve and retry are called by one thread."""

    def __init__(
        self,
        refs: Iterator[DocumentRef],
        documents: Documents,
        losses: Losses,
        first: TrySettings,
        *,
        shortcuts: Shortcuts,
        stop: Stop,
        ahead_bytes: int,
        ahead: int = 2,
    ) -> None:
        """Open and render nothing yet.

        Args:
            stop: once set, no more pages are taken.
            ahead: page images ready or in the making at most; one at least, whatever its size.
            ahead_bytes: memory that these may take.
        """
        self.ahead = ahead
        self.paused = False
        """While it is set no pages are taken: the engine ends when those that it holds are read."""
        self._stop = stop
        self._ahead_bytes = ahead_bytes
        self._documents = documents
        self._losses = losses
        self._first = first
        self._shortcuts = shortcuts
        self._opening = Opening(refs, documents.open, self._wake)
        self._current: _OpenDocument | None = None
        self._retries: deque[PageTask] = deque()
        self._rendering = 0
        self._rendering_bytes = self._ready_bytes = 0
        self._rendered: SimpleQueue[tuple[PageTask, Future[PageImage]] | None] = SimpleQueue()
        self._ready: deque[tuple[PageTask, PageRequest]] = deque()
        self._in_flight: dict[str, PageTask] = {}
        self._suspects = Suspects()
        self._timeouts: dict[str, int] = {}
        """Pages in a row that ran out of time, by URI."""
        self._ids = itertools.count(1)
        self._supply = Supply.LATE

    @property
    def exhausted(self) -> bool:
        """True when no page is left anywhere, or none may be taken."""
        return not self._in_flight and not self._to_come

    @property
    def _to_come(self) -> bool:
        """Whether there are pages that the engine has not got yet and may take."""
        return not self._draining and (self._is_coming or self._shortcuts.may_return)

    @property
    def _is_coming(self) -> bool:
        """Whether there are pages that the engine has never got."""
        coming = self._ready or self._rendering or self._retries or self._current or self._shortcuts.num_pending
        return bool(coming) or not self._opening.is_over

    def wait_for_page(self) -> bool:
        """Wait until a page is ready; False when none is left, so that no engine need be loaded."""
        while not self._ready and not self.exhausted:
            self._prepare(WAIT_S)
        return bool(self._ready) and not self._draining

    def take(self, wait_s: float) -> PageRequest | None:
        """Return the next request, or None when none became ready in time or none may be taken."""
        most = self._suspects.most_in_flight
        if most is not None and len(self._in_flight) >= most:
            return None
        if not self._ready and not self._draining:
            self._prepare(wait_s)
        if not self._ready or self._draining:
            self._tell(self._lacking)
            return None
        task, request = self._ready.popleft()
        self._ready_bytes -= request.image.pixels.nbytes
        self._in_flight[request.request_id] = task
        self._tell(Supply.READY)
        return request

    def resolve(self, request_id: str) -> PageTask:
        """Return the page of a generation; it is no longer in flight."""
        task = self._in_flight.pop(request_id)
        self._suspects.clear(task)
        self._tell(self._supply if self._in_flight else self._lacking)
        return task

    def retry(self, task: PageTask, settings: TrySettings) -> None:
        """Send a page again, before any new one."""
        task.settings = settings
        self._retries.append(task)

    def engine_died(self) -> PageTask | None:
        """Send the pages that the engine held again; return the page that killed it, once that is certain."""
        killer = self._suspects.accuse([*self._in_flight.values()])
        self.send_again()
        if killer:
            self._retries.pop()
        return killer

    def send_again(self) -> None:
        """Give the pages that the engine held to the next one."""
        self._retries.extend(self._in_flight.values())
        self._in_flight.clear()
        self._tell(self._lacking)

    def _tell(self, supply: Supply) -> None:
        self._supply = supply
        self._losses.pages_in_engine(len(self._in_flight), supply)

    @property
    def _lacking(self) -> Supply:
        """Why there is no page for an engine that asks for one."""
        return Supply.LATE if not self._draining and self._is_coming else Supply.NONE

    @property
    def _draining(self) -> bool:
        return self.paused or self._stop.is_set()

    @property
    def num_in_flight(self) -> int:
        """Pages that the engine holds."""
        return len(self._in_flight)

    @property
    def num_ready(self) -> int:
        """Page images that wait for the engine; none for long: rendering holds it up."""
        return len(self._ready)

    def close(self) -> None:
        """Stop opening documents; those being opened end when their renderer is closed."""
        self._opening.close()

    def _prepare(self, wait_s: float) -> None:
        """Wait for one more page to become ready, for as long as `wait_s`; going through others may take longer."""
        deadline = time.monotonic() + wait_s
        while not self._ready:
            self._fill()
            try:
                done = self._rendered.get(timeout=max(0.0, deadline - time.monotonic()))
            except Empty:
                return
            if done:
                self._receive(*done)
            if self._draining or self.exhausted or time.monotonic() > deadline + LONGEST_S:
                return

    def _wake(self) -> None:
        """Let a waiting take look again; any thread may call it."""
        self._rendered.put(None)

    def _fill(self) -> None:
        self._opening.go_on()
        self._retries.extend(self._shortcuts.again())
        while self._has_room():
            task = self._retries.popleft() if self._retries else self._next_page()
            if task is None:
                return
            if self._timeouts.get(task.document.ref.uri, 0) >= MAX_TIMEOUTS:
                reason = (
                    f"{MAX_TIMEOUTS} pages of this document ran out of time; raise render.timeout_s if it is honest."
                )
                self._suspects.clear(task)
                self._losses.page_failed(task, RenderError(ErrorType.RENDER_TIMEOUT, reason))
                continue
            future = self._documents.render(task.document, task.path, task.page_number, task.settings)
            self._rendering += 1
            self._rendering_bytes += BYTES_PER_PIXEL * task.settings.render.max_pixels
            future.add_done_callback(lambda done, task=task: self._rendered.put((task, done)))  # type: ignore[misc]

    def _has_room(self) -> bool:
        ahead = self._rendering + len(self._ready) + self._shortcuts.num_pending
        has_bytes = self._rendering_bytes + self._ready_bytes < self._ahead_bytes
        return ahead < self.ahead and not self._shortcuts.is_full and (has_bytes or not ahead)

    def _next_page(self) -> PageTask | None:
        while True:
            if self._current and (number := self._current.next_number()):
                return PageTask(self._current.document, self._current.path, number, self._first)
            self._current = None
            opened = self._opening.take()
            if opened is None:
                return None
            self._admit(*opened)
            self._opening.go_on()

    def _admit(self, ref: DocumentRef, started_at: datetime, opened: Future[tuple[Document, Path]]) -> None:
        try:
            document, path = opened.result()
        except DocumentError as error:
            self._losses.document_failed(ref, error, started_at)
            return
        self._current = _OpenDocument(document, path, self._losses.document_opened(document))

    def _receive(self, task: PageTask, rendered: Future[PageImage]) -> None:
        self._rendering -= 1
        self._rendering_bytes -= BYTES_PER_PIXEL * task.settings.render.max_pixels
        uri = task.document.ref.uri
        try:
            image = rendered.result()
        except PageError as error:
            if error.error_type is ErrorType.RENDER_TIMEOUT:
                self._timeouts[uri] = self._timeouts.get(uri, 0) + 1
            self._suspects.clear(task)
            self._losses.page_failed(task, error)
            return
        self._timeouts.pop(uri, None)
        spec = image.spec
        task.settings = replace(task.settings, render=spec)
        task.shown = ImageFacts(
            image.width_px, image.height_px, image.dpi, spec.rotation_deg, image.render_s, image.full_pixels
        )
        is_new = task.settings.number == 1 and not task.suspected
        if is_new and self._shortcuts.take(task, image, self._wake):
            return
        request = PageRequest(
            request_id=f"{next(self._ids)}",
            image_key=f"{task.document.sha256}:{task.page_number}:{spec.key}",
            image=image,
            settings=task.settings,
        )
        self._ready.append((task, request))
        self._ready_bytes += image.pixels.nbytes
