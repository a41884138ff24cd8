"""One run: documents in, committed Parquet out. The only place where the parts are wired together."""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from pipeline.config import RunConfig
from pipeline.data import (
    Document,
    DocumentRecord,
    DocumentRef,
    Generation,
    PageRecord,
    PageTask,
    RunIdentity,
    Status,
)
from pipeline.documents import OpenDocuments
from pipeline.engines import EngineChoice, choose_engine
from pipeline.engines.base import EngineTask
from pipeline.errors import DocumentError, EngineError, EngineStartError, ErrorType, PageError
from pipeline.extraction import Extraction, load_extraction, load_model
from pipeline.feed import PageFeed
from pipeline.identity import identify_run
from pipeline.judge import Judge
from pipeline.ledger import Ledger, RowWriter
from pipeline.render import Renderer
from pipeline.sink import CommittedDocument, ShardWriter, committed_documents, page_schema
from pipeline.source import list_input
from pipeline.stats import HourRow, RunStats
from pipeline.storage import Storage, open_storage
from pipeline.tally import Progress, Tally
from pipeline.tries import Ladder

log = logging.getLogger(__name__)

AHEAD_FACTOR = 1.5
"""Page images ready or in the making, as a multiple of what the engine holds: enough that it never waits
for rendering, few enough that 3 MB images stay within a few hundred megabytes."""


CURABLE = frozenset(
    {
        ErrorType.ENCRYPTED,
        ErrorType.UNREADABLE,
        ErrorType.TOO_LARGE,
        ErrorType.RENDER_TIMEOUT,
        ErrorType.RENDER_CRASH,
        ErrorType.ENGINE_TIMEOUT,
    }
)
"""Failures whose cause may be gone at the next run (a password, a permission, a limit), though the document is
the same; none of these settings is in the fingerprint, so such documents are read again."""


@dataclass(frozen=True, slots=True)
class RunReport:
    """What a run did."""

    identity: RunIdentity
    output: str
    documents: int
    documents_skipped: int
    """Unchanged since an earlier run with the same settings."""
    documents_skipped_failed: int
    """Those of them that failed then."""
    pages_found: int
    pages_ok: int
    pages_failed: int
    elapsed_s: float
    hours: tuple[HourRow, ...]
    total: HourRow

    @property
    def exit_code(self) -> int:
        """0 when every page of the input is ok, else 1; what failed in an earlier run still counts."""
        return 1 if self.pages_failed or self.documents_skipped_failed else 0


def run(
    config: RunConfig,
    *,
    on_progress: Callable[[Progress], None] | None = None,
    engine: EngineChoice | None = None,
) -> RunReport:
    """Read every document of the input that is not done yet and commit its records.

    Args:
        on_progress: called from the run's own thread, a few times a second at most.
        engine: used instead of the one `config.engine` names.

    Raises:
        ConfigError: a setting is wrong; nothing was read or written.
        StorageError: input or output cannot be reached; what is committed stays.
        EngineError: the engine kept dying; what is committed stays.
    """
    return _Run(config, on_progress or (lambda _: None), engine).execute()


