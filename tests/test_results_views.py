"""Views of an output: a row for each record, for each value; what is doubtful, what people corrected."""

import datetime as dt
import re
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_records import NOON, REASONS, Bill, commit, document, failed_page, ok_page, unopened
from pydantic import BaseModel

from pipeline import open_results
from pipeline.corrections import WHOLE, Action, Correction, CorrectionWriter, canonical, digest_of
from pipeline.data import Breach, Status, Verdict
from pipeline.errors import ConfigError
from pipeline.results import ExtractionResults, Record, View
from pipeline.results.views import FIELDS, view_schema
from pipeline.storage import Storage, open_storage

SHA = "a" * 64
DOCS = Path(__file__).parent.parent / "docs" / "results.md"


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    """An output of a document of two records, of which one is sure, and of one that could not be opened."""
    storage = open_storage(str(tmp_path))
    of = document("two.pdf", num_pages=2)
    bill = Bill.model_validate({"seller": "Ärger & Co", "total": "3", "line_items": [{"description": "tea"}]})
    sure = ok_page(of, 2, record=bill.model_dump(), review_reasons=(), breaches=(), evidence=())
    commit(storage, "1", (ok_page(of, 1), sure), (unopened("locked.pdf"),))
    return storage


def bills(tmp_path: Path) -> ExtractionResults:
    """Return the results of the only extraction."""
    return open_results(str(tmp_path))["bill"]


def rows(tmp_path: Path, view: str = "current") -> list[dict[str, object]]:
    """Return the rows of a view."""
    found: list[dict[str, object]] = bills(tmp_path).view(view).read_all().to_pylist()
    return sorted(found, key=lambda row: (str(row["source_uri"]), row["record_number"]))


def first(tmp_path: Path) -> Record:
    """Return the record of the first page."""
    return next(one for one in bills(tmp_path).records() if one.first_page == 1)


def say(storage: Storage, tmp_path: Path, path: str, action: Action, *, seen: object, value: object = None) -> None:
    """Save what somebody says of a value of the first page's record."""
    said = Correction(SHA, 1, path, action, "Ann", seen=canonical(seen), value=canonical(value))
    CorrectionWriter(storage, "bill", bills(tmp_path).corrections).save([said])


def test_reading_results_costs_nothing_until_it_is_asked_for() -> None:
    """`import pipeline` is part of every start of the command."""
    is_loaded = "'pyarrow' in sys.modules"
    code = f"import sys, pipeline; assert not {is_loaded}; pipeline.open_results; assert {is_loaded}"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_document_of_several_records_has_a_row_for_each(tmp_path: Path, storage: Storage) -> None:
    """A file of two invoices is two invoices; one that failed is still there."""
    found = [(row["record_number"], row["num_records"], row["first_page"], row["status"]) for row in rows(tmp_path)]
    assert found == [(1, 1, None, "failed"), (1, 2, 1, "ok"), (2, 2, 2, "ok")]


def test_views_show_what_is_doubtful_and_what_needs_review(tmp_path: Path, storage: Storage) -> None:
    """People look at these and leave the rest alone."""
    assert [row["review_reasons"] for row in rows(tmp_path, "doubtful")] == [[*REASONS, "conflict: seller"]]
    breach_only = ok_page(document("b.pdf"), review_reasons=("breach: total_is_sum",))
    commit(storage, "2", (breach_only,))
    assert len(rows(tmp_path, "doubtful")) == 1
    assert len(rows(tmp_path, "needs_review")) == 2


def test_a_view_that_does_not_exist_is_named(tmp_path: Path, storage: Storage) -> None:
    """A typing error must not look like an empty result."""
    with pytest.raises(ConfigError, match="current, doubtful, needs_review, fields"):
        bills(tmp_path).view("doubtfull")
    with pytest.raises(ConfigError, match="it holds: bill"):
        open_results(str(tmp_path))["bills"]


def test_each_value_has_a_row_with_its_place_and_how_sure_it_is(tmp_path: Path, storage: Storage) -> None:
    """One table for all that is asked about values."""
    found = {row["path"]: row for row in rows(tmp_path, "fields") if row["record_number"] == 1}
    seller, total = found["seller"], found["total"]
    assert (seller["value"], seller["verdict"], seller["text"], seller["x1"], seller["doubtful"]) == (
        "ACME",
        "exact",
        "ACME",
        3.0,
        False,
    )
    assert (total["value"], total["verdict"], total["confidence"], total["doubtful"]) == (
        "12.5",
        "not_found",
        0.125,
        True,
    )
    item = next(row for row in rows(tmp_path, "fields") if row["path"] == "line_items[0].description")
    assert (item["field"], item["item"], item["value"]) == ("line_items.description", 0, "tea")


