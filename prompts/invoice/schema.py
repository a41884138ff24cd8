"""Invoice: who bills whom for what."""

from typing import Annotated

from pydantic import BaseModel, Field

from pipeline.schema import Amount, Currency, Date, Iban, Printed, Role


class LineItem(BaseModel):
    """One billed position."""

    description: Annotated[str | None, Printed("Description", "Item", "Bezeichnung", "Artikel", "Désignation", "Omschrijving", role=Role.DESCRIPTION)] = Field(None, description="What is billed.")
    quantity: Annotated[Amount | None, Printed("Qty", "Quantity", "Menge", "Anzahl", "Quantité", "Aantal", role=Role.QUANTITY)] = Field(None, description="Number of units.")
    unit_price: Annotated[Amount | None, Printed("Unit price", "Price", "Einzelpreis", "Preis", "Prix unitaire", "Prijs", role=Role.UNIT_PRICE)] = Field(None, description="Price of one unit.")
    tax_rate: Annotated[Amount | None, Printed("Tax", "VAT", "USt", "MwSt", "TVA", "BTW", role=Role.TAX_RATE)] = Field(None, description="Tax rate in per cent.")
    line_total: Annotated[Amount | None, Printed("Amount", "Total", "Betrag", "Gesamt", "Montant", "Bedrag", role=Role.LINE_TOTAL)] = Field(None, description="Price of the position.")


class Invoice(BaseModel):
    """An invoice or credit note."""

    seller: Annotated[str | None, Printed("Seller", "Verkäufer", "Vendeur", role=Role.ISSUER_NAME)] = Field(None, description="Company that bills.")
    buyer: Annotated[str | None, Printed("Buyer", "Bill to", "Käufer", "Acheteur", role=Role.RECIPIENT_NAME)] = Field(None, description="Company or person that is billed.")
    invoice_number: Annotated[str | None, Printed("Invoice number", "Invoice no", "Rechnungsnummer", "Rechnung Nr.", "Facture N°", "Factuurnummer", role=Role.DOCUMENT_NUMBER)] = Field(None, description="Number of the invoice.")
    date: Annotated[Date | None, Printed("Invoice date", "Date", "Rechnungsdatum", "Datum", "Date de facture", "Factuurdatum", role=Role.DOCUMENT_DATE)] = Field(None, description="Day of issue.")
    due_date: Annotated[Date | None, Printed("Due date", "Fällig am", "Zahlbar bis", "Échéance", "Vervaldatum", role=Role.DUE_DATE)] = Field(None, description="Day by which it is to be paid.")
    currency: Annotated[Currency | None, Printed("Currency", "Währung", "Devise", role=Role.CURRENCY)] = Field(None, description="ISO 4217 code of the amounts.")
    subtotal: Annotated[Amount | None, Printed("Subtotal", "Net amount", "Nettobetrag", "Total HT", role=Role.NET)] = Field(None, description="Sum without tax.")
    tax: Annotated[Amount | None, Printed("VAT", "Tax", "Umsatzsteuer", "MwSt", "TVA", "BTW", role=Role.TAX)] = Field(None, description="Sum of taxes.")
    total: Annotated[Amount | None, Printed("Total", "Grand total", "Gesamtbetrag", "Bruttobetrag", "Total TTC", "Totaal", role=Role.TOTAL)] = Field(None, description="Sum with tax.")
    amount_due: Annotated[Amount | None, Printed("Amount due", "Zahlbetrag", "Net à payer", role=Role.DUE)] = Field(None, description="What remains to be paid.")
    iban: Annotated[Iban | None, Printed("IBAN")] = Field(None, description="Bank account to pay to.")
    line_items: list[LineItem] = Field(default_factory=list, max_length=200, description="Positions in printed order.")
