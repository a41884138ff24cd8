"""Pages of findings and of documents, for what the index has no room for."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from pipeline.report import overview
from pipeline.report.book import INDEX, Book
from pipeline.report.pages import Links

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.report.findings import Findings, Listed

LISTED = 100
"""Documents on a page of the list, and findings on a page of theirs."""


class Lists:
    """Writes those of one extraction."""

    def __init__(self, book: Book, name: str, anchor: str) -> None:
        """Take note of the extraction's name, and of the folder for its pages."""
        self._book = book
        self._name = name
        self._anchor = anchor

    def write_documents(self, listed: Sequence[Listed]) -> int:
        """Write the list of documents; return how many pages it has."""
        if len(listed) <= LISTED:
            return 1
        count = -(-len(listed) // LISTED)
        for number in range(1, count + 1):
            chosen = listed[(number - 1) * LISTED : number * LISTED]
            values = {"listed": chosen, "pages": count, "current": number, "anchor": self._anchor}
            values |= {"title": "All documents", "partial": "_documents_page.html"}
            self._write_page("documents", number, count, values)
        return count

    def write_findings(self, found: Findings) -> dict[str, Any]:
        """Write the findings that the index has no room for; return those that it has, by field of its view."""
        for kind, of_kind, partial in (
            ("failures", found.failures, "_failures.html"),
            ("breaches", found.breaches, "_breaches.html"),
        ):
            for name, urgent in of_kind.items():
                self._write_found(kind, name, urgent, partial)
        self._write_found("doubtful", "", found.doubtful, "_doubtful.html")
        self._write_found("review", "", found.review, "_review.html")
        return {
            "failures": overview.groups(found.failures, "failures", lambda name: self._found_href("failures", name)),
            "breaches": overview.groups(found.breaches, "breaches", lambda name: self._found_href("breaches", name)),
            "doubtful": overview.group("", found.doubtful, "doubtful", self._found_href("doubtful", "")),
            "review": overview.group("", found.review, "review", self._found_href("review", "")),
        }

    def _found_href(self, kind: str, name: str, number: int = 1) -> str:
        return f"{self._anchor}/{_stem(kind, name)}-{number}.html"

    def _write_found(self, kind: str, name: str, urgent: Any, partial: str) -> None:
        items = tuple(urgent)
        if len(items) <= overview.SHOWN[kind]:
            return
        titles = {
            "failures": f"Failed: {name}",
            "breaches": f"Rule broken: {name}",
            "doubtful": "Doubtful values, most doubtful first",
        }
        title = titles.get(kind, "Records to review")
        remark = f"The first {len(items):,} of {urgent.count:,}." if urgent.count > len(items) else ""
        count = -(-len(items) // LISTED)
        for number in range(1, count + 1):
            values: dict[str, Any] = {"found": items[(number - 1) * LISTED : number * LISTED]}
            values |= {"title": title, "remark": remark, "partial": partial}
            self._write_page(_stem(kind, name), number, count, values)

    def _write_page(self, stem: str, number: int, count: int, values: dict[str, Any]) -> None:
        before, after = (f"{stem}-{near}.html" if 1 <= near <= count else None for near in (number - 1, number + 1))
        links = Links(f"../{INDEX}#x-{self._anchor}", "../", before, after, f"{number:,} of {count:,}")
        values = {"remark": "", "root": "../", "name": self._name} | values
        self._book.put(f"{self._anchor}/{stem}-{number}.html", self._book.pages.render("list.html", links, **values))


def _stem(kind: str, name: str) -> str:
    """Return a file name for a list; a rule may be called anything."""
    return f"{kind}-{hashlib.sha256(name.encode()).hexdigest()[:8]}" if name else kind
