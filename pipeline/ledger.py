"""What became of every page and document of a run, and when it is committed.

A document belongs to the shard that is open when it is opened. A shard with enough pages
takes no more documents; it is committed when the last page of its last document is done.
Until then its rows stand in local temporary files, not in memory, and in the journal, which
outlives a killed run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Protocol

from pipeline.config import OutputConfig
from pipeline.data import AnsweredBy, Document, DocumentRecord, DocumentRef, PageRecord, RecordPart, Status
from pipeline.errors import CURABLE, DocumentError, LedgerError, PageError
from pipeline.extraction import Extraction
from pipeline.journal import Journal
from pipeline.merging import Limits, Merger
from pipeline.reasons import review_reasons
from pipeline.stats import Counts

DoneDocument = tuple[Document, tuple[int, ...]]
"""A committed document and those of its pages that failed."""

MERGED_CUT = "merged_cut"
"""Flag of a document whose lists or texts are too long for one row."""


class Committed(Protocol):
    """What a commit put; see sink.Committed."""

    @property
    def key(self) -> str:
        """Of the documents part."""
        ...

    @property
    def pages(self) -> int:
        """Rows of the pages part, as it says itself."""
        ...


class RowWriter(Protocol):
    """The files of one shard; see sink.ShardWriter."""

    def add_page(self, record: PageRecord) -> None:
        """Append a page row."""
        ...

    def add_document(self, record: DocumentRecord) -> None:
        """Append a document row."""
        ...

    def commit(self, shard_id: str, except_uris: Collection[str] = ()) -> Committed:
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
        """A document has its terminal row; more documents may be entered meanwhile."""
        ...

    def shard_committed(self, part: str, documents: Sequence[DoneDocument], counts: Counts) -> None:
        """The rows of a shard are part of the output."""
        ...


@dataclass(slots=True)
class _OpenDocument:
    document: Document
    shard: _Shard
    started_at: datetime
    merger: Merger
    done: bytearray
    """1 for each page with its terminal row."""
    counts: Counts = field(default_factory=Counts)
    error: PageError | None = None
    """The first one; or the first that may be cured by itself, so that the next run tries."""
    failed: list[int] = field(default_factory=list)
    """Numbers of its pages that failed; 0 stands for a document that could not be opened."""


@dataclass(slots=True)
class _Shard:
    writer: RowWriter
    journal: str
    num_pages: int = 0
    sealed: bool = False
    """Whether it takes no more documents."""
    is_whole: bool = True
    """False once a signal or an error came while rows were entered, which may stand there half or twice."""
    open: set[str] = field(default_factory=set)
    """URIs of its documents without their terminal row."""
    done: list[DoneDocument] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)


class Ledger:
    """Takes terminal page records and commits them in shards."""

    def __init__(
        self,
        extraction: Extraction,
        fingerprint: str,
        open_writer: Callable[[], RowWriter],
        *,
        journal: Journal,
        progress: Progress,
        config: OutputConfig,
        split: bool = True,
        min_confidence: float = 0.0,
    ) -> None:
        self.pages_committed = 0
        """Page rows in the parts that were committed, as these say themselves."""
        self._extraction = extraction
        self._fingerprint = fingerprint
        self._open_writer = open_writer
        self._journal = journal
        self._progress = progress
        self._config = config
        self._split = split
        self._min_confidence = min_confidence
        self._shards: list[_Shard] = []
        self._open: dict[str, _OpenDocument] = {}
        self._pages_dropped = 0

    @property
    def pages_left(self) -> int:
        """Pages of the documents that were entered and have no terminal row."""
        return self._pages_dropped + sum(_num_rows(opened.document) for opened in self._open.values())

    def open_document(self, document: Document, started_at: datetime) -> None:
        """Enter a document whose pages will follow."""
        if document.ref.uri in self._open:
            raise LedgerError(f"{document.ref.uri} was entered a second time.")
        shard = self._unsealed_shard()
        shard.num_pages += _num_rows(document)
        shard.sealed = shard.num_pages >= self._config.shard_pages
        shard.open.add(document.ref.uri)
        config = self._config
        limits = Limits(config.merged_characters, config.merged_items, config.merged_records)
        merger = self._extraction.merger(limits, split=self._split)
        done = bytearray(document.num_pages + 1)
        self._open[document.ref.uri] = _OpenDocument(document, shard, started_at, merger, done)

    def fail_document(self, ref: DocumentRef, error: DocumentError, started_at: datetime) -> None:
        """Enter a document that cannot be opened: one failed row in both tables."""
        document = Document(ref, sha256="", media_type="", num_pages=0)
        self.open_document(document, started_at)
        now = datetime.now(UTC)
        self.add_page(PageRecord(document, None, Status.FAILED, started_at, now, error=error))

    def add_page(self, record: PageRecord) -> None:
        """Enter the terminal row of a page; the last one of a document closes it, the last of a shard commits it.

        Raises:
            LedgerError: the page has its row already, or its document is not open.
        """
        opened = self._open.get(record.document.ref.uri)
        number = record.page_number or 0
        if opened is None or opened.done[number]:
            raise LedgerError(f"{record.document.ref.uri}: page {number or 1} was to be recorded a second time.")
        with _entering(opened.shard):
            if record.reused_from is None and record.page_number is not None:
                self._journal.add(opened.shard.journal, record)
            opened.done[number] = True
            opened.shard.writer.add_page(record)
            opened.counts.add_page(record)
            says = None if record.answered_by is AnsweredBy.BLANK else record.record
            opened.merger.add(number, says, record.evidence, record.lines, failed=record.status is Status.FAILED)
            if record.status is Status.FAILED:
                opened.failed.append(number)
                opened.error = _weightier(opened.error, record.error)
        self._progress.page_done(record)
        if opened.done.count(1) == _num_rows(opened.document):
            self._close_document(opened)

    def finish(self) -> None:
        """Commit the finished documents of all shards; those that are not (after an interruption) are dropped.

        So is a shard in which rows were being entered when the run was interrupted: its pages are in the journal.
        """
        try:
            for shard in [shard for shard in self._shards if shard.is_whole]:
                self._commit(shard)
        finally:
            for shard in self._shards:
                shard.writer.discard()
            for opened in self._open.values():
                opened.merger.close()

    def _unsealed_shard(self) -> _Shard:
        if not self._shards or self._shards[-1].sealed:
            self._shards.append(_Shard(self._open_writer(), self._journal.open_file()))
        return self._shards[-1]

    def _close_document(self, opened: _OpenDocument) -> None:
        shard = opened.shard
        record = self._merged(opened)
        with _entering(shard):
            shard.writer.add_document(record)
            opened.counts.add_document(record)
            shard.counts.add(opened.counts)
            del self._open[opened.document.ref.uri]
            shard.open.remove(opened.document.ref.uri)
            shard.done.append((opened.document, tuple(opened.failed)))
        self._progress.document_done(record)
        # What document_done entered may have closed and committed the shard already.
        if shard.sealed and not shard.open and shard in self._shards:
            self._commit(shard)

    def _merged(self, opened: _OpenDocument) -> DocumentRecord:
        document, merged = opened.document, opened.merger.result()
        error = opened.error or merged.error
        parts = tuple(map(self._reviewed, merged.parts)) or self._blank_part(document, error)
        if merged.is_cut:
            document = replace(document, flags=(*document.flags, MERGED_CUT))
        return DocumentRecord(
            document=document,
            status=Status.FAILED if error else Status.OK,
            record=parts[0].record if parts else None,
            pages_ok=_num_rows(document) - len(opened.failed),
            pages_failed=len(opened.failed),
            error=error,
            started_at=opened.started_at,
            finished_at=datetime.now(UTC),
            parts=parts,
        )

    def _reviewed(self, part: RecordPart) -> RecordPart:
        reasons = review_reasons(part.evidence, part.breaches, part.conflicts, min_confidence=self._min_confidence)
        return replace(part, review_reasons=reasons)

    def _blank_part(self, document: Document, error: PageError | None) -> tuple[RecordPart, ...]:
        """Return the record of a document of blank pages, if they are one."""
        empty = self._extraction.empty_record
        return () if error or empty is None else (RecordPart(1, document.num_pages, empty),)

    def _commit(self, shard: _Shard) -> None:
        committed = None
        if shard.done:
            names = sorted(f"{document.ref.uri}\n{document.sha256}" for document, _ in shard.done)
            shard_id = hashlib.sha256("\n".join([self._fingerprint, *names]).encode()).hexdigest()[:16]
            committed = shard.writer.commit(shard_id, shard.open)
        self._shards.remove(shard)  # whatever fails from here on, it is not committed and counted again
        if committed:
            self.pages_committed += committed.pages
            self._progress.shard_committed(committed.key, shard.done, shard.counts)
        shard.writer.discard()
        if shard.open:  # their pages stay in the journal, for the next run
            for opened in map(self._open.pop, shard.open):
                opened.merger.close()
                self._pages_dropped += _num_rows(opened.document)
        else:
            self._journal.drop(shard.journal)


@contextmanager
def _entering(shard: _Shard) -> Iterator[None]:
    """Leave a shard marked when what is done meanwhile does not end well, by a signal for instance."""
    shard.is_whole = False
    yield
    shard.is_whole = True


def _weightier(first: PageError | None, other: PageError | None) -> PageError | None:
    """Return the error that stands for a document with both."""
    if first and other and other.error_type in CURABLE and first.error_type not in CURABLE:
        return other
    return first or other


def _num_rows(document: Document) -> int:
    """Return how many page rows a document has; one that could not be opened has one."""
    return max(document.num_pages, 1)
