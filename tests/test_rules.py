"""Rules of a schema: what they say of a record, and when they say nothing."""

import datetime as dt
import logging
import re
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel

from pipeline.errors import ConfigError
from pipeline.extraction import list_extractions
from pipeline.rules import (
    Outcome,
    Rule,
    adds_up,
    amount_is_plausible,
    check_rules,
    currency_fits_country,
    date_is_plausible,
    dates_in_order,
    is_between,
    lines_add_up,
    number_is_valid,
    quantity_times_price,
    rule,
    rules_of,
    tax_is_plausible,
)

NET_AND_TAX = adds_up("net", "tax", to="total")


def _record(**values: Any) -> dict[str, Any]:
    """Make a record; amounts may be written as texts of digits."""
    return {name: Decimal(value) if _is_number(value) else value for name, value in values.items()}


def _is_number(value: Any) -> bool:
    return isinstance(value, str) and value.lstrip("-").replace(".", "", 1).isdigit()


def _items(*rows: tuple[str | None, str | None, str | None]) -> list[dict[str, Decimal | None]]:
    names = ("quantity", "unit_price", "line_total")
    return [
        {name: None if value is None else Decimal(value) for name, value in zip(names, row, strict=True)}
        for row in rows
    ]


def _said(one: Rule, record: dict[str, Any]) -> list[bool]:
    """Whether the rule holds, for each time that it applies."""
    return [outcome.message is None for outcome in check_rules((one,), record, whole=True)]


@pytest.mark.parametrize(
    ("net", "tax", "total", "said"),
    [
        ("100.00", "19.00", "119.00", [True]),
        ("-100.00", "-19.00", "-119.00", [True]),
        ("100.00", "19.00", "119.02", [True]),
        ("100.00", "19.00", "119.03", [False]),
        ("100.00", "-19.00", "119.00", [False]),
        ("100.00", None, "119.00", []),
        (None, "19.00", "119.00", []),
    ],
)
def test_net_and_tax_make_the_total(net: str | None, tax: str | None, total: str, said: list[bool]) -> None:
    """Credit notes have all of it negative; two rounded amounts may be two cents off; what is absent says nothing."""
    assert _said(NET_AND_TAX, _record(net=net, tax=tax, total=total)) == said


@pytest.mark.parametrize(
    ("currency", "total", "holds"), [("SEK", "120", True), ("HUF", "121.50", True), ("EUR", "120", False)]
)
def test_a_sum_may_be_rounded_to_the_smallest_coin(currency: str, total: str, holds: bool) -> None:
    """Swedish and Hungarian cash sums are printed rounded, beside amounts that are not."""
    record = _record(net="100.00", tax="19.50", total=total, currency=currency)
    assert _said(NET_AND_TAX, record) == [holds]


def test_a_deposit_is_taken_off_where_it_is_printed() -> None:
    """It is printed with and without a minus, and mostly not at all."""
    one = adds_up("total", to="due", less=("prepaid",), optional=("fee",))
    assert _said(one, _record(total="119.00", due="69.00", prepaid="50.00")) == [True]
    assert _said(one, _record(total="119.00", due="69.00", prepaid="-50.00")) == [True]
    assert _said(one, _record(total="119.00", due="121.50", fee="2.50")) == [True]
    assert _said(one, _record(total="119.00", due="119.00")) == [True]
    assert _said(one, _record(total="119.00", due="69.00")) == [False]
    assert _said(one, _record(total="-119.00", due="-69.00", prepaid="-50.00")) == [True]


def test_fields_of_inner_records_and_of_items_are_rules_fields_as_others_are() -> None:
    """A schema of one's own may have its sums together, its list within something, and deposits at its items."""
    sums = {"net": Decimal(100), "tax": Decimal(19), "deposit": Decimal(19), "total": Decimal(100), "currency": "SEK"}
    items = [{"net": Decimal(100), "tax": Decimal(90), "off": Decimal(10), "total": Decimal(180)}]
    record = {"sums": sums, "body": {"items": items}}
    rules = (
        adds_up("sums.net", "sums.tax", to="sums.total", less=("sums.deposit",), currency="sums.currency"),
        adds_up("body.items[].net", "body.items[].tax", to="body.items[].total", less=("body.items[].off",)),
        tax_is_plausible("body.items[].tax", of="body.items[].net", net=True),
        lines_add_up("sums.total", lines="body.items", amount="net"),
    )
    assert [(one.rule, one.message is None) for one in check_rules(rules, record, whole=True)] == [
        ("sums.net_plus_sums.tax_is_sums.total", True),
        ("body.items_net_plus_body.items_tax_is_body.items_total", True),
        ("body.items_tax_is_plausible", False),
        ("lines_add_up", True),
    ]


