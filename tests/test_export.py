"""Records in other forms: nothing is lost, nothing is run, and what people said comes out as labels."""

import csv
import datetime as dt
import hashlib
import io
import json
import math
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from made_records import NOON, Bill, commit, document, ok_page, unopened
from openpyxl import load_workbook  # type: ignore[import-untyped]
from pydantic import BaseModel, Field, create_model

from pipeline.cli import main
from pipeline.corrections import WHOLE, Action, Correction, CorrectionWriter, canonical, digest_of
from pipeline.data import Document, DocumentRef
from pipeline.eval.labels import read_labels
from pipeline.results import open_results
from pipeline.source import path_uri
from pipeline.storage import open_storage

FORMULA = '=HYPERLINK("http://evil.example","click")'
BILL = {
    "seller": "Ärger & Söhne, “Tee”\n東京",
    "date": "2026-03-01",
    "currency": "EUR",
    "total": "1234567.000001",
    "count": -5,
    "paid": True,
    "printed_at": "2026-03-01T08:30:00",
    "tags": ("x", "y"),
    "rates": {"a": "-1.5"},
    "line_items": [{"description": FORMULA, "line_total": "-4"}, {"description": "-20 % off"}],
}


@pytest.fixture
def output(tmp_path: Path) -> str:
    """An output of a bill with everything in it, and of a file that could not be opened."""
    bill = Bill.model_validate(BILL).model_dump()
    storage = open_storage(str(tmp_path / "out"))
    commit(storage, "1", (ok_page(document("a b.pdf"), record=bill),), (unopened("locked.pdf"),))
    return str(tmp_path / "out")


def exported(capsys: pytest.CaptureFixture[str], output: str, *arguments: str) -> str:
    """Return what the command writes to the standard output."""
    assert main(["export", output, *arguments]) == 0
    return capsys.readouterr().out


def table(text: str) -> list[dict[str, str]]:
    """Return the rows of a CSV file."""
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_csv_has_a_row_for_each_record_with_exact_values(capsys: pytest.CaptureFixture[str], output: str) -> None:
    """Amounts to the last digit, dates by ISO, any script, line breaks and quotes."""
    row, locked = table(exported(capsys, output, "--format", "csv"))
    assert (row["seller"], row["total"], row["date"]) == (BILL["seller"], "1234567.000001", "2026-03-01")
    assert (row["count"], row["paid"], row["tags"], row["rates"]) == ("-5", "true", "x; y", '{"a": "-1.5"}')
    assert row["printed_at"] == "2026-03-01T08:30:00"
    assert (row["needs_review"], row["status"], locked["status"], locked["seller"]) == ("true", "ok", "failed", "")


def test_csv_has_a_row_for_each_item_on_demand(capsys: pytest.CaptureFixture[str], output: str) -> None:
    """Line items are a table of their own."""
    rows = table(exported(capsys, output, "--format", "csv", "--items", "line_items"))
    assert [(row["record_number"], row["item"], row["line_total"]) for row in rows] == [
        ("1", "1", "-4"),
        ("1", "2", ""),
    ]


class Part(BaseModel):
    """An item of an item."""

    name: str | None = None


class Measured(BaseModel):
    """What tables find hard to hold."""

    total: float | None = None
    note: str | None = None
    rates: dict[str, float] = Field(default_factory=dict)
    line_items: list["Group"] = Field(default_factory=list)


class Group(BaseModel):
    """An item with items."""

    title: str | None = None
    parts: list[Part] = Field(default_factory=list)


@pytest.fixture
def measured(tmp_path: Path) -> str:
    """An output of a record that tables find hard to hold."""
    of = Measured(
        total=1234567.891,
        note="one\rtwo",
        rates={"19.5 %": math.nan, "a[b": 0.5, "": 1},
        line_items=[Group(title="a", parts=[Part(name="b")])],
    )
    commit(open_storage(str(tmp_path)), "1", (ok_page(document(), record=of.model_dump()),), model=Measured)
    return str(tmp_path)


def test_csv_rounds_nothing_and_keeps_rows_whole(capsys: pytest.CaptureFixture[str], measured: str) -> None:
    """Six digits are not an amount; a bare carriage return, unquoted, is the end of a line to most readers."""
    [row] = table(exported(capsys, measured, "--format", "csv"))
    assert (row["total"], row["note"]) == ("1234567.891", "one\rtwo")


def test_items_of_items_are_not_lost(capsys: pytest.CaptureFixture[str], measured: str) -> None:
    """They have no table of their own."""
    [row] = table(exported(capsys, measured, "--format", "csv", "--items", "line_items"))
    assert json.loads(row["parts"]) == [{"name": "b"}]


