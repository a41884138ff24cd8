"""What is read back: current rows, failures, runs; and how it is shown."""

import io
import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from made_records import NOON, Bill, commit, document, failed_page, identity, ok_page, unopened
from pydantic import BaseModel

from pipeline.config import CostConfig
from pipeline.data import PageRecord
from pipeline.errors import StorageError
from pipeline.results import ExtractionResults, open_results
from pipeline.schema import Amount, Date
from pipeline.show import print_json, print_results
from pipeline.sink import read_committed
from pipeline.stats import Counts, RunStats
from pipeline.storage import Storage, open_storage


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    """An empty output."""
    return open_storage(str(tmp_path))


def the_extraction(tmp_path: Path) -> ExtractionResults:
    """Return the results of the only extraction of an output."""
    [found] = open_results(str(tmp_path)).extractions
    return found


def shown(tmp_path: Path, *, limit: int = 20, run_id: str | None = None) -> str:
    """Return what a person sees."""
    stream = io.StringIO()
    print_results(open_results(str(tmp_path)), stream, limit=limit, run_id=run_id)
    return stream.getvalue()


def bill(name: str, **values: Any) -> tuple[PageRecord]:
    """Return the one page of a document with this record."""
    return (ok_page(document(name), record=Bill.model_validate(values).model_dump()),)


def test_documents_that_are_ok_and_yet_not_whole_are_named(tmp_path: Path, storage: Storage) -> None:
    """Half a scan reads as well as a whole one."""
    cut = replace(document("cut.pdf"), flags=("repaired", "truncated"))
    commit(storage, "1", (ok_page(cut),), (ok_page(document("whole.pdf")),))
    assert "1 document read as far as the file goes (truncated): cut.pdf\n" in shown(tmp_path)


def test_several_runs_leave_one_current_row_per_document(tmp_path: Path, storage: Storage) -> None:
    """The row that finished last counts; what no later run touched stays."""
    commit(storage, "old", bill("a.pdf", seller="old"), bill("b.pdf", seller="kept"))
    later = NOON + timedelta(days=1)
    newer = identity(run_id="run-2", fingerprint="2" * 16)
    commit(storage, "new", bill("a.pdf", seller="new"), run=newer, finished_at=later)
    found = the_extraction(tmp_path)
    documents = found.documents(["source_uri", "record"]).to_pylist()
    assert [(row["source_uri"][-5:], row["record"]["seller"]) for row in documents] == [
        ("a.pdf", "new"),
        ("b.pdf", "kept"),
    ]
    pages = found.pages(["source_uri", "run_id"]).to_pylist()
    assert sorted((row["source_uri"][-5:], row["run_id"]) for row in pages) == [("a.pdf", "run-2"), ("b.pdf", "run-1")]
    assert found.totals().pages_ok == 2


def test_the_name_of_a_part_does_not_decide_what_is_current(tmp_path: Path, storage: Storage) -> None:
    """Part names are hashes: the newest may sort first."""
    commit(storage, "zzz", bill("a.pdf", seller="old"))
    commit(storage, "aaa", bill("a.pdf", seller="new"), finished_at=NOON + timedelta(days=1))
    assert the_extraction(tmp_path).documents(["record"])["record"].to_pylist()[0]["seller"] == "new"


def test_pages_a_document_no_longer_has_are_not_current(tmp_path: Path, storage: Storage) -> None:
    """A file that was replaced by a shorter one must not keep its old end."""
    of = document("a.pdf", num_pages=2)
    commit(storage, "1", (ok_page(of, 1), ok_page(of, 2)))
    commit(storage, "2", (ok_page(document("a.pdf", sha256="b" * 64)),), finished_at=NOON + timedelta(days=1))
    assert the_extraction(tmp_path).pages(["page_number"])["page_number"].to_pylist() == [1]


class OtherBill(BaseModel):
    """The same fields as Bill has, one of them of another type, one new."""

    seller: str | None = None
    total: str | None = None
    note: str | None = None


class LongerBill(BaseModel):
    """A field more than Bill has."""

    seller: str | None = None
    note: str | None = None


def test_a_schema_that_grew_reads_together_with_the_old_one(tmp_path: Path, storage: Storage) -> None:
    """New fields are null in older rows, and the other way round."""
    commit(storage, "1", bill("a.pdf", seller="A", total="1.5"))
    page = ok_page(document("b.pdf"), record={"seller": "B", "note": "n"})
    commit(storage, "2", (page,), model=LongerBill)
    first, second = the_extraction(tmp_path).documents(["record"])["record"].to_pylist()
    assert (first["total"], first["note"]) == (Decimal("1.5"), None)
    assert (second["total"], second["note"]) == (None, "n")


