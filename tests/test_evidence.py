"""What a page says of values: in which notation they stand there, where, and what follows from what."""

import datetime as dt
import random
from collections.abc import Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any

import pytest
from laid_out import box_of, laid_out
from pydantic import BaseModel

from pipeline.data import Box, FieldEvidence, TextLine, Verdict, Word
from pipeline.extraction import load_extraction
from pipeline.schema import Amount, Currency, Date, Iban, Merge, Printed, Role
from pipeline.trust.evidence import PageText, find_evidence


class Kind(StrEnum):
    """A closed set of words."""

    CREDIT_NOTE = "credit_note"
    INVOICE = "invoice"


class Party(BaseModel):
    """Somebody."""

    name: str | None = None
    city: str | None = None


class Everything(BaseModel):
    """One field of each sort that a schema may have."""

    number: Annotated[str | None, Printed("Invoice no")] = None
    date: Annotated[Date | None, Printed("Date", role=Role.DOCUMENT_DATE)] = None
    due: Annotated[Date | None, Printed("Due date", role=Role.DUE_DATE)] = None
    net: Annotated[Amount | None, Printed("Net", role=Role.NET)] = None
    tax: Annotated[Amount | None, Printed("VAT", role=Role.TAX)] = None
    total: Annotated[Amount | None, Printed("Total", role=Role.TOTAL)] = None
    weight: float | None = None
    pages: int | None = None
    currency: Currency | None = None
    iban: Iban | None = None
    address: str | None = None
    paid: bool | None = None
    kind: Kind | None = None
    at: dt.time | None = None
    party: Party | None = None
    tags: list[str] = []
    more: dict[str, str] = {}
    first: Annotated[str | None, Printed(merge=Merge.FIRST)] = None


def evidence(
    page: str | Sequence[TextLine], record: dict[str, Any], model: type[BaseModel] = Everything
) -> dict[str, FieldEvidence]:
    """Return what a page says of a record, by path."""
    lines = laid_out(page) if isinstance(page, str) else page
    return {one.path: one for one in find_evidence(record, model, lines, page_number=3)}


