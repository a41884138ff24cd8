"""Open documents of a run: their content on this machine, and their pages as images, upright if need be."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from pipeline.engines.ocr.upright import UprightFinder
from pipeline.errors import AccessDeniedError, DocumentChangedError, DocumentError, ErrorType
from pipeline.source import Fetcher, has_changed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pipeline.data import Document, DocumentRef, PageImage, RenderSpec, TrySettings
    from pipeline.render import Renderer


_CHANGED = "The file is not as it was listed; run again."


class OpenDocuments:
    """Documents whose content lies on this machine from opening to release, and the renderer of their pages."""

    def __init__(self, renderer: Renderer, scratch: Path, *, as_listed: bool = True) -> None:
        """Open nothing yet.

        Args:
            scratch: where copies of what lies in buckets are made.
            as_listed: Refuse what has changed since it was listed.
        """
        self._as_listed = as_listed
        self._renderer = renderer
        self._fetcher = Fetcher(scratch)
        self._held: dict[str, tuple[Path, ExitStack]] = {}
        self._upright = UprightFinder()
        self._turning = ThreadPoolExecutor(1, thread_name_prefix="upright")

    def open(self, ref: DocumentRef) -> tuple[Document, Path]:
        """Return the document and where its content lies; called on several threads.

        Raises:
            DocumentChangedError: it is not as it was listed, be it damaged or not: half of it may be there.
            DocumentError: it cannot be opened.
        """
        with ExitStack() as stack:
            try:
                path = stack.enter_context(self._fetcher.fetch(ref))
            except FileNotFoundError:
                raise DocumentError(ErrorType.UNREADABLE, "The file vanished after it was listed.") from None
            except AccessDeniedError as error:  # one object; where all are refused, listing them is too
                raise DocumentError(ErrorType.UNREADABLE, str(error)) from error
            document = self._open_unchanged(ref, path)
            self._held[ref.uri] = path, stack.pop_all()
            return document, path

    def _open_unchanged(self, ref: DocumentRef, path: Path) -> Document:
        try:
            document = self._renderer.open(ref, path).result()
        except DocumentError as error:
            if self._as_listed and has_changed(ref, path):
                raise DocumentChangedError(ErrorType.UNREADABLE, _CHANGED) from error
            raise
        if self._as_listed and ref.modified_at is not None and document.ref != ref:
            raise DocumentChangedError(ErrorType.UNREADABLE, _CHANGED)
        return document

    def path_of(self, uri: str) -> Path | None:
        """Return where the content of an open document lies; None when it could not be opened."""
        return self._held[uri][0] if uri in self._held else None

    def render(self, document: Document, path: Path, page_number: int, settings: TrySettings) -> Future[PageImage]:
        """Start rasterising a page, upright if that is asked for."""
        render = partial(self._renderer.render, document, path, page_number)
        if settings.find_upright:
            return self._turning.submit(self._turned, render, settings.render)
        return render(settings.render)

    def _turned(self, render: Callable[[RenderSpec], Future[PageImage]], spec: RenderSpec) -> PageImage:
        image = render(spec).result()
        turn = self._upright.find(image)
        return render(replace(spec, rotation_deg=(spec.rotation_deg + turn) % 360)).result() if turn else image

    def release(self, uri: str) -> None:
        """Delete the copy of a document, if one was made; unknown ones (never opened) are passed over."""
        if held := self._held.pop(uri, None):
            held[1].close()

    def close(self) -> None:
        """Release what is still held; pages not done end cancelled or with what the renderer says."""
        self._turning.shutdown(wait=False, cancel_futures=True)
        self._upright.close()  # the page being turned does not wait for it any longer
        self._turning.shutdown(wait=True)
        for uri in list(self._held):
            self.release(uri)
