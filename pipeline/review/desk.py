"""What the review server answers: lists, documents, pictures, and what somebody says."""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.corrections import CorrectionWriter
from pipeline.errors import PipelineError
from pipeline.report.images import Shot
from pipeline.report.pages import Links, Pages
from pipeline.report.rows import DOCUMENT_COLUMNS, PAGE_COLUMNS
from pipeline.review.images import Asked, PageImages
from pipeline.review.queue import Entry, Progress, Queue, Show
from pipeline.review.saying import Overtaken, Said, correction_of
from pipeline.review.sheet import Desk, review_view

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.data import Json
    from pipeline.results import ExtractionResults

TEMPLATES = Path(__file__).parent / "templates"
ON_A_PAGE = 100
"""Documents of a list."""
MOST_PAGES = 200
"""Of a document in one view; a browser shows no more well."""


class Unknown(PipelineError):
    """There is no such thing here."""


class ReviewDesk:
    """One reviewer's desk for one extraction; thread-safe."""

    def __init__(self, extraction: ExtractionResults, reviewer: str, images: PageImages, token: str) -> None:
        """Read the index.

        Raises:
            StorageError: something cannot be read.
        """
        self.extraction = extraction
        self.reviewer = reviewer
        self.queue = Queue(extraction)
        self._images = images
        self._token = token
        self._pages = Pages(TEMPLATES)
        self._writer = CorrectionWriter(extraction.storage, extraction.name, extraction.corrections)
        self._saving = threading.Lock()

    @property
    def assets(self) -> dict[str, bytes]:
        """The scripts and styles of all pages, by their names."""
        own = {name: (TEMPLATES / name).read_bytes() for name in ("review.js", "review.css")}
        return own | {name.rpartition("/")[2]: content for name, content in self._pages.assets.items()}

    @property
    def address(self) -> str:
        """Of this extraction's list."""
        from urllib.parse import quote

        return f"/e/{quote(self.extraction.name, safe='')}/"

    def list_page(self, show: Show, number: int) -> bytes:
        """Return a page of a list.

        Args:
            number: of the page, from 1.
        """
        count = self.queue.count(show)
        pages = max(1, -(-count // ON_A_PAGE))
        number = min(max(number, 1), pages)
        return self._pages.render(
            "queue.html",
            self._links(),
            extraction=self.extraction.name,
            location=self.address,
            reviewer=self.reviewer,
            token=self._token,
            entries=self.queue.page(show, (number - 1) * ON_A_PAGE, ON_A_PAGE),
            show=show.value,
            shows=[(one.value, self.queue.count(one)) for one in Show],
            progress=self.queue.progress,
            number=number,
            pages=pages,
        )

    def document_page(self, name: str) -> bytes:
        """Return a document's page.

        Raises:
            Unknown: there is no such document any more.
        """
        entry, document, pages = self._found(name)
        records = self.extraction.records_at(entry.uri)
        folder = f"{self.address}{entry.id}/"
        view = review_view(
            self.extraction.name, document, pages, records, self._images.views(pages[:MOST_PAGES], folder.lstrip("/"))
        )
        if following := self.queue.beside(entry, 1):
            self._images.prepare(partial(self._first_picture, following))
        editing = Desk(
            token=self._token,
            script="/assets/review.js",
            style="/assets/review.css",
            records={record.record_number - 1: record for record in records},
        )
        return self._pages.document(view, self._links(entry), editing)

    def picture(self, name: str, page_number: int) -> bytes:
        """Return a page of a document as WebP.

        Raises:
            Unknown: there is no such page.
            PipelineError: it cannot be drawn.
        """
        entry, document, pages = self._found(name)
        for page in pages:
            if page["page_number"] == page_number and document.get("sha256"):
                return self._images.picture(Asked(entry.uri, document["sha256"], Shot.of(page)))
        raise Unknown(f"{entry.name} has no page {page_number}.")

    def say(self, name: str, said: Said) -> bytes:
        """Save what somebody says, and return the document's page as it is now.

        Raises:
            Unknown: there is no such document any more.
            Refused: it cannot be taken; says why. Overtaken where somebody else was faster.
            StorageError: it could not be written.
        """
        entry, _, _ = self._found(name)
        with self._saving:
            self.extraction.corrections.refresh()
            records = {record.record_number - 1: record for record in self.extraction.records_at(entry.uri)}
            if said.number not in records:
                raise Overtaken("The document was read again meanwhile. Load the page to see what it says now.")
            record = records[said.number]
            self._writer.save([correction_of(said, record, self.extraction, self.reviewer)])
            self.queue.look_again(self.queue.same_bytes(record.sha256))
        return self.document_page(name)

    def home_page(self, desks: Sequence[ReviewDesk]) -> bytes:
        """Return a page on which an extraction is chosen."""
        found = [(desk.extraction.name, desk.address, desk.progress) for desk in desks]
        return self._pages.render("home.html", Links(home="/", root="/"), desks=found, reviewer=self.reviewer)

    def message_page(self, title: str, text: str) -> bytes:
        """Return a page that says why there is no other."""
        return self._pages.render("message.html", Links(home="/", root="/"), title=title, text=text)

    @property
    def progress(self) -> Progress:
        """How far people have come."""
        return self.queue.progress

    def _found(self, name: str) -> tuple[Entry, Json, list[Json]]:
        entry = self.queue.find(name)
        if entry is None:
            raise Unknown("There is no such document here; the results may have changed since. Go back to the list.")
        for batch in self.extraction.documents_at([entry.uri], DOCUMENT_COLUMNS):
            [document] = batch.to_pylist(maps_as_pydicts="lossy")
            return entry, document, self.extraction.pages_of(entry.uri, PAGE_COLUMNS)
        raise Unknown(f"{entry.name} is not among the results any more.")

    def _first_picture(self, entry: Entry) -> Asked | None:
        """Return what is looked at first when a document is opened."""
        _, document, pages = self._found(entry.id)
        if not document.get("sha256") or not pages or pages[0]["page_number"] is None:
            return None
        return Asked(entry.uri, document["sha256"], Shot.of(pages[0]))

    def _links(self, entry: Entry | None = None) -> Links:
        if entry is None:
            return Links(home=self.address, root="/")
        following, previous = self.queue.beside(entry, 1), self.queue.beside(entry, -1)
        done, due = self.progress
        return Links(
            home=self.address,
            root="/",
            previous=f"{self.address}{previous.id}" if previous else None,
            next=f"{self.address}{following.id}" if following else None,
            position=f"{done:,} of {due:,} reviewed",
        )
