"""Writes a report: each file whole, the index last, and what no page leads to any more is deleted after it.

Documents stream by: memory is bounded by a part of the output, by what is kept of each document for the list, and by
the most urgent findings.
"""

from __future__ import annotations

import hashlib
import shlex
import time
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc

from pipeline import __version__
from pipeline.data import Status
from pipeline.report import overview
from pipeline.report.book import INDEX, Book
from pipeline.report.changes import changes_of
from pipeline.report.documents import document_view
from pipeline.report.findings import Findings, Listed
from pipeline.report.images import Drawers, ImageLimits, PageImages
from pipeline.report.lists import LISTED, Lists
from pipeline.report.night import MOST_NIGHTS, min_confidence, nights
from pipeline.report.pages import Links, script_data
from pipeline.report.reviewed import Notes, with_reviews
from pipeline.report.rows import Rows
from pipeline.report.target import open_target
from pipeline.show.text import duration, labels
from pipeline.stats import read_runs
from pipeline.storage import open_storage

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

    from pipeline.report.rows import DocumentRows
    from pipeline.report.views import ImageView, NoImage
    from pipeline.results import ExtractionResults, Results
    from pipeline.storage import Storage

_PAGES_AHEAD = 64
"""Pages of documents that wait for their pictures."""


@dataclass(frozen=True, slots=True)
class Report:
    """What was written."""

    index: str
    """Where its first page stands."""
    documents: int
    pages: int
    files: int
    images: int
    images_rendered: int
    """Of these in this call; the others were there."""
    took_s: float


def write_report(results: Results, location: str, names: Sequence[str], limits: ImageLimits) -> Report:
    """Write the report of an output's extractions.

    Args:
        location: a folder, made if missing, or a bucket URL.
        names: of the extractions.

    Raises:
        ConfigError: `location` is no folder or bucket URL.
        StorageError: the output cannot be read, or the report not written; what it was before then stays whole.
    """
    started = time.perf_counter()
    storage = open_storage(results.location)
    with open_target(location) as target:
        book = Book(target)
        extractions = [found for found in results.extractions if found.name in names]
        written = [_Extraction(book, storage, found, limits) for found in extractions]
        with Drawers(min(sum(one.num_pages for one in written), limits.max_images), limits.workers) as drawers:
            views = [one.write(drawers) for one in written]
        _write_index(book, results.location, views, started)
        book.close()
    return Report(
        index=f"{location.rstrip('/')}/{INDEX}",
        documents=sum(one.rows.current.num_rows for one in written),
        pages=sum(one.pages_seen for one in written),
        files=len(book.files),
        images=len(book.images),
        images_rendered=sum(one.rendered for one in written),
        took_s=time.perf_counter() - started,
    )


