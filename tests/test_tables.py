from typing import Annotated

import pytest
from pydantic import BaseModel

from pipeline.data import Box, TextLine
from pipeline.engines.ocr.page import PageLayout
from pipeline.engines.ocr.specs import field_specs
from pipeline.engines.ocr.tables import find_rows
from pipeline.schema import Amount, Printed, Role

LETTER_PX, HEIGHT_PX, PITCH_PX = 9, 18, 22


class Item(BaseModel):
    """A billed position; the labels of its roles are known without being listed."""

    description: Annotated[str | None, Printed("Goods", role=Role.DESCRIPTION)] = None
    quantity: Annotated[Amount | None, Printed(role=Role.QUANTITY)] = None
    unit_price: Annotated[Amount | None, Printed(role=Role.UNIT_PRICE)] = None
    tax_rate: Annotated[Amount | None, Printed("VAT", "USt", role=Role.TAX_RATE)] = None
    line_total: Annotated[Amount | None, Printed("Amount", "Total", "Betrag", role=Role.LINE_TOTAL)] = None
    sku: Annotated[str | None, Printed("SKU")] = None


class Bill(BaseModel):
    """A document with positions."""

    line_items: list[Item] = []


ITEMS = field_specs(Bill)[0]
HEADER = ["Description", "Qty", "Price", "VAT", "Amount"]


def grid(*rows: list[str], columns: tuple[int, ...] = (100, 500, 600, 720, 820), y: int = 100) -> list[TextLine]:
    """Rows of cells: the first column flush left at its x, the others flush right 80 px farther; "" is empty."""
    lines = []
    for number, row in enumerate(rows):
        top = y + number * PITCH_PX
        for i, (x, text) in enumerate(zip(columns, row, strict=False)):
            width = LETTER_PX * len(text)
            left = x if i == 0 else x + 80 - width
            if text:
                lines.append(TextLine(text, Box(left, top, left + width, top + HEIGHT_PX)))
    return lines


def items(*parts: list[TextLine]) -> list[dict[str, str]]:
    """What is found on a page."""
    return find_rows(PageLayout([line for part in parts for line in part], 1000, 1400), ITEMS)


def test_rows_below_a_header_are_items() -> None:
    """The plain case: five columns, two positions, totals below."""
    found = items(
        grid(
            HEADER,
            ["Paper A4", "20", "9.90", "19 %", "198.00"],
            ["Yoghurt", "50 pcs", "5.50", "7 %", "275.00"],
            ["Total", "", "", "", "473.00"],
        )
    )
    assert found == [
        {"description": "Paper A4", "quantity": "20", "unit_price": "9.90", "tax_rate": "19", "line_total": "198.00"},
        {"description": "Yoghurt", "quantity": "50", "unit_price": "5.50", "tax_rate": "7", "line_total": "275.00"},
    ]


@pytest.mark.parametrize(
    "header",
    [
        ["Beschreibung", "Menge", "Einzelpreis", "USt", "Betrag"],
        ["Désignation", "Qté", "P.U.", "VAT", "Total"],
        ["Omschrijving", "Aantal", "Prijs", "VAT", "Total"],
        ["Descripción", "Cantidad", "Precio", "VAT", "Total"],
        ["Descrizione", "Quantità", "Prezzo", "VAT", "Total"],
        ["Goods", "Qty", "Price", "VAT", "Amount"],
    ],
)
def test_headers_are_known_in_several_languages(header: list[str]) -> None:
    """By role, and by the labels of the schema."""
    found = items(grid(header, ["Paper A4", "2", "1.234,50", "20%", "2.469,00"]))
    assert found == [
        {"description": "Paper A4", "quantity": "2", "unit_price": "1234.50", "tax_rate": "20", "line_total": "2469.00"}
    ]


def test_a_wrapped_description_is_joined_and_its_notes_left_out() -> None:
    """Lines as close as wrapped ones go on; a key with a value, or a distant line, does not."""
    found = items(
        grid(
            HEADER,
            ["Mineral water medium", "20", "5.49", "7 %", "109.80"],
            ["12 bottles PET"],
            ["GTIN: 4000001234561"],
            [],
            ["Deposit", "20", "2.50", "19 %", "50.00"],
        )
    )
    assert [item["description"] for item in found] == ["Mineral water medium 12 bottles PET", "Deposit"]