def test_a_schema_that_changed_a_type_is_still_readable(tmp_path: Path, storage: Storage) -> None:
    """Then records are JSON text, since no struct holds both."""
    commit(storage, "1", bill("a.pdf", seller="A", total="1.5"))
    page = ok_page(document("b.pdf"), record={"seller": "B", "total": "about two"})
    commit(storage, "2", (page,), model=OtherBill)
    records = the_extraction(tmp_path).documents(["record"])["record"].to_pylist()
    assert [json.loads(record)["total"] for record in records] == ["1.500000", "about two"]
    assert "about two" in shown(tmp_path)


def test_failures_name_pages_and_documents_with_their_reasons(tmp_path: Path, storage: Storage) -> None:
    """Pages of documents that were read since do not count any more."""
    of = document("a.pdf", num_pages=2)
    commit(storage, "1", (ok_page(of, 1), failed_page(of, 2)), (unopened("locked.pdf"),), (failed_page(document("c")),))
    commit(storage, "2", bill("c"), finished_at=NOON + timedelta(days=1))
    rows = the_extraction(tmp_path).failures().to_pylist()
    assert [(row["source_uri"][11:], row["page_number"], row["error_type"]) for row in rows] == [
        ("a.pdf", 2, "output_cut_off"),
        ("locked.pdf", None, "encrypted"),
    ]


def test_runs_are_listed_with_what_they_did(tmp_path: Path, storage: Storage) -> None:
    """Which model read this, and when, is answered from the rows alone."""
    commit(storage, "1", bill("a.pdf"), (failed_page(document("b.pdf")),))
    commit(storage, "2", bill("a.pdf"), run=identity(run_id="run-2"), finished_at=NOON + timedelta(days=1))
    runs = the_extraction(tmp_path).runs().to_pylist()
    assert {(row["run_id"], row["documents"], row["pages_ok"], row["pages_failed"]) for row in runs} == {
        ("run-1", 2, 1, 1),
        ("run-2", 1, 1, 0),
    }


def test_page_batches_hold_only_the_columns_asked_for(tmp_path: Path, storage: Storage) -> None:
    """The text of a million pages is not read to count them."""
    commit(storage, "1", bill("a.pdf"), bill("b.pdf"))
    batches = list(the_extraction(tmp_path).page_batches(["page_number"]))
    assert [batch.schema.names for batch in batches] == [["page_number"]]


def test_files_that_other_tools_leave_are_not_read(tmp_path: Path, storage: Storage) -> None:
    """Spark writes _SUCCESS, editors write .part-1.parquet.swp, interrupted copies leave half a file."""
    commit(storage, "1", bill("a.pdf"))
    for name in ("_SUCCESS", ".part-2.parquet", "_part-3.parquet", "notes.txt"):
        (tmp_path / "bill/documents" / name).write_bytes(b"not parquet")
    (tmp_path / "readme.parquet").write_bytes(b"not parquet")
    assert the_extraction(tmp_path).documents(["status"]).num_rows == 1


def test_of_rows_that_finished_at_the_same_time_one_is_current(tmp_path: Path, storage: Storage) -> None:
    """Clocks are coarse; no document may have two current rows, whichever it is."""
    for shard_id in ("2", "1", "3"):
        commit(storage, shard_id, bill("a.pdf", seller=shard_id), bill(f"{shard_id}.pdf"))
    found = the_extraction(tmp_path)
    sellers = [row["seller"] for row in found.documents(["record"])["record"].to_pylist()]
    assert sellers == [None, None, None, "3"]
    assert found.totals().documents_ok == found.pages(["source_uri"]).num_rows == 4


def test_runs_are_summed_over_their_parts(tmp_path: Path, storage: Storage) -> None:
    """Superseded documents count: they were work."""
    later = NOON + timedelta(hours=1)
    commit(storage, "1", bill("a.pdf"), bill("b.pdf"))
    commit(storage, "2", bill("c.pdf"), (unopened("locked.pdf"),), finished_at=later)
    commit(storage, "3", bill("a.pdf"), run=identity(run_id="run-2"), finished_at=later)
    runs = the_extraction(tmp_path).runs().to_pylist()
    counts = {run["run_id"]: (run["documents"], run["pages_ok"], run["pages_failed"]) for run in runs}
    assert counts == {"run-1": (4, 3, 1), "run-2": (1, 1, 0)}
    assert {run["run_id"]: run["finished_at"] for run in runs} == {"run-1": later, "run-2": later}