def test_a_correction_overrides_what_was_read_and_is_marked(tmp_path: Path, storage: Storage) -> None:
    """Whoever reads the current view gets what people said."""
    say(storage, tmp_path, "total", Action.CORRECT, seen=Decimal("12.5"), value=Decimal("11.00"))
    row = rows(tmp_path)[1]
    assert isinstance(row["record"], dict)
    assert (row["record"]["total"], row["corrected"], row["reviewed"]) == (Decimal(11), ["total"], ["total"])
    assert row["review_reasons"] == ["breach: total_is_sum", "conflict: seller"]
    assert rows(tmp_path, "doubtful") == []
    field = next(row for row in rows(tmp_path, "fields") if row["path"] == "total")
    assert (field["value"], field["read_value"], field["review"], field["reviewer"], field["doubtful"]) == (
        "11",
        "12.5",
        "corrected",
        "Ann",
        False,
    )


def test_the_reading_itself_is_left_as_it_is(tmp_path: Path, storage: Storage) -> None:
    """Corrections stand beside the results; what the model said can be looked up for ever."""
    say(storage, tmp_path, "total", Action.CORRECT, seen=Decimal("12.5"), value=Decimal(11))
    assert bills(tmp_path).documents(["source_uri", "record"]).to_pylist()[1]["record"]["total"] == Decimal("12.5")
    assert first(tmp_path).read != first(tmp_path).record


def test_a_correction_can_be_taken_back(tmp_path: Path, storage: Storage) -> None:
    """A slip of the finger."""
    before = rows(tmp_path)
    say(storage, tmp_path, "total", Action.CORRECT, seen=Decimal("12.5"), value=Decimal(11))
    say(storage, tmp_path, "total", Action.UNDO, seen=Decimal("12.5"))
    assert rows(tmp_path) == before


def test_a_document_that_is_read_again_with_another_value_does_not_take_an_old_correction(
    tmp_path: Path, storage: Storage
) -> None:
    """A better model may be right where the correction was made for a worse one: somebody looks again."""
    say(storage, tmp_path, "total", Action.CORRECT, seen=Decimal("12.5"), value=Decimal(11))
    say(storage, tmp_path, "seller", Action.ACCEPT, seen="ACME")
    again = Bill(seller="ACME", total=Decimal("12.51")).model_dump()
    later = NOON + timedelta(days=1)
    of = document("two.pdf", num_pages=1)
    commit(storage, "2", (ok_page(of, record=again, review_reasons=(), breaches=()),), finished_at=later)
    found = first(tmp_path)
    assert (found.record or {})["total"] == Decimal("12.51")
    assert (found.review_reasons, found.reviewed) == (("outdated: total",), ("seller",))


def test_the_same_bytes_under_another_name_are_corrected_too(tmp_path: Path, storage: Storage) -> None:
    """People file a document elsewhere once it is dealt with."""
    say(storage, tmp_path, "seller", Action.CORRECT, seen="ACME", value="ACME Ltd")
    commit(storage, "2", (ok_page(document("moved.pdf")),))
    moved = next(one for one in bills(tmp_path).records() if one.name.endswith("moved.pdf"))
    assert (moved.record or {})["seller"] == "ACME Ltd"


def test_a_record_that_was_accepted_whole_needs_no_review(tmp_path: Path, storage: Storage) -> None:
    """And all its values count as sure."""
    say(storage, tmp_path, WHOLE, Action.ACCEPT, seen=digest_of(first(tmp_path).read or {}))
    found = first(tmp_path)
    assert (found.needs_review, found.confidence) == (False, 1.0)


def test_records_are_typed(tmp_path: Path, storage: Storage) -> None:
    """What a program reads has Python's types, and the schema's model if it asks for it."""
    found = first(tmp_path)
    assert found.evidence[0].verdict is Verdict.EXACT
    assert found.as_model(Bill).total == Decimal("12.5")
    assert (found.status, found.breaches[0].rule, found.conflicts[0].values) == (
        Status.OK,
        "total_is_sum",
        ((1, "ACME"), (2, "ACNE")),
    )