@pytest.mark.parametrize(
    ("field", "value", "page", "verdict", "printed"),
    [
        ("total", Decimal("1234.50"), "Total  1234.50", Verdict.EXACT, "1234.50"),
        ("total", Decimal("1234.500000"), "Total  1234.50", Verdict.EXACT, "1234.50"),
        ("total", Decimal("1234.5"), "Total  1.234,50 EUR", Verdict.NORMALISED, "1.234,50"),
        ("total", Decimal("1234.5"), "Total  1 234,50", Verdict.NORMALISED, "1 234,50"),
        ("total", Decimal("1234.5"), "Total  CHF 1'234.50", Verdict.NORMALISED, "1'234.50"),
        ("total", Decimal(1234), "Total  1.234", Verdict.NORMALISED, "1.234"),
        ("total", Decimal("-8.79"), "Total  -8,79", Verdict.NORMALISED, "-8,79"),
        ("total", Decimal("8.79"), "Total  8,79-", Verdict.FUZZY, "8,79"),
        ("total", Decimal("15.00"), "Total  15.O0", Verdict.FUZZY, "15.O0"),
        ("total", Decimal("112.45"), "Total  RM112.45", Verdict.EXACT, "112.45"),
        ("total", Decimal("112.45"), "Total  112.46", Verdict.NOT_FOUND, None),
        ("weight", 2.5, "Weight  2,5 kg", Verdict.NORMALISED, "2,5"),
        ("pages", 2, "Pages: 2", Verdict.EXACT, "2"),
        ("date", dt.date(2018, 3, 5), "Date  2018-03-05", Verdict.EXACT, "2018-03-05"),
        ("date", dt.date(2018, 3, 5), "Date  05.03.2018", Verdict.NORMALISED, "05.03.2018"),
        ("date", dt.date(2018, 3, 5), "Date  March 5, 2018", Verdict.NORMALISED, "March 5, 2018"),
        ("date", dt.date(2018, 3, 5), "Fecha  5 de marzo de 2018", Verdict.NORMALISED, "5 de marzo de 2018"),
        ("date", dt.date(2018, 3, 5), "Datum  5. März 2018", Verdict.NORMALISED, "5. März 2018"),
        ("date", dt.date(2018, 3, 5), "Date  03/05/2018", Verdict.NORMALISED, "03/05/2018"),
        ("date", dt.date(2018, 3, 5), "Date  20180305", Verdict.NORMALISED, "20180305"),
        ("date", dt.date(2018, 3, 5), "Date  15.03.2018", Verdict.NOT_FOUND, None),
        ("currency", "EUR", "Total  EUR 5.00", Verdict.EXACT, "EUR"),
        ("currency", "EUR", "Total  5,00 €", Verdict.NORMALISED, "€"),
        ("currency", "CAD", "Total  $ 5.00", Verdict.COMPUTED, "$"),
        ("currency", "GBP", "Total  $ 5.00", Verdict.NOT_FOUND, None),
        ("iban", "DE08700901001234567890", "IBAN  DE08 7009 0100 1234 5678 90", Verdict.EXACT, None),
        ("iban", "DE08700901001234567890", "IBAN  DE08 7009 0100 1234 5678 91", Verdict.NOT_FOUND, None),
        ("number", "RK-21012345", "Invoice no  RK-21012345", Verdict.EXACT, "RK-21012345"),
        ("number", "RK-21012345", "Invoice no  RK 21012345", Verdict.NORMALISED, "RK 21012345"),
        ("number", "RK-21012345", "Invoice no  RK-2I012345", Verdict.FUZZY, "RK-2I012345"),
        ("number", "RK-21012345", "Invoice no  RK-21012346", Verdict.NOT_FOUND, None),
        ("number", "471102", "Invoice no  9471102", Verdict.NOT_FOUND, None),
        ("party", {"name": "MÜLLER & Co. KG"}, "From  Müller & Co. KG", Verdict.NORMALISED, "Müller & Co. KG"),
        ("party", {"name": "Blumenthal Logistik"}, "From  Blumental Logistik", Verdict.FUZZY, "Blumental Logistik"),
        ("party", {"name": "Blumenthal Logistik"}, "From  Rosengarten Spedition", Verdict.NOT_FOUND, None),
        ("kind", Kind.CREDIT_NOTE, "CREDIT NOTE", Verdict.NORMALISED, "CREDIT NOTE"),
        ("paid", True, "Paid: yes", Verdict.NORMALISED, "Paid: yes"),
        ("paid", True, "Paid: no", Verdict.NOT_FOUND, None),
        ("paid", False, "Paid ☐", Verdict.NORMALISED, "Paid ☐"),
        ("at", dt.time(18, 30), "Time 18:30", Verdict.EXACT, "18:30"),
        ("tags", ["urgent"], "Stamp: urgent", Verdict.EXACT, "urgent"),
        ("more", {"Colour": "dark red"}, "Colour  dark  red", Verdict.EXACT, "dark red"),
    ],
)
def test_a_value_is_recognised_in_the_notation_of_the_page(
    field: str, value: Any, page: str, verdict: Verdict, printed: str | None
) -> None:
    """Records hold one form of a value, pages print any; a page that has another value has not this one."""
    [found] = evidence(page, {field: value}).values()
    assert found.verdict is verdict
    assert printed is None or found.text == printed
    assert (found.box is None) == (found.text is None) == (verdict is Verdict.NOT_FOUND)
    assert found.page_number == 3


def test_a_box_is_around_the_value_alone() -> None:
    """People look at the crop; a label or a currency beside it is not the value."""
    page = "Invoice no: 4711   Date: 5.3.2018"
    found = evidence(page, {"number": "4711", "date": dt.date(2018, 3, 5)})
    assert found["number"].box == box_of(page, "4711")
    assert found["date"].box == box_of(page, "5.3.2018")


