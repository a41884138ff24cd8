"""Receipt: what a till printed.

Labels are the words under which a field is printed, in English, German, French, Dutch,
Spanish, Italian and Portuguese; case, accents, spaces and punctuation do not matter.
"""

from typing import Annotated, ClassVar

from pydantic import BaseModel, Field

from pipeline.rules import (
    Rule,
    amount_is_plausible,
    currency_fits_country,
    date_is_plausible,
    lines_add_up,
    quantity_times_price,
    tax_is_plausible,
)
from pipeline.schema import Amount, Currency, Date, Printed, Role, Split

DESCRIPTION = Printed(
    "Description", "Item", "Article", "Product", "Artikel", "Bezeichnung", "Beschreibung", "Désignation", "Libellé",
    "Omschrijving", "Descripción", "Artículo", "Concepto", "Descrizione", "Articolo", "Descrição", "Artigo",
    role=Role.DESCRIPTION,
)  # fmt: skip
QUANTITY = Printed(
    "Qty", "Quantity", "Menge", "Anzahl", "Qté", "Quantité", "Aantal", "Cantidad", "Cant", "Quantità", "Qtà",
    "Quantidade", "Qtd", role=Role.QUANTITY,
)  # fmt: skip
UNIT_PRICE = Printed(
    "Unit price", "Price", "U.Price", "U/P", "S/Price", "RSP", "Rate", "Einzelpreis", "Preis", "E-Preis",
    "Prix unitaire", "Prix", "P.U.", "Prijs", "Stukprijs", "Precio", "Precio unitario", "Prezzo", "Prezzo unitario",
    "Preço", "Preço unitário", role=Role.UNIT_PRICE,
)  # fmt: skip
LINE_TOTAL = Printed(
    "Amount", "Amt", "Total", "Line total", "Betrag", "Gesamt", "Gesamtpreis", "Summe", "Montant", "Total TTC",
    "Bedrag", "Totaal", "Importe", "Importo", "Totale", "Valor", role=Role.LINE_TOTAL,
)  # fmt: skip
DATE = Printed(
    "Date", "Invoice date", "Receipt date", "Bill date", "Biz date", "Transaction date", "Trans date", "Date of sale",
    "Date/Time", "Paid time", "Datum", "Rechnungsdatum", "Belegdatum", "Kaufdatum", "Bon vom", "Date d'achat",
    "Factuurdatum", "Bondatum", "Fecha", "Fecha de compra", "Data", "Data e ora", "Data acquisto", "Data de compra",
    "Date of issue", "Issue date", "Issued", "Tran date", "Txn date", "Sale date", "Ausstellungsdatum",
    "Ausgestellt am", "Verkaufsdatum", "Date de vente", "Date d'émission", "Datum/Tijd", "Verkoopdatum",
    "Fecha venta", "Fecha emisión", "Fecha y hora", "Data doc", "Data emissione", "Data/ora", "Data de emissão",
    "Data/hora",
    role=Role.DOCUMENT_DATE,
)  # fmt: skip
TAX = Printed(
    "GST", "VAT", "Tax", "Sales tax", "Total GST", "Total tax", "Total VAT", "GST amount", "VAT amount", "Tax amount",
    "GST payable", "GST included in total", "GST incl", "Incl GST", "Includes VAT", "SST", "HST", "MwSt", "USt",
    "Mehrwertsteuer", "Umsatzsteuer", "Steuer", "incl MwSt", "enthaltene MwSt", "TVA", "Total TVA", "Dont TVA",
    "Montant TVA", "BTW", "Totaal BTW", "BTW bedrag", "IVA", "Total IVA", "Cuota IVA", "Totale IVA", "Di cui IVA",
    "IVA incluido", "TVA incluse", "Cuota", "Imposta", "Imposto", "Btw totaal", "Waarvan btw", "USt-Betrag",
    "MwSt-Betrag", "Steuerbetrag", "Umsatzsteuer enthalten", "Darin enthaltene MwSt", "Enthaltene USt", "inkl MwSt",
    "inkl USt", "Summe MwSt", "Summe USt", "State tax", "Local tax", "PST", "QST", "VAT total", "Total taxes",
    "Taxes", "Sales tax total", "IVA total", "Service tax",
    role=Role.TAX,
)  # fmt: skip
TOTAL = Printed(
    "Total", "Grand total", "Final total", "Total amount", "Total amt", "Total due", "Total payable", "Total to pay",
    "Total sales", "Total paid", "Amount due", "Amt due", "Amount incl GST", "Amount incl VAT", "Amount payable",
    "Total amount payable", "Total amt payable", "Balance due", "Net total", "Nett total", "Nett",
    "Net amount payable", "Total incl GST", "Total incl VAT", "Total including tax", "Total inclusive GST",
    "Total inclusive of GST", "Total including GST", "Total incl of GST", "Total sales inclusive GST",
    "Total sales inclusive of GST", "Total sales incl GST", "Total gross", "Total rounded", "Rounded total",
    "Total amt rounded", "Total after rounding", "Total after adj", "Total RM incl of GST", "To pay", "Bill total",
    "Sale total", "Summe", "Gesamt", "Gesamtbetrag", "Gesamtsumme", "Endbetrag", "Rechnungsbetrag", "Zu zahlen",
    "Zahlbetrag", "Total TTC", "Montant TTC", "Total à payer", "Net à payer", "À payer", "Montant total",
    "Total facture", "Totaal", "Totaalbedrag", "Te betalen", "Totaal incl btw", "Total a pagar", "Importe total",
    "Total con IVA", "A pagar", "Totale", "Totale complessivo", "Importo totale", "Da pagare", "Totale euro",
    "Valor total", "Valor a pagar", "Total com IVA", "Total inc VAT", "Total inc GST", "Total inc tax", "Order total",
    "Check total", "Amount to pay", "Total to be paid", "Total CHF", "Zu bezahlen", "Summe Brutto", "Total inkl MwSt",
    "Gesamt brutto", "Endsumme", "Rechnungssumme", "Rechnungstotal", "Gesamtbetrag inkl MwSt", "Kaufbetrag",
    "Bruttobetrag", "Betrag EUR", "TTC", "Net TTC", "Net à payer TTC", "Total à régler", "À régler", "Montant dû",
    "Total dû", "Total euros", "Montant à payer", "Totaal te betalen", "Te voldoen", "Eindtotaal", "Totaal incl",
    "Totaal inclusief btw", "Total IVA incluido", "Importe a pagar", "Total compra", "Total ticket", "Suma total",
    "Totale a pagare", "Totale da pagare", "Netto a pagare", "Importo da pagare", "Tot euro", "Totale eur",
    "Subtotale da pagare", "Total geral", "Montante total", "Total fatura", "Total talão", "Total da compra",
    "Jumlah", "Total sale", "Sales total", "Total purchase", "Fuel total", "Total fuel", "Fuel sale",
    role=Role.TOTAL,
)  # fmt: skip
CURRENCY = Printed(
    "Currency", "Amounts in", "Währung", "Beträge in", "Devise", "Monnaie", "Valuta", "Munt", "Moneda", "Divisa",
    "Moeda", role=Role.CURRENCY,
)  # fmt: skip