def test_maps_and_dates_survive(tmp_path: Path) -> None:
    """Arrow has its own forms of them."""
    bill = Bill.model_validate({"date": "2026-03-01", "rates": {"a": "1"}, "tags": ("x",), "extra": {"k": 1}})
    commit(open_storage(str(tmp_path)), "1", (ok_page(document("a.pdf"), record=bill.model_dump(), evidence=()),))
    record = first(tmp_path).record or {}
    assert (record["date"], record["rates"], record["tags"]) == (dt.date(2026, 3, 1), {"a": Decimal(1)}, ["x"])
    say(open_storage(str(tmp_path)), tmp_path, "rates.a", Action.CORRECT, seen="1", value="2")
    assert (first(tmp_path).record or {})["rates"] == {"a": Decimal(2)}
    assert bills(tmp_path).view().read_all()["record"].to_pylist()[0]["rates"] == [("a", Decimal(2))]


def _without(tmp_path: Path, *names: str) -> None:
    """Make the parts of an output as an older version wrote them."""
    for path in tmp_path.glob("bill/documents/*.parquet"):
        table = pq.read_table(path)
        pq.write_table(table.drop_columns([name for name in names if name in table.column_names]), path)


NEW = ("evidence", "breaches", "conflicts", "review_reasons", "confidence", "needs_review", "num_records", "records")


def test_an_output_of_an_older_version_has_the_same_views(tmp_path: Path, storage: Storage) -> None:
    """It says nothing of evidence, and each document has one record."""
    _without(tmp_path, *NEW)
    found = rows(tmp_path)
    assert [(row["record_number"], row["evidence"], row["needs_review"]) for row in found] == [(1, [], False)] * 2
    assert rows(tmp_path, "needs_review") == []
    assert {row["verdict"] for row in rows(tmp_path, "fields")} == {None}


def test_old_and_new_parts_read_together(tmp_path: Path, storage: Storage) -> None:
    """The output has grown for years."""
    _without(tmp_path, *NEW)
    commit(storage, "2", (ok_page(document("new.pdf")),))
    assert [len(row["evidence"]) for row in rows(tmp_path)] == [0, 2, 0]  # type: ignore[arg-type]


class OtherBill(BaseModel):
    """Of another type than Bill is."""

    seller: str | None = None
    total: str | None = None


def test_records_of_a_schema_that_changed_its_types_are_json_in_one_column(tmp_path: Path, storage: Storage) -> None:
    """No struct holds both; one by one they keep their types."""
    of = document("other.pdf", sha256="b" * 64)
    commit(storage, "2", (ok_page(of, record={"seller": "B", "total": "about two"}, evidence=()),), model=OtherBill)
    table = bills(tmp_path).view().read_all()
    assert table.schema.field("record").type == pa.string()
    assert '{"seller":"B","total":"about two"}' in table["record"].to_pylist()
    assert bills(tmp_path).documents().schema.field("record").type == pa.string()
    totals = {(one.record or {}).get("total") for one in bills(tmp_path).records()}
    assert totals == {None, Decimal("12.5"), Decimal(3), "about two"}


def test_an_empty_output_has_empty_views(tmp_path: Path) -> None:
    """A run that read nothing is no error."""
    commit(open_storage(str(tmp_path)), "1")
    assert [len(rows(tmp_path, view)) for view in View] == [0, 0, 0, 0]


def test_views_stream(tmp_path: Path) -> None:
    """A view of a large output must not be held as a whole."""
    storage = open_storage(str(tmp_path))
    for shard in range(3):
        pages = [(ok_page(document(f"{shard}-{number}.pdf")),) for number in range(3)]
        commit(storage, str(shard), *pages)
    reader = bills(tmp_path).view()
    assert reader.read_next_batch().num_rows == 3


def test_duckdb_has_a_schema_for_each_extraction(tmp_path: Path, storage: Storage) -> None:
    """SQL on what people corrected."""
    pytest.importorskip("duckdb")
    say(storage, tmp_path, "seller", Action.CORRECT, seen="ACME", value="ACME Ltd")
    connection = open_results(str(tmp_path)).duckdb()
    query = "SELECT record.seller, record.total FROM bill.current WHERE status = 'ok' ORDER BY ALL"
    assert connection.execute(query).fetchall() == [("ACME Ltd", Decimal("12.5")), ("Ärger & Co", Decimal(3))]
    for view in View:
        assert connection.execute(f"SELECT count(*) FROM bill.{view}").fetchall() == [(len(rows(tmp_path, view)),)]


