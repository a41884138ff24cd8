"""Dates, numbers and amounts of receipts and invoices of several countries, and what misleads a reader of them."""

from __future__ import annotations

import pytest
from typed_pages import read

from pipeline.extraction import load_extraction
from pipeline.values import DateOrder

RECEIPT = load_extraction("receipt").model
INVOICE = load_extraction("invoice").model

TILL_ROUNDING_TO_FIVE_CENTS = """
ITEM              2   12.00
TOTAL QTY:        2   12.00
SUBTOTAL              12.00
GST 6%                 0.72
TOTAL INCL. GST       12.72
ROUNDING ADJ          -0.02
TOTAL ROUNDED         12.70
CASH                  20.00
CHANGE                 7.30
GST SUMMARY   AMOUNT   TAX
TOTAL         12.00   0.72
"""

GERMAN_TILL = """
                          EUR
BIO BANANEN               1,99 B
BROETCHEN                 0,98 B
PFAND 0,25                1,44 A
SUMME             EUR     4,41
Geg. BAR          EUR     5,00
Rückgeld BAR      EUR     0,59
Steuer  %     Netto    Steuer   Brutto
A=  19,0%      0,21      0,04     0,25
B=   7,0%      3,89      0,27     4,16
Gesamtbetrag   4,10      0,31     4,41
14.03.2024     17:45   Bon-Nr.:4711
"""

DUTCH_TILL = """
Datum: 12-11-2023   Tijd: 14:05
AANTAL OMSCHRIJVING     PRIJS   BEDRAG
2      KAAS             3,50     7,00
       TOTAAL                    8,29
       PINNEN                    8,29
BTW        OVER      EUR
9%         7,61      0,68
TOTAAL     7,61      0,68
"""

AMERICAN_RESTAURANT = """
Jan 5, 2024 1:15 PM
2 Cappuccino            9.00
1 Panini               11.50
Sub Total              20.50
Tax                     1.82
Total                  22.32
Tip                     4.00
Visa ****1234          26.32
"""

MISREAD_TOTAL_LABEL = """
PARKING TICKET
25/06/18 11:18
Pay parking ticket    5.00 RM
T0+a1                 5.00 RM
Paid                 10.00 RM
Change                5.00 RM
"""


MALAYSIAN_COMPANY = """
ORCHARD HANDEL SDN BHD
(123456-X)
25/06/2018 11:18
TEA 5.00
TOTAL 5.00
"""


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        (MALAYSIAN_COMPANY, {"total": "5.00", "currency": None}),
        (TILL_ROUNDING_TO_FIVE_CENTS, {"total": "12.70", "tax": "0.72"}),
        (GERMAN_TILL, {"total": "4.41", "tax": "0.31", "date": "2024-03-14", "currency": "EUR"}),
        (DUTCH_TILL, {"total": "8.29", "tax": "0.68", "date": "2023-11-12"}),
        (AMERICAN_RESTAURANT, {"total": "22.32", "tax": "1.82", "date": "2024-01-05"}),
        (MISREAD_TOTAL_LABEL, {"total": "5.00", "date": "2018-06-25", "currency": "MYR"}),
    ],
    ids=["company", "rounding", "german", "dutch", "american", "misread"],
)
def test_a_receipts_total_is_what_was_to_be_paid(page: str, expected: dict[str, str | None]) -> None:
    """Tax summaries say TOTAL too, tills round, quantities have totals: only the sums tell."""
    record = read(page, RECEIPT)
    assert {name: record[name] for name in expected} == expected


GERMAN_INVOICE = """
Muster Software GmbH                      Rechnung
Hauptstr. 1                               Rechnungs-Nr.:  2023-0815
10115 Berlin                              Datum:          05.07.2023
                                          Kundennr.:      12345
                                          Lieferdatum:    01.07.2023
Pos  Bezeichnung        Menge    Einzelpreis    Gesamt
1    Beratung           10 Std   120,00         1.200,00
2    Buch               1        100,00           100,00
                                 Nettobetrag    1.300,00 €
                                 USt. 7 % auf 100,00 €         7,00 €
                                 USt. 19 % auf 1.200,00 €    228,00 €
                                 Gesamtbetrag   1.535,00 €
Zahlbar innerhalb 14 Tagen bis 19.07.2023, 2 % Skonto bis 12.07.2023
IBAN: DE89 3704 0044 0532 0130 00   BIC: COBADEFFXXX
"""

AMERICAN_INVOICE = """
ACME Inc.                                 INVOICE
                                          Invoice #      INV-1029
                                          Invoice Date   03/05/2024
                                          P.O. #         7781
                                          Due Date       04/14/2024
QTY   DESCRIPTION        UNIT PRICE   AMOUNT
2     Widget             50.00        100.00
                         Subtotal     100.00
                         Sales Tax 8.25%   8.25
                         TOTAL        $108.25
"""

FRENCH_INVOICE = """
SARL Martin                     FACTURE N° FA2024-017
                                Date : 12/04/2024
                                Échéance : 12/05/2024
                 Total HT           1 400,00 €
                 TVA 20 %             280,00 €
                 Total TTC          1 680,00 €
                 Acompte versé        500,00 €
                 Net à payer        1 180,00 €
"""

