"""Whole runs with a scripted engine: real files, real rendering, real Parquet."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pymupdf
import pytest

from pipeline.config import OutputConfig, RunConfig, TriesConfig
from pipeline.data import FinishReason, Generation, PageRequest
from pipeline.engines import EngineChoice
from pipeline.engines.scripted import ScriptedEngine
from pipeline.errors import EngineError
from pipeline.run import RunReport, run
from pipeline.tally import Progress

Answer = Callable[[PageRequest], Generation | str]

AES_256 = 5
"""pymupdf.PDF_ENCRYPT_AES_256, which its type stubs lack."""

RECEIPT = json.dumps({"seller": "Corner Shop", "total": "12,50 €", "line_items": [{"description": "Tea"}]})


def write_pdf(path: Path, *pages: str) -> Path:
    """Write a PDF with one line of text a page."""
    document: Any
    with pymupdf.open() as document:  # type: ignore[no-untyped-call]
        for text in pages:
            document.new_page(width=200, height=200).insert_text((20, 40), text)
        document.save(path)
    return path


def run_scripted(folder: Path, answer: Answer, **settings: object) -> RunReport:
    """Run `receipt` over folder/in into folder/out with an engine that answers as told."""
    engine = ScriptedEngine(answer)
    choice = EngineChoice(engine.info, lambda: engine, max_pixels=100_000)
    defaults = {"input": str(folder / "in"), "output": str(folder / "out"), "extraction": "receipt"}
    config = RunConfig.model_validate({**defaults, "render": {"workers": 1}, **settings})
    return run(config, engine=choice)


def rows(folder: Path, table: str, extraction: str = "receipt") -> list[dict[str, Any]]:
    """Return a table of the output as it lies in its files."""
    found: pa.Table = ds.dataset(folder / "out" / extraction / table, format="parquet").to_table()
    return list(found.to_pylist())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with four documents of seven pages, one of them unreadable."""
    (tmp_path / "in").mkdir()
    write_pdf(tmp_path / "in" / "a.pdf", "one")
    write_pdf(tmp_path / "in" / "b.pdf", "one", "two", "three")
    write_pdf(tmp_path / "in" / "c.pdf", "one", "two")
    (tmp_path / "in" / "d.pdf").write_bytes(b"%PDF-1.7 nothing of the kind")
    return tmp_path


def page_keys(folder: Path) -> Counter[tuple[str, object]]:
    """Count the rows of each page."""
    return Counter((Path(str(row["source_uri"])).name, row["page_number"]) for row in rows(folder, "pages"))


EVERY_PAGE_ONCE = Counter(
    {
        ("a.pdf", 1): 1,
        ("b.pdf", 1): 1,
        ("b.pdf", 2): 1,
        ("b.pdf", 3): 1,
        ("c.pdf", 1): 1,
        ("c.pdf", 2): 1,
        ("d.pdf", None): 1,
    }
)


def test_every_page_ends_in_exactly_one_row(folder: Path) -> None:
    """The promise that everything else serves."""
    report = run_scripted(folder, lambda _: RECEIPT)
    assert page_keys(folder) == EVERY_PAGE_ONCE
    assert (report.pages_found, report.pages_ok, report.pages_failed, report.exit_code) == (7, 6, 1, 1)
    failed = [row for row in rows(folder, "pages") if row["status"] == "failed"]
    assert len(failed) == 1
    assert failed[0]["error_type"] == "damaged"


def test_records_are_typed_and_documents_merge_their_pages(folder: Path) -> None:
    """Readers get decimals and one record a document."""
    run_scripted(folder, lambda _: RECEIPT)
    documents = {Path(str(row["source_uri"])).name: row for row in rows(folder, "documents")}
    assert documents.keys() == {"a.pdf", "b.pdf", "c.pdf", "d.pdf"}
    record = documents["b.pdf"]["record"]
    assert record["total"] == Decimal("12.5")
    assert len(record["line_items"]) == 3


def test_a_second_run_reads_only_what_is_new(folder: Path) -> None:
    """Nothing committed is inferred again, and the engine is not even loaded for nothing."""
    run_scripted(folder, lambda _: RECEIPT)

    def refuse(_: PageRequest) -> str:
        raise AssertionError("asked again")

    idle = run_scripted(folder, refuse)
    assert (idle.documents_skipped, idle.documents) == (4, 0)
    write_pdf(folder / "in" / "e.pdf", "new")
    assert run_scripted(folder, lambda _: RECEIPT).documents == 1
    assert page_keys(folder) == EVERY_PAGE_ONCE + Counter({("e.pdf", 1): 1})


