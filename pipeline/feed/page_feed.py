"""Pages on their way to the engine: opened and rendered ahead, next tries first.

The engine's `take` is the only thing that moves the feed, so nothing here runs further
ahead of the engine than `ahead` page images or `ahead_bytes` of them, however long the input is.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from datetime import datetime
from pathlib import Path
from queue import Empty, SimpleQueue

from pipeline.data import Document, DocumentRef, PageImage, PageRequest, PageTask, Supply, TrySettings
from pipeline.errors import DocumentError, ErrorType, PageError, RenderError
from pipeline.feed.gathering import Gathering, OpenDocument, num_bytes, take_note, tried_again
from pipeline.feed.opening import Opening
from pipeline.feed.seams import Documents, Losses, Shortcuts, Stop
from pipeline.suspects import Suspects

WAIT_S = 0.1
LONGEST_S = 0.02
"""How long an engine that cannot wait is kept by pages that need none: about as long as one of its steps."""
MAX_TIMEOUTS = 5
"""Pages of a document that may run out of time one after the other; the others are then given up, as twenty
thousand of them would take days."""


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
        window_pages: int = 1,
    ) -> None:
        """Open and render nothing yet.

        Args:
            stop: once set, no more pages are taken.
            first: of a page that is read by itself.
            ahead: windows ready or in the making at most; one at least, whatever its size.
            ahead_bytes: memory that their page images may take.
            window_pages: consecutive pages of a document that are shown together, at most.
        """
        self.ahead = ahead
        self.paused = False
        """While it is set no pages are taken: the engine ends when those that it holds are read."""
        self._stop = stop
        self._ahead_bytes = ahead_bytes
        self._documents = documents
        self._losses = losses
        self._first = first
        self._window_pages = window_pages
        self._shortcuts = shortcuts
        self._opening = Opening(refs, documents.open, self._wake)
        self._current: OpenDocument | None = None
        self._retries: deque[PageTask] = deque()
        self._rendering = 0
        self._rendering_bytes = self._ready_bytes = 0
        self._rendered: SimpleQueue[tuple[Gathering, PageTask, Future[PageImage]] | None] = SimpleQueue()
        self._ready: deque[tuple[PageTask, PageRequest]] = deque()
        self._in_flight: dict[str, PageTask] = {}
        self._pages_in_flight = 0
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
        self._ready_bytes -= num_bytes(request)
        self._in_flight[request.request_id] = task
        self._pages_in_flight += len(task.window)
        self._tell(Supply.READY)
        return request

    def resolve(self, request_id: str) -> PageTask:
        """Return the page of a generation, with those that were read with it; they are no longer in flight."""
        task = self._in_flight.pop(request_id)
        self._pages_in_flight -= len(task.window)
        self._suspects.clear(task)
        self._tell(self._supply if self._in_flight else self._lacking)
        return task

    def retry(self, task: PageTask, settings: TrySettings) -> None:
        """Send a page again, before any new one; with those that were read with it, or each by itself."""
        self._retries.extend(tried_again(task, settings))

    def engine_died(self) -> PageTask | None:
        """Send the pages that the engine held again; return the page that killed it, once that is certain.

        Where several pages killed it together, each of them is sent by itself, and is a suspect.
        """
        killer = self._suspects.accuse([*self._in_flight.values()])
        self.send_again()
        if killer:
            self._retries.pop()
        if killer and killer.others:
            self._retries.extend(parted := tried_again(killer, self._first))
            return self._suspects.accuse(parted)
        return killer

    def send_again(self) -> None:
        """Give the pages that the engine held to the next one."""
        self._retries.extend(self._in_flight.values())
        self._in_flight.clear()
        self._pages_in_flight = 0
        self._tell(self._lacking)

    def _tell(self, supply: Supply) -> None:
        self._supply = supply
        self._losses.pages_in_engine(self._pages_in_flight, len(self._in_flight), supply)

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
        return self._pages_in_flight

    @property
    def num_ready(self) -> int:
        """Pages that wait for the engine, or windows of them; none for long: rendering holds it up."""
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
            task = self._retries.popleft() if self._retries else self._next_window()
            if task is None:
                return
            self._render(Gathering(task))

    def _render(self, window: Gathering) -> None:
        self._rendering += 1
        self._rendering_bytes += window.num_bytes
        for page in window.pages:
            if self._timeouts.get(page.document.ref.uri, 0) >= MAX_TIMEOUTS:
                reason = (
                    f"{MAX_TIMEOUTS} pages of this document ran out of time; raise render.timeout_s if it is honest."
                )
                window.drop(page)
                self._lose(page, RenderError(ErrorType.RENDER_TIMEOUT, reason))
                continue
            future = self._documents.render(page.document, page.path, page.page_number, page.settings)
            future.add_done_callback(lambda done, page=page: self._rendered.put((window, page, done)))  # type: ignore[misc]
        self._send_whole(window)

    def _has_room(self) -> bool:
        ahead = self._rendering + len(self._ready) + self._shortcuts.num_pending
        has_bytes = self._rendering_bytes + self._ready_bytes < self._ahead_bytes
        return ahead < self.ahead and not self._shortcuts.is_full and (has_bytes or not ahead)

    def _next_window(self) -> PageTask | None:
        while True:
            if self._current and (window := self._current.next_window(self._first, self._window_pages)):
                return window
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
        self._current = OpenDocument(document, path, self._losses.document_opened(document))

    def _receive(self, window: Gathering, page: PageTask, rendered: Future[PageImage]) -> None:
        uri = page.document.ref.uri
        try:
            image = rendered.result()
        except PageError as error:
            if error.error_type is ErrorType.RENDER_TIMEOUT:
                self._timeouts[uri] = self._timeouts.get(uri, 0) + 1
            window.drop(page)
            self._lose(page, error)
        else:
            self._timeouts.pop(uri, None)
            self._gather(window, page, image)
        self._send_whole(window)

    def _lose(self, page: PageTask, error: PageError) -> None:
        self._suspects.clear(page)
        self._losses.page_failed(page, error)

    def _gather(self, window: Gathering, page: PageTask, image: PageImage) -> None:
        """Enter a page image in its window, unless the page needs no engine."""
        take_note(page, image)
        is_new = page.settings.number == 1 and not page.suspected and not page.attempts
        if is_new and self._shortcuts.take(page, image, self._wake):
            window.drop(page)
        else:
            window.add(page, image)

    def _send_whole(self, window: Gathering) -> None:
        """Have the engine read a window, once all of it is there."""
        if not window.is_complete:
            return
        self._rendering -= 1
        self._rendering_bytes -= window.num_bytes
        if window.pages:
            request = window.request(f"{next(self._ids)}")
            self._ready.append((window.pages[0], request))
            self._ready_bytes += num_bytes(request)