def test_a_second_price_column_is_the_total() -> None:
    """Where "Price" stands beside "Price incl. VAT", no label says total."""
    columns = (100, 500, 600, 780)
    found = items(
        grid(["Description", "Qty", "Price", "Price incl. VAT"], ["Tablet", "2", "399.00", "798.00"], columns=columns)
    )
    assert found == [{"description": "Tablet", "quantity": "2", "unit_price": "399.00", "line_total": "798.00"}]


def test_a_column_without_a_role_is_filled_by_its_label() -> None:
    """What a user's schema adds to an item."""
    columns = (100, 300, 500, 600, 820)
    found = items(
        grid(
            ["Description", "SKU", "Qty", "Price", "Amount"],
            ["Chair", "F-7777", "1", "70.00", "70.00"],
            columns=columns,
        )
    )
    assert found[0]["sku"] == "F-7777"


def test_tax_summaries_and_payment_plans_are_no_items() -> None:
    """They are tables with amounts, too."""
    summary = grid(["Tax", "Base", "Amount"], ["VAT 20%", "530.75", "106.15"], columns=(100, 500, 820))
    plan = grid(["Payment", "Date", "Amount"], ["Transfer", "31/10/2017", "147.00"], columns=(100, 500, 820), y=400)
    assert items(summary, plan) == []


def test_a_subtotal_within_the_table_is_no_item_and_does_not_end_it() -> None:
    """Sections of a table are summed up one by one."""
    found = items(
        grid(
            HEADER,
            ["Chair", "1", "70.00", "15 %", "70.00"],
            ["Subtotal", "", "", "", "70.00"],
            ["Truffles", "15", "10.00", "15 %", "150.00"],
            ["Total", "", "", "", "220.00"],
            ["Cash", "", "", "", "250.00"],
        )
    )
    assert [item["description"] for item in found] == ["Chair", "Truffles"]


def test_an_unread_quantity_is_total_by_price() -> None:
    """OCR loses lone digits; the column says that there was one."""
    found = items(grid(HEADER, ["Pen", "", "1.50", "20 %", "4.50"], ["Ink", "2", "4.00", "20 %", "8.00"]))
    assert [item["quantity"] for item in found] == ["3", "2"]


def test_cells_glued_into_one_line_are_parted_by_the_columns() -> None:
    """A detector that joins neighbouring cells must not cost their values."""
    glued = TextLine("20 Stk 19 %", Box(540, 122, 800, 140))
    found = items(grid(["Description", "Menge", "Preis", "USt", "Betrag"], columns=(100, 480, 300, 720, 820)), [glued],
                  grid(["Papier", "", "9,90", "", "198,00"], columns=(100, 480, 300, 720, 820), y=122))  # fmt: skip
    assert found == [
        {"description": "Papier", "quantity": "20", "unit_price": "9.90", "tax_rate": "19", "line_total": "198.00"}
    ]


def test_a_continued_page_is_read_without_its_header() -> None:
    """Quantity times price is the total: that shows the columns."""
    found = items(grid(["Yoghurt", "50 Stk", "5,50", "7 %", "275,00"], ["Banana"], ["GTIN: 4000050986428"]))
    assert found == [
        {
            "description": "Yoghurt Banana",
            "quantity": "50",
            "unit_price": "5.50",
            "tax_rate": "7",
            "line_total": "275.00",
        }
    ]


def test_till_articles_are_read_without_a_header() -> None:
    """Name above, quantity and price below, as in "2 x 3.50"."""
    found = items(
        grid(
            ["GREEN TEA"],
            ["2 x 1.00", "", "", "", "2.00"],
            ["NOODLE SOUP"],
            ["1 x 12.80", "", "", "", "12.80"],
            ["Total", "", "", "", "14.80"],
        )
    )
    assert found == [
        {"description": "GREEN TEA", "quantity": "2", "unit_price": "1.00", "line_total": "2.00"},
        {"description": "NOODLE SOUP", "quantity": "1", "unit_price": "12.80", "line_total": "12.80"},
    ]


def test_an_article_s_numbers_are_no_part_of_its_name() -> None:
    """Shelf codes and bar codes stand between an article's name and its price."""
    article = [["BOOSTER CABLE XH-500"], ["CE72 - 10"], ["9001620", "1 X 29.90", "", "", "29.90"]]
    found = items(grid(*article, ["Total", "", "", "", "29.90"]))
    assert [item["description"] for item in found] == ["BOOSTER CABLE XH-500"]


