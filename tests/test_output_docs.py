"""docs/output.md against what is really written, and its examples against a real output."""

import re
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_records import NOON, commit, document, failed_page, identity, ok_page, unopened

from pipeline import cli
from pipeline.config import CostConfig, RunConfig
from pipeline.data import AnsweredBy, FinishReason, PageRecord, Status, Verdict
from pipeline.errors import CURABLE, WHAT_HELPS, ErrorType
from pipeline.extraction import load_extraction
from pipeline.sink import document_schema, page_schema
from pipeline.stats import RUNS_SCHEMA, STATS_SCHEMA, Counts, RunRow, RunState, RunStats, write_run
from pipeline.storage import open_storage

DOCUMENT = Path(__file__).parents[1] / "docs" / "output.md"
INVOICE = load_extraction("invoice").model
SCHEMAS = {"Pages": page_schema(INVOICE), "Documents": document_schema(INVOICE), "Statistics": STATS_SCHEMA}
SCHEMAS["Runs"] = RUNS_SCHEMA
FOLDERS = {"Pages": "pages", "Documents": "documents", "Statistics": "stats", "Runs": "runs"}


def section(title: str) -> str:
    """Return what stands under a heading of any level, up to the next heading."""
    found: list[str] = re.findall(
        rf"^#+ {re.escape(title)}\n(.*?)(?=^#|\Z)", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL
    )
    return found[0]


