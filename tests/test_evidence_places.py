"""Where a value stands that a page shows several times, and when it is no more than the same digits."""

import time
from decimal import Decimal
from typing import Annotated, Any

import pytest
from laid_out import box_of, laid_out
from pydantic import BaseModel

from pipeline.data import Box, FieldEvidence, TextLine, Verdict, Word
from pipeline.extraction import load_extraction
from pipeline.schema import Amount, Printed
from pipeline.trust.evidence import find_evidence

INVOICE = load_extraction("invoice").model

PAGE = """
Rosenbach GmbH                              Invoice no   4711
Hamburg                                     Date         05.03.2018

Bill to
Nordlicht AG

Description            Qty      Price     VAT %       Amount
Blue pen                19       2.00        19        38.00
Paper, white             2      19.00         7        38.00
Envelope C4              1       7.00        19         7.00
  with window
                                          Subtotal     83.00
                                          VAT          11.21
                                          Total        94.21

Paid in cash   100.00      Change   5.79
"""

ITEMS = [
    {"description": "Blue pen", "quantity": 19, "unit_price": "2.00", "tax_rate": 19, "line_total": "38.00"},
    {"description": "Paper, white", "quantity": 2, "unit_price": "19.00", "tax_rate": 7, "line_total": "38.00"},
    {
        "description": "Envelope C4 with window",
        "quantity": 1,
        "unit_price": "7.00",
        "tax_rate": 19,
        "line_total": "7.00",
    },
]


def evidence(page: str, record: dict[str, Any], model: type[BaseModel] = INVOICE) -> dict[str, FieldEvidence]:
    """Return what a page says of a record, by path."""
    return {one.path: one for one in find_evidence(record, model, laid_out(page), page_number=1)}


def items(*changes: tuple[int, str, Any]) -> dict[str, Any]:
    """Return the record of PAGE's items, with some values changed: (item, field, value)."""
    rows = [dict(item) for item in ITEMS]
    for number, name, value in changes:
        rows[number][name] = value
    numbers = {"quantity", "unit_price", "tax_rate", "line_total"}
    typed = [{k: Decimal(str(v)) if k in numbers and v is not None else v for k, v in row.items()} for row in rows]
    return {"line_items": typed}


@pytest.mark.parametrize(
    ("path", "text", "number"),
    [
        ("line_items[0].quantity", "19", 0),
        ("line_items[0].tax_rate", "19", 1),
        ("line_items[0].line_total", "38.00", 0),
        ("line_items[1].unit_price", "19.00", 0),
        ("line_items[1].line_total", "38.00", 1),
        ("line_items[2].unit_price", "7.00", 0),
        ("line_items[2].line_total", "7.00", 1),
    ],
)
def test_values_of_items_are_found_on_their_row_and_in_their_column(path: str, text: str, number: int) -> None:
    """The same number stands all over a table: as a quantity, a rate, a price."""
    assert evidence(PAGE, items())[path].box == box_of(PAGE, text, number)


def test_an_items_text_over_two_lines_is_found_whole() -> None:
    """Descriptions wrap in their column, the numbers stand beside the first line."""
    found = evidence(PAGE, items())["line_items[2].description"]
    assert (found.verdict, found.text) == (Verdict.EXACT, "Envelope C4\nwith window")


def test_items_out_of_order_are_found_all_the_same() -> None:
    """Models write rows in another order now and then."""
    record = items()
    record["line_items"].reverse()
    found = evidence(PAGE, record)
    assert found["line_items[2].line_total"].box == box_of(PAGE, "38.00", 0)
    assert found["line_items[0].unit_price"].box == box_of(PAGE, "7.00", 0)


def test_a_label_chooses_among_equal_amounts() -> None:
    """Total, cash and amount due are often the same number; only one of them stands behind the field's label."""
    page = "Subtotal   94.21\nCash       94.21\nTotal      94.21\nCard       94.21"
    assert evidence(page, {"total": Decimal("94.21")})["total"].box == box_of(page, "94.21", 2)


def test_without_labels_the_merge_rule_chooses() -> None:
    """Totals stand at the end, names at the beginning."""
    page = "Rosenbach GmbH\n500.25\nRosenbach GmbH\n500.25"
    found = evidence(page, {"seller": "Rosenbach GmbH", "total": Decimal("500.25")})
    assert found["seller"].box == box_of(page, "Rosenbach GmbH", 0)
    assert found["total"].box == box_of(page, "500.25", 1)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("total", Decimal("83.00")),
        ("total", Decimal("11.21")),
        ("tax", Decimal("94.21")),
        ("subtotal", Decimal("94.21")),
        ("tax", Decimal(19)),
        ("total", Decimal("94.12")),
        ("tax", Decimal("7.00")),
    ],
)
def test_a_sum_that_stands_there_as_another_one_is_not_found(path: str, value: Decimal) -> None:
    """The same digits behind another field's label, or in a row of the table, are no evidence of this one."""
    record = {"subtotal": Decimal("83.00"), "tax": Decimal("11.21"), "total": Decimal("94.21"), **items()}
    assert evidence(PAGE, {**record, path: value})[path].verdict is Verdict.NOT_FOUND


