"""`pagemill check` must find whatever makes an output differ from "one row for each page"."""

import dataclasses
import os
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from made_records import NOON, commit, document, document_of, failed_page, identity, ok_page, unopened

from pipeline.check import Audit, Problem, check_output
from pipeline.config import CostConfig, RunConfig
from pipeline.data import PageRecord
from pipeline.errors import ConfigError
from pipeline.stats import Counts, RunRow, RunState, RunStats, write_run
from pipeline.storage import open_storage

LONG = document("long.pdf", num_pages=3)
DOCUMENTS: tuple[tuple[PageRecord, ...], ...] = (
    (ok_page(LONG, 1), failed_page(LONG, 2), ok_page(LONG, 3)),
    (unopened("locked.pdf"),),
    (ok_page(document("a.pdf")),),
)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """An output of one run that is as it should be: three documents, five page rows."""
    folder = tmp_path / "out"
    storage = open_storage(str(folder))
    commit(storage, "1", *DOCUMENTS)
    account(folder, "run-1", DOCUMENTS)
    return folder


def account(
    folder: Path, run_id: str, documents: tuple[tuple[PageRecord, ...], ...], *, hours: int = 0, **changes: object
) -> None:
    """Write the statistics and the row of a run that committed these documents."""
    storage, run = open_storage(str(folder)), identity(run_id=run_id)
    counts = Counts()
    for pages in documents:
        for page in pages:
            counts.add_page(page)
        counts.add_document(document_of(*pages))
    stats = RunStats(run, CostConfig())
    stats.commit(counts)
    stats.put(storage)
    stats.close()
    failed = sum(page.error is not None for pages in documents for page in pages)
    row = RunRow.begun(run, RunConfig(input="in", output=str(folder)))
    found = sum(map(len, documents))
    row = dataclasses.replace(
        row,
        started_at=NOON + timedelta(hours=hours),
        state=RunState.FINISHED,
        pages_found=found,
        pages_ok=found - failed,
        pages_failed=failed,
    )
    write_run(storage, dataclasses.replace(row, **changes))  # type: ignore[arg-type]


def part(output: Path, table: str = "pages") -> Path:
    """Return the one part of a table."""
    return output / "bill" / table / "part-1.parquet"


def rewrite(path: Path, rows: pa.Table) -> None:
    """Replace a part's rows."""
    pq.write_table(rows, path)


def without(path: Path, mask: pa.ChunkedArray) -> None:
    """Delete the rows for which `mask` is true."""
    rewrite(path, pq.read_table(path).filter(pc.invert(mask)))


def messages(output: Path) -> str:
    """Return what is wrong, as one text."""
    return "\n".join(f"{problem.key} {problem.message}" for problem in check_output(str(output)))


def test_an_output_as_it_should_be_has_no_problem(output: Path) -> None:
    """Failed pages and documents that could not be opened are in order."""
    audit = Audit(str(output))
    assert list(audit.problems()) == []
    assert (audit.extractions, audit.parts, audit.documents, audit.pages) == (1, 1, 3, 5)


def test_an_output_that_holds_nothing_has_no_problem(tmp_path: Path) -> None:
    """A run that found nothing to do leaves such a one."""
    assert check_output(str(tmp_path / "none")) == []


def test_a_missing_page_row_is_named(output: Path) -> None:
    """This is what the product promises never to happen."""
    rows = pq.read_table(part(output))
    without(part(output), pc.fill_null(pc.equal(rows["page_number"], 2), fill_value=False))
    assert "file:///in/long.pdf: no row for page 2; 2 pages ok and 0 failed, its row says 2 and 1." in messages(output)


def test_a_missing_row_of_a_document_that_could_not_be_opened_is_named(output: Path) -> None:
    """It has no page number, and is counted all the same."""
    without(part(output), pc.is_null(pq.read_table(part(output))["page_number"]))
    assert "file:///in/locked.pdf: no row for page 0" in messages(output)


