"""Pages that are to be shown together, while they are rendered. A page that is read by itself is a window of one.

A window travels as its first page, the leader: settings and tries are the leader's.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path

from pipeline.data import Document, ImageFacts, PageImage, PageRequest, PageTask, ShownImage, TrySettings

BYTES_PER_PIXEL = 3


class Gathering:
    """One window: complete when each of its pages is rendered or has left it."""

    def __init__(self, leader: PageTask) -> None:
        self.num_bytes = BYTES_PER_PIXEL * sum(page.settings.render.max_pixels for page in leader.window)
        """Memory that its images take at most, about."""
        self.pages = leader.window
        """Those that are in it, in their order."""
        self._images: dict[int, PageImage] = {}

    @property
    def is_complete(self) -> bool:
        """Whether no page is awaited."""
        return len(self._images) == len(self.pages)

    def request(self, request_id: str) -> PageRequest:
        """Return what an engine is asked; of a window that is complete and has pages."""
        first, *others = (
            ShownImage(f"{page.document.sha256}:{page.page_number}:{image.spec.key}", image)
            for page in self.pages
            for image in [self._images[page.page_number]]
        )
        return PageRequest(request_id, *first, self.pages[0].settings, others=tuple(others))

    def add(self, page: PageTask, image: PageImage) -> None:
        """Enter a page that is rendered."""
        self._images[page.page_number] = image

    def drop(self, page: PageTask) -> None:
        """Leave a page out that is not shown; where it was the leader, the next one is, with its tries."""
        was_leader = page is self.pages[0]
        self.pages = tuple(other for other in self.pages if other is not page)
        page.others = []
        if self.pages:
            leader = self.pages[0]
            leader.others = [*self.pages[1:]]
            if was_leader:
                leader.attempts, page.attempts = page.attempts, []


def take_note(page: PageTask, image: PageImage) -> None:
    """Enter in a page what its image is."""
    spec = image.spec
    page.settings = replace(page.settings, render=spec)
    page.shown = ImageFacts(
        image.width_px, image.height_px, image.dpi, spec.rotation_deg, image.render_s, image.full_pixels
    )


def tried_again(leader: PageTask, settings: TrySettings) -> Sequence[PageTask]:
    """Return what travels when a window is tried with these settings: itself, or each of its pages.

    Which way up a page stands each has found out for itself.
    """
    for page in leader.others:
        turned = replace(settings.render, rotation_deg=page.settings.render.rotation_deg)
        page.settings = replace(settings, render=turned)
    leader.settings = settings
    if settings.window_pages > 1:
        return (leader,)
    pages, leader.others = leader.window, []
    return pages


def num_bytes(request: PageRequest) -> int:
    """Return the memory that the images of a request take."""
    return sum(shown.image.pixels.nbytes for shown in request.shown)


@dataclass(slots=True)
class OpenDocument:
    """A document whose pages are on their way."""

    document: Document
    path: Path
    done: Container[int]
    """Pages that need no reading."""
    number: int = 0

    def next_window(self, first: TrySettings, most: int) -> PageTask | None:
        """Return the next page to read, with those behind it that are shown together with it.

        Windows are about as long as one another: a last page by itself would lack the others.

        Args:
            first: of a page that is read by itself; several may write as much as each of them might.
        """
        pages_left = self.document.num_pages - self.number
        most = ceil(pages_left / ceil(pages_left / most)) if pages_left else 0
        numbers: list[int] = []
        while self.number < self.document.num_pages and len(numbers) < most:
            self.number += 1
            if self.number not in self.done:
                numbers.append(self.number)
            elif numbers:
                break
        count = len(numbers)
        settings = replace(first, window_pages=count, max_tokens=first.max_tokens * count) if count > 1 else first
        pages = [PageTask(self.document, self.path, number, settings) for number in numbers]
        if not pages:
            return None
        pages[0].others = pages[1:]
        return pages[0]
