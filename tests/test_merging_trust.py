"""Merged records can be checked: evidence of every page, conflicts between pages, rules on the whole."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from pydantic import BaseModel

from pipeline.data import Box, Conflict, FieldEvidence, RecordPart, Verdict
from pipeline.extraction import Extraction, load_extraction
from pipeline.merging import Limits
from pipeline.merging.items import PageItem, continued
from pipeline.schema import Amount, Printed

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.data import Json

SCHEMA = """
from typing import Annotated, ClassVar
from pydantic import BaseModel
from pipeline.rules import Rule, lines_add_up
from pipeline.schema import Amount, Date, Merge, Printed, Role, Split

class Item(BaseModel):
    description: Annotated[str | None, Printed("Description", role=Role.DESCRIPTION)] = None
    quantity: Annotated[Amount | None, Printed("Qty", role=Role.QUANTITY)] = None
    line_total: Annotated[Amount | None, Printed("Amount", role=Role.LINE_TOTAL)] = None

class Party(BaseModel):
    name: str | None = None
    city: str | None = None

class Sums(BaseModel):
    net: Amount | None = None
    total: Amount | None = None

class Bill(BaseModel):
    split_on: ClassVar[Split] = Split(number="number", head=("day", "seller"), end=("total",))
    rules: ClassVar[tuple[Rule, ...]] = (lines_add_up("total"),)

    number: str | None = None
    day: Date | None = None
    seller: str | None = None
    buyer: Party | None = None
    sums: Sums | None = None
    status: Annotated[str | None, Printed("Status", merge=Merge.LAST)] = None
    total: Annotated[Amount | None, Printed("Total", role=Role.TOTAL)] = None
    line_items: list[Item] = []
    tags: list[str] = []
"""

LIMITS = Limits(characters=1000, items=1000, records=1000)


@pytest.fixture(scope="module")
def bill(tmp_path_factory: pytest.TempPathFactory) -> Extraction:
    """Return the extraction above, loaded."""
    folder: Path = tmp_path_factory.mktemp("extractions") / "bill"
    folder.mkdir()
    (folder / "schema.py").write_text(SCHEMA)
    (folder / "prompt.md").write_text("Read the bill.")
    return load_extraction(str(folder))


def shown(page_number: int, path: str, verdict: Verdict = Verdict.EXACT, **rest: Any) -> FieldEvidence:
    """Return evidence of a value on a page."""
    return FieldEvidence(path, page_number, verdict, "as printed", Box(0, 0, 9, page_number), **rest)


def merged(
    extraction: Extraction, *pages: Json | None, evidence: tuple[FieldEvidence, ...] = (), split: bool = False
) -> tuple[RecordPart, ...]:
    """Return the records of these pages, the last page taken in first."""
    merger = extraction.merger(LIMITS, split=split)
    for number in range(len(pages), 0, -1):
        merger.add(number, pages[number - 1], [one for one in evidence if one.page_number == number])
    result = merger.result()
    assert result.error is None
    return result.parts


def item(description: str | None, line_total: str | None, quantity: str | None = None) -> Json:
    """Return an item of a list."""
    amounts = (Decimal(text) if text else None for text in (quantity, line_total))
    return dict(zip(("description", "quantity", "line_total"), (description, *amounts), strict=True))


def names(part: RecordPart) -> list[str | None]:
    """Return the descriptions of a record's items."""
    assert part.record
    return [one["description"] for one in part.record["line_items"]]


def test_evidence_says_where_each_merged_value_stands(bill: Extraction) -> None:
    """Items are counted through the document, and every value keeps the page that it was read from."""
    pages: tuple[Json, ...] = (
        {"number": "R-1001", "total": Decimal(5), "line_items": [item("Tea", "5")], "buyer": {"name": "Ann"}},
        {"number": "R-1001", "total": Decimal(9), "line_items": [item("Milk", "4")], "tags": ["paid"]},
    )
    evidence = (
        *(shown(1, path) for path in ("number", "buyer.name", "total", "line_items[0].description")),
        *(shown(2, path) for path in ("number", "total", "line_items[0].line_total", "tags[0]")),
    )
    (part,) = merged(bill, *pages, evidence=evidence)
    assert [(one.path, one.page_number) for one in part.evidence] == [
        ("number", 1),
        ("buyer.name", 1),
        ("total", 2),
        ("line_items[0].description", 1),
        ("line_items[1].line_total", 2),
        ("tags[0]", 2),
    ]
    assert part.evidence[-1].box == Box(0, 0, 9, 2)
    assert (part.first_page, part.last_page, part.breaches) == (1, 2, ())