def test_numbers_that_json_has_no_word_for_are_text(capsys: pytest.CaptureFixture[str], measured: str) -> None:
    """One record with such a number must not end the export of all."""
    [line] = exported(capsys, measured, "--format", "jsonl").splitlines()
    assert json.loads(line, parse_constant=pytest.fail)["record"]["rates"]["19.5 %"] == "nan"


def test_names_of_a_dict_may_hold_anything(capsys: pytest.CaptureFixture[str], measured: str) -> None:
    """They come from the page: rates, and whatever a model makes of them."""
    rows = table(exported(capsys, measured, "--format", "csv", "--view", "fields"))
    found = {row["path"]: row["value"] for row in rows if row["path"].startswith("rates")}
    assert found == {"rates.19.5 %": "nan", "rates.a[b": "0.5", "rates.": "1.0"}


def test_records_of_schemas_that_contradict_each_other_are_not_lost(
    capsys: pytest.CaptureFixture[str], output: str
) -> None:
    """A field became another type; no column holds both, and none may be left out in silence."""
    changed = ok_page(document("b.pdf", sha256="b" * 64), record={"seller": {"name": "ACME"}})
    commit(open_storage(output), "2", (changed,), model=create_model("Bill", seller=(Part, None)))
    rows = {row["document"]: row["record"] for row in table(exported(capsys, output, "--format", "csv"))}
    assert json.loads(rows["/in/b.pdf"]) == {"seller": {"name": "ACME"}}
    assert json.loads(rows["/in/a b.pdf"])["total"] == "1234567.000001"


def test_text_that_begins_like_a_formula_is_no_formula(capsys: pytest.CaptureFixture[str], output: str) -> None:
    """A spreadsheet program would run what a stranger printed on an invoice; negative numbers stay numbers."""
    arguments = ("--format", "csv", "--items", "line_items")
    rows = table(exported(capsys, output, *arguments))
    assert [row["description"] for row in rows] == [f"'{FORMULA}", "'-20 % off"]
    assert rows[0]["line_total"] == "-4"
    assert table(exported(capsys, output, *arguments, "--raw"))[0]["description"] == FORMULA


@pytest.mark.parametrize("text", ["+49 30 1", "@SUM(A1)", "\t=1", " =1", "＝1+1", "-2"])
def test_every_beginning_of_a_formula_is_known(capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str) -> None:
    """White space before it helps nobody, nor do full-width signs."""
    commit(open_storage(str(tmp_path)), "1", (ok_page(document("a.pdf"), record=Bill(seller=text).model_dump()),))
    [row] = table(exported(capsys, str(tmp_path), "--format", "csv"))
    assert row["seller"] == f"'{text}"


def test_files_stand_beside_each_other(output: str, tmp_path: Path) -> None:
    """One file for the records, one for each list of items."""
    assert main(["export", output, "--format", "csv", "--to", str(tmp_path / "sub" / "bills.csv")]) == 0
    assert sorted(path.name for path in (tmp_path / "sub").iterdir()) == ["bills-line_items.csv", "bills.csv"]


def test_json_lines_hold_everything_of_a_record(capsys: pytest.CaptureFixture[str], output: str) -> None:
    """A program reads what the tables cannot say."""
    first, locked = map(json.loads, exported(capsys, output, "--format", "jsonl").splitlines())
    assert first["record"]["total"] == "1234567.000001"
    assert first["record"]["line_items"][0]["description"] == FORMULA
    assert first["evidence"][0]["box"] == [1, 2, 3, 4]
    assert (first["breaches"][0]["rule"], locked["record"]) == ("total_is_sum", None)


def test_all_single_values_can_be_exported(capsys: pytest.CaptureFixture[str], output: str) -> None:
    """For statistics on fields."""
    rows = table(exported(capsys, output, "--format", "csv", "--view", "fields"))
    assert next(row for row in rows if row["path"] == "total")["verdict"] == "not_found"
    lines = [
        json.loads(line) for line in exported(capsys, output, "--format", "jsonl", "--view", "fields").splitlines()
    ]
    assert {line["path"] for line in lines} >= {"seller", "line_items[1].description"}


