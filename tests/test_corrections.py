"""What people say of values: kept beside the results, found again, and put into records as long as they hold."""

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from made_records import Bill

from pipeline.corrections import (
    WHOLE,
    Action,
    Correction,
    Corrections,
    CorrectionWriter,
    ReviewAction,
    apply,
    canonical,
    digest_of,
    from_input,
    from_json,
    get_value,
    leaves,
    open_reasons,
    parse_path,
    path_text,
)
from pipeline.data import Breach
from pipeline.errors import StorageError
from pipeline.sink.types import arrow_type
from pipeline.storage import Storage, open_storage

SHA = "a" * 64
KIND = arrow_type(Bill)
READ = {
    **Bill().model_dump(),
    "seller": "ACME",
    "total": Decimal("12.50"),
    "line_items": [{"description": name, "line_total": None} for name in ("one", "two", "three")],
}


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    """An empty output."""
    return open_storage(str(tmp_path))


def said(path: str, action: Action = Action.ACCEPT, *, seen: object = None, value: object = None) -> Correction:
    """Return what somebody said of a value of the first record of a document."""
    return Correction(SHA, 1, path, action, "Ann", seen=canonical(seen), value=canonical(value))


def corrected(*corrections: Correction) -> dict[str, Correction]:
    """Return them by path, as `apply` takes them."""
    return {one.path: one for one in corrections}


def test_paths_are_read_as_they_are_written() -> None:
    """Evidence, breaches and corrections name values alike."""
    path = "line_items[12].tax.rates[0]"
    assert parse_path(path) == ("line_items", 12, "tax", "rates", 0)
    assert path_text(parse_path(path)) == path


@pytest.mark.parametrize("name", ["19.5", "a[0]", "", "x.y.z", "["])
def test_names_of_a_dict_may_hold_what_paths_are_written_with(name: str) -> None:
    """They come from the page; the record tells where they end."""
    record = {"rates": {"19": {"5": 1}, name: {"vat": 2}}}
    path = f"rates.{name}.vat"
    assert path in dict(leaves(record))
    assert parse_path(path, record) == ("rates", name, "vat")
    assert get_value(record, path) == 2


@pytest.mark.parametrize("path", ["a..b", "[0", "a[-1]", "a[x]", "a]b", ".a", "a.[0]", "a[0]b", "a[9999999]"])
def test_what_is_no_path_is_refused(path: str) -> None:
    """Paths come from browsers and files."""
    with pytest.raises(ValueError, match="is no path"):
        parse_path(path)


def test_all_values_of_a_record_have_a_path_that_leads_to_them() -> None:
    """A field that has no path cannot be reviewed."""
    assert all(get_value(READ, path) == value for path, value in leaves(READ) if path != "extra")
    assert "line_items[2].description" in dict(leaves(READ))


def test_a_corrected_value_has_the_type_of_its_column() -> None:
    """What reads the table must not find text among amounts."""
    found = apply(READ, corrected(said("total", Action.CORRECT, seen="12.5", value="13.75")), KIND)
    assert found.record["total"] == Decimal("13.75")
    assert found.reviews["total"].action is ReviewAction.CORRECTED
    assert READ["total"] == Decimal("12.50")


def test_a_correction_of_a_value_that_is_read_otherwise_now_is_outdated() -> None:
    """What somebody said of another value says nothing of this one."""
    found = apply(READ, corrected(said("total", Action.CORRECT, seen="12.00", value="13")), KIND)
    assert found.record["total"] == Decimal("12.50")
    assert open_reasons((), (), found) == ("outdated: total",)


def test_a_reading_that_agrees_with_the_correction_is_accepted() -> None:
    """A better model reads what a person had to type before."""
    found = apply(READ, corrected(said("total", Action.CORRECT, seen="1.25", value="12.50")), KIND)
    assert found.reviews["total"].action is ReviewAction.ACCEPTED


