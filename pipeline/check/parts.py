"""The pages of a part, held against its documents."""

from __future__ import annotations

import hashlib
import itertools
from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.check.reading import DamagedError, Problem, num_rows, read_rows
from pipeline.data import AnsweredBy, Status

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pipeline.storage import Storage

_SHOWN_PAGES = 5
_DOCUMENT_COLUMNS = ("source_uri", "num_pages", "status", "pages_ok", "pages_failed", "run_id")
_PAGE_COLUMNS = ("source_uri", "page_number", "status", "error_type", "run_id")
_NEWER_PAGE_COLUMNS = ("answered_by", "duplicate_of")


class Rows:
    """What the parts of an extraction hold, by the run that committed it."""

    def __init__(self) -> None:
        self.num_documents = self.num_pages = 0
        self.of_run: dict[str, Counter[str]] = {}
        """Documents ("documents") and pages ("ok", "failed") by run."""
        self._committed = array("Q")
        """Hashes of (run, document)."""

    def add_document(self, run_id: str, uri: str) -> None:
        """Count a document row."""
        self.num_documents += 1
        self._count(run_id, "documents")
        digest = hashlib.blake2b(f"{run_id}\n{uri}".encode(errors="surrogatepass"), digest_size=8).digest()
        self._committed.append(int.from_bytes(digest, "little"))

    def add_page(self, run_id: str, status: str) -> None:
        """Count a page row."""
        self.num_pages += 1
        self._count(run_id, status)

    def num_committed_twice(self) -> int:
        """Return how many documents have more than one row of the same run."""
        counts = np.unique(np.frombuffer(self._committed, np.uint64), return_counts=True)[1]
        return int((counts > 1).sum())

    def _count(self, run_id: str, what: str) -> None:
        self.of_run.setdefault(run_id, Counter())[what] += 1


@dataclass(slots=True)
class _Document:
    """A document row, and what was seen of its pages."""

    row: Mapping[str, Any]
    rows_by_page: bytearray
    """Rows of each page, 255 at most; the first is for rows without a number."""
    statuses: Counter[str] = field(default_factory=Counter)
    num_strange: int = 0
    """Rows whose number is none of the document's."""


def check_part(storage: Storage, documents_key: str, pages_key: str, rows: Rows) -> list[Problem]:
    """Return what is wrong with a part, and count its rows in `rows`.

    Raises:
        StorageError: a file cannot be reached.
    """
    problems: list[Problem] = []
    try:
        documents = _documents(storage, documents_key, num_rows(storage, pages_key), rows, problems)
        _add_pages(storage, pages_key, documents, rows, problems)
    except DamagedError as error:
        return [*problems, error.problem]  # what follows from it would only bury it
    for uri, document in documents.items():
        if text := _wrong(document):
            problems.append(Problem(pages_key, f"{uri}: {text}."))
    return problems


def _documents(
    storage: Storage, key: str, num_page_rows: int, rows: Rows, problems: list[Problem]
) -> dict[str, _Document]:
    documents: dict[str, _Document] = {}
    for row in read_rows(storage, key, _DOCUMENT_COLUMNS):
        uri, num_pages = row["source_uri"], row["num_pages"]
        rows.add_document(row["run_id"], uri)
        if uri in documents:
            problems.append(Problem(key, f"{uri}: the document has more than one row."))
        elif not 0 <= num_pages <= num_page_rows:  # believed, it could ask for any amount of memory
            text = f"{uri}: the document has {num_pages} pages, the pages part only {num_page_rows} rows."
            problems.append(Problem(key, text))
        else:
            documents[uri] = _Document(row, bytearray(num_pages + 1))
    return documents


def _add_pages(
    storage: Storage, key: str, documents: Mapping[str, _Document], rows: Rows, problems: list[Problem]
) -> None:
    """Enter the page rows in their documents; report those that have none and those that contradict themselves."""
    strangers: Counter[str] = Counter()
    for row in read_rows(storage, key, _PAGE_COLUMNS, newer=_NEWER_PAGE_COLUMNS):
        uri, number, status = (row[name] for name in _PAGE_COLUMNS[:3])
        rows.add_page(row["run_id"], status)
        if uri in documents:
            _enter(documents[uri], number, status)
        else:
            strangers[uri] += 1
        if text := _contradiction(row):
            problems.append(Problem(key, f"{uri}: page {number} is {status}, but {text}."))
    for uri, count in strangers.items():
        problems.append(Problem(key, f"{uri}: page rows without a document row: {count}."))


def _contradiction(row: Mapping[str, Any]) -> str:
    """Return what of a page row does not go with its status; empty when all does."""
    is_failed, error_type = row["status"] == Status.FAILED, row["error_type"]
    if is_failed == (error_type is None):
        return f"its error_type is {error_type}"
    answered_by, duplicate_of = row.get("answered_by") or AnsweredBy.ENGINE, row.get("duplicate_of")
    if is_failed and answered_by != AnsweredBy.ENGINE:
        return f"answered by {answered_by}"
    if (answered_by == AnsweredBy.DUPLICATE) == (duplicate_of is None):
        return f"answered by {answered_by} and a duplicate of {duplicate_of}"
    return ""


def _enter(document: _Document, page_number: int | None, status: str) -> None:
    document.statuses[status] += 1
    number, seen = page_number or 0, document.rows_by_page
    if 0 <= number < len(seen):
        seen[number] = min(255, seen[number] + 1)
    else:
        document.num_strange += 1


def _wrong(document: _Document) -> str:
    """Return what is wrong with the pages of a document; empty when nothing is."""
    seen, row = document.rows_by_page, document.row
    # A document that could not be opened has one row without a number; any other has one for each page.
    numbers, unnumbered = (range(1, len(seen)), seen[0]) if len(seen) > 1 else (range(1), 0)
    ok, failed = (document.statuses[status] for status in (Status.OK, Status.FAILED))
    told = (row["pages_ok"], row["pages_failed"])
    found = [
        _listed("no row for page", (number for number in numbers if not seen[number])),
        _listed("more than one row for page", (number for number in numbers if seen[number] > 1)),
        f"rows without a page number: {unnumbered}" if unnumbered else "",
        f"rows of pages it does not have: {document.num_strange}" if document.num_strange else "",
        f"{ok} pages ok and {failed} failed, its row says {told[0]} and {told[1]}" if (ok, failed) != told else "",
        "ok although pages failed" if row["status"] == Status.OK and failed else "",
    ]
    return "; ".join(filter(None, found))


def _listed(what: str, numbers: Iterator[int]) -> str:
    shown = list(itertools.islice(numbers, _SHOWN_PAGES))
    more = sum(1 for _ in numbers)
    return f"{what} {', '.join(map(str, shown))}{f' and {more} more' if more else ''}" if shown else ""
