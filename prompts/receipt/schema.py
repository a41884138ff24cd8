"""Receipt: what a till printed."""

from typing import Annotated

from pydantic import BaseModel, Field

from pipeline.schema import Amount, Currency, Date, Printed, Role


class LineItem(BaseModel):
    """One article line."""

    description: Annotated[str | None, Printed("Description", "Item", "Article", "Artikel", "Bezeichnung", role=Role.DESCRIPTION)] = Field(None, description="Article as printed.")
    quantity: Annotated[Amount | None, Printed("Qty", "Quantity", "Menge", "Anzahl", role=Role.QUANTITY)] = Field(None, description="Number of units.")
    unit_price: Annotated[Amount | None, Printed("Price", "Unit price", "U.Price", "Einzelpreis", role=Role.UNIT_PRICE)] = Field(None, description="Price of one unit.")
    line_total: Annotated[Amount | None, Printed("Amount", "Total", "Betrag", "Gesamt", role=Role.LINE_TOTAL)] = Field(None, description="Price of the line.")


class Receipt(BaseModel):
    """A receipt as a till prints it."""

    seller: Annotated[str | None, Printed(role=Role.ISSUER_NAME)] = Field(None, description="Company name of the seller as printed, without registration number.")
    address: Annotated[str | None, Printed(role=Role.ISSUER_ADDRESS)] = Field(None, description="Postal address of the seller, on one line.")
    date: Annotated[Date | None, Printed("Date", "Datum", "Invoice date", role=Role.DOCUMENT_DATE)] = Field(None, description="Day of the purchase.")
    currency: Annotated[Currency | None, Printed(role=Role.CURRENCY)] = Field(None, description="ISO 4217 code of the amounts.")
    tax: Annotated[Amount | None, Printed("GST", "VAT", "Tax", "MwSt", "USt", "TVA", role=Role.TAX)] = Field(None, description="Tax included in the total.")
    total: Annotated[Amount | None, Printed("Total", "Grand total", "Amount due", "Summe", "Gesamtbetrag", "Zu zahlen", role=Role.TOTAL)] = Field(None, description="Amount to pay after rounding, tax included.")
    line_items: list[LineItem] = Field(default_factory=list, max_length=200, description="Articles in printed order.")
