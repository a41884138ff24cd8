"""One run: documents in, committed Parquet out. The only place where the parts are wired together."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from pipeline.admission import Admission
from pipeline.books import Books, RunReport
from pipeline.canary import canary_pages, fallback_config, run_canary, should_run
from pipeline.catalog import Catalog, PlanCounts, Selection
from pipeline.config import RunConfig
from pipeline.data import (
    Document,
    DocumentRecord,
    DocumentRef,
    EngineMetrics,
    PageRecord,
    PageTask,
    Status,
    Supply,
)
from pipeline.documents import OpenDocuments
from pipeline.drive import Driver
from pipeline.engines import EngineChoice
from pipeline.engines.base import Engine, EngineInfo
from pipeline.errors import CanaryError, DocumentChangedError, DocumentError, ErrorType, PageError, StorageError
from pipeline.failed import FailedDocuments, Retry, find_failed
from pipeline.feed import PageFeed
from pipeline.forecast import find_pace
from pipeline.identity import told_of_scope, window_pages
from pipeline.inbox import check_inbox, clear_input, tagged_until
from pipeline.journal import Journal
from pipeline.layout import lease_key
from pipeline.ledger import DoneDocument, Ledger, RowWriter
from pipeline.metrics import Metrics, open_metrics
from pipeline.planning import Reading, enter_committed, plan_input, resolve
from pipeline.quarantine import Quarantine
from pipeline.ready import Readiness
from pipeline.render import Renderer
from pipeline.reuse import KnownPages
from pipeline.scratch import Scratch
from pipeline.selection import parse_deadline
from pipeline.settle import settle_dead_runs
from pipeline.settling import Settling, open_settling, open_trust, page_facts
from pipeline.show.text import counted
from pipeline.sink import PartReader, ShardWriter, delete_orphans, page_schema, read_committed
from pipeline.source import has_changed
from pipeline.stats import Counts, RunState, job_so_far
from pipeline.storage import open_storage, refuse_credentials
from pipeline.tally import Progress, Tally
from pipeline.tries import Ladder

__all__ = ["Retry", "RunReport", "default_render_workers", "run"]

log = logging.getLogger(__name__)

MOST_FOLLOWERS = 10_000
"""Copies of documents that are being read which wait for these, in memory; further ones are read themselves."""


def run(
    config: RunConfig,
    *,
    on_progress: Callable[[Progress], None] | None = None,
    engine: EngineChoice | None = None,
    stop: threading.Event | None = None,
    retry: Retry | None = None,
) -> RunReport:
    """Read every document of the input that is not done yet and commit its records.

    Args:
        on_progress: called from the run's own thread, a few times a second at most.
        engine: used instead of the one `config.engine` names.
        stop: once set, no more pages are taken; those in the engine are finished and committed.
        retry: read again what failed in the output, for these reasons, instead of the input.

    Raises:
        ConfigError: a setting is wrong; nothing was read or written.
        OutputBusyError: another run writes to the output; nothing was read or written.
        StorageError: input or output cannot be reached; what is committed stays.
        EngineError: the engine kept dying; what is committed stays.
        CanaryError: the engine does not read what stands on known pages; nothing was read.
        LedgerError: the books do not balance; what is committed stays.
    """
    wanted = _Wanted(
        config, on_progress or (lambda _: None), engine, stop or threading.Event(), retry, datetime.now(UTC)
    )
    attempt = _Run(wanted)
    try:
        return attempt.execute()
    except CanaryError as error:
        fallback = None if engine else fallback_config(config, attempt.engine_info)
        if fallback is None:
            raise
        log.warning("%s NOW TRYING A 16-BIT KV CACHE, which is slower and reads fewer pages at once.", error)
    return _Run(replace(wanted, config=fallback, is_fallback=True)).execute()


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What `run` was asked for."""

    config: RunConfig
    on_progress: Callable[[Progress], None]
    engine: EngineChoice | None
    stop: threading.Event
    retry: Retry | None
    began_at: datetime
    is_fallback: bool = False