def test_results_inside_the_input_folder_are_not_read_as_documents(folder: Path) -> None:
    """People start `pagemill run . out/`, and start it again."""
    for _ in range(2):
        run_scripted(folder, lambda _: RECEIPT, input=str(folder), output=str(folder / "out"))
    assert page_keys(folder) == EVERY_PAGE_ONCE


def test_an_invalid_output_is_tried_again_and_every_try_is_kept(folder: Path) -> None:
    """A page that comes right at its second try is ok, and its row says what happened."""
    seen: Counter[str] = Counter()

    def answer(request: PageRequest) -> str:
        seen[request.image_key.rsplit(":", 2)[0]] += 1
        return "no JSON" if request.settings.number == 1 else RECEIPT

    report = run_scripted(folder, answer)
    assert report.pages_ok == 6
    page = next(row for row in rows(folder, "pages") if row["status"] == "ok")
    assert page["num_tries"] == 2
    assert [(item["error_type"], item["temperature"]) for item in page["tries"]] == [
        ("output_invalid", 0.0),
        (None, 0.2),
    ]


def test_a_cut_off_output_is_salvaged_when_all_tries_fail(folder: Path) -> None:
    """What a hopeless page did give is kept and marked, not passed off as good."""

    def answer(request: PageRequest) -> Generation:
        return Generation(request.request_id, RECEIPT[:60], FinishReason.LENGTH, output_tokens=17)

    report = run_scripted(folder, answer, tries=TriesConfig(max_tries=2))
    assert report.pages_failed == 7
    page = next(row for row in rows(folder, "pages") if row["page_number"] == 1)
    assert (page["status"], page["partial"], page["error_type"]) == ("failed", True, "output_cut_off")
    assert (page["record"]["seller"], page["output_tokens"]) == ("Corner Shop", 34)


def test_a_page_that_fails_on_its_side_is_tried_upright(tmp_path: Path) -> None:
    """Scans fed sideways are a common cause of nonsense, and the model cannot say so."""
    (tmp_path / "in").mkdir()
    document: Any
    with pymupdf.open() as document:  # type: ignore[no-untyped-call]
        page = document.new_page(width=400, height=500)
        for line in range(12):
            page.insert_text((30, 50 + 34 * line), "Delivery of garden furniture", fontsize=20)
        page.set_rotation(90)
        document.save(tmp_path / "in" / "sideways.pdf")

    def answer(request: PageRequest) -> str:
        return RECEIPT if request.image.height_px > request.image.width_px else "?"

    assert run_scripted(tmp_path, answer, render={"workers": 1, "max_pixels": 400_000}).pages_ok == 1
    assert [(row["num_tries"], row["rotation_deg"]) for row in rows(tmp_path, "pages")] == [(2, 270)]


def test_a_run_outlives_its_engine(folder: Path) -> None:
    """Pages in flight when an engine dies are sent to the next one."""
    deaths = iter(["first"])

    def answer(_: PageRequest) -> str:
        if next(deaths, None):
            raise EngineError("killed")
        return RECEIPT

    assert run_scripted(folder, answer).pages_ok == 6
    assert page_keys(folder) == EVERY_PAGE_ONCE


def test_pages_that_kill_every_engine_fail_alone(tmp_path: Path) -> None:
    """Poisonous pages must cost neither the night nor the pages that were in the engine beside them."""
    (tmp_path / "in").mkdir()
    write_pdf(tmp_path / "in" / "long.pdf", *map(str, range(24)))

    def answer(request: PageRequest) -> str:
        if request.image.page_number in {7, 8}:
            raise EngineError("killed")
        return RECEIPT

    report = run_scripted(tmp_path, answer)
    failed = [(row["page_number"], row["error_type"]) for row in rows(tmp_path, "pages") if row["status"] == "failed"]
    assert sorted(failed) == [(7, "engine_crash"), (8, "engine_crash")]
    assert report.pages_ok == 22


def test_an_interrupted_run_keeps_its_finished_documents(tmp_path: Path) -> None:
    """Ctrl-C at 95 % must not cost the 95 %, and the next run must not read them again."""
    (tmp_path / "in").mkdir()
    for number in range(8):
        write_pdf(tmp_path / "in" / f"{number}.pdf", f"one of {number}", f"two of {number}")
    asked: list[str] = []

    def answer(request: PageRequest) -> str:
        asked.append(request.image_key)
        if len(asked) == 12:
            raise KeyboardInterrupt
        return RECEIPT

    with pytest.raises(KeyboardInterrupt):
        run_scripted(tmp_path, answer)
    kept = len(rows(tmp_path, "documents"))
    assert kept > 0
    assert len(rows(tmp_path, "pages")) == 2 * kept
    report = run_scripted(tmp_path, answer)
    assert (report.documents_skipped, report.documents) == (kept, 8 - kept)
    assert page_keys(tmp_path) == Counter({(f"{number}.pdf", page): 1 for number in range(8) for page in (1, 2)})