def test_articles_with_nothing_but_an_amount_must_add_up() -> None:
    """A list of amounts is a table of items when their sum is printed below, and only then."""
    articles = [["Liability cover", "", "", "", "50.00"], ["Partner", "", "", "", "9.50"]]
    assert items(grid(*articles, ["Total", "", "", "", "59.50"])) == [
        {"description": "Liability cover", "line_total": "50.00"},
        {"description": "Partner", "line_total": "9.50"},
    ]
    assert items(grid(*articles, ["Total", "", "", "", "80.00"])) == []


def test_a_page_of_totals_has_no_items() -> None:
    """The last page of an invoice often holds nothing but sums, which may even add up."""
    found = items(
        grid(["Net amount", "", "", "", "177.49"], ["VAT", "", "", "", "20.16"], ["Grand total", "", "", "", "197.65"])
    )
    assert found == []


def test_the_only_rate_of_the_page_is_that_of_each_item() -> None:
    """A table without a column of rates has them in the totals."""
    table = grid(["Description", "Qty", "Price", "", "Amount"], ["Paper", "2", "9.90", "", "19.80"])
    totals = grid(["Subtotal", "", "", "", "19.80"], ["VAT 20%", "", "", "", "3.96"], y=200)
    assert [item["tax_rate"] for item in items(table, totals)] == ["20"]
    below = grid(["Subtotal", "", "", "% VAT", "Tax"], ["", "", "", "20,00", "3.96"], y=200)
    assert [item.get("tax_rate") for item in items(table, below)] == ["20.00"]
    more = grid(["VAT 20%", "", "", "", "3.00"], ["VAT 5%", "", "", "", "0.20"], y=200)
    assert [item.get("tax_rate") for item in items(table, more)] == [None]


def test_letters_stand_for_rates() -> None:
    """Tills and hotels print a letter with the item and what it stands for below."""
    found = items(
        grid(
            ["Description", "Qty", "Price", "St.", "Amount"],
            ["Room", "1", "118,00", "B", "118,00"],
            ["Breakfast", "2", "14,90", "A", "29,80"],
            ["Total", "", "", "", "147,80"],
        ),
        grid(["A", "19,00 %", "29,80"], ["B", "7,00 %", "118,00"], y=300),
    )
    assert [item["tax_rate"] for item in found] == ["7.00", "19.00"]


@pytest.mark.parametrize("label", ["Übertrag von Seite 1", "Report", "Suma y sigue", "A riportare", "Carried forward"])
def test_sums_carried_over_are_no_items(label: str) -> None:
    """They stand in the column of totals, above the first or below the last item of a page."""
    found = items(grid(["Description", "Amount"], [label, "90.00"], ["Paper", "9.90"], columns=(100, 820)))
    assert [item["line_total"] for item in found] == ["9.90"]


def test_a_unit_may_reach_into_the_next_column() -> None:
    """As "3,75 Std" below the labels "Menge" and "Einh."; the number decides."""
    header = [TextLine(t, Box(x, 100, x + 60, 118)) for t, x in (("Menge", 100), ("Einh.", 165), ("Description", 300))]
    header += [TextLine(t, Box(x, 100, x + 60, 118)) for t, x in (("Price", 600), ("Amount", 800))]
    row = [TextLine(t, Box(x, 130, x + w, 148)) for t, x, w in (("3,75 Std", 120, 90), ("Work", 300, 40))]
    row += [TextLine(t, Box(x, 130, x + w, 148)) for t, x, w in (("64,00", 615, 45), ("240,00", 806, 54))]
    assert [item.get("quantity") for item in items(header, row)] == ["3.75"]


def test_a_dot_parts_thousands_beside_decimal_commas() -> None:
    """As "5.000" flyers for "160,00" are five thousand."""
    found = items(grid(["Description", "Qty", "Price", "VAT", "Amount"], ["Flyer", "5.000", "", "19 %", "160,00"]))
    assert [item["quantity"] for item in found] == ["5000"]


def test_the_last_column_beside_prices_is_the_total_whatever_its_label() -> None:
    """Labels are many; where the total stands is not."""
    found = items(grid(["Description", "Qty", "Price", "VAT", "Xyzzy"], ["Paper", "2", "9.90", "20 %", "19.80"]))
    assert [item["line_total"] for item in found] == ["19.80"]


def test_a_number_in_an_unnamed_column_is_the_factor_that_makes_the_total() -> None:
    """Quantities stand under words that no list has; 3 times 9.90 is 29.70 all the same."""
    header = ["Description", "Xyzzy", "Price", "VAT", "Amount"]
    found = items(grid(header, ["Paper", "3", "9.90", "20 %", "29.70"], ["Ink", "2", "5.00", "20 %", "10.00"]))
    assert [item["quantity"] for item in found] == ["3", "2"]