def test_a_part_of_another_version_may_lack_columns(tmp_path: Path, storage: Storage) -> None:
    """What it does not say is unknown; what it says is shown."""
    commit(storage, "1", bill("a.pdf"))
    commit(storage, "2", bill("b.pdf"))
    part = tmp_path / "bill/documents/part-2.parquet"
    pq.write_table(pq.read_table(part).drop_columns(["pages_failed", "revision"]), part)
    found = the_extraction(tmp_path)
    assert found.totals().documents_ok == 2
    assert [run["documents"] for run in found.runs().to_pylist()] == [1, 1]
    assert "b.pdf" in shown(tmp_path)


def test_a_damaged_part_is_named(tmp_path: Path, storage: Storage) -> None:
    """A traceback out of a library helps nobody to find the file."""
    commit(storage, "1", bill("a.pdf"))
    part = tmp_path / "bill/documents/part-1.parquet"
    part.write_bytes(part.read_bytes()[:-100])
    with pytest.raises(StorageError, match=r"bill/documents/part-1\.parquet cannot be read"):
        the_extraction(tmp_path).totals()
    with pytest.raises(StorageError, match=r"bill/documents/part-1\.parquet cannot be read .*delete it"):
        list(read_committed(storage, "bill/documents/part-1.parquet"))


def test_an_empty_output_says_so(tmp_path: Path) -> None:
    """A wrong path must not look like a run without documents."""
    assert f"No results in {tmp_path}" in shown(tmp_path).replace("\n", "")


def test_records_are_shown_as_a_table_with_counted_items(tmp_path: Path, storage: Storage) -> None:
    """Amounts with the places they need, dates as dates, items by their number."""
    items = [{"description": "x"}] * 3
    commit(storage, "1", bill("a.pdf", seller="ACME", date="2026-02-01", total="1234.5", line_items=items))
    [row] = [line.split() for line in shown(tmp_path).splitlines() if line.startswith("a.pdf")]
    assert row == ["a.pdf", "1", "ACME", "2026-02-01", "1234.50", "3"]


def test_what_is_not_shown_is_counted(tmp_path: Path, storage: Storage) -> None:
    """Nobody should take twenty rows for all."""
    commit(storage, "1", *(bill(f"{number:03}.pdf", seller="x") for number in range(50)))
    text = shown(tmp_path, limit=3)
    assert "002.pdf" in text
    assert "003.pdf" not in text
    assert "… and 47 more documents" in text


