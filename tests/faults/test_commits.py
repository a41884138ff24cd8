"""Commits, by property: pages may end in any order and a run may stop anywhere, each page has one row in the end."""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

import pytest
from faults.verify import Output, leftovers
from hypothesis import given, settings
from hypothesis import strategies as st
from made_records import identity

from pipeline.config import OutputConfig
from pipeline.data import Document, DocumentRecord, DocumentRef, PageRecord, Status
from pipeline.errors import DocumentError, ErrorType, GenerationInvalid, PageError, StorageError
from pipeline.extraction import Extraction, load_extraction
from pipeline.journal import Journal
from pipeline.ledger import DoneDocument, Ledger
from pipeline.sink import ShardWriter
from pipeline.stats import Counts
from pipeline.storage import open_storage

NOW = datetime(2026, 3, 1, tzinfo=UTC)
RUN = identity(extraction="receipt")


class Nobody:
    """Listens to a ledger and does nothing."""

    def page_done(self, record: PageRecord) -> None:
        """See ledger.Progress."""

    def document_done(self, record: DocumentRecord) -> None:
        """See ledger.Progress."""

    def shard_closed(self) -> None:
        """See ledger.Progress."""

    def shard_committed(self, part: str, documents: Sequence[DoneDocument], counts: Counts) -> None:
        """See ledger.Progress."""


class Session:
    """One run as the ledger sees it."""

    def __init__(self, folder: Path, extraction: Extraction, shard_pages: int, progress: Nobody | None = None) -> None:
        for name in ("journals", "shards"):
            (folder / name).mkdir(exist_ok=True)
        storage = open_storage(str(folder / "out"))
        self._extraction = extraction
        self.journal = Journal(folder / "journals", RUN, anew=False)
        self.ledger = Ledger(
            extraction,
            RUN.fingerprint,
            lambda: ShardWriter(storage, extraction.model, RUN, folder=folder / "shards"),
            journal=self.journal,
            progress=progress or Nobody(),
            config=OutputConfig(shard_pages=shard_pages),
        )
        self.outstanding: list[tuple[Document, int]] = []
        self.read: list[tuple[int, int]] = []
        """Document and page numbers."""

    def open(self, number: int, num_pages: int) -> None:
        """Enter a document with what the journal has of it."""
        ref = DocumentRef(f"file:///in/{number}.pdf", 100, NOW)
        document = Document(ref, f"{number:064}", "application/pdf", num_pages)
        self.ledger.open_document(document, NOW)
        known = {record.page_number: record for record in self.journal.pages(document.sha256)}
        for record in known.values():
            self.ledger.add_page(record)
        self.outstanding += [(document, page) for page in range(1, num_pages + 1) if page not in known]

    def end_page(self, choice: int) -> None:
        """Enter the row of one of the pages that have none yet."""
        document, page = self.outstanding.pop(choice % len(self.outstanding))
        number = int(document.sha256)
        self.read.append((number, page))
        failed = (number + page) % 5 == 0
        error = GenerationInvalid(ErrorType.OUTPUT_INVALID, "no JSON") if failed else None
        values = None if failed else self._extraction.validate(json.dumps({"seller": f"{number}", "total": f"{page}"}))
        status = Status.FAILED if failed else Status.OK
        self.ledger.add_page(PageRecord(document, page, status, NOW, NOW, record=values, error=error))

    def finish(self) -> None:
        """Stop in an orderly way."""
        with closing(self.journal):
            self.ledger.finish()


class FullDisk(Nobody):
    """Finds no space for what is put after a commit, as the statistics are."""

    def shard_committed(self, *_: object) -> None:
        """See ledger.Progress."""
        raise StorageError("No space is left.")


@pytest.fixture(scope="module")
def receipts() -> Extraction:
    """Return the extraction of all examples."""
    return load_extraction("receipt")


