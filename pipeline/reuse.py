"""Pages that need no reading, because the same bytes were read under the same settings before.

By this run under another name, by an earlier one (the file was touched, copied or renamed, or
only some of its pages are to be read again), or by one that was killed before it could commit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline.catalog import Catalog
from pipeline.data import Document, PageRecord, RunIdentity, Status
from pipeline.errors import CURABLE
from pipeline.failed import Retry
from pipeline.journal import Journal

if TYPE_CHECKING:
    from pipeline.sink import PartReader


class KnownPages:
    """Finds earlier readings: in the journal what is not committed, in the parts what is."""

    def __init__(
        self,
        catalog: Catalog,
        journal: Journal,
        reader: PartReader,
        *,
        identity: RunIdentity,
        retry: Retry | None,
    ) -> None:
        self._catalog = catalog
        self._journal = journal
        self._reader = reader
        self._identity = identity
        self._retry = retry

    def read_in_this_run(self, document: Document) -> Iterator[PageRecord]:
        """Yield all pages of a document whose bytes this run has read under another name, whatever their outcome."""
        return self._once(document, self._all(document))

    def read_before(self, document: Document) -> Iterator[PageRecord]:
        """Yield the pages of a document that need no reading, in any order, each one once."""
        return self._once(document, _whole_windows(filter(self._stands, self._all(document))))

    def _all(self, document: Document) -> Iterator[PageRecord]:
        """Yield every reading, those that went well before all others."""
        yield from (record for record in self._found(document) if record.status is Status.OK)
        yield from self._found(document)

    def _found(self, document: Document) -> Iterator[PageRecord]:
        yield from self._journal.pages(document.sha256)
        if place := self._catalog.find_content(document.sha256):
            yield from self._reader.pages(*place)

    def _once(self, document: Document, records: Iterator[PageRecord]) -> Iterator[PageRecord]:
        missing = set(range(1, document.num_pages + 1))
        # Not one record further than needed: the last page may commit its shard, whose journal is closed then.
        while missing and (record := next(records, None)):
            if record.page_number in missing:
                missing.remove(record.page_number)
                source = record.reused_from or record.document.ref.uri
                # What a killed run has read of this very document nobody has counted yet: it is this run's reading.
                is_ours = source == document.ref.uri and record.read_by is None
                yield replace(record, document=document, reused_from=None if is_ours else source)

    def _stands(self, record: PageRecord) -> bool:
        """Return whether reading the page again is neither wanted nor likely to end otherwise."""
        if record.status is Status.OK or record.error is None:
            return True
        if self._retry:
            return not self._retry.wants(record.error.error_type)
        same_limits = record.read_by is None or record.read_by.limits_fingerprint == self._identity.limits_fingerprint
        return same_limits and record.error.error_type not in CURABLE


def _whole_windows(records: Iterator[PageRecord]) -> Iterator[PageRecord]:
    """Leave out pages that were read together with one that is not known, as it is when a run was killed meanwhile."""
    known: dict[tuple[int, ...], dict[int | None, PageRecord]] = {}
    for record in records:
        if not record.read_with:
            yield record
            continue
        window = known.setdefault(record.read_with, {})
        window[record.page_number] = record
        if len(window) == len(record.read_with):
            yield from known.pop(record.read_with).values()