def test_a_breach_says_which_values_it_is_about_and_what_is_wrong() -> None:
    """People see it beside the page; the paths are what is marked there."""
    (outcome,) = check_rules((NET_AND_TAX,), _record(net="100.00", tax="19.000000", total="1190"), whole=True)
    assert outcome == Outcome(
        "net_plus_tax_is_total", ("net", "tax", "total"), "net 100.00 + tax 19.00 is 119.00, but total is 1190.00."
    )


@pytest.mark.parametrize(
    ("amounts", "net", "said"),
    [
        (["60.00", "40.00"], "100.00", [True]),
        (["60.00", "40.00"], "-100.00", [True]),
        (["33.33", "33.33", "33.33"], "100.00", [True]),
        (["60.00", "40.00"], "95.00", []),
        (["60.00"], "100.00", [False]),
        (["60.00", None], "60.00", []),
        ([], "60.00", []),
    ],
)
def test_lines_make_the_net_amount_or_a_discount_stands_between(
    amounts: list[str | None], net: str, said: list[bool]
) -> None:
    """A discount without a field of its own is no fault of the reading; half of the lines missing is."""
    record = _record(net=net) | {"line_items": _items(*((None, None, amount) for amount in amounts))}
    assert _said(lines_add_up("net", "total"), record) == said


def test_lines_may_make_the_net_or_the_total() -> None:
    """Shops list prices with tax, firms without."""
    record = _record(net="100.00", total="119.00") | {"line_items": _items((None, None, "119.00"))}
    assert _said(lines_add_up("net", "total"), record) == [True]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (("3", "1.50", "4.50"), [True]),
        (("-3", "1.50", "-4.50"), [True]),
        (("3", "1.50", "-4.50"), [True]),
        (("50", "4.10", "204.75"), [True]),
        (("0.485", "12.90", "6.26"), [True]),
        (("1000", "0.0213", "21.30"), [True]),
        (("3", "1.50", "4.05"), []),
        (("3", "1.50", "45.00"), [False]),
        (("3", None, "4.50"), []),
        (("0", "0", "0"), []),
    ],
)
def test_quantity_times_unit_price_is_the_line(row: tuple[str, str | None, str], said: list[bool]) -> None:
    """Prices are rounded to the cent before they are printed, 50 times over; a line may have its own discount."""
    assert _said(quantity_times_price(), {"line_items": _items(row)}) == said


def test_a_line_is_named_by_its_place() -> None:
    """The value at fault must be found among forty lines."""
    record = {"line_items": _items(("1", "2.00", "2.00"), ("2", "2.00", "40.00"))}
    broken = [found.paths for found in check_rules((quantity_times_price(),), record, whole=True) if found.message]
    assert broken == [("line_items[1].quantity", "line_items[1].unit_price", "line_items[1].line_total")]


@pytest.mark.parametrize(
    ("issued", "due", "said"),
    [
        ("2018-03-05", "2018-04-04", [True]),
        ("2018-03-05", "2018-03-05", [True]),
        ("2018-03-05", "2018-03-04", [False]),
        ("2018-03-05", "2081-04-04", [False]),
        ("2018-03-05", None, []),
    ],
)
def test_an_invoice_is_due_within_a_year_of_its_day(issued: str, due: str | None, said: list[bool]) -> None:
    """A misread year puts the days in the wrong order, or far apart."""
    record = {"date": dt.date.fromisoformat(issued), "due_date": due and dt.date.fromisoformat(due)}
    assert _said(dates_in_order("date", "due_date"), record) == said


def test_a_day_far_ahead_or_long_ago_is_a_breach() -> None:
    """That a day is possible does not confirm it, so the rule says nothing then."""
    one = date_is_plausible("date")
    today = dt.datetime.now(dt.UTC).date()
    days = [today, today + dt.timedelta(days=800), dt.date(1208, 3, 5)]
    assert [_said(one, {"date": day}) for day in days] == [[], [False], [False]]


def test_an_amount_like_a_barcode_is_a_breach() -> None:
    """Rupiah and dong have five digits more than euros."""
    one = amount_is_plausible("total")
    assert _said(one, _record(total="4006381333931")) == [False]
    assert _said(one, _record(total="250000000", currency="IDR")) == []
    assert _said(one, _record(total="-1200.50")) == []