class LineItem(BaseModel):
    """One article line."""

    description: Annotated[str | None, DESCRIPTION] = Field(None, description="Name of the article as printed.")
    quantity: Annotated[Amount | None, QUANTITY] = Field(None, description="Number of units, or weight.")
    unit_price: Annotated[Amount | None, UNIT_PRICE] = Field(None, description="Price of one unit.")
    line_total: Annotated[Amount | None, LINE_TOTAL] = Field(None, description="Price of the line.")


class Receipt(BaseModel):
    """A receipt as a till prints it."""

    # 25 articles of 55 tokens below 130 for the rest; the longest of 60 labelled receipts has 930 with all its text.
    max_output_tokens: ClassVar[int] = 1536
    text_layer_needs: ClassVar[tuple[str, ...]] = ("seller", "date", "total")
    # Of several receipts of one shop on one day, the end of each tells where the next one begins.
    split_on: ClassVar[Split] = Split(head=("seller", "address", "date"), end=("total",))
    rules: ClassVar[tuple[Rule, ...]] = (
        tax_is_plausible("tax", of="total"),
        lines_add_up("total"),
        quantity_times_price(),
        date_is_plausible("date"),
        amount_is_plausible("total"),
        currency_fits_country(by=("address",)),
    )

    seller: Annotated[str | None, Printed(role=Role.ISSUER_NAME)] = Field(
        None, description="Company name of the seller as printed, without its registration number."
    )
    address: Annotated[str | None, Printed(role=Role.ISSUER_ADDRESS)] = Field(
        None, description="Postal address of the seller, on one line."
    )
    date: Annotated[Date | None, DATE] = Field(None, description="Day of the purchase.")
    currency: Annotated[Currency | None, CURRENCY] = Field(
        None, description="Currency of the amounts: code or symbol as printed."
    )
    tax: Annotated[Amount | None, TAX] = Field(None, description="Sum of the taxes, where it is printed.")
    total: Annotated[Amount | None, TOTAL] = Field(None, description="Amount to pay: after rounding, tax included.")
    line_items: list[LineItem] = Field(default_factory=list, description="Articles in printed order.")
