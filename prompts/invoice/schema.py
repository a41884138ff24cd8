"""Invoice: who bills whom for what.

Labels are the words under which a field is printed, in English, German, French, Dutch,
Spanish, Italian and Portuguese; case, accents, spaces and punctuation do not matter.
"""

from typing import Annotated

from pydantic import BaseModel, Field

from pipeline.schema import Amount, Currency, Date, Iban, Printed, Role

DESCRIPTION = Printed(
    "Description", "Item", "Product", "Service", "Article", "Bezeichnung", "Beschreibung", "Artikel",
    "Artikelbezeichnung", "Artikelbeschreibung", "Leistung", "Désignation", "Libellé", "Omschrijving",
    "Descripción", "Concepto", "Artículo", "Descrizione", "Articolo", "Descrição", "Designação",
    role=Role.DESCRIPTION,
)  # fmt: skip
QUANTITY = Printed(
    "Qty", "Quantity", "Hours", "Units", "Menge", "Anzahl", "Quantité", "Qté", "Aantal", "Cantidad", "Cant",
    "Quantità", "Qtà", "Quantidade", "Qtd", role=Role.QUANTITY,
)  # fmt: skip
UNIT_PRICE = Printed(
    "Unit price", "Price", "Rate", "Unit cost", "Einzelpreis", "Preis", "Nettopreis", "E-Preis", "Stückpreis",
    "Prix unitaire", "Prix", "P.U.", "P.U. HT", "Prijs", "Stukprijs", "Prijs per stuk", "Precio", "Precio unitario",
    "Prezzo", "Prezzo unitario", "Preço", "Preço unitário", role=Role.UNIT_PRICE,
)  # fmt: skip
TAX_RATE = Printed(
    "Tax", "VAT", "VAT %", "Tax rate", "Taxes", "GST", "USt", "USt %", "MwSt", "MwSt %", "Steuersatz", "Steuer",
    "TVA", "Taux TVA", "BTW", "BTW %", "IVA", "IVA %", "Aliquota", role=Role.TAX_RATE,
)  # fmt: skip
LINE_TOTAL = Printed(
    "Amount", "Total", "Line total", "Line amount", "Line amount excl VAT", "Net amount", "Betrag", "Gesamt",
    "Gesamtpreis", "Positionsbetrag", "Nettobetrag", "Nettowert", "Entgelt", "Summe", "Montant", "Montant HT",
    "Prix HT", "Total HT", "Bedrag", "Totaal", "Importe", "Importo", "Totale", "Valor", role=Role.LINE_TOTAL,
)  # fmt: skip
SELLER = Printed(
    "Seller", "From", "Supplier", "Vendor", "Bill from", "Invoice from", "Service provider", "Issued by",
    "Verkäufer", "Lieferant", "Rechnungssteller", "Rechnungsersteller", "Absender", "Vendeur", "Fournisseur",
    "Émetteur", "Émis par", "Verkoper", "Leverancier", "Afzender", "Vendedor", "Emisor", "Proveedor", "Venditore",
    "Fornitore", "Cedente", "Mittente", "Emitente", "Fornecedor", role=Role.ISSUER_NAME,
)  # fmt: skip
BUYER = Printed(
    "Buyer", "Bill to", "Billed to", "Bill to address", "Invoice to", "Sold to", "Customer", "Client", "Käufer",
    "Käufer/Leistungsempfänger", "Rechnungsempfänger", "Empfänger", "Leistungsempfänger", "Kunde", "Rechnung an",
    "Acheteur", "Facturé à", "Adresse de facturation", "Destinataire", "Koper", "Klant", "Factuur aan", "Afnemer",
    "Comprador", "Cliente", "Facturar a", "Destinatario", "Acquirente", "Cessionario", "Fatturare a",
    "Intestatario", "Adquirente", "Faturar a", "Destinatário", role=Role.RECIPIENT_NAME,
)  # fmt: skip
INVOICE_NUMBER = Printed(
    "Invoice number", "Invoice no", "Invoice #", "Invoice nr", "Invoice ID", "Inv no", "Invoice", "Bill number",
    "Bill no", "Document number", "Document no", "Doc no", "Credit note", "Credit note number", "Credit note no",
    "Credit memo", "Tax invoice no", "Receipt number", "Receipt no", "Rechnungsnummer", "Rechnungs-Nr",
    "Rechnung Nr", "Rechnungsnr", "Rg-Nr", "Re-Nr", "Rechnung", "Handelsrechnung", "Handelsrechnung Nr",
    "Teilrechnung", "Schlussrechnung", "Belegnummer", "Beleg-Nr", "Dokumentnummer", "Gutschrift", "Gutschrift Nr",
    "Gutschriftsnummer", "Rechnungskorrektur", "Rechnungskorrektur Nr", "Stornorechnung", "Kostenrechnung",
    "Facture", "Facture n°", "Facture no", "Numéro de facture", "N° de facture", "N° facture", "Avoir", "Avoir n°",
    "Numéro d'avoir", "Factuurnummer", "Factuurnr", "Factuur nr", "Factuur", "Creditnota", "Creditfactuur",
    "Número de factura", "Factura n°", "Factura no", "N° factura", "Nº de factura", "Factura", "Nota de crédito",
    "Numero fattura", "Fattura n°", "Fattura numero", "N. fattura", "Fattura", "Nota di credito",
    "Número da fatura", "Número da factura", "Fatura n°", "Fatura", "N° fatura", role=Role.DOCUMENT_NUMBER,
)  # fmt: skip
DATE = Printed(
    "Invoice date", "Date", "Date of issue", "Issue date", "Issued", "Issued on", "Bill date", "Document date",
    "Dated", "Tax point", "Rechnungsdatum", "Datum", "Belegdatum", "Beleg-Datum", "Ausstellungsdatum",
    "Ausgestellt am", "Rechnung vom", "Date de facture", "Date de la facture", "Date facture", "Date d'émission",
    "Factuurdatum", "Datum factuur", "Fecha", "Fecha de factura", "Fecha de emisión", "Fecha factura", "Data",
    "Data fattura", "Data documento", "Data di emissione", "Data da fatura", "Data de emissão", "Data da factura",
    role=Role.DOCUMENT_DATE,
)  # fmt: skip
DUE_DATE = Printed(
    "Due date", "Date due", "Payment due", "Payment due date", "Due by", "Due on", "Pay by", "Payable by",
    "Please pay by", "Fällig am", "Fällig bis", "Fällig", "Fälligkeit", "Fälligkeitsdatum", "Fälligkeitstag",
    "Zahlbar bis", "Zahlbar", "Zahlungsziel", "Zahlungsfrist", "Zahlbar innerhalb", "Zu zahlen bis", "Zahlung bis",
    "Zahlen Sie bis", "Amount due by", "Total amount due by", "Total due by", "Betrag bis zum",
    "Betrag bis spätestens", "Échéance", "Date d'échéance", "À payer avant le", "À régler avant le", "Payable le",
    "Date limite de paiement", "Vervaldatum", "Vervaldag", "Te betalen voor", "Uiterste betaaldatum",
    "Betalen voor", "Fecha de vencimiento", "Vencimiento", "Vence el", "Data di scadenza", "Data scadenza",
    "Scadenza", "Da pagare entro", "Data de vencimento", "Vencimento", "Pagar até", role=Role.DUE_DATE,
)  # fmt: skip
CURRENCY = Printed(
    "Currency", "Invoice currency", "Amounts in", "Währung", "Rechnungswährung", "Beträge in", "Devise", "Monnaie",
    "Valuta", "Munteenheid", "Moneda", "Divisa", "Moeda", role=Role.CURRENCY,
)  # fmt: skip
SUBTOTAL = Printed(
    "Subtotal", "Sub-total", "Net amount", "Net total", "Net", "Total net", "Total excl VAT", "Total excl tax",
    "Total before tax", "Total excluding VAT", "Amount excl VAT", "Taxable amount", "Charges", "Nettobetrag",
    "Netto", "Nettosumme", "Summe netto", "Gesamt netto", "Gesamtbetrag netto", "Zwischensumme",
    "Rechnungssumme netto", "Rechnungssumme ohne USt", "Rechnungsbetrag netto", "Gesamtsumme netto",
    "Summe ohne MwSt", "Total HT", "Montant HT", "Total hors taxe", "Total hors taxes", "Sous-total", "Montant net",
    "Subtotaal", "Totaal excl btw", "Totaal exclusief btw", "Exclusief BTW", "Excl BTW", "Bedrag excl btw",
    "Base imponible", "Importe neto", "Total neto", "Subtotale", "Imponibile", "Totale imponibile", "Totale netto",
    "Base tributável", "Total sem IVA", "Total líquido", role=Role.NET,
)  # fmt: skip
TAX = Printed(
    "VAT", "Tax", "Sales tax", "GST", "Total VAT", "Total tax", "Tax total", "VAT total", "VAT amount",
    "Tax amount", "Taxes", "Umsatzsteuer", "USt", "USt-Betrag", "Mehrwertsteuer", "MwSt", "MwSt-Betrag", "zzgl USt",
    "zzgl MwSt", "Steuer", "Steuerbetrag", "Steuerbetrag in", "Summe USt", "Summe MwSt", "Gesamt USt",
    "Versicherungsteuer", "Versicherungssteuer", "TVA", "Total TVA", "Montant TVA", "Montant de la TVA",
    "Total taxes", "BTW", "BTW bedrag", "Totaal BTW", "IVA", "Total IVA", "Cuota IVA", "Importe IVA", "Totale IVA",
    "Imposta", "Importo IVA", "Valor do IVA", role=Role.TAX,
)  # fmt: skip
TOTAL = Printed(
    "Total", "Grand total", "Invoice total", "Total amount", "Total incl VAT", "Total incl tax",
    "Total including VAT", "Total gross", "Gross amount", "Gross total", "Total for this invoice",
    "Amount incl VAT", "Gesamtbetrag", "Gesamt", "Gesamtsumme", "Gesamt brutto", "Bruttobetrag", "Bruttosumme",
    "Brutto", "Rechnungsbetrag", "Rechnungssumme", "Rechnungssumme brutto", "Rechnungsbetrag brutto", "Endbetrag",
    "Endsumme", "Gesamtbetrag brutto", "Summe brutto", "Total TTC", "Montant TTC", "Montant total",
    "Total toutes taxes comprises", "Total général", "Totaal", "Totaalbedrag", "Totaal incl btw",
    "Totaal inclusief btw", "Factuurbedrag", "Bedrag incl btw", "Importe total", "Total factura", "Total con IVA",
    "Totale", "Totale fattura", "Importo totale", "Totale documento", "Totale complessivo", "Total da fatura",
    "Valor total", "Total com IVA", "Total geral", role=Role.TOTAL,
)  # fmt: skip
AMOUNT_DUE = Printed(
    "Amount due", "Amount due by", "Total amount due", "Total amount due by", "Total due by", "Balance due",
    "Total due", "Amount payable", "Total payable", "Balance", "Residual", "Outstanding", "Zahlbetrag", "Zu zahlen",
    "Zu zahlender Betrag", "Zu zahlender Beitrag", "Fälliger Betrag", "Offener Betrag", "Restbetrag",
    "Überweisungsbetrag", "Net à payer", "Total à payer", "À payer", "Reste à payer", "Solde", "Montant dû",
    "Te betalen", "Nog te betalen", "Openstaand bedrag", "Total a pagar", "Importe a pagar", "Saldo", "A pagar",
    "Importo dovuto", "Netto a pagare", "Totale da pagare", "Da pagare", "Valor a pagar", role=Role.DUE,
)  # fmt: skip