BRITISH_INVOICE = """
Invoice Number   Invoice Date   Account   Due Date
NW-778           1 Aug 2023     C-0091    31 Aug 2023
Description           Qty    Rate     VAT     Amount
Hosting               1      £90.00   20%     £90.00
Net total        VAT         Invoice total
£90.00           £18.00      £108.00
"""

ITALIAN_INVOICE = """
FATTURA N. 45/2024 del 15/02/2024
Imponibile      1.000,00
IVA 22%           220,00
Totale fattura  1.220,00 EUR
Scadenza: 16/03/2024
"""

SPANISH_CREDIT_NOTE = """
Nota de crédito Nº: A/2024/115       Fecha: 7 de marzo de 2024
Base imponible                            -400,00 €
IVA 21%                                    -84,00 €
Total factura                             -484,00 €
"""


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        (
            GERMAN_INVOICE,
            {
                "invoice_number": "2023-0815",
                "date": "2023-07-05",
                "due_date": "2023-07-19",
                "currency": "EUR",
                "subtotal": "1300.00",
                "tax": "235.00",
                "total": "1535.00",
                "amount_due": None,
                "iban": "DE89370400440532013000",
            },
        ),
        (
            AMERICAN_INVOICE,
            {
                "invoice_number": "INV-1029",
                "date": "2024-03-05",
                "due_date": "2024-04-14",
                "currency": "USD",
                "subtotal": "100.00",
                "tax": "8.25",
                "total": "108.25",
            },
        ),
        (
            FRENCH_INVOICE,
            {
                "invoice_number": "FA2024-017",
                "date": "2024-04-12",
                "due_date": "2024-05-12",
                "subtotal": "1400.00",
                "tax": "280.00",
                "total": "1680.00",
                "amount_due": "1180.00",
            },
        ),
        (
            BRITISH_INVOICE,
            {
                "invoice_number": "NW-778",
                "date": "2023-08-01",
                "due_date": "2023-08-31",
                "currency": "GBP",
                "subtotal": "90.00",
                "tax": "18.00",
                "total": "108.00",
            },
        ),
        (
            ITALIAN_INVOICE,
            {"invoice_number": "45/2024", "date": "2024-02-15", "due_date": "2024-03-16", "total": "1220.00"},
        ),
        (
            SPANISH_CREDIT_NOTE,
            {"invoice_number": "A/2024/115", "date": "2024-03-07", "subtotal": "-400.00", "total": "-484.00"},
        ),
    ],
    ids=["german", "american", "french", "british", "italian", "spanish"],
)
def test_an_invoices_header_values_are_found(page: str, expected: dict[str, str | None]) -> None:
    """One schema serves all; labels differ by language and values stand right of them or below."""
    record = read(page, INVOICE, DateOrder.MONTH_FIRST if page is AMERICAN_INVOICE else DateOrder.DAY_FIRST)
    assert {name: record[name] for name in expected} == expected


def test_one_date_that_can_only_be_month_first_decides_for_its_page() -> None:
    """A page prints its dates alike, so 04/14 says how to read 03/05 beside it."""
    assert read(AMERICAN_INVOICE, INVOICE, DateOrder.DAY_FIRST)["date"] == "2024-03-05"


@pytest.mark.parametrize(
    ("page", "date"),
    [
        ("DATE: 12/03/201814:22", "2018-03-12"),
        ("Receipt#: CS1 Date: 17/01/2018 Time: 10:51", "2018-01-17"),
        ("Printed: 02/01/2018\nBizdate: 01/01/2018", "2018-01-01"),
        ("Printed: 02/01/2018", "2018-01-02"),
        ("Delivery date: 02/01/2018\n03/01/2018 18:22", "2018-01-03"),
        ("Delivery date: 02/01/2018", None),
    ],
)
def test_the_documents_date_is_told_from_other_dates(page: str, date: str | None) -> None:
    """Delivery dates are never the document's; a print date is, where there is no other."""
    assert read(page, RECEIPT)["date"] == date


@pytest.mark.parametrize(
    ("page", "number"),
    [
        ("Handelsrechnung (380) Nr. 471102 vom 05.06.2018", "471102"),
        ("Invoice no. 17 of 3 May 2018", "17"),
        ("Customer number 99   Invoice no.: A/17-3.", "A/17-3"),
        ("Rechnung gemäß Bestellung vom 01.03.2018", None),
    ],
)
def test_the_documents_number_is_told_from_dates_codes_and_other_numbers(page: str, number: str | None) -> None:
    """An invoice bears many numbers, and type codes in brackets."""
    assert read(page, INVOICE)["invoice_number"] == number


def test_terms_and_conditions_yield_nothing() -> None:
    """The last page of an invoice must not overwrite the values of the page before."""
    page = """
    1. Payment is due within 30 days of the invoice date.
    2. The total liability is limited to the total amount of the invoice.
    3. VAT will be charged at 20% from 1 January 2024.
    """
    record = read(page, INVOICE)
    assert {name: value for name, value in record.items() if value is not None} == {"line_items": []}


def test_headers_of_item_tables_are_no_totals() -> None:
    """On the first page of a long invoice the columns `VAT` and `Total` hold single positions."""
    page = """
    Description    Qty    Net     VAT    Total
    Hosting        1      90.00   18.00  108.00
    Support        1      10.00    2.00   12.00
    """
    record = read(page, INVOICE)
    assert [record[name] for name in ("subtotal", "tax", "total")] == [None, None, None]
