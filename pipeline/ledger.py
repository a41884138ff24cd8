"""What became of every page and document of a run, and when it is committed.

A document belongs to the shard that is open when it is opened. A shard with enough pages
takes no more documents; it is committed when the last page of its last document is done.
Until then its rows stand in local temporary files, not in memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from pipeline.data import Document, DocumentRecord, DocumentRef, Json, PageRecord, Status
from pipeline.errors import DocumentError, PageError
from pipeline.extraction import Extraction


class RowWriter(Protocol):
    """The files of one shard; see sink.ShardWriter."""

    def add_page(self, record: PageRecord) -> None:
        """Append a page row."""
        ...

    def add_document(self, record: DocumentRecord) -> None:
        """Append a document row."""
        ...

    def commit(self, shard_id: str) -> None:
        """Make the rows part of the output, all or none."""
        ...

    def discard(self) -> None:
        """Drop the rows."""
        ...


class Counts(Protocol):
    """Who counts what is done; see stats.RunStats."""

    def page_done(self, record: PageRecord) -> None:
        """A page has its terminal row."""
        ...

    def document_done(self, record: DocumentRecord) -> None:
        """A document has its terminal row."""
        ...


@dataclass(slots=True)
class _OpenDocument:
    document: Document
    shard: _Shard
    started_at: datetime
    outstanding: int
    records: dict[int, Json] = field(default_factory=dict)
    first_error: PageError | None = None
    pages_failed: int = 0


@dataclass(slots=True)
class _Shard:
    writer: RowWriter
    num_pages: int = 0
    outstanding: int = 0
    """Documents without their terminal row."""
    sealed: bool = False
    members: list[str] = field(default_factory=list)


class Ledger:
    """Takes terminal page records and commits them in shards."""

    def __init__(
        self,
        extraction: Extraction,
        fingerprint: str,
        open_writer: Callable[[], RowWriter],
        counts: Counts,
        shard_pages: int,
    ) -> None:
        self._extraction = extraction
        self._fingerprint = fingerprint
        self._open_writer = open_writer
        self._counts = counts
        self._shard_pages = shard_pages
        self._shard: _Shard | None = None
        self._open: dict[str, _OpenDocument] = {}
        self.pages_found = 0

    def open_document(self, document: Document, started_at: datetime) -> None:
        """Enter a document whose pages will follow."""
        shard = self._shard or _Shard(self._open_writer())
        shard.num_pages += document.num_pages
        shard.outstanding += 1
        shard.members.append(f"{document.ref.uri}\n{document.sha256}")
        shard.sealed = shard.num_pages >= self._shard_pages
        self._shard = None if shard.sealed else shard
        self._open[document.ref.uri] = _OpenDocument(document, shard, started_at, max(document.num_pages, 1))
        self.pages_found += max(document.num_pages, 1)

    def fail_document(self, ref: DocumentRef, error: DocumentError, started_at: datetime) -> None:
        """Enter a document that cannot be opened: one failed row in both tables."""
        document = Document(ref, sha256="", media_type="", num_pages=0)
        self.open_document(document, started_at)
        now = datetime.now(UTC)
        self.add_page(PageRecord(document, None, Status.FAILED, started_at, now, error=error))

    def add_page(self, record: PageRecord) -> None:
        """Enter the terminal row of a page; the last one of a document closes it, the last of a shard commits it."""
        opened = self._open[record.document.ref.uri]
        opened.shard.writer.add_page(record)
        self._counts.page_done(record)
        opened.outstanding -= 1
        if record.status is Status.FAILED:
            opened.pages_failed += 1
            opened.first_error = opened.first_error or record.error
        if record.record is not None and record.page_number is not None:
            opened.records[record.page_number] = record.record
        if opened.outstanding == 0:
            self._close_document(opened)

    def finish(self) -> None:
        """Commit what is complete and drop what is not (after an interruption)."""
        if self._shard:
            self._shard.sealed = True
            self._commit_if_done(self._shard)
        for shard in {id(opened.shard): opened.shard for opened in self._open.values()}.values():
            shard.writer.discard()

    def _close_document(self, opened: _OpenDocument) -> None:
        record = self._merged(opened)
        opened.shard.writer.add_document(record)
        self._counts.document_done(record)
        del self._open[opened.document.ref.uri]
        opened.shard.outstanding -= 1
        self._commit_if_done(opened.shard)

    def _merged(self, opened: _OpenDocument) -> DocumentRecord:
        error, merged = opened.first_error, None
        if opened.records:
            try:
                merged = self._extraction.merge([opened.records[number] for number in sorted(opened.records)])
            except PageError as invalid:
                error = error or invalid
        return DocumentRecord(
            document=opened.document,
            status=Status.FAILED if error else Status.OK,
            record=merged,
            pages_ok=max(opened.document.num_pages, 1) - opened.pages_failed,
            pages_failed=opened.pages_failed,
            error=error,
            started_at=opened.started_at,
            finished_at=datetime.now(UTC),
        )

    def _commit_if_done(self, shard: _Shard) -> None:
        if shard.sealed and shard.outstanding == 0:
            names = "\n".join([self._fingerprint, *shard.members])
            shard.writer.commit(hashlib.sha256(names.encode("utf-8", "surrogateescape")).hexdigest()[:16])
