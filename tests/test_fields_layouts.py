"""Totals, numbers, days and currencies in the layouts of many trades: invented pages, one for each general rule."""

from __future__ import annotations

import pytest
from typed_pages import read

from pipeline.extraction import load_extraction

RECEIPT = load_extraction("receipt").model
INVOICE = load_extraction("invoice").model


@pytest.mark.parametrize(
    ("page", "net", "tax", "total", "due"),
    [
        (
            """
            MwSt-Satz   Nettobetrag   MwSt-Betrag   Bruttobetrag
            7,00 %      20,00         1,40          21,40
            19,00 %     20,00         3,80          23,80
            Rechnungsbetrag                         45,20 EUR
            """,
            *("40.00", "5.20", "45.20", None),
        ),
        (
            """
            Einzelbeträge   100,00   19,00
            Rechnungsbetrag   119,00 EUR (19 %)
            """,
            *("100.00", "19.00", "119.00", None),
        ),
        (
            """
            Netto        MwSt %    MwSt       Brutto EUR
            1.250,00     19        237,50     1.487,50
            """,
            *("1250.00", "237.50", "1487.50", None),
        ),
        ("Photo session   £400.00\nAmount due:   £400.00", None, None, "400.00", "400.00"),
        (
            """
            Total HT            1 200,00
            TVA 20 %              240,00
            Total TTC           1 440,00
            Provision versée     -500,00
            Solde à régler        940,00
            """,
            *("1200.00", "240.00", "1440.00", "940.00"),
        ),
        (
            """
            Base imponible         1.000,00 €
            IVA 21 %                 210,00 €
            Retención IRPF 15 %     -150,00 €
            Total a pagar          1.060,00 €
            """,
            *("1000.00", "210.00", "1060.00", "1060.00"),
        ),
        (
            """
            Subtotal               $80.00
            Shipping               $10.00
            Sales tax (8.25%)       $6.60
            Total                  $96.60
            """,
            *("80.00", "6.60", "96.60", None),
        ),
        ("Total   incl. 20% VAT   £120.00", None, None, "120.00", None),
    ],
    ids=["rates", "unlabelled", "strip", "only-due", "paid-before", "withheld", "shipping", "qualified"],
)
def test_net_tax_and_total_follow_from_each_other(
    page: str, net: str | None, tax: str | None, total: str, due: str | None
) -> None:
    """Labels differ without end; rates and sums hold everywhere."""
    record = read(page, INVOICE)
    assert [record[name] for name in ("subtotal", "tax", "total", "amount_due")] == [net, tax, total, due]


@pytest.mark.parametrize(
    ("page", "number"),
    [
        ("Schlussrechnung Nr. SR 2023-09-04   Blatt 2", "SR 2023-09-04"),
        ("Invoice No. INV 00231   Page 1", "INV 00231"),
        ("Invoice No. INV-1029", "INV-1029"),
        ("INVOICE\nNumber   2024-55", "2024-55"),
        ("Rechnung   Nr.2024-55", "2024-55"),
        ("INVOICE\n12 High Street", None),
        ("Ausgangsrechnung Nr. 2024-55", "2024-55"),
        ("Gutschrift-Nr.   zu Rechnung Nr.\nGS-44            RE-311 vom 12.03.2024", "GS-44"),
        ("Totale parcella   1.268,80\nParcella n. 12 del 10/04/2024", "12"),
    ],
)
def test_numbers_are_read_as_printed_and_from_their_own_labels(page: str, number: str | None) -> None:
    """Prefixes belong to the number; addresses, amounts and the numbers of other papers do not."""
    assert read(page, INVOICE)["invoice_number"] == number


@pytest.mark.parametrize(
    ("page", "day"),
    [
        ("Bitte überweisen Sie den Betrag ohne Abzug bis zum\n21.05.2024 auf unser Konto.", "2024-05-21"),
        ("Zahlung bis 21.05.2024 rein netto, bis 10.05.2024 abzüglich 2 % Skonto", "2024-05-21"),
        ("Nous vous remercions de régler cette facture avant le 21/05/2024.", "2024-05-21"),
        ("Wij verzoeken u het bedrag vóór 21-05-2024 over te maken.", "2024-05-21"),
        ("Pay this amount by 21-MAY-2024. Remit to: P.O. Box 12, Chicago", "2024-05-21"),
        ("Paid on 21 May 2024 by Visa", None),
        ("Bezahlt am 21.05.2024 per PayPal", None),
        ("Your contract ends by 21 May 2024", None),
    ],
)
def test_a_sentence_about_paying_says_the_due_date(page: str, day: str | None) -> None:
    """Many bills name the day only in a sentence; what was paid already is not due."""
    assert read(page, INVOICE)["due_date"] == day


@pytest.mark.parametrize(
    ("page", "day"),
    [
        ("418 Main St\nBozeman, MT 59715\n07/04/2024", "2024-07-04"),
        ("Hauptstr. 1\nDE 59715 Neheim\n07/04/2024", "2024-04-07"),
        ("Invoice No. SR 2023-09-04\nFreising, 31.01.2024", "2024-01-31"),
        ("Sort code: 60-11-22", None),
    ],
)
def test_addresses_tell_the_order_of_dates_and_numbers_are_none(page: str, day: str | None) -> None:
    """Americans print the month first; sort codes and invoice numbers may look like days."""
    assert read(page, INVOICE)["date"] == day


@pytest.mark.parametrize(
    ("page", "currency"),
    [
        ("Olio extravergine DOP 5 l   10,00\nTotale fattura €   10,00", "EUR"),
        ("Bearing 6205-2RS   1   4.00", None),
        ("BTW   OVER   EUR\n21%   0,08   0,02", "EUR"),
        ("Netto EUR   616,00", "EUR"),
        ("Total S$   218.00", "SGD"),
        ("Total 1'250.00 CHF   (approx. € 1'300)", "CHF"),
    ],
)
def test_the_currency_is_the_one_of_the_amounts(page: str, currency: str | None) -> None:
    """Codes are words as well; beside an amount with cents, or in the label of one, they mean money."""
    assert read(page, RECEIPT)["currency"] == currency