@pytest.mark.parametrize("columns", ["40", "80", "100", "200"])
def test_tables_fit_the_terminal(
    tmp_path: Path, storage: Storage, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    """No line is longer than the terminal, 80 at least and 120 at most; fields without room are named."""
    monkeypatch.setenv("COLUMNS", columns)
    everything = {
        "seller": "A very long name of a company " * 3,
        "date": "2026-01-01",
        "currency": "EUR",
        "total": "123456789.123",
        "count": 1,
        "score": 0.5,
        "paid": True,
        "printed_at": "2026-01-01T10:00",
        "sent_at": "2026-01-01T10:00Z",
        "kind": "bill",
        "colour": "red",
        "tags": ("漢字" * 30,),
        "rates": {"a": 1},
        "extra": {"b": 1},
    }
    commit(storage, "1", bill("a" * 90 + ".pdf", **everything), (failed_page(document("c"), 1, "m" * 500),))
    lines = shown(tmp_path).splitlines()
    widest = max(len(line) for line in lines if str(tmp_path) not in line)
    assert widest <= min(max(int(columns), 80), 120)
    assert any(line.startswith("No room for: ") for line in lines)


HOSTILE = "[red]\x1b[31m\x1b]0;title\x07 \u202egnp.exe\r\nnext \x9b2J [/red] :smile:"


def test_what_documents_say_cannot_steer_the_terminal(tmp_path: Path, storage: Storage) -> None:
    """Markup, escape sequences, C1 codes and bidirectional overrides are shown, not obeyed."""
    name = "%1B%5B2J[bold].pdf"
    commit(storage, "1", bill(name, seller=HOSTILE), (failed_page(document("b.pdf"), 1, HOSTILE),))
    text = shown(tmp_path)
    assert "\\x1b[2J[bold].pdf" in text
    assert text.count("[red]\\x1b[31m") == 2
    assert not set(text) & set("\x1b\x07\r\x9b\u202e")
    assert ":smile:" in text


def test_failures_are_grouped_and_listed_with_their_message(tmp_path: Path, storage: Storage) -> None:
    """The reader sees first what is most worth mending."""
    commit(
        storage, "1", (unopened("locked.pdf", "The file is encrypted; add its password."),), (failed_page(document()),)
    )
    text = shown(tmp_path)
    assert "1 encrypted" in text
    assert "add its password" in text


def test_statistics_are_shown_by_hour_and_in_total(tmp_path: Path, storage: Storage) -> None:
    """With money, when a price is known."""
    now = NOON.timestamp() - 1800
    stats = RunStats(identity(), CostConfig(price_per_hour=Decimal(2)), clock=lambda: now)
    now += 3600
    counts = Counts()
    counts.add_page(ok_page(document()))
    stats.commit(counts)
    commit(storage, "1", (ok_page(document()),))
    stats.put(storage)
    text = shown(tmp_path)
    assert "2026-03-01 11:00" in text
    assert "2026-03-01 12:00" in text
    assert "cost: 2.00 USD, 2,000.00 per 1,000 pages" in text
    assert f"{tmp_path}/bill/documents/" in text


def test_one_run_can_be_shown_alone(tmp_path: Path, storage: Storage) -> None:
    """At its end a run shows what it did, not what others did before."""
    commit(storage, "1", bill("a.pdf", seller="old"))
    commit(storage, "2", bill("b.pdf", seller="new"), run=identity(run_id="run-2"))
    text = shown(tmp_path, run_id="run-2")
    assert "b.pdf" in text
    assert "a.pdf" not in text


def test_json_of_an_output_without_failures_has_an_empty_list(tmp_path: Path, storage: Storage) -> None:
    """Twenty empty objects would be counted as twenty failures."""
    commit(storage, "1", bill("a.pdf"))
    stream = io.StringIO()
    print_json(open_results(str(tmp_path)), stream, limit=20)
    found = json.loads(stream.getvalue())["extractions"]["bill"]
    assert (found["failures_total"], found["failures"]) == (0, [])


class WideBill(BaseModel):
    """More amounts than 80 columns have room for."""

    seller: str
    place: str
    date: Date
    subtotal: Amount
    tax: Amount
    discount: Amount
    total: Amount


def test_a_narrow_table_keeps_the_date_and_the_last_amount(
    tmp_path: Path, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who, when and how much is what people look for, though all dates are the same here."""
    monkeypatch.setenv("COLUMNS", "80")
    for number in range(3):
        names = {"seller": f"{number} Company of some length", "place": f"{number} Street", "date": "2026-01-01"}
        amounts = {name: f"{at}{number}0000.00" for at, name in enumerate(("subtotal", "tax", "discount", "total"), 1)}
        record = WideBill.model_validate(names | amounts).model_dump()
        commit(storage, str(number), (ok_page(document(f"{number}.pdf" * 9), record=record),), model=WideBill)
    text = shown(tmp_path)
    assert "2026-01-01" in text
    assert "420000.00" in text
    assert "No room for: place" in text


def test_json_holds_the_same_as_one_object(tmp_path: Path, storage: Storage) -> None:
    """Programs get decimals digit by digit, and nothing but ASCII."""
    commit(storage, "1", bill("ä.pdf", seller=HOSTILE, total="0.100000", date="2026-01-02"), (unopened("locked.pdf"),))
    stats = RunStats(identity(), CostConfig())
    stats.put(storage)
    stream = io.StringIO()
    print_json(open_results(str(tmp_path)), stream)
    assert stream.getvalue().isascii()
    found = json.loads(stream.getvalue())["extractions"]["bill"]
    record = next(row["record"] for row in found["documents"] if row["record"])
    assert (record["total"], record["date"], record["seller"]) == ("0.100000", "2026-01-02", HOSTILE)
    assert (found["documents_ok"], found["documents_failed"]) == (1, 1)
    assert found["failures"][0]["error_type"] == "encrypted"
    assert found["total"]["pages"] == 0