@settings(max_examples=30, deadline=None, derandomize=True, database=None)
@given(
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=6),
    shard_pages=st.integers(1, 8),
    steps=st.lists(st.integers(0, 99), max_size=30),
)
def test_pages_end_in_any_order_and_runs_stop_anywhere(
    receipts: Extraction, sizes: list[int], shard_pages: int, steps: list[int]
) -> None:
    """Engines finish pages as they like, documents share shards, and Ctrl-C comes when it comes."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        first = Session(folder, receipts, shard_pages)
        opened = _some_steps(first, sizes, steps)
        first.finish()
        output = Output(folder / "out" / "receipt")
        unfinished = Counter(int(document.sha256) for document, _ in first.outstanding)
        finished = [number for number in range(opened) if number not in unfinished]
        assert _documents(output) == Counter(finished)
        assert _pages(output) == Counter((number, page + 1) for number in finished for page in range(sizes[number]))
        assert first.ledger.pages_committed + first.ledger.pages_left == sum(sizes[:opened])

        second = Session(folder, receipts, shard_pages)
        for number in set(range(len(sizes))) - set(finished):
            second.open(number, sizes[number])
        while second.outstanding:
            second.end_page(len(second.outstanding) // 2)
        second.finish()
        output = Output(folder / "out" / "receipt")
        everything = Counter((number, page + 1) for number, size in enumerate(sizes) for page in range(size))
        assert _pages(output) == everything
        assert _documents(output) == Counter(range(len(sizes)))
        assert Counter(first.read + second.read) == everything, "a page was read twice"
        assert leftovers(folder / "out", folder / "shards") == []


def test_an_error_behind_a_commit_does_not_hide_behind_another(receipts: Extraction, tmp_path: Path) -> None:
    """The first error says what to do; what is committed already is not committed again."""
    session = Session(tmp_path, receipts, shard_pages=1, progress=FullDisk())
    session.open(0, 1)
    with pytest.raises(StorageError, match="No space"):
        session.end_page(0)
    session.finish()
    assert _pages(Output(tmp_path / "out" / "receipt")) == Counter({(0, 1): 1})


@pytest.mark.parametrize("time", [1, 2, 3, 5])
@pytest.mark.parametrize("function", ["write_table", "batch", "add_page", "add_document", "put", "commit", "drop"])
def test_a_signal_between_any_two_steps_costs_no_page_and_doubles_none(
    receipts: Extraction, tmp_path: Path, function: str, time: int
) -> None:
    """A second Ctrl-C raises wherever the program is, and what is finished is committed after it all the same."""
    first = Session(tmp_path, receipts, shard_pages=6)
    try:
        with interrupted(function, time):
            for number in range(6):
                first.open(number, 3)
                for _ in range(3):
                    first.end_page(0)
    except KeyboardInterrupt:
        with contextlib.suppress(KeyboardInterrupt):  # rows half written are not tried again, the signal is told again
            first.finish()
        first.journal.close()
    else:
        first.finish()
    second = Session(tmp_path, receipts, shard_pages=6)
    done = _documents(Output(tmp_path / "out" / "receipt"))
    for number in set(range(6)) - set(done):
        second.open(number, 3)
        while second.outstanding:
            second.end_page(0)
    second.finish()
    output = Output(tmp_path / "out" / "receipt")
    assert _pages(output) == Counter((number, page) for number in range(6) for page in (1, 2, 3))
    assert _documents(output) == Counter(range(6))


def test_documents_that_cannot_be_opened_fill_a_shard_too(receipts: Extraction, tmp_path: Path) -> None:
    """A folder of a million of them would otherwise be one shard: in memory, and lost when the run is killed."""
    session = Session(tmp_path, receipts, shard_pages=4)
    for number in range(9):
        ref = DocumentRef(f"file:///in/{number}.txt", 100, NOW)
        session.ledger.fail_document(ref, DocumentError(ErrorType.NOT_A_DOCUMENT, "text"), NOW)
    assert session.ledger.pages_committed == 8
    session.finish()


def test_a_document_with_a_page_that_may_be_cured_says_so(receipts: Extraction, tmp_path: Path) -> None:
    """The next run looks at the document's row alone, and would never read that page again."""
    session = Session(tmp_path, receipts, shard_pages=1)
    session.open(0, 2)
    for (document, number), kind in zip(
        session.outstanding, (ErrorType.OUTPUT_INVALID, ErrorType.RENDER_TIMEOUT), strict=True
    ):
        failed = PageRecord(document, number, Status.FAILED, NOW, NOW, error=PageError(kind, "no"))
        session.ledger.add_page(failed)
    session.finish()
    [row] = Output(tmp_path / "out" / "receipt").committed_documents()
    assert row["error_type"] == "render_timeout"


@contextmanager
def interrupted(function: str, time: int) -> Iterator[None]:
    """Raise KeyboardInterrupt when a function of that name returns for the `time`th time."""
    left = time

    def watch(frame: FrameType, event: str, _: object) -> None:
        nonlocal left
        if event == "return" and frame.f_code.co_name == function:
            left -= 1
            if left == 0:
                sys.setprofile(None)
                raise KeyboardInterrupt

    sys.setprofile(watch)
    try:
        yield
    finally:
        sys.setprofile(None)


def _some_steps(session: Session, sizes: Sequence[int], steps: Sequence[int]) -> int:
    """Open documents and end pages as `steps` say; return how many were opened."""
    opened = 0
    for step in steps:
        if opened < len(sizes) and (step % 3 == 0 or not session.outstanding):
            session.open(opened, sizes[opened])
            opened += 1
        elif session.outstanding:
            session.end_page(step)
    return opened


def _documents(output: Output) -> Counter[int]:
    return Counter(int(row["sha256"]) for row in output.committed_documents())


def _pages(output: Output) -> Counter[tuple[int, int]]:
    """Count the rows of each page, as its values and its columns say alike."""
    rows = output.committed_pages()
    for row in rows:
        if row["status"] == "ok":
            assert (row["record"]["seller"], row["record"]["total"]) == (f"{int(row['sha256'])}", row["page_number"])
    return Counter((int(row["sha256"]), row["page_number"]) for row in rows)