def test_items_can_be_changed_taken_out_and_added_by_the_places_they_were_read_at() -> None:
    """An item that is taken out must not shift what was said of those behind it."""
    found = apply(
        READ,
        corrected(
            said("line_items[0]", Action.CORRECT, seen=READ["line_items"][0], value=None),
            said("line_items[2].description", Action.CORRECT, seen="three", value="THREE"),
            said("line_items[3].line_total", Action.CORRECT, seen=None, value="4"),
        ),
        KIND,
    )
    assert [item["description"] for item in found.record["line_items"]] == ["two", "THREE", None]
    assert found.record["line_items"][2]["line_total"] == Decimal(4)
    assert found.laid["line_items"][0] is None


def test_accepting_a_record_settles_all_that_is_open_in_it() -> None:
    """One key for a record that is right as it is."""
    whole = said(WHOLE, seen=digest_of(READ))
    found = apply(READ, corrected(whole), KIND)
    breach = Breach("adds_up", "It does not.", ("total",))
    assert open_reasons(("doubtful: total", "breach: adds_up", "something new"), (breach,), found) == ()
    changed = apply({**READ, "seller": "other"}, corrected(whole), KIND)
    assert open_reasons(("doubtful: total",), (), changed) == ("doubtful: total", "outdated: record")


def test_a_breach_is_settled_once_all_its_values_are() -> None:
    """Who accepts the total alone has not said that the lines are right."""
    breach = Breach("adds_up", "It does not.", ("total", "line_items[0].line_total"))
    total = said("total", seen="12.5")
    assert open_reasons(("breach: adds_up",), (breach,), apply(READ, corrected(total), KIND)) == ("breach: adds_up",)
    both = corrected(total, said("line_items[0]", seen=READ["line_items"][0]))
    assert open_reasons(("breach: adds_up",), (breach,), apply(READ, both, KIND)) == ()


def test_what_is_said_is_found_again_and_the_latest_counts(storage: Storage) -> None:
    """Another process reads it, and it outlives this one."""
    writer = CorrectionWriter(storage, "bill", Corrections.load(storage, "bill"))
    writer.save([said("total", Action.CORRECT, seen="1", value="2"), said("seller")])
    writer.save([said("total", Action.UNDO)])
    found = Corrections.load(storage, "bill")
    assert found.of(SHA, 1)["total"].action is Action.UNDO
    assert [one.path for one in found.history(SHA, 1)] == ["total", "seller", "total"]
    assert found.of(SHA, 2) == {}
    assert len(list(storage.keys("bill/corrections/"))) == 1


def test_what_is_said_later_counts_although_a_clock_was_fast(storage: Storage) -> None:
    """Two reviewers' machines differ; the second has seen what the first said."""
    known = Corrections.load(storage, "bill")
    ahead = replace(said("total"), at=datetime.now(UTC) + timedelta(hours=1), id="ahead")
    known.add([ahead])
    CorrectionWriter(storage, "bill", known).save([said("total", Action.UNDO)])
    assert known.of(SHA, 1)["total"].action is Action.UNDO


def test_a_session_begins_a_new_file_when_one_is_full(storage: Storage) -> None:
    """A file is written anew for each row."""
    writer = CorrectionWriter(storage, "bill", Corrections.load(storage, "bill"))
    writer.save([said(f"line_items[{number}]") for number in range(500)])
    writer.save([said("total")])
    assert len(list(storage.keys("bill/corrections/"))) == 2
    assert len(Corrections.load(storage, "bill").of(SHA, 1)) == 501