def test_a_view_without_rows_is_a_header(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """What comes after must not stumble over a night without doubts."""
    commit(open_storage(str(tmp_path)), "1", (ok_page(document("a.pdf"), review_reasons=()),))
    text = exported(capsys, str(tmp_path), "--format", "csv", "--view", "doubtful")
    assert (table(text), text.startswith("document,")) == ([], True)


def cells(path: Path, sheet: str) -> list[dict[str, Any]]:
    """Return the rows of a worksheet by the names in its header."""
    header, *rows = load_workbook(path)[sheet].iter_rows()
    return [dict(zip((cell.value for cell in header), row, strict=True)) for row in rows]


def test_a_workbook_has_typed_cells_and_sheets_for_items_and_evidence(output: str, tmp_path: Path) -> None:
    """Sums add up and dates sort without anybody's help; text is never a formula."""
    path = tmp_path / "bills.xlsx"
    assert main(["export", output, "--format", "xlsx", "--to", str(path)]) == 0
    assert load_workbook(path).sheetnames == ["records", "line_items", "evidence"]
    row = cells(path, "records")[0]
    assert (row["date"].value, row["date"].number_format) == (dt.datetime(2026, 3, 1), "yyyy-mm-dd")  # noqa: DTZ001
    assert (row["total"].value, row["count"].value, row["paid"].value) == (1234567.000001, -5, True)
    item = cells(path, "line_items")[0]
    assert (item["description"].value, item["description"].data_type) == (FORMULA, "s")
    assert (item["line_total"].value, item["line_total"].number_format) == (-4, "#,##0.00")
    assert cells(path, "evidence")[0]["path"].value == "seller"
    assert load_workbook(path)["records"].freeze_panes == "B2"


def test_a_workbook_counts_characters_as_excel_does(tmp_path: Path) -> None:
    """It takes an emoji for two, and repairs, by leaving out, what is longer than a cell may be."""
    commit(open_storage(str(tmp_path)), "1", (ok_page(document(), record=Bill(seller="😀" * 20_000).model_dump()),))
    assert main(["export", str(tmp_path), "--format", "xlsx", "--to", str(tmp_path / "a.xlsx")]) == 0
    value = cells(tmp_path / "a.xlsx", "records")[0]["seller"].value
    assert (len(value.encode("utf-16-le")) // 2 <= 32_767, value[-7:]) == (True, "😀 [cut]")


def test_a_workbook_keeps_what_a_cell_cannot_hold_as_it_is(tmp_path: Path) -> None:
    """A double has 15 digits, a cell 32,767 characters, Excel no days before 1900."""
    bill = {"seller": "x" * 40_000, "total": "123456789012345678.123456"}
    record = {**Bill.model_validate(bill).model_dump(), "date": dt.date(1850, 1, 1)}
    commit(open_storage(str(tmp_path / "out")), "1", (ok_page(document("a.pdf"), record=record),))
    path = tmp_path / "bills.xlsx"
    assert main(["export", str(tmp_path / "out"), "--format", "xlsx", "--to", str(path)]) == 0
    row = cells(path, "records")[0]
    assert (row["total"].value, row["date"].value) == ("123456789012345678.123456", "1850-01-01")
    assert (len(row["seller"].value), row["seller"].value[-6:]) == (32_767, " [cut]")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--format", "xlsx"), "needs a place: --to"),
        (("--format", "xlsx", "--to", "x.xls"), "ends in .xlsx"),
        (("--format", "csv", "--items", "lines"), "there is: line_items"),
        (("--format", "jsonl", "--items", "line_items"), "--items is for --format csv"),
        (("--format", "csv", "--extraction", "invoice"), "it holds: bill"),
        (("--format", "csv", "--to", "."), "is a folder"),
        (("--format", "labelled", "--to", "."), "is not empty"),
        (("--format", "labelled", "--to", "s3://b/x"), "a local folder"),
    ],
)
def test_what_cannot_be_exported_says_why(
    capsys: pytest.CaptureFixture[str], output: str, arguments: Sequence[str], told: str
) -> None:
    """And nothing is written."""
    assert main(["export", output, *arguments]) == 2
    assert told in capsys.readouterr().err


def test_one_of_several_extractions_is_to_be_named(capsys: pytest.CaptureFixture[str], output: str) -> None:
    """Their columns differ."""
    (Path(output) / "other").symlink_to(Path(output) / "bill")
    assert main(["export", output, "--format", "csv"]) == 2
    assert "choose one with --extraction: bill, other" in capsys.readouterr().err


def test_an_export_goes_to_a_bucket_too(output: str, bucket: str) -> None:
    """Where the next step takes it from."""
    assert main(["export", output, "--format", "jsonl", "--to", f"{bucket}/exports/bills.jsonl"]) == 0
    with open_storage(bucket).open("exports/bills.jsonl") as file:
        assert len(file.readlines()) == 2


def committed(tmp_path: Path, name: str, content: bytes, **values: Any) -> Document:
    """Commit the record of a document that exists."""
    path = tmp_path / "in" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    of = Document(DocumentRef(path_uri(path), len(content), NOON), hashlib.sha256(content).hexdigest(), "image/png", 1)
    page = ok_page(of, record=Bill.model_validate(values).model_dump(), evidence=())
    commit(open_storage(str(tmp_path / "out")), name, (page,))
    return of