def test_part_of_a_word_has_its_part_of_the_box() -> None:
    """Recognisers glue labels to values."""
    page = "Total:EUR112.45"
    box = evidence(page, {"total": Decimal("112.45")})["total"].box
    assert box == box_of(page, "112.45")


def test_a_value_over_several_lines_beside_another_column_is_found_whole() -> None:
    """Addresses stand in columns: reading across, their lines are torn apart."""
    page = """
Rosenbach Papier GmbH         Invoice no   4711
Am Alten Hafen 12             Customer     9921
20457 Hamburg                 Date         05.03.2018
"""
    found = evidence(page, {"address": "Rosenbach Papier GmbH, Am Alten Hafen 12, 20457 Hamburg"})["address"]
    assert found.verdict is Verdict.NORMALISED
    assert found.text == "Rosenbach Papier GmbH\nAm Alten Hafen 12\n20457 Hamburg"
    assert found.box == Box(0, 0, 210, 80)


def test_a_text_that_stands_in_parts_near_each_other_is_found() -> None:
    """What stands between belongs to something else: a telephone number between street and town."""
    page = "Papier GmbH   Tel. 040 123\nAm Hafen 12   Fax 040 124\n\n20457 Hamburg"
    found = evidence(page, {"address": "Am Hafen 12, 20457 Hamburg"})["address"]
    assert found.verdict in {Verdict.EXACT, Verdict.NORMALISED}


def test_the_lowest_score_of_the_lines_counts() -> None:
    """A value is as sure as the worst line that it was read from; a text layer has no scores."""
    one, two = laid_out("Papier GmbH", score=0.9), laid_out("\n\nHamburg", score=0.7)
    assert evidence([*one, *two], {"address": "Papier GmbH Hamburg"})["address"].score == pytest.approx(0.7)
    assert evidence("Hamburg", {"address": "Hamburg"})["address"].score is None


def test_what_was_not_read_cannot_be_judged() -> None:
    """A page whose text nobody read is not a page that lacks the value."""
    [found] = evidence((), {"total": Decimal(5)}).values()
    assert found.verdict is None


def test_empty_values_have_no_evidence_and_the_rest_comes_in_the_records_order() -> None:
    """A null is not a claim about the page; readers zip evidence with fields."""
    record = {
        "total": Decimal(0),
        "number": None,
        "tags": ["b", "a"],
        "party": {"name": "", "city": "Bonn"},
        "more": {},
    }
    assert list(evidence("Bonn b a", record)) == ["total", "tags[0]", "tags[1]", "party.city"]


def test_a_record_in_its_json_form_is_understood() -> None:
    """Rows come back from files with dates and decimals as text."""
    found = evidence("Total 1.234,50  Date 5.3.2018", {"total": "1234.50", "date": "2018-03-05"})
    assert {one.verdict for one in found.values()} == {Verdict.NORMALISED}


@pytest.mark.parametrize(
    ("record", "page", "path"),
    [
        ({"net": Decimal(100), "total": Decimal(119), "tax": Decimal(19)}, "Net 100.00\nTotal 119.00", "tax"),
        ({"net": Decimal(100), "tax": Decimal(19), "total": Decimal(119)}, "Net 100.00\nVAT 19.00", "total"),
        ({"tax": Decimal("27.16")}, "VAT 19%   19.25\nVAT 7%     7.91", "tax"),
        (
            {"date": dt.date(2018, 3, 5), "due": dt.date(2018, 4, 4)},
            "Date 05.03.2018\nPayable within 30 days net",
            "due",
        ),
    ],
)
def test_a_value_that_follows_from_printed_ones_is_computed(record: dict[str, Any], page: str, path: str) -> None:
    """Pages leave out what can be worked out; that is no sign of a wrong value."""
    assert evidence(page, record)[path].verdict is Verdict.COMPUTED


def test_a_sum_that_does_not_add_up_is_not_found() -> None:
    """Computed must not be a way out for any number."""
    record = {"net": Decimal(100), "total": Decimal(119), "tax": Decimal(18)}
    assert evidence("Net 100.00\nTotal 119.00", record)["tax"].verdict is Verdict.NOT_FOUND