class _Run:
    """The state of one run; what the feed and the ledger report to."""

    def __init__(self, config: RunConfig, on_progress: Callable[[Progress], None], engine: EngineChoice | None) -> None:
        self._config = config
        self._extraction = load_extraction(config.extraction, config.prompts)
        self._choice = engine or choose_engine(config, _engine_task(self._extraction, config))
        ladder = Ladder(config.tries, self._choice.max_pixels, deterministic=self._choice.info.deterministic)
        self._first_try = ladder.first()
        self._judge = Judge(self._extraction, ladder, config.date_order)
        self._identity = identify_run(config, self._extraction, self._choice.info, self._choice.max_pixels)
        page_schema(self._extraction.model)  # a field no column can hold is found before anything is read
        self._storage = open_storage(config.output)
        self._stats = RunStats(self._identity, config.cost)
        self._tally = Tally(on_progress)
        self._deaths = 0
        self._ledger = Ledger(
            self._extraction, self._identity.fingerprint, self._open_shard, self, config.output_files.shard_pages
        )

    def execute(self) -> RunReport:
        """Read what is pending, commit it, and report."""
        self._tally.report("listing")
        done = _done(self._storage, self._identity)
        self._tally.listed((done.get(_state(ref)) for ref in self._listed()), self._config.limit)
        try:
            if self._tally.documents_total:
                pending = (ref for ref in self._listed() if _state(ref) not in done)
                self._read(itertools.islice(pending, self._config.limit))
        finally:
            self._stats.close()
        self._tally.report("done")
        return self._report()

    def document_opened(self, document: Document) -> None:
        """Its pages will follow."""
        self._ledger.open_document(document, datetime.now(UTC))
        self._tally.opened(document.num_pages)

    def document_failed(self, ref: DocumentRef, error: DocumentError, started_at: datetime) -> None:
        """It could not be opened."""
        self._tally.opened(1)
        self._ledger.fail_document(ref, error, started_at)

    def page_failed(self, task: PageTask, error: PageError) -> None:
        """It could not be rendered."""
        self._ledger.add_page(self._judge.give_up(task, error))

    def pages_in_engine(self, number: int) -> None:
        """The number of pages that the engine holds changed."""
        self._stats.in_flight(number)

    def page_done(self, record: PageRecord) -> None:
        """A page has its terminal row."""
        self._stats.page_done(record)
        self._tally.page_done(record)
        self._tally.report()

    def document_done(self, record: DocumentRecord) -> None:
        """A document has its terminal row."""
        self._stats.document_done(record)
        self._tally.documents_done += 1
        self._documents.release(record.document.ref.uri)

    def _listed(self) -> Iterator[DocumentRef]:
        return list_input(self._config.input, self._config.output)

    def _read(self, refs: Iterator[DocumentRef]) -> None:
        workers = self._config.render.workers or default_render_workers()
        self._put_stats()  # an output that cannot be written is found before hours of reading
        try:
            with (
                closing(Renderer(self._config.render, num_workers=workers)) as renderer,
                closing(OpenDocuments(renderer)) as self._documents,
                closing(PageFeed(refs, self._documents, self, self._first_try)) as feed,
            ):
                self._drive(feed)
        finally:
            self._ledger.finish()
            self._put_stats()

    def _drive(self, feed: PageFeed) -> None:
        """Take generations until nothing is left; replace an engine that dies."""
        engines = 0
        while feed.wait_for_page():
            self._tally.report("loading the engine")
            engines += 1
            try:
                with closing(self._choice.open()) as engine:
                    self._tally.report("reading")
                    feed.ahead = self._config.render.ahead_pages or int(AHEAD_FACTOR * engine.capacity) + 1
                    for generation in engine.generate(feed):
                        self._settle(feed, generation)
                        self._deaths = 0
                        if self._tally.report("reading"):
                            self._stats.sample(engine.metrics())
            except EngineError as error:
                if engines == 1 and isinstance(error, EngineStartError):
                    raise
                self._bury(feed, error)

    def _bury(self, feed: PageFeed, error: EngineError) -> None:
        """Send a dead engine's pages again, or fail the one that killed it."""
        self._deaths += 1
        killer = feed.engine_died()
        if killer:
            cause = PageError(ErrorType.ENGINE_CRASH, f"The engine died when it held this page alone: {error}")
            self._ledger.add_page(self._judge.give_up(killer, cause))
        if self._deaths > self._config.tries.engine_rebuilds:
            raise EngineError(f"The engine died {self._deaths} times and read no page in between: {error}") from error
        log.warning("engine died (%s); starting it again", error)

    def _settle(self, feed: PageFeed, generation: Generation) -> None:
        task = feed.resolve(generation.request_id)
        decision = self._judge.decide(task, generation)
        if isinstance(decision, PageRecord):
            self._ledger.add_page(decision)
        else:
            self._tally.pages_retried += 1
            fault = task.attempts[-1].error
            log.info(
                "page is tried again: %s", fault, extra={"document": task.document.ref.uri, "page": task.page_number}
            )
            feed.retry(task, decision)

    def shard_committed(self) -> None:
        """A shard became part of the output: so do the statistics, lest a crash lose one without the other."""
        self._put_stats()

    def _open_shard(self) -> RowWriter:
        return ShardWriter(self._storage, self._extraction.model, self._identity)

    def _put_stats(self) -> None:
        self._stats.put(self._storage)

    def _report(self) -> RunReport:
        tally = self._tally
        return RunReport(
            identity=self._identity,
            output=self._config.output,
            documents=tally.documents_done,
            documents_skipped=tally.documents_skipped,
            documents_skipped_failed=tally.documents_skipped_failed,
            pages_found=tally.pages_found,
            pages_ok=tally.pages_ok,
            pages_failed=tally.pages_failed,
            elapsed_s=tally.elapsed_s,
            hours=tuple(self._stats.hours()),
            total=self._stats.total(),
        )


def _engine_task(extraction: Extraction, config: RunConfig) -> EngineTask:
    return EngineTask(
        name=extraction.name,
        prompt=extraction.prompt,
        json_schema=extraction.json_schema,
        load_model=partial(load_model, str(extraction.folder / "schema.py")),
        plain_text=extraction.plain_text_field is not None,
        date_order=config.date_order,
    )


_State = tuple[str, int, datetime | None]
"""What of a file tells that it is still the same, without reading it."""


def _state(file: DocumentRef | CommittedDocument) -> _State:
    return file.uri, file.size_bytes, file.modified_at


def _done(storage: Storage, identity: RunIdentity) -> dict[_State, Status]:
    """Return the documents that need not be read again, and what they were done as.

    Their current row has this fingerprint and is ok, or failed for a reason that lies in the document.
    """
    current: dict[str, CommittedDocument] = {}
    for row in committed_documents(storage, identity.extraction):
        if row.uri not in current or current[row.uri].finished_at <= row.finished_at:
            current[row.uri] = row
    return {
        _state(row): Status(row.status)
        for row in current.values()
        if row.fingerprint == identity.fingerprint and row.error_type not in CURABLE
    }


def default_render_workers() -> int:
    """Rendering takes a tenth of an OCR page and a fifth of a GPU page; half the cores keep up with either."""
    return max(1, len(os.sched_getaffinity(0)) // 2)