def table(title: str) -> list[list[str]]:
    """Return the cells of the table under a heading, without its header."""
    lines = [line for line in section(title).splitlines() if line.startswith("|")]
    return [[cell.strip().strip("`") for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def told(kind: pa.DataType) -> str:
    """Return a type as the document names it: what nested structs hold is told elsewhere."""
    if pa.types.is_struct(kind):
        return "struct"
    return f"list<{told(kind.value_type)}>" if pa.types.is_list(kind) else str(kind)


@pytest.mark.parametrize("title", SCHEMAS)
def test_every_column_is_documented_with_its_type_in_order(title: str) -> None:
    """An undocumented column fails."""
    assert [row[:2] for row in table(title)] == [[field.name, told(field.type)] for field in SCHEMAS[title]]


NESTED = dict.fromkeys(("lines", "token_logprobs", "evidence", "breaches", "tries"), "Pages")
NESTED |= dict.fromkeys(("conflicts", "records"), "Documents")


@pytest.mark.parametrize("column", NESTED)
def test_every_nested_field_is_documented_with_its_type_in_order(column: str) -> None:
    """Structs in lists are columns too."""
    fields = SCHEMAS[NESTED[column]].field(column).type.value_type
    assert [row[:2] for row in table(column)] == [[field.name, told(field.type)] for field in fields]


def test_every_verdict_is_documented() -> None:
    """People filter by them."""
    assert all(f"`{verdict}`" in section("evidence") for verdict in Verdict)


def test_every_error_type_is_documented() -> None:
    """People group by them and look them up."""
    assert [row[0] for row in table("Error types")] == [error.value for error in ErrorType]


def test_what_helps_is_what_the_program_says() -> None:
    """`pagemill failures` and the quarantine tell the same."""
    told = {row[0]: row[2] for row in table("Error types")}
    assert told == {error.value: helps.strip("`") for error, helps in WHAT_HELPS.items()}


def test_every_status_and_finish_reason_is_documented() -> None:
    """The values of a column are part of its meaning."""
    pages = section("Pages")
    assert all(f"`{value}`" in pages for value in (*Status, *FinishReason))


def test_every_state_of_a_run_is_documented() -> None:
    """As every status."""
    assert all(f"`{state}`" in section("Runs") for state in RunState)


def test_every_reason_that_is_tried_again_is_documented() -> None:
    """People ask why a failed document is read again, or is not."""
    told = section("Which rows count").partition("- failed")[2].partition("\n\n")[0]
    assert {error for error in ErrorType if f"`{error}`" in told} == CURABLE


def test_every_exit_code_is_documented() -> None:
    """Schedulers act on them."""
    known = {cli.OK, cli.SOME_FAILED, cli.USAGE, cli.STOPPED, cli.INTERRUPTED, cli.TERMINATED}
    assert {int(row[0]) for row in table("Exit codes")} == known


def invoice_page(name: str, **values: Any) -> tuple[PageRecord]:
    """Return the one page of an invoice."""
    return (ok_page(document(name), record=INVOICE.model_validate(values).model_dump()),)


@pytest.fixture
def output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The output the examples read: out/invoice, two runs, failures, and a part whose run died before its commit."""
    monkeypatch.chdir(tmp_path)
    storage, run = open_storage("out"), identity(extraction="invoice")
    items = [{"description": "Pen", "line_total": "1,50"}, {"description": "Ink", "line_total": "9"}]
    [layered] = invoice_page("b.pdf", seller="ACME", total="20.10", currency="EUR", line_items=items)
    commit(
        storage,
        "1",
        invoice_page("a.pdf", seller="Old", total="1", currency="EUR"),
        (replace(layered, answered_by=AnsweredBy.TEXT_LAYER),),
        (unopened("locked.pdf"),),
        (failed_page(document("c.pdf")),),
        run=run,
        model=INVOICE,
    )
    changed = invoice_page("a.pdf", seller="ACME", total="10", currency="EUR")
    later = NOON + timedelta(days=1)
    commit(storage, "2", changed, run=run, model=INVOICE, finished_at=later)
    commit(storage, "dead", changed, run=run, model=INVOICE, finished_at=later)
    Path("out/invoice/documents/part-dead.parquet").unlink()
    stats = RunStats(run, CostConfig())
    counts = Counts()
    counts.add_page(changed[0])
    stats.commit(counts)
    stats.put(storage)
    write_run(storage, RunRow.begun(run, RunConfig(input="in", output="out")))
    return tmp_path / "out"


@pytest.mark.parametrize("title", SCHEMAS)
def test_columns_said_to_be_never_null_are_never_null(output: Path, title: str) -> None:
    """Failures and unreadable documents included."""
    for part in (output / "invoice" / FOLDERS[title]).iterdir():
        rows = pq.read_table(part)
        for name, _, _, null_when in table(title):
            assert null_when != "never" or rows[name].null_count == 0, name


@pytest.fixture
def mixed_output(output: Path) -> Path:
    """The same, its first parts written by a version that had fewer columns."""
    for part in output.glob("invoice/*/part-1.parquet"):
        table = pq.read_table(part)
        pq.write_table(table.select([n for n in table.column_names if n not in {"reused_from", "render_s"}]), part)
    return output


def examples(title: str, language: str) -> list[str]:
    """Return the code blocks under a heading."""
    start = DOCUMENT.read_text().partition(f"### {title}\n")[2].partition("\n### ")[0]
    return re.findall(rf"```{language}\n(.*?)```", start, re.DOTALL)


def test_duckdb_examples_give_current_committed_rows(mixed_output: Path) -> None:
    """Old, superseded and uncommitted rows are left out."""
    views, totals, items, failures, spared = examples("DuckDB", "sql")
    with duckdb.connect() as database:
        database.execute(views)
        assert database.execute(spared).fetchall() == [("file:///in/b.pdf", 1, "text_layer", None)]
        assert database.execute(totals).fetchall() == [("ACME", "EUR", Decimal("30.100000"), 2)]
        found = database.execute(items).fetchall()
        assert [row[1] for row in found] == ["Pen", "Ink"]
        reasons = {row[0]: row[1] for row in database.execute(failures).fetchall()}
        assert reasons == {"encrypted": 1, "output_cut_off": 1}
        assert database.execute("SELECT count(*) FROM pages").fetchall() == [(4,)]


def test_polars_example_gives_current_committed_rows(mixed_output: Path) -> None:
    """The same rows as with DuckDB, lazily."""
    [code] = examples("Polars", "python")
    names: dict[str, Any] = {}
    exec(code, names)
    assert names["totals"].drop_nulls()["total"].sum() == Decimal("30.1")
    assert set(names["items"]["description"].drop_nulls()) == {"Pen", "Ink"}
    assert set(names["failed"]["page_number"].to_list()) == {None, 1}
    assert names["pages"].collect().height == 4


def test_pandas_example_gives_current_committed_rows(mixed_output: Path) -> None:
    """The same rows as with DuckDB, decimals exact."""
    [code] = examples("pandas", "python")
    names: dict[str, Any] = {}
    exec(code, names)
    assert sorted(names["totals"].dropna()) == [Decimal(10), Decimal("20.1")]
    assert sorted(names["failed"]["error_type"]) == ["encrypted", "output_cut_off"]
    assert len(names["pages"]) == 4