def test_a_value_that_its_page_does_not_show_yields_to_one_that_is_shown(bill: Extraction) -> None:
    """A model that makes up a name on the cover must not win because it came first."""
    pages: tuple[Json, ...] = ({"seller": "Made Up Ltd"}, {"seller": "Corner Shop"}, {"total": Decimal(3)})
    evidence = (shown(1, "seller", Verdict.NOT_FOUND), shown(2, "seller"))
    (part,) = merged(bill, *pages, evidence=evidence)
    assert part.record
    assert part.record["seller"] == "Corner Shop"
    assert part.conflicts == ()


def test_a_likely_value_that_its_page_does_not_show_stays(bill: Extraction) -> None:
    """A seller's name stands in its logo, which is no text; the bank below is no seller."""
    evidence = (shown(1, "seller", Verdict.NOT_FOUND, confidence=0.7), shown(2, "seller", confidence=0.6))
    (part,) = merged(bill, {"seller": "Corner Shop"}, {"seller": "Old Bank"}, evidence=evidence)
    assert part.record
    assert part.record["seller"] == "Corner Shop"


def test_models_within_a_record_merge_field_by_field(bill: Extraction) -> None:
    """A page with an empty inner model, as constrained output has it, does not hide what the next page says."""
    pages: tuple[Json, ...] = (
        {"buyer": {"name": None, "city": "Oslo"}, "sums": {"net": None, "total": Decimal(1)}},
        {"buyer": {"name": "Ann", "city": None}, "sums": {"net": Decimal(2), "total": Decimal(3)}},
    )
    (part,) = merged(bill, *pages)
    assert part.record
    assert part.record["buyer"] == {"name": "Ann", "city": "Oslo"}
    assert part.record["sums"] == {"net": Decimal(2), "total": Decimal(3)}


def test_conflicts_name_the_pages_and_what_they_say(bill: Extraction) -> None:
    """A page of another invoice among the pages is what a reviewer must see."""
    pages: tuple[Json, ...] = (
        {"number": "R-1001", "day": dt.date(2026, 3, 1), "buyer": {"name": "Ann"}},
        {"number": "R-2002", "buyer": {"name": "Bob"}},
        {"number": "R-1001"},
    )
    (part,) = merged(bill, *pages)
    assert part.conflicts == (
        Conflict("number", ((1, "R-1001"), (2, "R-2002"))),
        Conflict("buyer.name", ((1, "Ann"), (2, "Bob"))),
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("R-1001", "r 1001"),
        ("R-1001", "R-I00l"),
        ("R-1001", "1001"),
        ("Café Müller GmbH", "CAFE MULLER"),
        ("Corner Shop Ltd", "Comer Shop Ltd."),
    ],
)
def test_the_same_value_printed_or_misread_differently_is_no_conflict(bill: Extraction, one: str, other: str) -> None:
    """Letterheads print names in capitals; recognisers take I for 1."""
    (part,) = merged(bill, {"number": one}, {"number": other})
    assert part.conflicts == ()


@pytest.mark.parametrize(("one", "other"), [("R-1001", "R-1002"), ("R-1001", "R-21001"), ("Ann", "Bob"), ("1", "12")])
def test_different_values_are_a_conflict(bill: Extraction, one: str, other: str) -> None:
    """The next number in a series is another number."""
    (part,) = merged(bill, {"number": one}, {"number": other})
    assert [found.path for found in part.conflicts] == ["number"]