def test_a_number_out_of_its_range_is_a_breach() -> None:
    """The 7 of a tax rate read with the line beside it."""
    rates = {"line_items": [{"tax_rate": Decimal(rate)} for rate in ("7", "0.19", "78", "-7", "30")]}
    broken = check_rules((is_between("line_items[].tax_rate", 0, 30),), rates, whole=True)
    assert [outcome.paths for outcome in broken] == [("line_items[2].tax_rate",), ("line_items[3].tax_rate",)]


@pytest.mark.parametrize(
    ("tax", "total", "said"), [("19", "119", []), ("-19", "-119", []), ("119", "119", [False]), ("-19", "119", [False])]
)
def test_a_tax_is_part_of_its_total(tax: str, total: str, said: list[bool]) -> None:
    """The amount of another row read as the tax is caught without a net amount, too."""
    assert _said(tax_is_plausible("tax", of="total"), _record(tax=tax, total=total)) == said


@pytest.mark.parametrize(
    ("kind", "value", "holds"),
    [
        ("eu.vat", "DE 136 695 976", True),
        ("eu.vat", "DE136695977", False),
        ("eu.vat", "FR40303265045", True),
        ("eu.vat", "ATU13585627", True),
        ("eu.vat", "NL4495445B01", True),
        ("eu.vat", "IT 00743110157", True),
        ("iban", "DE89 3704 0044 0532 0130 00", True),
        ("iban", "DE89 3704 0044 0532 0130 01", False),
        ("luhn", "79927398713", True),
        ("luhn", "79927398714", False),
        ("ean", "4006381333931", True),
        ("ean", "4006381333932", False),
        ("iso11649", "RF18 5390 0754 7034", True),
    ],
)
def test_numbers_are_held_against_their_check_digits(kind: str, value: str, holds: bool) -> None:
    """A digit misread is caught nine times in ten without knowing the number."""
    assert _said(number_is_valid("code", kind), {"code": value}) == [holds]


def test_a_kind_of_number_that_nobody_knows_is_told_when_the_schema_is_loaded() -> None:
    """Later it would be a rule that never applies."""
    with pytest.raises(ConfigError, match="no format 'vatt'"):
        number_is_valid("code", "vatt")


@pytest.mark.parametrize(
    ("currency", "iban", "address", "said"),
    [
        ("CHF", "CH9300762011623852957", None, [True]),
        ("EUR", "CH9300762011623852957", None, []),
        ("MYR", "DE89370400440532013000", None, [False]),
        ("GBP", "DE89370400440532013000", "1 High Street, London, UK", [True]),
        ("GBP", None, "Hauptstr. 1, 10115 Berlin, DE", [False]),
        ("MYR", None, "NO.12 JALAN SS 3, PETALING JAYA", []),
        (None, "DE89370400440532013000", None, []),
        ("CHF", None, "Rue de Romont 1, 1700 Fribourg, FR", []),
        ("CAD", None, "5 Main Street, Saskatoon, SK", []),
        ("AUD", None, "5 George Street, Sydney, New South Wales", []),
        ("GBP", None, "5 Queen Street, Belfast, Northern Ireland", []),
    ],
)
def test_a_currency_is_that_of_the_country(
    currency: str | None, iban: str | None, address: str | None, said: list[bool]
) -> None:
    """Euros and dollars are invoiced everywhere; a country that fits is enough; cantons are no countries."""
    one = currency_fits_country(by=("iban", "address"))
    assert _said(one, {"currency": currency, "iban": iban, "address": address}) == said


def test_an_own_rule_is_a_function_of_its_fields() -> None:
    """What people know of their documents takes three lines."""

    @rule("seller", "buyer")
    def seller_is_not_buyer(seller: str, buyer: str) -> bool:
        """Seller and buyer are the same.

        Nobody bills himself.
        """
        return seller != buyer

    @rule("positions[].rate", "country", name="rates_of_the_country")
    def rate(rate: Decimal, country: str) -> str | None:
        return None if country != "DE" or rate in {0, 7, 19} else f"{rate} % is no rate of {country}."

    record = {"seller": "A", "buyer": "A", "country": "DE", "positions": [{"rate": 19}, {"rate": None}, {"rate": 9}]}
    assert check_rules((seller_is_not_buyer, rate), record, whole=True) == (
        Outcome("seller_is_not_buyer", ("seller", "buyer"), "Seller and buyer are the same."),
        Outcome("rates_of_the_country", ("positions[0].rate", "country"), None),
        Outcome("rates_of_the_country", ("positions[2].rate", "country"), "9 % is no rate of DE."),
    )
    assert check_rules((seller_is_not_buyer,), {"seller": "A", "buyer": ""}, whole=True) == ()


