"""Runs that are interrupted, repeated, forced, or given bytes they know: what is read again, and what is not."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pymupdf
import pytest

from pipeline.check import check_output
from pipeline.config import RunConfig
from pipeline.data import FinishReason, Generation, PageRequest
from pipeline.engines import EngineChoice
from pipeline.engines.scripted import ScriptedEngine
from pipeline.errors import ConfigError, ErrorType, PageError, StorageError
from pipeline.run import Retry, RunReport, run
from pipeline.storage import open_storage
from pipeline.tally import Progress

if TYPE_CHECKING:
    from s3_server import Faults

RECEIPT = json.dumps({"seller": "Corner Shop", "total": "12,50 €", "line_items": [{"description": "Tea"}]})
Answer = Callable[[PageRequest], Generation | str]


class Night:
    """An input, an output, and an engine that notes which pages it was asked for."""

    def __init__(self, folder: Path) -> None:
        self.input, self.output = folder / "in", folder / "out"
        self.input.mkdir()
        self.asked: Counter[str] = Counter()

    def write(self, name: str, *pages: str) -> Path:
        """Write a PDF with a line of text a page."""
        document: Any
        with pymupdf.open() as document:  # type: ignore[no-untyped-call]
            for text in pages:
                document.new_page(width=200, height=200).insert_text((20, 40), text)
            document.save(self.input / name)
        return self.input / name

    def run(
        self,
        answer: Answer = lambda _: RECEIPT,
        *,
        stop: threading.Event | None = None,
        retry: Retry | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        **settings: object,
    ) -> RunReport:
        """Run once; `asked` then holds what this run asked the engine for."""
        self.asked.clear()

        def noted(request: PageRequest) -> Generation | str:
            self.asked[f"{request.image_key.split(':')[0][:6]}:{request.image.page_number}"] += 1
            return answer(request)

        engine = ScriptedEngine(noted)
        defaults = {"input": str(self.input), "output": str(self.output), "extraction": "receipt"}
        config = RunConfig.model_validate({**defaults, "render": {"workers": 1}, "tries": {"max_tries": 1}, **settings})
        choice = EngineChoice(engine.info, lambda: engine, max_pixels=100_000)
        return run(config, engine=choice, stop=stop, retry=retry, on_progress=on_progress)

    def current(self, columns: str = "source, page_number, status") -> list[tuple[Any, ...]]:
        """Return the current page rows as docs/output.md defines them, by queries of its own."""
        parts = f"{self.output}/receipt"
        return _rows(f"""
            WITH documents AS (
                SELECT *, parse_filename(filename) AS part
                FROM read_parquet('{parts}/documents/*.parquet', filename = true, union_by_name = true)
                QUALIFY row_number() OVER (PARTITION BY source_uri ORDER BY finished_at DESC) = 1
            ), pages AS (
                SELECT *, parse_filename(filename) AS part, parse_filename(source_uri) AS source
                FROM read_parquet('{parts}/pages/*.parquet', filename = true, union_by_name = true)
            )
            SELECT {columns} FROM pages SEMI JOIN documents USING (part, source_uri)
            ORDER BY source, page_number
        """)


@pytest.fixture
def night(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Night:
    """Return a night with three documents of six pages; left-overs of its runs stay below tmp_path."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    made = Night(tmp_path)
    made.write("a.pdf", "a1")
    made.write("b.pdf", "b1", "b2", "b3")
    made.write("c.pdf", "c1", "c2")
    return made


ALL_OK = [
    ("a.pdf", 1, "ok"),
    *(("b.pdf", number, "ok") for number in (1, 2, 3)),
    ("c.pdf", 1, "ok"),
    ("c.pdf", 2, "ok"),
]


def test_the_same_bytes_under_two_names_are_read_once_and_recorded_twice(night: Night) -> None:
    """Mail folders are full of copies."""
    for name in ("copy of b.pdf", "b (2).pdf"):
        shutil.copyfile(night.input / "b.pdf", night.input / name)
    report = night.run()
    assert set(night.asked.values()) == {1}
    assert (len(night.asked), report.pages_found, report.pages_ok, report.pages_reused) == (6, 12, 12, 6)
    rows = night.current("source, page_number, reused_from IS NOT NULL, record.seller")
    assert len(rows) == 12
    assert {row[3] for row in rows} == {"Corner Shop"}
    assert sum(row[2] for row in rows) == 6