class _Extraction:
    """Writes the pages of one extraction."""

    def __init__(self, book: Book, storage: Storage, results: ExtractionResults, limits: ImageLimits) -> None:
        self._book = book
        self._storage = storage
        self._results = results
        self._limits = limits
        self._anchor = overview.anchor_of(results.name)
        self._findings = Findings()
        self.rows = Rows(storage, results.document_parts)
        self._uris: list[str] = self.rows.current["source_uri"].to_pylist()
        self._names = labels(self._uris)
        self._places = {uri: place for place, uri in enumerate(self._uris)}
        self._listed: list[Listed | None] = [None] * len(self._uris)
        self._reviewed = frozenset(results.corrections.documents)
        self.pages_seen = self.rendered = 0

    @property
    def num_pages(self) -> int:
        """Of all documents."""
        return overview.num_pages(self.rows.current)

    def write(self, drawers: Drawers) -> overview.ExtractionView:
        """Write all pages but the index; return what that shows."""
        runs = read_runs(self._storage, self._results.name, last=MOST_NIGHTS)
        last_runs = nights(runs, self._results.stats())
        self._write_documents(drawers)
        listed = [one for one in self._listed if one]
        self._book.put(self._data_href, script_data(self._data_name, [_data(one) for one in listed]))
        lists = Lists(self._book, self._results.name, self._anchor)
        list_pages = lists.write_documents(listed)
        ids = [night.run_id for night in last_runs if night.whole and night.whole.documents]
        changes = changes_of(self.rows, ids[0] if ids else "", ids[1] if len(ids) > 1 else None)
        found = self._findings
        return overview.ExtractionView(
            name=self._results.name,
            anchor=self._anchor,
            headline=overview.headline(self.rows.current, found),
            tiles=overview.tiles(self.rows.current, found, last_runs, self._anchor, min_confidence(runs)),
            verdicts=overview.shares(found),
            **overview.figures(last_runs),
            **lists.write_findings(found),
            changes=changes,
            hrefs=self._link,
            documents_count=len(listed),
            listed=listed[:LISTED],
            list_pages=list_pages,
            data_name=self._data_name,
            data_href=self._data_href,
        )

    @property
    def _data_name(self) -> str:
        return f"pagemill:{self._results.name}"

    @property
    def _data_href(self) -> str:
        return f"{self._anchor}/documents.js"

    def _write_documents(self, drawers: Drawers) -> None:
        allowances = _allowances(self.rows, self._limits.max_images - len(self._book.images))
        waiting: deque[tuple[DocumentRows, Future[dict[int, ImageView | NoImage]]]] = deque()
        ahead = 0
        known = self._book.known_images
        target, name = self._book.target, self._results.name
        with PageImages(target, self._storage, name, drawers, self._limits, known=known) as images:
            for rows in self.rows.documents():
                waiting.append((rows, images.of(rows, int(allowances[rows.place]))))
                ahead += len(rows.pages)
                while ahead > _PAGES_AHEAD and waiting:
                    done, pictures = waiting.popleft()
                    ahead -= len(done.pages)
                    self._write_document(done, pictures.result())
            for done, pictures in waiting:
                self._write_document(done, pictures.result())
            self._book.images |= images.made
            self.rendered = images.rendered

    def _write_document(self, rows: DocumentRows, images: dict[int, ImageView | NoImage]) -> None:
        place = rows.place
        name, href = self._link(self._uris[place])
        document = rows.document
        notes: Notes = {}
        if document.get("sha256") in self._reviewed:
            document, notes = with_reviews(document, self._results.records_at(self._uris[place]))
        view = document_view(self._results.name, document, rows.pages, images, notes=notes)
        self.pages_seen += len(view.pages)
        before, after = (
            f"{_file_name(self._uris[near])}" if 0 <= near < len(self._uris) else None
            for near in (place - 1, place + 1)
        )
        home = f"../../{INDEX}#documents-{self._anchor}"
        links = Links(home, "../../", before, after, f"{place + 1:,} of {len(self._uris):,}")
        self._book.put(href, self._book.pages.document(view, links))
        self._listed[place] = self._findings.add(view, name, href)

    def _link(self, uri: str) -> tuple[str, str]:
        return self._names[self._places[uri]], f"{self._anchor}/d/{_file_name(uri)}"


def _write_index(book: Book, location: str, views: Sequence[overview.ExtractionView], started: float) -> None:
    values: dict[str, Any] = {"extractions": views, "location": location, "title": _title(views), "root": ""}
    values["review_command"] = f"pagemill review {shlex.quote(location)}"
    values |= {"written_at": datetime.now(UTC), "version": __version__}
    links = Links(INDEX, "")
    book.target.settle()  # the index leads to nothing that is not there
    took = duration(time.perf_counter() - started)
    book.put(INDEX, book.pages.render("index.html", links, inline=True, took=took, **values))


def _title(views: Sequence[overview.ExtractionView]) -> str:
    begun = [view.night.started_at for view in views if view.night]
    return f"Report of {max(begun):%A %d %B %Y}" if begun else "What was read"


def _file_name(uri: str) -> str:
    return f"{hashlib.sha256(uri.encode(errors='surrogatepass')).hexdigest()[:16]}.html"


def _data(one: Listed) -> list[Any]:
    """Return a document as report.js reads it."""
    confidence = None if one.confidence is None else round(one.confidence, 4)
    return [one.name, one.href, one.status, one.pages, one.review, one.gist, one.doubts, one.breaches, confidence]


def _allowances(rows: Rows, most: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return of how many pages of each current document pictures are made: failed ones first, then those to review."""
    current = rows.current
    if not current.num_rows:
        return np.zeros(0, dtype=np.int64)
    pages = pc.add(current["pages_ok"], current["pages_failed"]).to_numpy().astype(np.int64)
    failed = pc.equal(current["status"], Status.FAILED.value).to_numpy()
    review = np.zeros(len(pages), dtype=bool)
    if "needs_review" in current.column_names:
        review = pc.fill_null(current["needs_review"], fill_value=False).to_numpy()
    order = np.argsort(np.where(failed, 0, np.where(review, 1, 2)), kind="stable")
    before = np.concatenate([[0], np.cumsum(pages[order])[:-1]])
    allowed = np.zeros(len(pages), dtype=np.int64)
    allowed[order] = np.clip(most - before, 0, pages[order])
    return allowed