def test_reviewers_at_once_lose_nothing_while_a_run_sweeps(storage: Storage) -> None:
    """A run that begins deletes what is half written, and people go on meanwhile."""
    done = threading.Event()

    def sweep() -> None:
        while not done.is_set():
            storage.sweep("bill/")
            done.wait(0.01)

    def review(name: str) -> None:
        writer = CorrectionWriter(storage, "bill", Corrections.load(storage, "bill"))
        for number in range(20):
            writer.save([replace(said(f"line_items[{number}]"), reviewer=name, first_page=1 + (name == "Bob"))])

    sweeper = threading.Thread(target=sweep)
    reviewers = [threading.Thread(target=review, args=(name,)) for name in ("Ann", "Bob")]
    sweeper.start()
    for one in reviewers:
        one.start()
    for one in reviewers:
        one.join()
    done.set()
    sweeper.join()
    found = Corrections.load(storage, "bill")
    assert [len(found.of(SHA, page)) for page in (1, 2)] == [20, 20]


def test_others_corrections_are_seen_after_a_refresh(storage: Storage) -> None:
    """The page of one reviewer shows what another did meanwhile."""
    mine = Corrections.load(storage, "bill")
    CorrectionWriter(storage, "bill", Corrections.load(storage, "bill")).save([said("total")])
    assert mine.of(SHA, 1) == {}
    mine.refresh()
    assert list(mine.of(SHA, 1)) == ["total"]


def test_a_damaged_file_is_named(storage: Storage, tmp_path: Path) -> None:
    """What a person said must not be passed over in silence."""
    damaged = tmp_path / "bill" / "corrections" / "x.parquet"
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(b"PAR1 no")
    with pytest.raises(StorageError, match=r"bill/corrections/x\.parquet"):
        Corrections.load(storage, "bill")


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("1.234,50", "total", Decimal("1234.50")),
        ("0.125", "total", Decimal("0.125")),
        ("0,125", "total", Decimal("0.125")),
        ("€ 1 234,50-", "total", Decimal("-1234.50")),
        ("12,34,567.5", "total", Decimal("1234567.5")),
        ("1,5", "score", 1.5),
        ("red; large", "tags", ["red", "large"]),
        (" 12 ", "count", 12),
        ("5. März 2018", "date", datetime(2018, 3, 5, tzinfo=UTC).date()),
        ("yes", "paid", True),
        ("", "seller", None),
        ("Ärzte & Söhne", "seller", "Ärzte & Söhne"),
    ],
)
def test_what_people_type_becomes_a_value_of_the_column(text: str, path: str, value: object) -> None:
    """They write amounts and dates as they are used to."""
    assert from_input(text, KIND.field(path).type) == value


@pytest.mark.parametrize(
    ("text", "path", "told"),
    [
        ("twelve", "total", "a number with at most 6 decimal places"),
        ("1.234", "total", "1234 or 1.2340"),
        ("1e400", "total", "a number"),
        ("12.5", "count", "a whole number"),
        ("99999999999999999999", "count", "a whole number"),
        ("maybe", "paid", "true or false"),
        ("soon", "date", "a date such as 2026-03-01"),
        ("noon", "printed_at", "a time"),
        ("[1", "tags", "expected JSON"),
        ("[" * 9000, "tags", "expected JSON"),
        ("€ 1.234", "total", "1234 or 1.2340"),
        ("1,234 EUR", "total", "1234 or 1.2340"),
        ("1.234.5", "total", "decimal places, such as 1234.50"),
        ("12,345,67", "total", "decimal places, such as 1234.50"),
        ("1.234", "score", "1234 or 1.2340"),
        ("nan", "score", "a number"),
    ],
)
def test_what_is_no_value_of_the_column_is_refused_with_what_is_expected(text: str, path: str, told: str) -> None:
    """A person is there to type it again."""
    with pytest.raises(ValueError, match=told):
        from_input(text, KIND.field(path).type)


def test_an_item_with_a_field_that_its_type_lacks_is_refused() -> None:
    """The column has no place for it."""
    with pytest.raises(ValueError, match="description, line_total"):
        from_json([{"quantity": 1}], KIND.field("line_items").type)
    assert pa.types.is_list(KIND.field("line_items").type)