def say(tmp_path: Path, of: Document, *said: tuple[str, Action, object, object]) -> None:
    """Save what somebody says of values: path, action, value seen, value it is to be."""
    storage = open_storage(str(tmp_path / "out"))
    corrections = open_results(str(tmp_path / "out"))["bill"].corrections
    rows = [
        Correction(of.sha256, 1, path, action, "Ann", seen=canonical(seen), value=canonical(value))
        for path, action, seen, value in said
    ]
    CorrectionWriter(storage, "bill", corrections).save(rows)


def test_what_people_reviewed_becomes_labelled_documents(tmp_path: Path) -> None:
    """`pagemill eval` measures the next model by them; what nobody looked at is no label."""
    some = committed(tmp_path, "some.png", b"one", seller="ACME", total="1.50", count=3)
    whole = committed(tmp_path, "whole.png", b"two", seller="B", line_items=[{"description": "tea"}])
    committed(tmp_path, "nobody.png", b"three", seller="C")
    say(tmp_path, some, ("seller", Action.CORRECT, "ACME", "ACME Ltd"), ("count", Action.ACCEPT, 3, None))
    say(tmp_path, some, ("currency", Action.ACCEPT, None, None))
    read = {one.sha256: one.read for one in open_results(str(tmp_path / "out"))["bill"].records()}
    say(tmp_path, whole, (WHOLE, Action.ACCEPT, digest_of(read[whole.sha256] or {}), None))
    to = tmp_path / "labelled"
    assert main(["export", str(tmp_path / "out"), "--format", "labelled", "--to", str(to)]) == 0
    entries = {
        Path(entry["source"]).name: entry for entry in map(json.loads, (to / "manifest.jsonl").read_text().splitlines())
    }
    assert set(entries) == {"some.png", "whole.png"}
    truth = {name: json.loads((to / entry["ground_truth"]).read_text()) for name, entry in entries.items()}
    assert truth["some.png"] == {"seller": "ACME Ltd", "count": 3, "absent": ["currency"]}
    assert truth["whole.png"]["line_items"] == [{"description": "tea", "line_total": None}]
    assert "total" in truth["whole.png"]["absent"]
    assert (to / entries["some.png"]["file"]).read_bytes() == b"one"
    assert entries["some.png"]["gt_origin"] == "review by Ann of run run-1"


def test_a_document_that_was_changed_since_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its labels are of other bytes."""
    of = committed(tmp_path, "a.png", b"one", seller="ACME")
    say(tmp_path, of, ("seller", Action.ACCEPT, "ACME", None))
    (tmp_path / "in" / "a.png").write_bytes(b"other")
    assert main(["export", str(tmp_path / "out"), "--format", "labelled", "--to", str(tmp_path / "labelled")]) == 0
    assert "left out: 1 whose document is gone or was changed" in capsys.readouterr().err
    assert list((tmp_path / "labelled" / "documents").iterdir()) == []


def test_labelled_documents_are_read_by_eval(tmp_path: Path) -> None:
    """The layout is that of its loader."""
    of = committed(tmp_path, "a.png", b"one", seller="ACME", total="1.50")
    say(tmp_path, of, ("total", Action.CORRECT, "1.5", "2"))
    out = tmp_path / "out"
    (out / "bill").rename(out / "receipt")
    assert main(["export", str(out), "--format", "labelled", "--to", str(tmp_path / "labelled")]) == 0
    [labelled] = read_labels(tmp_path / "labelled").documents
    assert (labelled.kind, Decimal(labelled.fields["total"]), labelled.sha256) == ("receipt", Decimal(2), of.sha256)


def test_each_record_of_a_document_has_its_own_label(tmp_path: Path) -> None:
    """A file of two bills is one document with two entries, told apart by their pages."""
    content = b"two bills"
    path = tmp_path / "two.pdf"
    path.write_bytes(content)
    of = Document(DocumentRef(path_uri(path), 9, NOON), hashlib.sha256(content).hexdigest(), "application/pdf", 2)
    commit(open_storage(str(tmp_path / "out")), "1", (ok_page(of, 1), ok_page(of, 2)))
    for number in (1, 2):
        corrections = open_results(str(tmp_path / "out"))["bill"].corrections
        said = Correction(of.sha256, number, "seller", Action.CORRECT, "Ann", seen='"ACME"', value=f'"B{number}"')
        CorrectionWriter(open_storage(str(tmp_path / "out")), "bill", corrections).save([said])
    to = tmp_path / "labelled"
    assert main(["export", str(tmp_path / "out"), "--format", "labelled", "--to", str(to)]) == 0
    found = {one.pages: one.fields["seller"] for one in read_labels(to, extractions=["bill"]).documents}
    assert found == {(1, 1): "B1", (2, 2): "B2"}
    assert len(list((to / "documents").iterdir())) == 1