def test_two_rows_of_a_page_are_named(output: Path) -> None:
    """Sums would count the page twice."""
    rows = pq.read_table(part(output))
    rewrite(part(output), pa.concat_tables([rows, rows.slice(0, 1)]))
    assert "file:///in/long.pdf: more than one row for page 1; 3 pages ok" in messages(output)


def test_a_page_that_the_document_does_not_have_is_named(output: Path) -> None:
    """Rows of another version of a file must not mix with these."""
    rows = pq.read_table(part(output))
    strange = rows.slice(0, 1)
    at = strange.column_names.index("page_number")
    rewrite(part(output), pa.concat_tables([rows, strange.set_column(at, "page_number", pa.array([7], pa.int32()))]))
    assert "rows of pages it does not have: 1" in messages(output)


def test_page_rows_without_a_document_row_are_named(output: Path) -> None:
    """The pages would never be found by way of their document."""
    rows = pq.read_table(part(output, "documents"))
    without(part(output, "documents"), pc.equal(rows["source_uri"], "file:///in/a.pdf"))
    assert "file:///in/a.pdf: page rows without a document row: 1." in messages(output)


def test_a_document_with_more_pages_than_rows_is_named_without_taking_memory_for_them(output: Path) -> None:
    """A damaged number must not bring the audit down."""
    rows = pq.read_table(part(output, "documents"))
    at = rows.column_names.index("num_pages")
    rewrite(part(output, "documents"), rows.set_column(at, "num_pages", pa.array([2**31 - 1] * 3, pa.int32())))
    assert "has 2147483647 pages, the pages part only 5 rows" in messages(output)


@pytest.mark.parametrize("table", ["pages", "documents", "stats", "runs"])
@pytest.mark.parametrize("kept", [0.0, 0.5, 0.99])
def test_a_short_file_is_named(output: Path, table: str, kept: float) -> None:
    """What a power cut leaves where nothing was synced."""
    [path] = (output / "bill" / table).iterdir()
    os.truncate(path, int(path.stat().st_size * kept))
    assert f"bill/{table}/{path.name} The file is damaged" in messages(output)


def test_damage_in_the_middle_of_a_part_is_found(output: Path) -> None:
    """The footer alone says nothing of the rows, nor does any one column of the others."""
    path = part(output)
    content = bytearray(path.read_bytes())
    column = pq.ParquetFile(path).metadata.row_group(0).column(12)
    content[column.data_page_offset : column.data_page_offset + 40] = b"\xff" * 40
    path.write_bytes(content)
    assert "part-1.parquet The file is damaged" in messages(output)


def test_a_documents_part_without_its_pages_part_is_a_problem(output: Path) -> None:
    """Its documents count as done, their pages are gone."""
    part(output).unlink()
    assert "bill/documents/part-1.parquet The pages part of the same name is missing." in messages(output)


def test_a_part_that_is_gone_with_all_its_rows_is_a_problem(output: Path) -> None:
    """Of whatever run: nothing that is left tells of these documents but the run that committed them."""
    account(output, "run-0", DOCUMENTS, hours=-1, parts=("part-0.parquet",))
    account(output, "run-1", DOCUMENTS, parts=("part-1.parquet",))
    [problem] = [found for found in check_output(str(output)) if "part-0.parquet" in found.message]
    assert problem.key == "bill/runs/run-0.parquet"
    assert not problem.harmless


def test_what_a_dead_run_leaves_is_told_and_harmless(output: Path) -> None:
    """Readers ignore it; the next run removes it."""
    orphan = part(output).with_name("part-2.parquet")
    orphan.write_bytes(part(output).read_bytes())
    half = part(output).with_name(".part-3.parquet.tmp")
    half.write_bytes(b"PAR1")
    found = check_output(str(output))
    assert [(problem.key, problem.harmless) for problem in found] == [
        ("bill/pages/.part-3.parquet.tmp", True),
        ("bill/pages/part-2.parquet", True),
    ]