class _Run:
    """The state of one run; what the feed, the driver and the ledger report to."""

    def __init__(self, wanted: _Wanted) -> None:
        config = self._config = wanted.config
        self._wanted = wanted
        self._extraction, self._choice, identity = resolve(config, wanted.engine)
        self._ladder = Ladder(
            config.tries,
            self._choice.max_pixels,
            deterministic=self._choice.info.deterministic,
            legible_px=self._choice.legible_px,
            max_tokens=self._extraction.max_output_tokens,
        )
        self._trust = open_trust(config, self._extraction, self._choice.info)
        page_schema(self._extraction.model)  # a field no column can hold is found before anything is read
        self._storage = open_storage(config.output)
        self._failed: FailedDocuments | None = None
        if wanted.retry:
            self._failed = find_failed(config.output, identity.extraction, wanted.retry)
            identity = replace(identity, fingerprint=self._failed.fingerprint)
        self._identity = identity
        for place in filter(None, (config.input, config.input_files.moved_to)):
            refuse_credentials(place)  # the output will say where it was read from
        check_inbox(config)
        self._tally = Tally(wanted.on_progress)
        self._books = Books(self._storage, identity, config, tally=self._tally, is_fallback=wanted.is_fallback)
        self._admission = Admission(
            self._tally,
            wanted.stop,
            deadline_at=parse_deadline(config.deadline, wanted.began_at) if config.deadline else None,
            page_budget=config.page_budget,
        )
        self._leaders: dict[str, str] = {}
        """URI of the document that is being read, by its SHA-256."""
        self._followers: dict[str, list[Document]] = {}
        """Documents with the same bytes as one that is being read."""

    @property
    def engine_info(self) -> EngineInfo:
        """What reads."""
        return self._choice.info

    def execute(self) -> RunReport:
        """Read what is pending, commit it, and report."""
        name, wait_s = self._identity.extraction, self._config.output_files.wait_s
        with (
            closing(self._books.stats),
            self._storage.hold(lease_key(name), wait_s=wait_s, on_wait=self._waiting) as lease,
            self._open_metrics() as self._metrics,
        ):
            self._lease = lease
            self._scratch = Scratch(self._config.output, name)
            try:
                self._work()
                report = self._books.balance(
                    pages_committed=self._ledger.pages_committed,
                    pages_left=self._ledger.pages_left + self._pages_waiting,
                    stopped_by="signal" if self._wanted.stop.is_set() else self._admission.closed_by,
                    deadline_at=self._admission.deadline_at,
                )
            except BaseException as error:
                state = RunState.INTERRUPTED if isinstance(error, KeyboardInterrupt) else RunState.FAILED
                with suppress(StorageError):  # the error that ended the run says more
                    self._books.close(state, error)
                self._scratch.close(keep_journals=True)
                raise
            self._books.close(RunState.INTERRUPTED if report.interrupted else RunState.FINISHED, report=report)
            self._scratch.close(keep_journals=bool(report.documents_carried_over) or self._is_partial)
            self._metrics.ended(report)
        self._tally.report("done")
        return report

    @property
    def _is_partial(self) -> bool:
        """Whether documents may be left out that an interrupted run was reading."""
        config = self._config
        chosen = (self._wanted.retry, config.limit, config.since, config.until, config.sample)
        return config.only_new or any(one is not None for one in chosen)

    @property
    def _pages_waiting(self) -> int:
        """Of documents whose bytes another one was being read for."""
        return sum(document.num_pages for group in self._followers.values() for document in group)

    def _waiting(self, who: str) -> None:
        log.warning(who)
        self._tally.report("waiting")

    def _work(self) -> None:
        config, extraction, identity = self._config, self._extraction, self._identity
        self._storage.sweep(f"{extraction.name}/")
        delete_orphans(self._storage, extraction.name)
        settle_dead_runs(self._storage, extraction.name)
        self._share_job()
        tagged = tagged_until(self._storage, extraction.name) if config.input_files.after == "tag" else None
        self._books.begin()  # an output that cannot be written is found before hours of reading
        with ExitStack() as parts:
            journal = Journal(self._scratch.journals, identity, anew=config.force)
            parts.enter_context(closing(journal))
            self._catalog = parts.enter_context(closing(Catalog(self._scratch.catalog, identity)))
            reader = parts.enter_context(closing(PartReader(self._storage, extraction.name, extraction.model)))
            retry = self._wanted.retry
            self._known = KnownPages(self._catalog, journal, reader, identity=identity, retry=retry)
            self._ledger = Ledger(
                extraction,
                identity.fingerprint,
                self._open_shard,
                journal=journal,
                progress=self,
                config=config.output_files,
                split=config.documents.split,
                min_confidence=config.trust.min_confidence,
            )
            if self._plan().documents:
                self._read()
            if not self._failed:
                read = self._catalog.read_whole()
                clear_input(config, read, identity.run_id, tagged_until=tagged, stop=self._wanted.stop)

    def _share_job(self) -> None:
        """Take off what earlier runs of this job have read."""
        if self._config.limit is None and self._admission.page_budget is None:
            return  # there is nothing to share, and each of these runs is a file
        documents, pages = job_so_far(self._storage, self._identity.extraction, self._config.job)
        if self._config.limit is not None:
            self._config = self._config.model_copy(update={"limit": max(0, self._config.limit - documents)})
        if self._admission.page_budget is not None:
            self._admission.page_budget -= pages

    def _plan(self) -> PlanCounts:
        self._tally.report("listing")
        enter_committed(self._catalog, self._storage, self._identity.extraction)
        readiness = Readiness(self._config.input_files.settle_s, self._config.input_files.ready)
        if self._failed:
            counts = self._catalog.plan(self._failed.refs, Selection(again=True, limit=self._config.limit))
        else:
            counts = plan_input(self._catalog, self._config, readiness)
        self._tally.planned(counts.documents, counts.documents_skipped, counts.documents_skipped_failed)
        self._tally.documents_arriving = readiness.arriving
        if readiness.arriving:
            log.warning("left to a later run, as still arriving: %s", counted(readiness.arriving, "document"))
        if counts.documents:
            self._admission.expected_pages_per_s = self._expect(counts)
        return counts

    def _expect(self, counts: PlanCounts) -> float | None:
        """Say how long this will take, as far as earlier runs tell; return their pages per second."""
        pace = find_pace(self._storage, self._identity, self._config)
        documents, again = counts.documents, counts.documents_again
        repeated = f", {again:,} of them again" if again else ""
        log.info("%s to read%s; %s", counted(documents, "document"), repeated, pace.outlook(documents))
        return pace.pages_per_hour / 3600 if pace.pages_per_hour else None

    def _read(self) -> None:
        config = self._config
        workers = config.render.workers or default_render_workers()
        facts = page_facts(config, self._extraction, self._choice.info)
        with (
            closing(Renderer(config.render, num_workers=workers, facts=facts)) as self._renderer,
            closing(self._open_documents()) as self._documents,
            self._open_quarantine() as self._quarantine,
            closing(self._open_settling()) as self._settling,
            closing(self._open_feed()) as feed,
        ):
            self._metrics.reads_from(feed)
            try:
                driver = Driver(config, self._choice, feed, settling=self._settling, tally=self._tally, listener=self)
                driver.drive()
            finally:
                try:
                    self._tally.report("committing")
                finally:  # who listens may have gone (`| head`), and a signal may come
                    self._ledger.finish()

    def _open_documents(self) -> OpenDocuments:
        return OpenDocuments(self._renderer, self._scratch.fetched, as_listed=self._failed is None)

    def _open_feed(self) -> PageFeed:
        engine = self._choice.info.engine
        if told := told_of_scope(self._config, self._extraction, engine):
            log.warning(told)
        return PageFeed(
            self._admission.limited(self._catalog.pending()),
            self._documents,
            self,
            self._ladder.first(),
            shortcuts=self._settling,
            stop=self._admission,
            ahead_bytes=self._config.render.ahead_mb << 20,
            window_pages=window_pages(self._config, self._extraction, engine),
        )

    def _open_settling(self) -> Settling:
        reading = Reading(self._extraction, self._choice, self._identity)
        return open_settling(
            self._config,
            reading,
            self._trust,
            ladder=self._ladder,
            stop=self._admission,
            tally=self._tally,
            listener=self,
        )

    def _open_quarantine(self) -> Quarantine:
        return Quarantine(
            self._storage,
            self._identity,
            self._renderer.save,
            self._scratch.quarantine,
            first=self._ladder.first().render,
            max_images=self._config.output_files.quarantine_images,
            stop=self._wanted.stop,
        )

    def _open_metrics(self) -> AbstractContextManager[Metrics]:
        return open_metrics(
            self._config,
            self._identity,
            gpu=self._books.stats.gpu,
            times=self._books.stats.times,
            tally=self._tally,
            deadline_at=self._admission.deadline_at,
        )

    def _open_shard(self) -> RowWriter:
        return ShardWriter(
            self._storage,
            self._extraction.model,
            self._identity,
            folder=self._scratch.shards,
            before_put=self._lease.check,  # nothing is put into an output that somebody else has taken over
        )

    # What the feed tells.

    def document_opened(self, document: Document) -> Collection[int]:
        """Enter a document with those of its pages that need no reading, and return their numbers."""
        if self._failed and self._failed.has_changed(document):
            self._not_read_again(document.ref, "it has changed since; `pagemill run` reads it")
            return self._left_out(document)
        if not self._admission.admits(document.num_pages):
            return self._left_out(document)
        self._tally.opened(document.num_pages)
        if document.sha256 in self._leaders and sum(map(len, self._followers.values())) < MOST_FOLLOWERS:
            self._followers.setdefault(document.sha256, []).append(document)
            self._admission.need_not_be_read(document.num_pages)
            return self._left_out(document)
        self._leaders.setdefault(document.sha256, document.ref.uri)
        self._ledger.open_document(document, datetime.now(UTC))
        known = self._enter(self._known.read_before(document))
        self._admission.need_not_be_read(len(known))
        return known

    def _left_out(self, document: Document) -> Collection[int]:
        """Read no page of a document, now or at all."""
        self._documents.release(document.ref.uri)
        return range(1, document.num_pages + 1)

    def document_failed(self, ref: DocumentRef, error: DocumentError, started_at: datetime) -> None:
        """It could not be opened."""
        if isinstance(error, DocumentChangedError):
            log.warning("left for a later run: %s", error, extra={"document": ref.uri})
            return
        if self._failed:
            self._not_read_again(ref, str(error))
            return
        self._tally.opened(1)
        self._ledger.fail_document(ref, error, started_at)

    def _not_read_again(self, ref: DocumentRef, reason: str) -> None:
        """Leave a document of a retry with the rows that it has: they say more, or are of other bytes."""
        log.warning("not read again: %s", reason, extra={"document": ref.uri})

    def page_failed(self, task: PageTask, error: PageError) -> None:
        """It could not be rendered."""
        self._settling.give_up(task, error)

    def pages_in_engine(self, pages: int, requests: int, supply: Supply) -> None:
        """The number of pages that the engine holds changed, or how it fares when it asks for another one."""
        self._admission.pages_in_engine = pages
        self._books.stats.times.in_engine(requests, supply)

    # What settling and the driver tell.

    def page_settled(self, record: PageRecord) -> None:
        """A page has its terminal record; so have those that wait for it."""
        self._ledger.add_page(record)
        self._settling.settled(record)

    def page_skipped(self, record: PageRecord) -> None:
        """A page has its terminal record without the engine."""
        self._admission.need_not_be_read(1)
        self._ledger.add_page(record)

    def engine_opened(self, engine: Engine) -> None:
        """Have it read known pages before it is trusted with others, and count from here on what it does."""
        if should_run(self._config.canary, engine.info):
            self._check(engine)
        self._books.stats.times.slots = engine.slots
        self.engine_sampled(engine.metrics())

    def _check(self, engine: Engine) -> None:
        self._tally.report("checking the engine")
        pages = canary_pages(self._renderer, self._ladder.first().render)
        canary = self._books.canary = run_canary(engine, pages, self._config.canary.threshold)
        if not canary.passed:
            raise canary.refusal()

    def engine_replaced(self, pages_resent: int) -> None:
        """Count an engine that was given up."""
        self._metrics.engine_replaced(pages_resent)
        self._books.stats.engine_restarted()
        self._books.stats.pages_resent(pages_resent)

    def engine_sampled(self, metrics: EngineMetrics) -> None:
        """Keep the engine's figures."""
        self._metrics.engine_sampled(metrics)
        self._books.engine_sampled(metrics)

    # What the ledger tells.

    def page_done(self, record: PageRecord) -> None:
        """A page has its terminal row."""
        if record.status is Status.FAILED and record.reused_from is None:
            self._quarantine.add(record, self._documents.path_of(record.document.ref.uri))
        self._metrics.page_done(record)
        self._tally.page_done(record)
        self._tally.report()

    def document_done(self, record: DocumentRecord) -> None:
        """A document has its terminal row; so have those with the same bytes, now."""
        document = record.document
        self._metrics.document_done(record)
        self._tally.documents_done += 1
        self._documents.release(document.ref.uri)
        if self._leaders.get(document.sha256) == document.ref.uri:
            del self._leaders[document.sha256]
            followers = self._followers.pop(document.sha256, [])
            if record.error and record.error.error_type is ErrorType.UNREADABLE:
                followers = self._without_whole(followers)
            for follower in followers:
                self._ledger.open_document(follower, datetime.now(UTC))
                self._enter(self._known.read_in_this_run(follower))

    def _without_whole(self, copies: Sequence[Document]) -> list[Document]:
        """Leave copies of a document that changed meanwhile to a later run where they are whole; return the others."""
        gone = []
        for copy in copies:
            path = Path(copy.ref.name)
            if copy.ref.uri.startswith("file:") and (not path.is_file() or has_changed(copy.ref, path)):
                gone.append(copy)
                continue
            self._followers.setdefault(copy.sha256, []).append(copy)
            reason = "left for a later run: the copy of it that was read changed meanwhile"
            log.warning(reason, extra={"document": copy.ref.uri})
        return gone

    def shard_committed(self, part: str, documents: Sequence[DoneDocument], counts: Counts) -> None:
        """A shard became part of the output: so do its statistics, and its documents are known from now on."""
        self._books.shard_committed(part, counts)
        self._catalog.add_committed(read_committed(self._storage, part), part)
        for document, failed_pages in documents:
            self._quarantine.clear(document, failed_pages)

    def _enter(self, records: Iterator[PageRecord]) -> set[int]:
        """Record pages that were read before; return their numbers."""
        numbers = set()
        for record in records:
            self._ledger.add_page(self._trust.reviewed(record))
            numbers.add(record.page_number or 0)
        return numbers


def default_render_workers() -> int:
    """Rendering takes a tenth of an OCR page and a fifth of a GPU page; half the cores keep up with either."""
    return max(1, len(os.sched_getaffinity(0)) // 2)
