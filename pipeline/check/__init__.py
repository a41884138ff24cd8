"""Audits an output: is every part whole, and does every page of every document have exactly one row?

Reads only, everything, and to its end. Holds what it knows of one part at a time, and eight
bytes for each document.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.check.accounts import check_accounts
from pipeline.check.parts import Rows, check_part
from pipeline.check.reading import Problem
from pipeline.layout import is_part
from pipeline.storage import local_path, open_storage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Audit", "Problem", "check_output"]

_TABLES = ("pages", "documents", "stats", "runs")
_DEPTH = 3
"""Parts of the key of a file with rows: extraction, table, file."""


def check_output(location: str) -> list[Problem]:
    """Return all that is wrong with the output at a folder or bucket URL.

    Raises:
        ConfigError: `location` is no folder or bucket URL.
        StorageError: it cannot be reached.
    """
    return list(Audit(location).problems())


class Audit:
    """One look at everything in an output, with a count of what was looked at."""

    def __init__(self, location: str) -> None:
        self.extractions = self.parts = self.documents = self.pages = 0
        self._location = location
        self._storage = open_storage(location)

    def problems(self) -> Iterator[Problem]:
        """Yield what is wrong, as it is found; errors as of `check_output`."""
        extractions: dict[str, dict[str, dict[str, str]]] = {}
        for key in (file.key for file in self._storage.files(depth=_DEPTH)):
            extraction, table, name = f"{key}//".split("/", _DEPTH - 1)
            if table in _TABLES and is_part(key):
                extractions.setdefault(extraction, {known: {} for known in _TABLES})[table][name.rstrip("/")] = key
        yield from self._half_written()
        for found in extractions.values():
            yield from self._extraction(found)

    def _extraction(self, tables: Mapping[str, Mapping[str, str]]) -> Iterator[Problem]:
        """Yield what is wrong with an extraction, given the keys of its tables' files by name."""
        self.extractions += 1
        rows, documents, pages = Rows(), tables["documents"], tables["pages"]
        for name in sorted(pages.keys() - documents.keys()):
            text = "No documents part has this name, so readers ignore these rows."
            yield Problem(pages[name], text, harmless=True)
        for name in sorted(documents):
            self.parts += 1
            if name in pages:
                yield from check_part(self._storage, documents[name], pages[name], rows)
            else:
                yield Problem(documents[name], "The pages part of the same name is missing.")
        self.documents += rows.num_documents
        self.pages += rows.num_pages
        if twice := rows.num_committed_twice():
            prefix = next(iter(documents.values())).rpartition("/")[0]
            yield Problem(prefix, f"Documents that one run committed more than once: {twice}.")
        yield from check_accounts(self._storage, tables, rows)

    def _half_written(self) -> Iterator[Problem]:
        """Yield the temporary files of a folder; a bucket has none that could be listed."""
        root = local_path(self._location)
        if root is not None:
            for path in sorted(root.glob("*/*/.*")):
                if path.parent.name in _TABLES:
                    yield Problem(path.relative_to(root).as_posix(), "This file was never finished.", harmless=True)