def test_sums_that_run_up_to_the_total_are_no_conflict_but_a_larger_one_is(bill: Extraction) -> None:
    """Pages print running totals; a total that exceeds the last one is contradicted by it."""
    (running,) = merged(bill, *({"total": Decimal(total)} for total in ("10", "20", "30.00")))
    assert running.record
    assert (running.record["total"], running.conflicts) == (Decimal("30.00"), ())
    (falling,) = merged(bill, *({"total": Decimal(total)} for total in ("10", "99.50", "30")))
    assert falling.conflicts == (Conflict("total", ((2, "99.5"), (3, "30"))),)


def test_a_later_status_supersedes_an_earlier_one(bill: Extraction) -> None:
    """Who says that the last page counts expects pages to differ."""
    (part,) = merged(bill, {"status": "draft"}, {"status": "final"})
    assert part.record
    assert (part.record["status"], part.conflicts) == ("final", ())


def test_what_is_likely_wrong_contradicts_nothing(bill: Extraction) -> None:
    """Readers take table headings for sellers on pages without a letterhead, and say how little sure they are."""
    evidence = (shown(1, "number", confidence=0.99), shown(2, "number", confidence=0.2))
    (part,) = merged(bill, {"number": "R-1001"}, {"number": "4711"}, evidence=evidence)
    assert part.conflicts == ()


def test_a_head_that_no_head_page_says_contradicts_nothing(bill: Extraction) -> None:
    """One field of a letterhead alone, on a page without the others, is seldom one."""
    first = {"number": "R-1001", "day": dt.date(2026, 3, 1), "seller": "Corner Shop"}
    (part,) = merged(bill, first, {"seller": "Description", "total": Decimal(3)})
    assert part.conflicts == ()
    (other,) = merged(bill, first, {**first, "seller": "Another Shop"})
    assert [found.path for found in other.conflicts] == ["seller"]


def test_a_conflict_lists_a_few_values_of_many_pages(bill: Extraction) -> None:
    """A document of 20,000 pages that all differ must not fill its row with that."""
    (part,) = merged(bill, *({"number": f"{page}{page + 7}{page}" * 2} for page in range(1, 100)))
    (conflict,) = part.conflicts
    assert [page for page, _ in conflict.values] == list(range(1, 11))


def test_items_go_on_over_pages_without_headings_and_sums_carried_over(bill: Extraction) -> None:
    """A reader of tables takes them for items; with them the items would not add up."""
    pages: tuple[Json, ...] = (
        {"line_items": [item("Tea", "5"), item("Milk", "4"), item("Carried forward", "9")]},
        {"line_items": [item("Description", None), item("Übertrag", "9"), item("Sugar", "1"), item(None, "10")]},
        {"line_items": [item("Bread", "2"), item("Carriage", "3")], "total": Decimal(15)},
    )
    (part,) = merged(
        bill, *pages, evidence=(shown(2, "line_items[2].line_total"), shown(3, "line_items[0].line_total"))
    )
    assert names(part) == ["Tea", "Milk", "Sugar", "Bread", "Carriage"]
    assert [one.path for one in part.evidence] == ["line_items[2].line_total", "line_items[3].line_total"]
    assert part.breaches == ()


def test_items_that_only_look_like_sums_stay(bill: Extraction) -> None:
    """An item may cost as much as those before it together, and a single page's items are nobody's business."""
    pages: tuple[Json, ...] = (
        {"line_items": [item("Tea", "5"), item("Milk", "4")]},
        {"line_items": [item("A long named article", "9"), item("Rice", "18", "2"), item("Subtotal", "36")]},
    )
    (part,) = merged(bill, *pages)
    assert names(part) == ["Tea", "Milk", "A long named article", "Rice", "Subtotal"]
    (alone,) = merged(bill, pages[1], {"number": "7"})
    assert names(alone) == ["A long named article", "Rice", "Subtotal"]


