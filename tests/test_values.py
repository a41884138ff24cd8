"""Printed values: every form that documents, models and OCR bring."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from pipeline.values import (
    DateOrder,
    find_amounts,
    find_currencies,
    find_dates,
    find_ibans,
    parse_amount,
    parse_currency,
    parse_date,
    parse_iban,
)


@pytest.mark.parametrize(
    ("printed", "value"),
    [
        ("12.50", "12.50"),
        ("12,50", "12.50"),
        ("1.234,50 €", "1234.50"),
        ("1,234.50", "1234.50"),
        ("1'234.50", "1234.50"),
        ("1 234,50", "1234.50"),
        ("1\u202f234,50", "1234.50"),
        ("1,234", "1234"),
        ("1.234", "1.234"),
        ("1.234.567", "1234567"),
        ("RM 9.00", "9.00"),
        ("$4.11", "4.11"),
        ("EUR 5", "5"),
        ("19 %", "19"),
        ("(5.00)", "-5.00"),
        ("5.00-", "-5.00"),
        ("−5,00", "-5.00"),
        ("€ -5.00", "-5.00"),
        ("5,-", "5"),
        ("1.234,-", "1234"),
        ("0,0520", "0.0520"),
        ("0,125", "0.125"),
        ("RM 12 .50", "12.50"),
    ],
)
def test_an_amount_is_read_in_every_printed_form(printed: str, value: str) -> None:
    """Separators differ by country; amounts must compare as numbers."""
    assert parse_amount(printed) == Decimal(value)


@pytest.mark.parametrize("printed", ["", "n/a", "EUR", "12.50 13.50 7/8", "12/03/2018"])
def test_what_is_no_single_number_is_no_amount(printed: str) -> None:
    """A guess would enter the sums of whoever reads the records."""
    with pytest.raises(ValueError, match="not an amount"):
        parse_amount(printed)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("TOTAL RM12.50", ["12.50"]),
        ("2 x 3,50 = 7,00", ["2", "3.50", "7.00"]),
        ("GST @6% RM 0.42", ["0.42"]),
        ("12/03/2018 10:17:32 5.00", ["5.00"]),
        ("2 076,76 EUR", ["2076.76"]),
        ("1 150.00", ["1", "150.00"]),
        ("11.23SR", ["11.23"]),
        ("-9.60 and (0.02)", ["-9.60", "-0.02"]),
        ("RMO.25 1O.5O", ["0.25", "10.50"]),
        ("GST ID 000306020352", []),
        ("A4 C25 #17", []),
        ("192.168.10.17", []),
        ("5,- Euro", ["5"]),
    ],
)
def test_amounts_in_running_text_leave_out_dates_rates_and_identifiers(text: str, values: list[str]) -> None:
    """Beside a label everything numeric is a candidate."""
    assert [found.value for found in find_amounts(text)] == [Decimal(value) for value in values]


MARCH_5 = dt.date(2018, 3, 5)


@pytest.mark.parametrize(
    "printed",
    [
        "05/03/2018",
        "5.3.2018",
        "05-03-18",
        "5. 3. 18",
        "05 /03/ 2018",
        "2018-03-05",
        "2018/3/5",
        "2018-03-05T10:00:00",
        "20180305",
        "05032018",
        "05 03 2018",
        "2018年3月5日",
        "05/03/201814:22",
        "05/03/1814:22",
        "Mon 05/03/2018 10:17 PM",
        "5 March 2018",
        "5th of March, 2018",
        "March 5, 2018",
        "Mar 5 2018",
        "05-Mar-18",
        "05MAR2018",
        "5. März 2018",
        "5 mars 2018",
        "5 maart 2018",
        "5 de marzo de 2018",
        "5 marzo 2018",
        "5 de março de 2018",
    ],
)
def test_a_date_is_read_in_every_printed_form(printed: str) -> None:
    """Seven languages, short years, glued times: all are on real receipts and invoices."""
    assert parse_date(printed) == MARCH_5


@pytest.mark.parametrize(
    ("printed", "order", "day"),
    [
        ("03/04/2026", DateOrder.DAY_FIRST, dt.date(2026, 4, 3)),
        ("03/04/2026", DateOrder.MONTH_FIRST, dt.date(2026, 3, 4)),
        ("12/28/2017", DateOrder.DAY_FIRST, dt.date(2017, 12, 28)),
        ("28/12/2017", DateOrder.MONTH_FIRST, dt.date(2017, 12, 28)),
        ("2026-04-03", DateOrder.MONTH_FIRST, dt.date(2026, 4, 3)),
        ("01/02/68", DateOrder.DAY_FIRST, dt.date(2068, 2, 1)),
        ("01/02/69", DateOrder.DAY_FIRST, dt.date(1969, 2, 1)),
        ("98-03-31", DateOrder.DAY_FIRST, dt.date(1998, 3, 31)),
    ],
)
def test_the_order_decides_only_where_both_readings_are_possible(printed: str, order: DateOrder, day: dt.date) -> None:
    """The documented rules for ambiguous dates and short years."""
    assert parse_date(printed, order) == day


@pytest.mark.parametrize("printed", ["", "soon", "31/02/2018", "14:22", "30/06/2018 - 31/07/2018", "99999999"])
def test_what_is_no_single_day_is_no_date(printed: str) -> None:
    """A period has two days, and neither is the date."""
    with pytest.raises(ValueError, match="not a date"):
        parse_date(printed)


@pytest.mark.parametrize(
    "text", ["A11-22 - 30", "TU21 - 6/72", "tel. 06.12.34.56.78", "03-51221701", "+6 03 2026 6366"]
)
def test_numbers_with_dashes_are_not_dates(text: str) -> None:
    """Shelf marks and telephone numbers stand on receipts before the date."""
    assert find_dates(text) == []


def test_dates_are_found_where_they_stand() -> None:
    """Whoever asks for a place must be able to cut it out."""
    text = "from 1 Feb 2020 to 31.03.2020"
    assert [text[found.start : found.end] for found in find_dates(text)] == ["1 Feb 2020", "31.03.2020"]


@pytest.mark.parametrize(
    ("printed", "code"),
    [
        ("EUR", "EUR"),
        ("eur", "EUR"),
        ("€", "EUR"),
        ("12,50 €", "EUR"),
        ("RM", "MYR"),
        ("RM12.50", "MYR"),
        ("$", "USD"),
        ("US$ 5", "USD"),
        ("HK$5", "HKD"),
        ("Rs. 500", "INR"),
        ("CHF 12.00", "CHF"),
    ],
)
def test_a_currency_is_read_from_codes_and_symbols(printed: str, code: str) -> None:
    """Models copy the symbol that is printed."""
    assert parse_currency(printed) == code


@pytest.mark.parametrize("printed", ["", "kr", "XYZ", "EUR or USD"])
def test_an_unclear_currency_is_refused(printed: str) -> None:
    """Three countries print kr; a guess would be wrong for two."""
    with pytest.raises(ValueError, match="not a currency"):
        parse_currency(printed)


def test_currency_words_inside_other_words_are_left_alone() -> None:
    """Otherwise RM would be found in FORM and FIRM."""
    assert find_currencies("FORM 12 TERMS EUROPA") == []


@pytest.mark.parametrize(
    "printed",
    ["DE89370400440532013000", "DE89 3704 0044 0532 0130 00", "IBAN: de89 3704 0044 0532 0130 00 BIC: COBADEFFXXX"],
)
def test_an_iban_loses_its_spaces(printed: str) -> None:
    """One account must be one value."""
    assert parse_iban(printed) == "DE89370400440532013000"


@pytest.mark.parametrize("printed", ["DE89370400440532013001", "DE8937040044053201300", "ZZ89370400440532013000", ""])
def test_an_iban_that_fails_its_check_is_refused(printed: str) -> None:
    """Money sent to a misread account is gone."""
    with pytest.raises(ValueError, match="not an IBAN"):
        parse_iban(printed)


@pytest.mark.parametrize("find", [find_amounts, find_dates, find_currencies, find_ibans])
def test_finders_find_nothing_in_nothing(find: Callable[[str], list[Any]]) -> None:
    """Empty lines reach them."""
    assert find("") == []