def test_a_document_that_was_locked_is_read_once_its_password_is_known(tmp_path: Path) -> None:
    """The message says to add the password and to run again, so that must help."""
    (tmp_path / "in").mkdir()
    document: Any
    with pymupdf.open() as document:  # type: ignore[no-untyped-call]
        document.new_page()
        locked = {"encryption": AES_256, "user_pw": "sesame", "owner_pw": "open"}
        document.save(tmp_path / "in" / "locked.pdf", **locked)
    assert run_scripted(tmp_path, lambda _: RECEIPT).exit_code == 1
    assert run_scripted(tmp_path, lambda _: RECEIPT, render={"workers": 1, "passwords": ["sesame"]}).exit_code == 0


def test_a_run_that_skips_failed_documents_does_not_call_itself_good(folder: Path) -> None:
    """A scheduler that starts the run twice must not turn green over a document that is missing."""
    run_scripted(folder, lambda _: RECEIPT)
    again = run_scripted(folder, lambda _: RECEIPT)
    assert (again.documents, again.documents_skipped_failed, again.exit_code) == (0, 1, 1)


def test_an_engine_that_always_dies_ends_the_run_and_a_later_run_completes_it(folder: Path) -> None:
    """Giving up loses nothing but time."""

    def die(request: PageRequest) -> str:
        if "c.pdf" in request.image_key or request.image.page_number > 1:
            raise EngineError("killed")
        return RECEIPT

    with pytest.raises(EngineError):
        run_scripted(folder, die, tries=TriesConfig(engine_rebuilds=0), output_files=OutputConfig(shard_pages=1))
    assert run_scripted(folder, lambda _: RECEIPT).exit_code in {0, 1}
    assert page_keys(folder) == EVERY_PAGE_ONCE


def test_shards_commit_while_the_run_goes_on(folder: Path) -> None:
    """A crash late in the night must not cost its beginning."""
    run_scripted(folder, lambda _: RECEIPT, output_files=OutputConfig(shard_pages=2))
    parts = sorted(path.name for path in (folder / "out/receipt/documents").iterdir())
    assert len(parts) == 3
    assert parts == sorted(path.name for path in (folder / "out/receipt/pages").iterdir())


def test_progress_ends_with_the_numbers_of_the_report(folder: Path) -> None:
    """What the operator saw last must be what the tables say."""
    heard: list[Progress] = []
    engine = ScriptedEngine(lambda _: RECEIPT)
    config = RunConfig(input=str(folder / "in"), output=str(folder / "out"), extraction="receipt")
    report = run(config, on_progress=heard.append, engine=EngineChoice(engine.info, lambda: engine, 100_000))
    assert heard[0].phase == "listing"
    last = heard[-1]
    assert (last.phase, last.pages_ok, last.pages_failed) == ("done", report.pages_ok, report.pages_failed)
    assert last.documents_done == last.documents_total == 4


@pytest.mark.slow
def test_a_document_of_slow_pages_is_given_up_after_a_few_of_them(tmp_path: Path) -> None:
    """Twenty thousand pages that run out of time one by one would take days; the others are read."""
    (tmp_path / "in").mkdir()
    write_pdf(tmp_path / "in" / "a.pdf", "quick")
    write_pdf(tmp_path / "in" / "z.pdf", "quick too")
    document: Any
    with pymupdf.open() as document:  # type: ignore[no-untyped-call]
        lines = "".join(f"{n % 600} {n * 7 % 800} m {n * 13 % 600} {n * 3 % 800} l S\n" for n in range(20_000)).encode()
        document.new_page().insert_text((50, 50), "x")
        document.update_stream(document[0].get_contents()[0], lines * 20)
        for _ in range(11):
            document.fullcopy_page(0)
        document.save(tmp_path / "in" / "slow.pdf", deflate=True)
    report = run_scripted(tmp_path, lambda _: RECEIPT, render={"workers": 1, "timeout_s": 1, "ahead_pages": 1})
    assert (report.pages_found, report.pages_ok, report.pages_failed) == (14, 2, 12)
    reasons = Counter(row["error_message"][:9] for row in rows(tmp_path, "pages") if row["status"] == "failed")
    assert reasons["5 pages o"] == 7
    assert {row["error_type"] for row in rows(tmp_path, "pages")} == {None, "render_timeout"}