def test_a_document_that_one_run_committed_twice_is_a_problem(output: Path) -> None:
    """Two parts with the same rows count for one in a reader, and show that the run lost count."""
    commit(open_storage(str(output)), "2", DOCUMENTS[2])
    account(output, "run-1", (*DOCUMENTS, DOCUMENTS[2]))
    assert check_output(str(output)) == [
        Problem("bill/documents", "Documents that one run committed more than once: 1.")
    ]


def test_a_document_that_two_runs_committed_is_none(output: Path) -> None:
    """It was read again; the later one counts."""
    commit(open_storage(str(output)), "2", DOCUMENTS[2], run=identity(run_id="run-2"))
    account(output, "run-2", (DOCUMENTS[2],), hours=1)
    assert check_output(str(output)) == []


def test_statistics_that_differ_from_the_rows_are_a_problem(output: Path) -> None:
    """Both are told to people; they must not contradict each other."""
    account(output, "run-1", DOCUMENTS[:2])
    assert messages(output) == (
        "bill/runs/run-1.parquet Rows and statistics of the run differ in documents: 3 and 2.\n"
        "bill/runs/run-1.parquet Rows and statistics of the run differ in pages that are ok: 3 and 2."
    )


def test_rows_of_the_last_run_that_vanished_are_a_problem(output: Path) -> None:
    """Whole parts may be lost, too."""
    for table in ("pages", "documents"):
        part(output, table).unlink()
    assert "differ in documents: 0 and 3." in messages(output)


def test_rows_that_a_later_run_replaced_are_none(output: Path) -> None:
    """A forced run writes the same parts again, and the statistics of the first one stay."""
    later = identity(run_id="run-2")
    commit(open_storage(str(output)), "1", *DOCUMENTS, run=later)
    account(output, "run-2", DOCUMENTS, hours=1)
    assert check_output(str(output)) == []


def test_a_run_whose_sums_are_wrong_is_a_problem(output: Path) -> None:
    """Pages found are ok, failed or carried over; there is no fourth way."""
    account(output, "run-1", DOCUMENTS, pages_found=7, pages_carried_over=1)
    text = "The run found 7 pages, but they are not 3 ok + 2 failed + 1 carried over."
    assert check_output(str(output)) == [Problem("bill/runs/run-1.parquet", text)]


def test_a_run_that_was_interrupted_is_none_when_its_sums_are_right(output: Path) -> None:
    """What it carried over is the next run's."""
    account(output, "run-1", DOCUMENTS, pages_found=7, pages_carried_over=2, state=RunState.INTERRUPTED)
    assert check_output(str(output)) == []


def test_a_run_that_died_may_lack_statistics(output: Path) -> None:
    """They are written after the rows; killed in between, the rows count."""
    account(output, "run-1", DOCUMENTS[:1], state=RunState.RUNNING, pages_found=0)
    assert check_output(str(output)) == []


def test_an_address_that_is_none_is_the_callers_mistake() -> None:
    """It is no finding about an output."""
    with pytest.raises(ConfigError, match="no storage"):
        check_output("ftp://host/out")


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("duplicate_of", "file:///in/a.pdf#page=1", "answered by engine and a duplicate of file:///in/a.pdf#page=1"),
        ("answered_by", "duplicate", "answered by duplicate and a duplicate of None"),
        ("answered_by", "blank", "page 2 is failed, but answered by blank"),
    ],
)
def test_a_row_that_contradicts_itself_about_who_read_the_page_is_named(
    output: Path, column: str, value: str, message: str
) -> None:
    """Readers tell by it what a model said."""
    rows = pq.read_table(part(output))
    at = rows.column_names.index(column)
    rewrite(part(output), rows.set_column(at, column, pa.array([value] * rows.num_rows)))
    assert message in messages(output)


def test_parts_older_than_the_columns_that_say_who_read_a_page_are_whole(output: Path) -> None:
    """An upgrade must not make outputs look damaged."""
    rewrite(part(output), pq.read_table(part(output)).drop_columns(["answered_by", "duplicate_of"]))
    assert messages(output) == ""
