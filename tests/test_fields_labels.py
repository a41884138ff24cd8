"""Filling a user's own schema: where a value stands to its label, and what type it has."""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, Field
from typed_pages import read, typed

from pipeline.engines.ocr.fields import fill_record
from pipeline.schema import Amount, Currency, Date, Iban, Printed
from pipeline.values import DateOrder


class Reading(BaseModel):
    """A field without a role for every type."""

    meter: Annotated[str | None, Printed("Meter no", "Zählernummer")] = None
    reading: Annotated[Amount | None, Printed("Reading", "Zählerstand")] = None
    read_on: Annotated[Date | None, Printed("Read on", "Ablesedatum")] = None
    persons: Annotated[int | None, Printed("Persons")] = None


@pytest.mark.parametrize(
    "page",
    [
        "Meter no: 4711-AB",
        "METER NO.   4711-AB",
        "MeterNo 4711-AB",
        "Zahlernummer   4711-AB",
        "Meter no   :   4711-AB",
        "Meter no   Reading\n4711-AB    12.5",
        "Contract 7   Meter no: 4711-AB",
        "Meter no. 4711-AB",
    ],
)
def test_a_value_is_found_behind_right_of_or_below_its_label(page: str) -> None:
    """These are the places where forms print values; OCR loses spaces and accents."""
    assert read(page, Reading)["meter"] == "4711-AB"


def test_each_column_header_has_the_value_below_it() -> None:
    """Forms print rows of labels above rows of values."""
    page = """
    Reading          Read on        Persons
    12.345,6 kWh     03.02.2024     3
    """
    assert read(page, Reading) == {"meter": None, "reading": "12345.6", "read_on": "2024-02-03", "persons": 3}


def test_values_below_headers_that_ocr_joined_are_told_apart_by_their_place() -> None:
    """Narrow columns come as one line, so all values stand below all labels."""
    assert read("Read on Reading Persons\n03.02.24 12.345 3", Reading)["read_on"] == "2024-02-03"
    assert read("Signed on Read on\n01.02.24  03.02.24", Reading)["read_on"] == "2024-02-03"


def test_a_page_photographed_at_a_slant_is_read_alike() -> None:
    """Over the width of a page one degree is most of a line's height."""
    lines = [
        replace(line, box=line.box._replace(y0=line.box.y0 + line.box.x0 / 57, y1=line.box.y1 + line.box.x1 / 57))
        for line in typed(
            "Meter no                                       4711\nPersons                                        4"
        )
    ]
    record = fill_record(lines, 1000, 1400, Reading, DateOrder.DAY_FIRST)
    assert (record["meter"], record["persons"]) == ("4711", 4)


def test_a_value_does_not_reach_over_another_label() -> None:
    """An empty field stays empty instead of taking its neighbour's value."""
    assert read("Reading:     Persons: 4", Reading) == {"meter": None, "reading": None, "read_on": None, "persons": 4}


def test_a_text_ends_where_the_next_label_begins() -> None:
    """OCR joins neighbours into one line."""
    assert read("Meter no: 4711 Persons: 4", Reading)["meter"] == "4711"


def test_a_misread_letter_in_a_long_label_is_forgiven() -> None:
    """OCR errs about once in thirty letters."""
    assert read("Zohlerstand   88", Reading)["reading"] == "88"


def test_a_label_inside_a_longer_word_is_no_label() -> None:
    """`Reading` must not be found in `Proofreading`."""
    assert read("Proofreading   88", Reading)["reading"] is None


def test_a_label_used_as_a_word_in_prose_gives_no_value() -> None:
    """Terms and conditions mention everything."""
    page = "The amount of each reading will be compared to 500 kWh in the following month"
    assert read(page, Reading)["reading"] is None


class Size(Enum):
    """A choice by enumeration."""

    SMALL = "small"
    LARGE = "large"


class Address(BaseModel):
    """A nested record."""

    street: Annotated[str | None, Printed("Street")] = None


class Contract(BaseModel):
    """The types beyond the usual ones."""

    tariff: Annotated[Literal["Basic", "Comfort", "Comfort plus"] | None, Printed("Tariff")] = None
    phases: Annotated[Literal[1, 3] | None, Printed("Phases")] = None
    size: Annotated[Size | None, Printed("Size")] = None
    paid: Annotated[bool | None, Printed("Paid")] = None
    account: Annotated[Iban | None, Printed("Account")] = None
    currency: Annotated[Currency | None, Printed("Currency")] = None
    customer_name: str | None = None
    address: Address | None = None
    tags: list[str] = []
    version: str = "v1"


def test_every_type_of_field_is_read() -> None:
    """A schema is the user's; whatever pydantic types it uses are filled or left at their default."""
    page = """
    Tariff    Comfort plus      Size   Large      Phases   3
    Account   DE89 3704 0044 0532 0130 00         Currency   €
    Customer name   Ann Lee     Paid: yes
    Street    Main Road 5
    """
    assert read(page, Contract) == {
        "tariff": "Comfort plus",
        "phases": 3,
        "size": "large",
        "paid": True,
        "account": "DE89370400440532013000",
        "currency": "EUR",
        "customer_name": "Ann Lee",
        "address": {"street": "Main Road 5"},
        "tags": [],
        "version": "v1",
    }


class Order(BaseModel):
    """A field whose constraint tells its values from others."""

    number: Annotated[str | None, Field(pattern=r"^PO-\d{4}$"), Printed("Order")] = None


def test_a_value_that_the_fields_constraint_forbids_is_passed_over() -> None:
    """The schema's pattern is the best description of a value that there is."""
    assert read("Order   17 May\nOrder   PO-1234", Order)["number"] == "PO-1234"
    assert read("Order   17 May", Order)["number"] is None


def test_an_empty_page_gives_null_where_the_model_allows_it_and_nothing_elsewhere() -> None:
    """Defaults of fields that cannot be null must survive."""
    record = fill_record(typed(""), 100, 100, Contract, DateOrder.DAY_FIRST)
    assert "version" not in record
    assert "tags" not in record
    assert set(record.values()) == {None}
