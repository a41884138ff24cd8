"""Documents to page images, in processes that a hostile file may crash.

The parent side: what is asked of the render workers and what their deaths mean. The only
users of pymupdf and pillow are the modules beside this one, and they run in the workers.
A page image never depends on where or in which order pages are rendered.
"""

from __future__ import annotations

import logging
from concurrent.futures import CancelledError, Future
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from pipeline.data import PageFacts
from pipeline.errors import (
    DocumentError,
    ErrorType,
    PageError,
    RenderError,
    WorkerCrashedError,
    WorkerError,
    WorkerMemoryError,
    WorkerTimeoutError,
)
from pipeline.render.jobs import Job, OpenDocument, PreviewPage, RenderPage, SavePage, start_rendering
from pipeline.workers import WorkerPool

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pipeline.config import RenderConfig
    from pipeline.data import Document, DocumentRef, PageImage, RenderSpec

Result = TypeVar("Result")

log = logging.getLogger(__name__)

MAX_TRIES = 2
"""A worker may die or be full for other reasons than this job; that of a new worker is the job's own fault."""

EVERY_PAGE = PageFacts()
PIXELS_ONLY = PageFacts(text_layer=False)

RECYCLE_AFTER_JOBS = 20_000
"""MuPDF and libtiff kept memory across documents (PyMuPDF issues 2588, 3625). Today's do not: 8,000 pages of 160
documents, and 1,500 of damaged ones, left a worker at 162 and 171 MB. A new worker costs about a second, which
every 2,000 pages would be a sixth of the time in which they are drawn."""


class Renderer:
    """Opens documents and rasterises their pages in `num_workers` processes.

    Nothing in a document is executed, followed or fetched: no JavaScript, no links, no
    attachments. Each job has `config.timeout_s` and each worker `config.memory_limit_mb`.
    """

    def __init__(self, config: RenderConfig, *, num_workers: int, facts: PageFacts = EVERY_PAGE) -> None:
        """Start the processes.

        Args:
            facts: What is found out about every page, unless `render` is asked for others.
        """
        self._config = config
        self._facts = facts
        self._pool: WorkerPool[Job, Any] = WorkerPool(
            partial(start_rendering, config),
            num_workers=num_workers,
            timeout_s=config.timeout_s,
            memory_limit_mb=config.memory_limit_mb,
            name="render",
            recycle_after=RECYCLE_AFTER_JOBS,
            ahead=1,
        )

    def open(self, ref: DocumentRef, path: Path) -> Future[Document]:
        """Return what the file at `path` is; for a bucket, `path` is its local copy.

        The future's `document.ref` has the size and time found on opening.
        Raises (from the future):
            DocumentError: not a document, damaged, encrypted, empty, too large or not readable; terminal.
        """
        return self._submit(OpenDocument(ref, path), path, DocumentError)

    def render(
        self, document: Document, path: Path, page_number: int, spec: RenderSpec, facts: PageFacts | None = None
    ) -> Future[PageImage]:
        """Return one page as an image; any order, but neighbouring pages of one document are cheapest.

        Args:
            document: As `open` returned it.
            page_number: 1-based.
        Raises (from the future):
            RenderError: this page cannot be rasterised; terminal, other pages may still render.
        """
        return self._submit(RenderPage(document, path, page_number, spec, facts or self._facts), path, RenderError)

    def save(self, document: Document, path: Path, page_number: int, spec: RenderSpec, target: Path) -> Future[None]:
        """Write the image that `render` returns for the same arguments to `target`, as PNG.

        Raises (from the future):
            RenderError: this page cannot be rasterised, or `target` cannot be written.
        """
        page = RenderPage(document, path, page_number, spec, PIXELS_ONLY)
        return self._submit(SavePage(page, target), path, RenderError)

    def preview(self, page: RenderPage, target: Path, *, longest_px: int, turn_deg: int = 0) -> Future[tuple[int, int]]:
        """Write a page's image to `target`, as WebP for people; return the width and height that `render` gives it.

        Args:
            longest_px: of the longer side of what is written.
            turn_deg: clockwise turn of what is written.

        Raises (from the future):
            RenderError: this page cannot be rasterised, or `target` cannot be written.
        """
        return self._submit(PreviewPage(page, target, longest_px, turn_deg), page.path, RenderError)

    def close(self) -> None:
        """Stop the workers; futures not done end cancelled or with WorkerError."""
        self._pool.close()

    def _submit(self, job: Job, path: Path, error_class: type[PageError]) -> Future[Any]:
        outcome: Future[Any] = Future()
        self._attempt(partial(self._pool.submit, job, path), error_class, outcome, MAX_TRIES)
        return outcome

    def _attempt(
        self, submit: Callable[[], Future[Any]], error_class: type[PageError], outcome: Future[Any], tries_left: int
    ) -> None:
        def settle(attempt: Future[Any]) -> None:
            error = _error_of(attempt)
            if outcome.cancelled():
                return
            if isinstance(error, WorkerCrashedError | WorkerMemoryError) and tries_left > 1:
                self._attempt(submit, error_class, outcome, tries_left - 1)
            elif isinstance(error, CancelledError):
                outcome.cancel()
            elif error is not None:
                outcome.set_exception(self._explained(error, error_class))
            else:
                outcome.set_result(attempt.result())

        try:
            submit().add_done_callback(settle)
        except WorkerError as error:  # the pool was closed between two attempts
            outcome.set_exception(error)

    def _explained(self, error: BaseException, error_class: type[PageError]) -> BaseException:
        """Translate what happened to a worker into what is wrong with the document."""
        match error:
            case WorkerTimeoutError():
                return error_class(
                    ErrorType.RENDER_TIMEOUT,
                    f"Not done within {self._config.timeout_s:g} s; raise render.timeout_s if the file is honest.",
                )
            case WorkerMemoryError():
                return error_class(
                    ErrorType.TOO_LARGE,
                    f"Needs more than {self._config.memory_limit_mb} MB of memory; "
                    "raise render.memory_limit_mb if the file is honest.",
                )
            case WorkerCrashedError():
                return error_class(
                    ErrorType.RENDER_CRASH, f"Crashed the renderer {MAX_TRIES} times, the file is malformed: {error}"
                )
            case PageError():
                return error
        if type(error) is WorkerError:  # no worker can start: that is no document's fault
            return error
        log.debug("render job failed", exc_info=error)
        return error_class(ErrorType.RENDER_CRASH, f"The renderer failed: {type(error).__name__}: {error}")


def _error_of(future: Future[Any]) -> BaseException | None:
    try:
        return future.exception()
    except CancelledError as error:
        return error