def test_copies_beyond_those_that_may_wait_are_read_themselves(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of a million copies must not stand in memory."""
    monkeypatch.setattr("pipeline.run.MOST_FOLLOWERS", 1)
    for number in range(4):
        shutil.copyfile(night.input / "b.pdf", night.input / f"b{number}.pdf")

    def slowly(_: PageRequest) -> str:
        time.sleep(0.2)
        return RECEIPT

    report = night.run(slowly, skip={"duplicates": False})
    assert (report.pages_ok, report.pages_found) == (18, 18)
    assert 6 < night.asked.total() < 18


def test_a_touched_a_renamed_and_a_copied_file_are_not_read_again(night: Night) -> None:
    """Their bytes are known from the nights before."""
    night.run()
    os.utime(night.input / "a.pdf", (1, 1))
    (night.input / "b.pdf").rename(night.input / "moved.pdf")
    shutil.copyfile(night.input / "c.pdf", night.input / "d.pdf")
    report = night.run()
    assert (report.documents, report.pages_ok, report.pages_reused) == (3, 6, 6)
    assert not night.asked
    assert [row[:2] for row in night.current() if row[0] == "moved.pdf"] == [("moved.pdf", n) for n in (1, 2, 3)]


def test_a_changed_file_alone_is_read_again(night: Night) -> None:
    """Its other pages have rows already; the new content has one current row a page."""
    night.run()
    night.write("c.pdf", "c1 is new", "c2 is new", "c3 too")
    assert night.run().pages_found == 3
    assert night.asked.total() == 3
    assert [row for row in night.current() if row[0] == "c.pdf"] == [("c.pdf", n, "ok") for n in (1, 2, 3)]


def test_a_setting_that_changes_records_reads_all_again_and_one_that_does_not_reads_nothing(night: Night) -> None:
    """The page size changes what is seen; the number of tries changes nothing about a page that was read."""
    night.run()
    assert night.run(tries={"max_tries": 3}, render={"workers": 1, "timeout_s": 7}).documents == 0
    night.run(date_order="month-first")
    assert night.asked.total() == 6
    assert night.current() == ALL_OK


def test_more_tries_are_given_to_the_pages_that_failed_and_to_no_other(night: Night) -> None:
    """The ok pages of the same document are taken over."""

    def answer(request: PageRequest) -> Generation | str:
        fails = request.image.page_number == 2 and request.settings.number < 3
        return "no JSON" if fails else RECEIPT

    assert night.run(answer).pages_failed == 2
    assert night.run(answer).documents == 0
    again = night.run(answer, tries={"max_tries": 3})
    assert (again.documents, again.pages_ok, again.pages_reused) == (2, 5, 3)
    assert sorted(night.asked.values()) == [3, 3]
    assert night.current() == ALL_OK


def test_an_object_that_nobody_may_read_is_one_failed_document(night: Night, bucket: str, s3_faults: Faults) -> None:
    """Archived ones are refused like this; the night must not end at the first of them."""
    storage = open_storage(bucket)
    for path in night.input.iterdir():
        storage.put(f"in/{path.name}", path)
    s3_faults.forbidden = "b.pdf"
    report = night.run(input=f"{bucket}/in")
    assert (report.pages_ok, report.pages_failed) == (3, 1)
    assert night.current("source, error_type")[1] == ("b.pdf", "unreadable")
    s3_faults.clear()
    assert night.run(input=f"{bucket}/in").pages_ok == 3


def test_force_reads_everything_again_and_leaves_one_current_row_a_page(night: Night) -> None:
    """For those who changed what no fingerprint sees."""
    night.run()
    shutil.copyfile(night.input / "a.pdf", night.input / "z.pdf")
    assert night.run(force=True).pages_found == 7
    assert night.asked.total() == 6  # a.pdf and z.pdf have the same bytes
    assert [row[:2] for row in night.current()] == [*(row[:2] for row in ALL_OK), ("z.pdf", 1)]


def test_a_stop_commits_what_is_read_and_the_next_run_reads_the_rest(night: Night) -> None:
    """Also the pages of a document that was in the middle: they are in the journal."""
    stop = threading.Event()

    def answer(request: PageRequest) -> str:
        if night.asked.total() == 3:
            stop.set()
        return RECEIPT

    first = night.run(answer, stop=stop, output_files={"shard_pages": 100})
    asked = set(night.asked)
    assert first.interrupted
    assert first.pages_found == first.pages_ok + first.pages_failed + first.pages_carried_over
    second = night.run()
    assert not second.interrupted
    assert not asked & set(night.asked)
    assert len(asked) + len(night.asked) == 6
    assert night.current() == ALL_OK


def test_a_killed_run_costs_no_page_that_was_read(night: Night) -> None:
    """SIGKILL before anything is committed: the next run takes the pages from the journal."""
    killed(night, "answer = lambda request: kill() if night.asked.total() == 5 else RECEIPT; night.run(answer)")
    assert not list(night.output.glob("receipt/documents/*"))
    report = night.run()
    assert (report.pages_found, report.pages_ok, report.pages_reused) == (6, 6, 0)
    assert len(night.asked) == 2
    assert sum(pages for _, pages in report.total.latency_histogram) == 6  # nobody else counts them
    assert night.current() == ALL_OK
    assert list(Path(tempfile_dir(night)).glob("pagemill-*/*")) == []


def test_pages_of_a_killed_run_do_not_count_as_speed(night: Night) -> None:
    """Deadlines and times that are left go by it: the journal's pages come at once, the others do not."""
    killed(night, "answer = lambda request: kill() if night.asked.total() == 5 else RECEIPT; night.run(answer)")
    told: list[Progress] = []
    night.run(on_progress=told.append)
    read_s = next(one.elapsed_s for one in told if one.phase == "reading")
    assert told[-1].pages_ok == 6
    assert told[-1].pages_per_s * (told[-1].elapsed_s - read_s) == pytest.approx(2, rel=0.1)


def test_failed_pages_of_a_killed_run_are_laid_out_by_the_next(night: Night) -> None:
    """Their entries are written behind the run's back, and a kill may come first."""
    no_quarantine = "from pipeline.quarantine import Quarantine; Quarantine._put = lambda *_: None;"
    killed(night, f"{no_quarantine} night.run(lambda _: kill() if night.asked.total() == 5 else 'no JSON')")
    assert night.run(lambda _: "no JSON").pages_failed == 6
    assert len(list(night.output.glob("receipt/quarantine/*/page-*.json"))) == 6


def test_a_look_at_one_document_does_not_cost_what_a_killed_run_has_read(night: Night) -> None:
    """The next command after a night that was cut short may be any."""
    killed(night, "answer = lambda request: kill() if night.asked.total() == 5 else RECEIPT; night.run(answer)")
    night.write("0.pdf", "first of all")
    assert night.run(limit=1).documents == 1
    night.run()
    assert night.asked.total() == 2


def test_finished_documents_are_committed_although_nobody_listens_any_more(night: Night) -> None:
    """`pagemill run --json | head`: progress cannot be told, neither of pages nor of the end."""
    told: list[str] = []

    def on_progress(progress: Progress) -> None:
        told.append(progress.phase)
        if progress.documents_done:
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        night.run(on_progress=on_progress)
    assert told[-1] == "committing"
    assert list(night.output.glob("receipt/documents/*"))


def test_a_damaged_file_of_an_earlier_run_is_named(night: Night) -> None:
    """The run would otherwise end with a traceback, each time."""
    night.run()
    [path] = night.output.glob("receipt/runs/*.parquet")
    path.write_bytes(b"")
    with pytest.raises(StorageError, match=rf"receipt/runs/{path.name}.*delete it"):
        night.run()


def test_the_statistics_of_a_run_that_was_killed_after_its_commit_are_made_up_by_the_next(night: Night) -> None:
    """Rows and their statistics are two files, and a kill may fall between them."""
    killed(night, "RunStats.commit = lambda *_: kill(); night.run()")
    night.write("d.pdf", "d1")
    assert (night.run().pages_found, night.asked.total()) == (1, 1)
    parts = f"{night.output}/receipt"
    counted = f"SELECT sum(pages), sum(documents), sum(len(latency_histogram)) > 0 FROM '{parts}/stats/*.parquet'"
    assert _rows(counted) == [(7, 4, True)]
    states = f"SELECT state, pages_found, pages_ok FROM '{parts}/runs/*.parquet' ORDER BY started_at"
    assert _rows(states) == [("interrupted", 6, 6), ("finished", 1, 1)]
    assert check_output(str(night.output)) == []


def test_retry_reads_the_pages_that_failed_for_a_reason_and_no_other(night: Night) -> None:
    """At other settings too; and the next ordinary run leaves the outcome alone."""

    def answer(request: PageRequest) -> Generation | str:
        if request.settings.max_tokens > 1000:
            return RECEIPT
        number = request.image.page_number
        if number == 1:
            return RECEIPT
        reason = ErrorType.INPUT_REJECTED if number == 3 else ErrorType.ENGINE_CRASH
        return Generation(request.request_id, "", FinishReason.ERROR, error=PageError(reason, "no"))

    small = {"max_tries": 1, "max_tokens": 500}
    assert night.run(answer, tries=small).pages_failed == 3
    retried = night.run(answer, retry=Retry(frozenset({ErrorType.ENGINE_CRASH})), tries={"max_tokens": 5000})
    assert night.asked.total() == 2
    assert (retried.documents, retried.pages_ok, retried.pages_failed) == (2, 4, 1)
    assert [row for row in night.current() if row[2] == "failed"] == [("b.pdf", 3, "failed")]
    assert night.run(answer, tries=small).pages_found <= 3
    assert [row for row in night.current() if row[2] == "failed"] == [("b.pdf", 3, "failed")]
    night.run(answer, retry=Retry(), tries={"max_tokens": 5000})
    assert night.current() == ALL_OK


def test_retry_leaves_a_document_that_has_changed_to_the_next_run(night: Night) -> None:
    """The settings of a retry are for what failed; other bytes read with them would pass for read as usual."""
    night.run(lambda _: "no JSON")
    night.write("a.pdf", "another letter")
    report = night.run(retry=Retry(), tries={"max_tokens": 5000})
    assert (report.documents, report.documents_carried_over, report.exit_code) == (2, 1, 1)
    assert night.asked.total() == 5
    assert night.run(tries={"max_tokens": 5000}).documents == 1
    assert night.current() == ALL_OK


def test_retry_keeps_the_rows_of_a_file_that_is_gone(night: Night) -> None:
    """An inbox is emptied after the night; good pages must not become one failed row."""
    night.run(lambda request: RECEIPT if request.image.page_number == 1 else "no JSON")
    before = night.current()
    (night.input / "b.pdf").unlink()
    assert night.run(retry=Retry()).exit_code == 1, "two pages are as they were"
    after = night.current()
    assert [row for row in after if row[0] == "b.pdf"] == [row for row in before if row[0] == "b.pdf"]
    assert [row for row in after if row[0] == "c.pdf"] == [("c.pdf", 1, "ok"), ("c.pdf", 2, "ok")]


@pytest.mark.parametrize("shard_pages", [17, 1000])
def test_copies_of_a_document_take_the_latest_reading_of_its_pages(night: Night, shard_pages: int) -> None:
    """One page fails and is read again for the second copy; the third one is entered while its shard is committed."""
    for path in night.input.iterdir():
        path.unlink()
    failed: list[str] = []

    def answer(request: PageRequest) -> Generation | str:
        if request.image.page_number == 1 or failed:
            return RECEIPT
        failed.append(request.request_id)
        error = PageError(ErrorType.ENGINE_TIMEOUT, "busy")
        return Generation(request.request_id, "", FinishReason.ERROR, error=error)

    night.write("a.pdf", "a1", "a2")
    for number in range(12):  # meanwhile the first copy is done
        night.write(f"b{number:02}.pdf", f"b{number}")
    for name in "xyz":
        shutil.copyfile(night.input / "a.pdf", night.input / f"{name}.pdf")
    night.run(answer, output_files={"shard_pages": shard_pages})
    assert [row for row in night.current() if row[2] == "failed"] == [("a.pdf", 2, "failed")]


def test_retry_says_which_reasons_there_are(night: Night) -> None:
    """A misspelt or absent reason must not pass for a cure."""
    night.run(lambda _: "no JSON")
    with pytest.raises(ConfigError, match="output_invalid"):
        night.run(retry=Retry(frozenset({ErrorType.ENCRYPTED})))
    night.run(retry=Retry())
    with pytest.raises(ConfigError, match="no failed page"):
        night.run(retry=Retry())


def test_statistics_add_up_to_the_rows(night: Night) -> None:
    """Rows and statistics agree after any number of runs."""
    night.run(output_files={"shard_pages": 1})
    night.write("d.pdf", "d1")
    night.run()
    counted = _rows(f"SELECT sum(pages) FROM '{night.output}/receipt/stats/*.parquet'")
    assert counted == [(len(night.current()),)] == [(7,)]


def killed(night: Night, program: str) -> None:
    """Run `program` in a process of its own, which it ends with kill()."""
    setup = f"""
import os, signal, sys, tempfile
from collections import Counter
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parent)!r})
tempfile.tempdir = {tempfile_dir(night)!r}
from pipeline.stats import RunStats
from test_resume import Night, RECEIPT
night = Night.__new__(Night)
night.input, night.output, night.asked = Path({str(night.input)!r}), Path({str(night.output)!r}), Counter()
kill = lambda: os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", setup + program], capture_output=True, check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


def _rows(query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect() as database:
        return database.execute(query).fetchall()


def tempfile_dir(night: Night) -> str:
    """Return where the night's runs keep their temporary files."""
    return str(night.output.parent / "tmp")
