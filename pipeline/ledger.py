"""What became of every page and document of a run, and when it is committed.

A document belongs to the shard that is open when it is opened. A shard with enough pages
takes no more documents; it is committed when the last page of its last document is done.
Until then its rows stand in local temporary files, not in memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection
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

    def commit(self, shard_id: str, except_uris: Collection[str] = ()) -> None:
        """Make the rows part of the output, all or none, without the pages of the documents `except_uris`."""
        ...

    def discard(self) -> None:
        """Drop the rows."""
        ...


class Progress(Protocol):
    """Who is told of what is done; see run."""

    def page_done(self, record: PageRecord) -> None:
        """A page has its terminal row."""
        ...

    def document_done(self, record: DocumentRecord) -> None:
        """A document has its terminal row."""
        ...

    def shard_committed(self) -> None:
        """The rows of a shard are part of the output."""
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
    sealed: bool = False
    """Whether it takes no more documents."""
    open: set[str] = field(default_factory=set)
    """URIs of its documents without their terminal row."""
    done: list[str] = field(default_factory=list)
    """Identities of those with one."""


class Ledger:
    """Takes terminal page records and commits them in shards."""

    def __init__(
        self,
        extraction: Extraction,
        fingerprint: str,
        open_writer: Callable[[], RowWriter],
        progress: Progress,
        shard_pages: int,
    ) -> None:
        self._extraction = extraction
        self._fingerprint = fingerprint
        self._open_writer = open_writer
        self._progress = progress
        self._shard_pages = shard_pages
        self._shards: list[_Shard] = []
        self._open: dict[str, _OpenDocument] = {}

    def open_document(self, document: Document, started_at: datetime) -> None:
        """Enter a document whose pages will follow."""
        shard = self._unsealed_shard()
        shard.num_pages += document.num_pages
        shard.sealed = shard.num_pages >= self._shard_pages
        shard.open.add(document.ref.uri)
        self._open[document.ref.uri] = _OpenDocument(document, shard, started_at, max(document.num_pages, 1))

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
        self._progress.page_done(record)
        opened.outstanding -= 1
        if record.status is Status.FAILED:
            opened.pages_failed += 1
            opened.first_error = opened.first_error or record.error
        if record.record is not None and record.page_number is not None:
            opened.records[record.page_number] = record.record
        if opened.outstanding == 0:
            self._close_document(opened)

    def finish(self) -> None:
        """Commit the finished documents of all shards; those that are not (after an interruption) are dropped."""
        try:
            for shard in list(self._shards):
                self._commit(shard)
        finally:
            for shard in self._shards:
                shard.writer.discard()

    def _unsealed_shard(self) -> _Shard:
        if not self._shards or self._shards[-1].sealed:
            self._shards.append(_Shard(self._open_writer()))
        return self._shards[-1]

    def _close_document(self, opened: _OpenDocument) -> None:
        document, shard = opened.document, opened.shard
        record = self._merged(opened)
        shard.writer.add_document(record)
        self._progress.document_done(record)
        del self._open[document.ref.uri]
        shard.open.remove(document.ref.uri)
        shard.done.append(f"{document.ref.uri}\n{document.sha256}")
        if shard.sealed and not shard.open:
            self._commit(shard)

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

    def _commit(self, shard: _Shard) -> None:
        if shard.done:
            names = "\n".join([self._fingerprint, *sorted(shard.done)])
            shard_id = hashlib.sha256(names.encode()).hexdigest()[:16]
            shard.writer.commit(shard_id, shard.open)
            self._progress.shard_committed()
        shard.writer.discard()
        self._shards.remove(shard)