@pytest.mark.parametrize(
    ("number", "name", "value"),
    [
        (0, "quantity", 2),
        (1, "quantity", 19),
        (1, "quantity", 7),
        (0, "unit_price", "38.00"),
        (2, "line_total", "38.00"),
        (1, "tax_rate", 2),
        (2, "quantity", 4),
    ],
)
def test_a_number_of_another_column_or_row_is_not_found(number: int, name: str, value: Any) -> None:
    """Values that slip by a column or a row are what models get wrong in tables."""
    found = evidence(PAGE, items((number, name, value)))
    assert found[f"line_items[{number}].{name}"].verdict is Verdict.NOT_FOUND


def test_a_rate_that_is_stated_for_all_items_is_found_also_beside_a_position_of_that_number() -> None:
    """Position 19 of an invoice with 19 % is no other column's value that slipped."""
    page = """
    Pos.   Description          Qty     Price    Amount
    19     Foot rest              4     32.50    130.00
    20     Shredder               1    318.00    318.00
                                  plus 19 % VAT   85.12
    """
    rows = (("Foot rest", ("4", "32.50", "130.00")), ("Shredder", ("1", "318.00", "318.00")))
    names = ("quantity", "unit_price", "line_total")
    listed: list[dict[str, Any]] = [
        {"description": text, "tax_rate": Decimal(19)} | dict(zip(names, map(Decimal, numbers), strict=True))
        for text, numbers in rows
    ]
    found = evidence(page, {"line_items": listed})
    assert {found[f"line_items[{number}].tax_rate"].verdict for number in (0, 1)} == {Verdict.EXACT}


def test_a_quantity_of_one_that_is_not_printed_is_computed() -> None:
    """Tills print no "1 x"; two of them they would print."""
    page = "Espresso      2.40\nCroissant     1.90"
    record = {"line_items": [{"description": "Espresso", "quantity": Decimal(1), "line_total": Decimal("2.40")}]}
    assert evidence(page, record)["line_items[0].quantity"].verdict is Verdict.COMPUTED
    record["line_items"][0]["quantity"] = Decimal(2)
    assert evidence(page, record)["line_items[0].quantity"].verdict is Verdict.NOT_FOUND


def test_numbers_below_their_texts_go_with_the_text_above() -> None:
    """Tills print an article on one line and its price on the next."""
    page = "Tissue holder\n  2 x 5.30     10.60\nHook\n  2 x 2.30      4.60\nMat\n  2 x 1.90      3.80"
    record = {
        "line_items": [
            {"description": name, "quantity": Decimal(2), "unit_price": Decimal(price)}
            for name, price in (("Tissue holder", "5.30"), ("Hook", "2.30"), ("Mat", "1.90"))
        ]
    }
    found = evidence(page, record)
    assert [found[f"line_items[{n}].quantity"].box for n in range(3)] == [
        box_of(page, "2 x")._replace(x1=30, y0=box_of(page, "2 x", n).y0, y1=box_of(page, "2 x", n).y1)
        for n in range(3)
    ]


class Shelf(BaseModel):
    """Part of somebody's own schema."""

    code: Annotated[str | None, Printed("Shelf")] = None
    books: list[str] = []


class Library(BaseModel):
    """Lists within lists."""

    name: str | None = None
    shelves: list[Shelf] = []
    fee: Annotated[Amount | None, Printed("Yearly fee")] = None
    deposit: Annotated[Amount | None, Printed("Deposit")] = None


def test_own_schemas_are_searched_by_their_own_labels() -> None:
    """Roles are the invoice's; a schema without any has its fields' names and labels."""
    page = "Shelf A1\n  Moby Dick\n  Emma\nShelf B2\n  Ulysses\nDeposit 40.00\nYearly fee 25.00"
    shelves = [{"code": "A1", "books": ["Moby Dick", "Emma"]}, {"code": "B2", "books": ["Ulysses"]}]
    record = {"shelves": shelves, "fee": Decimal("25.00"), "deposit": Decimal("25.00")}
    found = evidence(page, record, Library)
    assert found["shelves[0].books[1]"].box == box_of(page, "Emma")
    assert found["shelves[1].code"].verdict is Verdict.EXACT
    assert found["fee"].box == box_of(page, "25.00")
    assert evidence(page, {**record, "fee": Decimal("40.00")}, Library)["fee"].verdict is Verdict.NOT_FOUND


def test_a_table_of_a_thousand_equal_rows_takes_each_its_own_row() -> None:
    """Every value stands a thousand times; only the order tells rows apart, and time must not grow with its square."""
    tops = range(0, 12_000, 12)
    rows = [(Word("Fee", Box(0, y, 30, y + 9)), Word("9.50", Box(800, y, 840, y + 9))) for y in tops]
    lines = [TextLine("Fee 9.50", Box(0, y, 900, y + 9), None, words) for y, words in zip(tops, rows, strict=True)]
    record = {"line_items": [{"description": "Fee", "line_total": Decimal("9.50")}] * 1000}
    started = time.perf_counter()
    found = find_evidence(record, INVOICE, lines, page_number=1)
    assert time.perf_counter() - started < 15, "a second or two on an idle machine"
    assert [one.box.y0 for one in found if one.box and one.path.endswith("total")] == list(tops)