@pytest.mark.parametrize(("said", "holds"), [(True, True), (None, True), ("", True), (False, False), ("No.", False)])
def test_what_an_own_rule_returns_says_whether_it_holds(said: bool | str | None, holds: bool) -> None:
    """A function that makes a message has an empty one where nothing is wrong."""

    @rule("total")
    def judged(total: Decimal) -> bool | str | None:
        return said

    assert _said(judged, _record(total="1")) == [holds]


def test_one_page_of_several_is_asked_only_what_a_page_can_answer() -> None:
    """The lines of page two do not make the total of page three."""
    record = _record(total="100.00") | {"line_items": _items(("1", "10.00", "10.00"))}
    both = (lines_add_up("total"), quantity_times_price())
    assert [found.rule for found in check_rules(both, record, whole=False)] == ["quantity_times_price"]
    assert [found.rule for found in check_rules(both, record, whole=True)] == ["lines_add_up", "quantity_times_price"]


def test_a_rule_that_fails_is_told_once_and_breaks_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """It is the user's code, and it meets a million pages."""

    @rule("total")
    def fails_for_a_test(total: Decimal) -> bool:
        raise ValueError(f"I do not like {total}")

    with caplog.at_level(logging.WARNING):
        for number in range(3):
            assert _said(fails_for_a_test, {"total": Decimal(number)}) == []
    assert [record.getMessage().count("fails_for_a_test") for record in caplog.records] == [1]


@pytest.mark.parametrize("total", ["119", float("nan"), Decimal("NaN"), True, [1], {}])
def test_values_of_no_use_make_no_outcome(total: object) -> None:
    """A schema of one's own may type a field as it likes."""
    assert check_rules((NET_AND_TAX,), {"net": Decimal(100), "tax": Decimal(19), "total": total}, whole=True) == ()


class _Position(BaseModel):
    rate: Decimal | None = None


def _model(*given: object) -> type[BaseModel]:
    class Bill(BaseModel):
        rules: ClassVar[tuple[object, ...]] = given
        total: Decimal | None = None
        net: Decimal | None = None
        tax: Decimal | None = None
        positions: list[_Position] = []
        others: list[_Position] | None = None

    return Bill


def test_the_rules_of_a_model_are_checked_when_it_is_loaded() -> None:
    """A rule on a field that is not there would never apply, and nobody would notice."""
    inner = amount_is_plausible("positions[].rate")
    assert rules_of(_model(NET_AND_TAX, inner)) == (NET_AND_TAX, inner)
    assert rules_of(_Position) == ()
    with pytest.raises(ConfigError, match="the field gross, which Bill lacks"):
        rules_of(_model(adds_up("net", to="gross")))
    with pytest.raises(ConfigError, match=r"the field positions\[\].price, which"):
        rules_of(_model(amount_is_plausible("positions[].price")))
    with pytest.raises(ConfigError, match=r"the field positions\.rate, which"):
        rules_of(_model(amount_is_plausible("positions.rate")))
    with pytest.raises(ConfigError, match=r"the field positions\[\], which"):
        rules_of(_model(amount_is_plausible("positions[]")))
    with pytest.raises(ConfigError, match="items of several lists"):
        rules_of(_model(adds_up("positions[].rate", to="others[].rate")))
    with pytest.raises(ConfigError, match="net_plus_tax_is_total twice"):
        rules_of(_model(NET_AND_TAX, NET_AND_TAX))
    with pytest.raises(ConfigError, match="must be a tuple of rules"):
        rules_of(_model("net + tax"))


def test_shipped_extractions_have_rules_that_can_be_asked() -> None:
    """Invoices and receipts are what rules are for."""
    with_rules = {one.name for one in list_extractions() if rules_of(one.model)}
    assert with_rules == {"invoice", "receipt"}


def test_the_example_in_the_docs_works() -> None:
    """It is what people copy."""
    text = (Path(__file__).parent.parent / "docs" / "extractions.md").read_text("utf-8")
    (example,) = (block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "class Bill" in block)
    names: dict[str, Any] = {"__name__": "schema"}
    exec(compile(example, "schema.py", "exec"), names)
    rules = rules_of(names["Bill"])
    assert len(rules) == 4
    record = names["Bill"](
        seller="A", buyer="A", net="100.00", tax="19.00", deposit="20.00", total="99.00"
    ).model_dump()
    said = check_rules(rules, record, whole=True)
    assert [outcome.rule for outcome in said if outcome.message] == ["seller_is_not_buyer"]
    assert [outcome.rule for outcome in said if not outcome.message] == ["net_plus_tax_is_total"]
