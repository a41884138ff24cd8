"""Whom the feed works with: who opens and renders, who is told of losses, and who says that it is over."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from concurrent.futures import Future
from datetime import datetime
from pathlib import Path
from typing import Protocol

from pipeline.data import Document, DocumentRef, PageImage, PageTask, Supply, TrySettings
from pipeline.errors import DocumentError, PageError


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

    def document_opened(self, document: Document) -> Container[int]:
        """Return the numbers of its pages that need no reading; the others will follow."""
        ...

    def document_failed(self, ref: DocumentRef, error: DocumentError, started_at: datetime) -> None:
        """It could not be opened."""
        ...

    def page_failed(self, task: PageTask, error: PageError) -> None:
        """It could not be rendered for this try."""
        ...

    def pages_in_engine(self, pages: int, requests: int, supply: Supply) -> None:
        """The number of pages that the engine holds changed, or how it fares when it asks for another one.

        Args:
            requests: that these pages are asked with.
        """
        ...


class Shortcuts(Protocol):
    """What settles pages without the engine; see skip.Shortcuts."""

    @property
    def num_pending(self) -> int:
        """Pages that are being settled, or that `again` has for the engine."""
        ...

    @property
    def may_return(self) -> bool:
        """Whether `again` may have pages for the engine that it has read already, so that it is to stay."""
        ...

    @property
    def is_full(self) -> bool:
        """Whether no further page is to be rendered for now."""
        ...

    def take(self, task: PageTask, image: PageImage, wake: Callable[[], None]) -> bool:
        """Return whether the engine need not read a page, as far as is known; `wake` is called when more is."""
        ...

    def again(self) -> Iterable[PageTask]:
        """Return pages that were taken and that the engine must read after all."""
        ...


class Stop(Protocol):
    """Says whether a run ends; a threading.Event is one."""

    def is_set(self) -> bool:
        """Return whether no more pages are to be taken; it stays so."""
        ...