@pytest.mark.parametrize("text", [None, "EUR", "=", "Total", "Vortrag", "Transport pagina 1"])
def test_the_sum_so_far_is_left_out_where_nothing_says_that_it_is_an_article(
    bill: Extraction, text: str | None
) -> None:
    """Tables print it without a word, or with one that means something else, too."""
    pages: tuple[Json, ...] = (
        {"line_items": [item("Tea", "5"), item("Milk", "4")]},
        {"line_items": [item(text, "9"), item("Rice", "2")]},
    )
    (part,) = merged(bill, *pages)
    assert names(part) == ["Tea", "Milk", "Rice"]


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("Wine", "9"),
        ("Vortrag zur Technik", "500"),
        ("Transport van Gent", "30"),
        ("Riporto di terra", "8"),
        (None, "7"),
    ],
)
def test_articles_at_a_page_break_stay(bill: Extraction, text: str | None, amount: str) -> None:
    """One costs as much as those before it, others have a name that sums carried over have, too."""
    pages: tuple[Json, ...] = (
        {"line_items": [item("Tea", "5"), item("Milk", "4")]},
        {"line_items": [item(text, amount), item("Rice", "2")]},
    )
    (part,) = merged(bill, *pages)
    assert names(part) == ["Tea", "Milk", text, "Rice"]


def test_the_same_article_on_both_sides_of_a_page_break_is_billed_twice(bill: Extraction) -> None:
    """It is the sum so far, too, where the first page has nothing else."""
    pages: tuple[Json, ...] = ({"line_items": [item("Transport", "5")]}, {"line_items": [item("Transport", "5")]})
    (part,) = merged(bill, *pages)
    assert names(part) == ["Transport", "Transport"]


def test_an_empty_text_does_not_replace_the_other_half_of_an_item(bill: Extraction) -> None:
    """Models write it for what is not there."""
    first: Json = {"line_items": [item("Tea", "5"), item("Milk", None)]}
    (part,) = merged(bill, first, {"line_items": [item("", "4", "2")]})
    assert part.record
    assert part.record["line_items"][1] == item("Milk", "4", "2")


class _Pieces(BaseModel):
    name: Annotated[str | None, Printed("Article")] = None
    pieces: int | None = None
    price: Amount | None = None


def test_halves_that_contradict_each_other_are_two_items() -> None:
    """Put together, or taken for the table's heading, a number of pieces would be lost."""
    items: list[Json] = [
        {"name": "Milk", "pieces": 3, "price": None},
        {"name": None, "pieces": 5, "price": Decimal(4)},
        {"name": "Article", "pieces": 2, "price": None},
    ]
    pages = [[PageItem(number, 0, one)] for number, one in enumerate(items, 1)]
    assert [one.value for one in continued(pages, _Pieces)] == items


def test_an_item_that_a_page_break_cuts_is_put_together(bill: Extraction) -> None:
    """Its text stands below the one page, its amounts on top of the other."""
    pages: tuple[Json, ...] = (
        {"line_items": [item("Tea", "5"), item("Milk", None)]},
        {"line_items": [item(None, "4")]},
    )
    evidence = (shown(1, "line_items[1].description"), shown(2, "line_items[0].line_total"))
    (part,) = merged(bill, *pages, evidence=evidence)
    assert part.record
    assert part.record["line_items"] == [item("Tea", "5"), item("Milk", "4")]
    assert [(one.path, one.page_number) for one in part.evidence] == [
        ("line_items[1].description", 1),
        ("line_items[1].line_total", 2),
    ]


def test_rules_are_held_against_the_whole_record(bill: Extraction) -> None:
    """The items of one page of two never add up; those of both must."""
    pages: tuple[Json, ...] = (
        {"line_items": [item("Tea", "5"), item("Milk", "4")]},
        {"line_items": [item("Rice", "2")], "total": Decimal(30)},
    )
    (part,) = merged(bill, *pages)
    assert [breach.rule for breach in part.breaches] == ["lines_add_up"]
    merger = bill.merger(LIMITS, split=False)
    for number, page in enumerate(pages, 1):
        merger.add(number, page)
    merger.add(3, None, failed=True)
    assert [part.breaches for part in merger.result().parts] == [()]  # the lines that are missing may stand there
    merger = bill.merger(Limits(characters=1000, items=2, records=9), split=False)
    for number, page in enumerate(pages, 1):
        merger.add(number, page)
    assert [part.breaches for part in merger.result().parts] == [()]  # its row lacks items, which says nothing of them