def test_the_examples_of_the_docs_work(tmp_path: Path, storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    """People copy them."""
    pytest.importorskip("duckdb")
    (tmp_path / "out").mkdir()
    (tmp_path / "bill").rename(tmp_path / "out" / "invoice")
    monkeypatch.chdir(tmp_path)
    text = DOCS.read_text("utf-8")
    names: dict[str, Any] = {}
    for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(code, names)
    for query in re.findall(r"```sql\n(.*?)```", text, re.DOTALL):
        assert names["connection"].execute(query).fetchall()


def test_the_columns_of_views_are_those_that_the_docs_name() -> None:
    """docs/results.md is what people write queries by."""
    text = DOCS.read_text("utf-8")
    assert [name for name in (*view_schema(pa.struct([])).names, *FIELDS.names) if f"`{name}`" not in text] == []


def test_a_failed_page_leaves_the_record_of_the_others(tmp_path: Path) -> None:
    """What could be read is there, with the document's status."""
    of = document("half.pdf", num_pages=2)
    commit(open_storage(str(tmp_path)), "1", (ok_page(of, 1), failed_page(of, 2)))
    [row] = rows(tmp_path)
    assert (row["status"], row["error_type"], row["record"] is not None) == ("failed", "output_cut_off", True)


def test_views_of_a_bucket_are_those_of_a_folder(tmp_path: Path, storage: Storage, bucket: str) -> None:
    """Corrections are written there too."""
    remote = open_storage(bucket)
    for path in tmp_path.rglob("*.parquet"):
        remote.put(path.relative_to(tmp_path).as_posix(), path)
    found = open_results(bucket)["bill"]
    said = Correction(SHA, 1, "seller", Action.CORRECT, "Ann", seen='"ACME"', value='"ACME Ltd"')
    CorrectionWriter(remote, "bill", found.corrections).save([replace(said, source_uri="file:///in/two.pdf")])
    again = open_results(bucket)["bill"].view().read_all().to_pylist()
    assert [row["corrected"] for row in again if row["first_page"] == 1] == [["seller"]]


SCHEMA = '''
"""A bill that checks itself."""
from decimal import Decimal
from typing import ClassVar
from pydantic import BaseModel
from pipeline.rules import Rule, rule

@rule("total")
def total_is_small(total: Decimal) -> bool:
    """The total is large."""
    return total < 100

class Small(BaseModel):
    rules: ClassVar[tuple[Rule, ...]] = (total_is_small,)
    seller: str | None = None
    total: Decimal | None = None
'''


def test_rules_are_held_against_what_people_corrected(tmp_path: Path) -> None:
    """A corrected total is right or wrong by the same rules as one that was read."""
    folder = tmp_path / "prompts" / "bill"
    folder.mkdir(parents=True)
    (folder / "schema.py").write_text(SCHEMA)
    (folder / "prompt.md").write_text("Read it.")
    breach = Breach("total_is_small", "The total is large.", ("total", "seller"))
    page = ok_page(document("a.pdf"), breaches=(breach,), review_reasons=("breach: total_is_small",), evidence=())
    out = tmp_path / "out"
    commit(open_storage(str(out)), "1", (replace(page, record=Bill(total=Decimal(500)).model_dump()),))
    for value, breaches in (("50", []), ("700", ["total_is_small"])):
        known = open_results(str(out), [tmp_path / "prompts"])["bill"]
        said = Correction(SHA, 1, "total", Action.CORRECT, "Ann", seen='"500"', value=f'"{value}"')
        CorrectionWriter(open_storage(str(out)), "bill", known.corrections).save([said])
        [found] = open_results(str(out), [tmp_path / "prompts"])["bill"].records()
        assert [one.rule for one in found.breaches] == breaches
        assert found.review_reasons == ("conflict: seller",)


def test_what_was_said_of_a_record_that_is_none_any_more_is_not_lost(tmp_path: Path, storage: Storage) -> None:
    """Read again, the file is one record; nobody would ever see that its second one had been corrected."""
    said = Correction(SHA, 2, "total", Action.CORRECT, "Ann", seen=canonical(Decimal(3)), value=canonical(Decimal(4)))
    CorrectionWriter(storage, "bill", bills(tmp_path).corrections).save([said])
    of, later = document("two.pdf", num_pages=2), NOON + timedelta(hours=1)
    nothing = ok_page(of, 2, record=None, evidence=(), breaches=(), review_reasons=())
    commit(storage, "2", (ok_page(of, 1, review_reasons=()), nothing), finished_at=later)
    assert first(tmp_path).review_reasons == ("outdated: record from page 2",)
    assert [row["review_reasons"] for row in rows(tmp_path, "needs_review")] == [["outdated: record from page 2"]]
    seen = digest_of(first(tmp_path).read or {})
    accepted = Correction(SHA, 1, WHOLE, Action.ACCEPT, "Ann", seen=canonical(seen))
    CorrectionWriter(storage, "bill", bills(tmp_path).corrections).save([accepted])
    assert not first(tmp_path).needs_review