class LineItem(BaseModel):
    """One billed position."""

    description: Annotated[str | None, DESCRIPTION] = Field(None, description="What is billed, as printed.")
    quantity: Annotated[Amount | None, QUANTITY] = Field(None, description="Number of units.")
    unit_price: Annotated[Amount | None, UNIT_PRICE] = Field(None, description="Price of one unit.")
    tax_rate: Annotated[Amount | None, TAX_RATE] = Field(None, description="Tax rate in per cent.")
    line_total: Annotated[Amount | None, LINE_TOTAL] = Field(None, description="Price of the position.")


class Invoice(BaseModel):
    """An invoice or credit note."""

    seller: Annotated[str | None, SELLER] = Field(None, description="Company or person that bills.")
    buyer: Annotated[str | None, BUYER] = Field(None, description="Company or person that is billed.")
    invoice_number: Annotated[str | None, INVOICE_NUMBER] = Field(
        None, description="Number of the invoice or credit note."
    )
    date: Annotated[Date | None, DATE] = Field(None, description="Day of issue.")
    due_date: Annotated[Date | None, DUE_DATE] = Field(None, description="Day by which it is to be paid in full.")
    currency: Annotated[Currency | None, CURRENCY] = Field(
        None, description="Currency of the amounts: code or symbol as printed."
    )
    subtotal: Annotated[Amount | None, SUBTOTAL] = Field(None, description="Sum without tax, after discounts.")
    tax: Annotated[Amount | None, TAX] = Field(None, description="Sum of the taxes of all rates.")
    total: Annotated[Amount | None, TOTAL] = Field(None, description="Sum with tax.")
    amount_due: Annotated[Amount | None, AMOUNT_DUE] = Field(
        None, description="What remains to be paid after payments already made."
    )
    iban: Annotated[Iban | None, Printed("IBAN", "IBAN-Nr", "IBAN no")] = Field(
        None, description="Bank account to pay to."
    )
    line_items: list[LineItem] = Field(
        default_factory=list, max_length=200, description="Billed positions in printed order."
    )