def test_a_page_that_was_sent_in_sideways_is_searched_as_it_reads() -> None:
    """Rows and columns are those of the text, and boxes those of the image that was sent."""
    upright = laid_out("Rosenbach GmbH   Invoice no  4711\nHamburg          Total     119.00")
    turned = tuple(
        TextLine(line.text, _turned(line.box), None, tuple(Word(word.text, _turned(word.box)) for word in line.words))
        for line in upright
    )
    found = evidence(turned, {"total": Decimal(119), "address": "Rosenbach GmbH Hamburg"})
    assert found["total"].box == _turned(upright[1].words[2].box)
    assert found["address"].verdict is Verdict.EXACT


def _turned(box: Box) -> Box:
    """A box as it stands once the page is turned left by 90 degrees."""
    return Box(box.y0, 1000 - box.x1, box.y1, 1000 - box.x0)


def test_lines_without_words_are_searched_too() -> None:
    """Outputs keep lines alone."""
    page = "Total:  1.234,50 EUR"
    found = evidence(laid_out(page, words=False), {"total": Decimal("1234.5")})["total"]
    assert found.verdict is Verdict.NORMALISED
    assert found.box is not None
    assert found.box.x0 > box_of(page, "Total:").x1


def test_plain_text_is_compared_as_a_whole() -> None:
    """A transcript has no place of its own on the page: it is the page."""
    lines = laid_out("The quick brown fox\njumps over the lazy dog", score=0.8)
    model = load_extraction("transcript").model

    def verdict(text: str) -> FieldEvidence:
        [found] = find_evidence({"text": text}, model, lines, page_number=1, plain_text_field="text")
        return found

    assert verdict("The quick brown fox\njumps over the lazy dog").verdict is Verdict.EXACT
    assert verdict("THE QUICK BROWN FOX jumps over the lazy dog.").verdict is Verdict.NORMALISED
    assert verdict("The quick brown fox jumps over the lazy cat").verdict is Verdict.FUZZY
    assert verdict("Lorem ipsum dolor sit amet").verdict is Verdict.NOT_FOUND


def test_one_index_of_a_page_serves_several_records() -> None:
    """Tries of a page are held against the same text."""
    text = PageText(laid_out("Total 119.00"))
    verdicts = [
        find_evidence({"total": Decimal(value)}, Everything, text, page_number=1)[0].verdict for value in (119, 120)
    ]
    assert verdicts == [Verdict.EXACT, Verdict.NOT_FOUND]


def test_no_page_and_no_record_is_too_odd() -> None:
    """Evidence is looked for in whatever models and recognisers write; a crash would cost the page."""
    rng = random.Random(6)
    letters = "0123456789.,:/-–() €$%'’|OlAÄß你好٣²½\u200b\ufffd\x00"
    for _ in range(150):
        words = ["".join(rng.choices(letters, k=rng.randint(0, 9))) for _ in range(12)]
        lines = [
            TextLine(" ".join(words[i : i + 3]), Box(rng.randint(-9, 9), rng.randint(-99, 99), 9, 9)) for i in range(9)
        ]
        record = {
            **dict.fromkeys(("number", "address", "currency", "iban", "kind"), rng.choice(words)),
            "total": rng.choice([Decimal("NaN"), Decimal("Infinity"), Decimal("1e30"), Decimal("1e-30"), "x", 7]),
            "weight": rng.choice([float("inf"), float("nan"), 1e300, -0.0]),
            "date": rng.choice(["2018-13-99", dt.date.min, dt.datetime(2018, 1, 1, tzinfo=dt.UTC)]),
            "tags": words,
            "party": {"name": [rng.choice(words)], 7: {"x": [{}, None, [[rng.choice(words)]]]}},
            "unknown": {"a": {rng.choice(words): True}},
        }
        find_evidence(record, Everything, lines, page_number=1)
