"""Invoice: who bills whom for what.

Labels are the words under which a field is printed, in English, German, French, Dutch,
Spanish, Italian and Portuguese; case, accents, spaces and punctuation do not matter.
"""

from typing import Annotated, ClassVar

from pydantic import BaseModel, Field

from pipeline.rules import (
    Rule,
    adds_up,
    amount_is_plausible,
    currency_fits_country,
    date_is_plausible,
    dates_in_order,
    is_between,
    lines_add_up,
    quantity_times_price,
    tax_is_plausible,
)
from pipeline.schema import Amount, Currency, Date, Iban, Printed, Role, Split

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
    "Tax", "VAT", "Tax rate", "Taxes", "GST", "USt", "MwSt", "Steuersatz", "Steuer", "TVA", "Taux TVA", "BTW", "IVA",
    "Aliquota", role=Role.TAX_RATE,
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
    "Comprador", "Cliente", "Facturar a", "Destinatario", "Acquirente", "Cessionario", "Fatturare a", "Intestatario",
    "Adquirente", "Faturar a", role=Role.RECIPIENT_NAME,
)  # fmt: skip
INVOICE_NUMBER = Printed(
    "Invoice number", "Invoice no", "Invoice #", "Invoice nr", "Invoice ID", "Inv no", "Bill number", "Bill no",
    "Document number", "Document no", "Doc no", "Credit note", "Credit note number", "Credit note no", "Credit memo",
    "Tax invoice no", "Receipt number", "Receipt no", "Rechnungsnummer", "Rechnungs-Nr", "Rechnung Nr", "Rg-Nr",
    "Re-Nr", "Rechnung", "Handelsrechnung", "Handelsrechnung Nr", "Teilrechnung", "Schlussrechnung", "Belegnummer",
    "Beleg-Nr", "Dokumentnummer", "Gutschrift", "Gutschrift Nr", "Gutschriftsnummer", "Rechnungskorrektur",
    "Rechnungskorrektur Nr", "Stornorechnung", "Kostenrechnung", "Facture", "Facture n°", "Facture no",
    "Numéro de facture", "N° de facture", "N° facture", "Avoir", "Avoir n°", "Numéro d'avoir", "Factuurnummer",
    "Factuurnr", "Factuur", "Creditnota", "Creditfactuur", "Número de factura", "Factura n°", "Factura no",
    "N° factura", "Nº de factura", "Factura", "Nota de crédito", "Numero fattura", "Fattura n°", "Fattura numero",
    "N. fattura", "Fattura", "Nota di credito", "Número da fatura", "Número da factura", "Fatura n°", "Fatura",
    "N° fatura", "Invoice reference", "Invoice ref", "Tax invoice", "Tax invoice number", "VAT invoice",
    "VAT invoice no", "Sales invoice", "Sales invoice no", "Fee note", "Fee note no", "Debit note", "Debit note no",
    "Statement no", "Credit no", "Credit number", "Our invoice", "Rech-Nr", "Rechn-Nr", "Faktura", "Faktura Nr",
    "Fakturanummer", "Honorarnote", "Honorarnote Nr", "Abrechnungsnummer", "Abrechnungs-Nr", "Verbrauchsabrechnung",
    "Jahresabrechnung", "Stromrechnung", "Sammelrechnung", "Sammelrechnung Nr", "Monatsrechnung", "Abschlagsrechnung",
    "Honorarrechnung", "Anzahlungsrechnung", "Beleg", "Gutschriftnummer", "Storno-Nr", "Dokument-Nr",
    "Rechnung / Beleg", "Facture num", "Facture numéro", "Réf facture", "Note d'honoraires", "Note d'honoraires n°",
    "Facture d'acompte n°", "N° de pièce", "N° pièce", "N° document", "N° d'avoir", "Note de crédit",
    "Note de crédit n°", "Facture de vente", "Fact nr", "Faktuurnummer", "Notanummer", "Creditnota nr",
    "Creditnummer", "Documentnummer", "Factura núm", "Factura número", "Núm factura", "Núm de factura", "Nº factura",
    "Factura simplificada", "Factura rectificativa", "Factura rectificativa nº", "Nº documento",
    "Número de documento", "Abono nº", "Serie y número", "Factura proforma", "Fattura nr", "Nr fattura",
    "Num fattura", "Fattura di cortesia", "Numero documento", "N. documento", "Nr documento", "Documento n",
    "Parcella", "Parcella n", "Nota di credito n", "Ricevuta n", "Fattura differita", "Fattura immediata",
    "Fatura nº", "Fatura número", "Fatura-recibo", "Fatura recibo nº", "Fatura simplificada", "Nº fatura",
    "Nº da fatura", "Documento nº", "Nº do documento", "Nota de crédito nº", "Invoice / Receipt no",
    "Rechnung/Beleg-Nr", "Re-Nummer", "Rg-Nummer", "Rechnung Nummer", "Facture réf", "Facture référence",
    "N° de la facture", "N° de note", "Note n°", "N. doc", "Doc n", "Nº doc", "Número de factura/Invoice",
    "Bill of sale no", "Invoice document no", "Fact nº",
    role=Role.DOCUMENT_NUMBER,
)  # fmt: skip
DATE = Printed(
    "Invoice date", "Date", "Date of issue", "Issue date", "Issued", "Issued on", "Bill date", "Document date",
    "Dated", "Tax point", "Rechnungsdatum", "Datum", "Belegdatum", "Ausstellungsdatum", "Ausgestellt am",
    "Rechnung vom", "Date de facture", "Date de la facture", "Date facture", "Date d'émission", "Factuurdatum",
    "Datum factuur", "Fecha", "Fecha de factura", "Fecha de emisión", "Fecha factura", "Data", "Data fattura",
    "Data documento", "Data di emissione", "Data da fatura", "Data de emissão", "Data da factura", "Date of invoice",
    "Invoice dated", "Billing date", "Statement date", "Tax date", "Tax point date", "Date/Tax point",
    "Invoice date/Tax point", "Issue", "Date raised", "Bill issued", "Datum der Rechnung", "Erstellt am",
    "Ausgestellt", "Ausstellungstag", "Faktura-Datum", "Rechnungstag", "Datum Rechnung", "Gutschriftsdatum",
    "Date d'établissement", "Date de la pièce", "Facture du", "Émise le", "Émis le", "Établie le", "Fait le",
    "En date du", "Datum van uitgifte", "Fecha de expedición", "Fecha expedición", "Fecha emisión", "Fecha documento",
    "Fecha de la factura", "Data emissione", "Data doc", "Data del documento", "Data fatt", "Emessa il",
    "Data emissão", "Data do documento", "Data da emissão", "Emitida em",
    role=Role.DOCUMENT_DATE,
)  # fmt: skip
DUE_DATE = Printed(
    "Due date", "Date due", "Payment due", "Payment due date", "Due by", "Due on", "Pay by", "Payable by",
    "Please pay by", "Fällig am", "Fällig bis", "Fällig", "Fälligkeit", "Fälligkeitsdatum", "Fälligkeitstag",
    "Zahlbar bis", "Zahlbar", "Zahlungsziel", "Zahlungsfrist", "Zahlbar innerhalb", "Zu zahlen bis", "Zahlung bis",
    "Zahlen Sie bis", "Amount due by", "Total amount due by", "Total due by", "Betrag bis zum",
    "Betrag bis spätestens", "Échéance", "Date d'échéance", "À payer avant le", "À régler avant le", "Payable le",
    "Date limite de paiement", "Vervaldatum", "Vervaldag", "Te betalen voor", "Uiterste betaaldatum", "Betalen voor",
    "Fecha de vencimiento", "Vencimiento", "Vence el", "Data di scadenza", "Data scadenza", "Scadenza",
    "Da pagare entro", "Data de vencimento", "Vencimento", "Pagar até", "Payment date", "Payment due by", "Due",
    "To be paid by", "Payment required by", "Please pay before", "Pay before", "Settlement date", "Direct debit date",
    "Terms due", "Zahlbar spätestens", "Zahlungstermin", "Zahlungsziel bis", "Zahlung fällig am", "Zahlung fällig",
    "Zahlbar ohne Abzug bis", "Netto fällig", "Nettofälligkeit", "Fälligkeitstermin", "Zahltermin", "Einzug am",
    "Abbuchung am", "Échéance le", "Date échéance", "Date limite", "À régler le", "Règlement le",
    "Règlement avant le", "Date de règlement", "Payable avant le", "Payable au plus tard le", "Date de paiement",
    "Te voldoen voor", "Betaaldatum", "Uiterste betaaldag", "Betaal voor", "Voldoen voor", "Fecha vencimiento",
    "Fecha vto", "Vto", "Vencimientos", "Fecha de pago", "Pagar antes del", "Data scad", "Scadenze", "Data pagamento",
    "Scadenza pagamento", "Pagamento entro", "Entro il", "Data vencimento", "Data limite de pagamento", "Pagável até",
    "Data limite pagamento", "Vence em",
    role=Role.DUE_DATE,
)  # fmt: skip
CURRENCY = Printed(
    "Currency", "Invoice currency", "Amounts in", "Währung", "Rechnungswährung", "Beträge in", "Devise", "Monnaie",
    "Valuta", "Munteenheid", "Moneda", "Divisa", "Moeda", role=Role.CURRENCY,
)  # fmt: skip
SUBTOTAL = Printed(
    "Subtotal", "Net amount", "Net total", "Net", "Total net", "Total excl VAT", "Total excl tax", "Total before tax",
    "Total excluding VAT", "Amount excl VAT", "Taxable amount", "Charges", "Nettobetrag", "Netto", "Nettosumme",
    "Summe netto", "Gesamt netto", "Gesamtbetrag netto", "Zwischensumme", "Rechnungssumme netto",
    "Rechnungssumme ohne USt", "Rechnungsbetrag netto", "Gesamtsumme netto", "Summe ohne MwSt", "Total HT",
    "Montant HT", "Total hors taxe", "Total hors taxes", "Sous-total", "Montant net", "Subtotaal", "Totaal excl btw",
    "Totaal exclusief btw", "Exclusief BTW", "Excl BTW", "Bedrag excl btw", "Base imponible", "Importe neto",
    "Total neto", "Subtotale", "Imponibile", "Totale imponibile", "Totale netto", "Base tributável", "Total sem IVA",
    "Total líquido", "Net value", "Net sum", "Net subtotal", "Total ex VAT", "Total ex GST", "Total excl GST",
    "Total excluding GST", "Total excluding tax", "Total exclusive of VAT", "Subtotal excl VAT", "Subtotal ex VAT",
    "Subtotal ex GST", "Subtotal excl GST", "Amount before tax", "Total net amount", "Goods total", "Goods value",
    "Total goods", "Net goods", "Nett", "Nett total", "Nett amount", "Net invoice total", "Merchandise total",
    "Taxable value", "Total taxable", "Net price", "Netto gesamt", "Netto-Gesamtbetrag", "Total netto",
    "Zwischensumme netto", "Nettowarenwert", "Warenwert netto", "Total exkl MwSt", "Total ohne MwSt",
    "Total excl MwSt", "Betrag netto", "Gesamtbetrag ohne USt", "Gesamtbetrag ohne MwSt", "Gesamtbetrag exkl USt",
    "Gesamt exkl USt", "Honorarsumme netto", "Honorar netto", "Summe exkl USt", "Summe exkl MwSt", "Summe zzgl MwSt",
    "Nettoentgelt", "Gesamtpreis netto", "Rechnungsnetto", "Nettorechnungsbetrag", "Subtotal exkl MwSt",
    "Summe Nettobeträge", "Nettowert", "Total net HT", "Net HT", "Base HT", "Montant total HT", "Sous-total HT",
    "Total HTVA", "Montant HTVA", "Montant hors taxes", "Montant hors TVA", "Total hors TVA", "Total HT net",
    "Total honoraires HT", "HT", "Totaal HT", "Nettobedrag", "Totaal netto", "Totaal ex btw", "Totaal excl",
    "Totaal exclusief", "Subtotaal excl btw", "Subtotaal exclusief btw", "Subtotaal ex btw", "Bedrag exclusief btw",
    "Maatstaf van heffing", "Totaal zonder btw", "Goederenbedrag", "Base imponible total", "Total base imponible",
    "Total sin IVA", "Importe sin IVA", "Suma neta", "Total bruto", "Subtotal sin IVA", "Base", "Base I.V.A.",
    "B. imponible", "Importe bruto", "Total bases", "Totale merce", "Netto merce", "Tot imponibile", "Imponibile IVA",
    "Totale netto merce", "Totale senza IVA", "Totale competenze", "Tot merce", "Total s/ IVA", "Valor líquido",
    "Total ilíquido", "Incidência", "Total tributável", "Base de incidência", "Total mercadoria", "Subtotal sem IVA",
    "Total nett", "Total exkl", "Summe exkl", "Gesamt exkl", "Total excl", "Total ex", "Nettohonorar", "Honorarsumme",
    "Zwischentotal", "Total hors", "Total avant TVA", "Montant avant TVA", "Totale parziale", "Soma",
    "Total sem impostos",
    role=Role.NET,
)  # fmt: skip
TAX = Printed(
    "VAT", "Tax", "Sales tax", "GST", "Total VAT", "Total tax", "Tax total", "VAT total", "VAT amount", "Tax amount",
    "Taxes", "Umsatzsteuer", "USt", "USt-Betrag", "Mehrwertsteuer", "MwSt", "MwSt-Betrag", "zzgl USt", "zzgl MwSt",
    "Steuer", "Steuerbetrag", "Steuerbetrag in", "Summe USt", "Summe MwSt", "Gesamt USt", "Versicherungsteuer",
    "Versicherungssteuer", "TVA", "Total TVA", "Montant TVA", "Montant de la TVA", "Total taxes", "BTW", "BTW bedrag",
    "Totaal BTW", "IVA", "Total IVA", "Cuota IVA", "Importe IVA", "Totale IVA", "Imposta", "Importo IVA",
    "Valor do IVA", "VAT payable", "Total VAT amount", "GST total", "GST amount", "Total GST", "GST payable",
    "Sales tax total", "State tax", "Total sales tax", "HST", "PST", "QST", "SST", "Service tax", "Consumption tax",
    "VAT due", "Value added tax", "Umsatzsteuer gesamt", "USt gesamt", "MwSt gesamt", "Steuer gesamt", "Gesamtsteuer",
    "Enthaltene MwSt", "Enthaltene USt", "Enthaltene Umsatzsteuer", "Enthaltene Mehrwertsteuer",
    "Darin enthaltene MwSt", "Darin enthaltene USt", "inkl MwSt", "inkl USt", "Umsatzsteuerbetrag",
    "Mehrwertsteuerbetrag", "zzgl Umsatzsteuer", "zzgl Mehrwertsteuer", "zuzüglich USt", "zuzüglich MwSt",
    "zuzüglich Umsatzsteuer", "zuzüglich Mehrwertsteuer", "MwSt-Summe", "USt-Summe", "Summe Steuer",
    "Summe Umsatzsteuer", "Total MwSt", "enthält MwSt", "enthält USt", "Steuersumme", "Dont TVA", "TVA totale",
    "Montant taxe", "Total taxe", "Taxe", "TVA due", "Btw totaal", "Totaal btw bedrag", "Waarvan btw",
    "BTW te betalen", "Omzetbelasting", "Cuota", "Total cuota", "Total cuotas", "Total cuota IVA", "Total impuestos",
    "Impuestos", "Importe de IVA", "Cuotas IVA", "IGIC", "Totale imposta", "Tot IVA", "Totale imposte", "Imposte",
    "IVA totale", "Valor IVA", "Total do IVA", "Total impostos", "Imposto", "Total imposto",
    role=Role.TAX,
)  # fmt: skip
TOTAL = Printed(
    "Total", "Grand total", "Invoice total", "Total amount", "Total incl VAT", "Total incl tax",
    "Total including VAT", "Total gross", "Gross amount", "Gross total", "Total for this invoice", "Amount incl VAT",
    "Gesamtbetrag", "Gesamt", "Gesamtsumme", "Gesamt brutto", "Bruttobetrag", "Bruttosumme", "Brutto",
    "Rechnungsbetrag", "Rechnungssumme", "Rechnungssumme brutto", "Rechnungsbetrag brutto", "Endbetrag", "Endsumme",
    "Gesamtbetrag brutto", "Summe brutto", "Total TTC", "Montant TTC", "Montant total",
    "Total toutes taxes comprises", "Total général", "Totaal", "Totaalbedrag", "Totaal incl btw",
    "Totaal inclusief btw", "Factuurbedrag", "Bedrag incl btw", "Importe total", "Total factura", "Total con IVA",
    "Totale", "Totale fattura", "Importo totale", "Totale documento", "Totale complessivo", "Total da fatura",
    "Valor total", "Total com IVA", "Total geral", "Gross", "Total inc VAT", "Total inc GST", "Total incl GST",
    "Total inc tax", "Total including tax", "Total including GST", "Total inclusive of VAT", "Total inclusive of GST",
    "Total incl", "Invoice amount", "Invoice value", "Total invoice value", "Total charges", "Total invoice",
    "Invoice total incl VAT", "Order total", "Total amount incl VAT", "Total amount incl GST", "Total amount inc VAT",
    "Total value", "Total price", "Total this invoice", "Amount including VAT", "Total credit", "Credit total",
    "Total new charges", "Total current charges", "Gross amount payable", "Net payable", "Total inkl MwSt",
    "Total inkl USt", "Gesamtbetrag inkl MwSt", "Gesamtbetrag inkl USt", "Gesamt inkl MwSt", "Gesamt inkl USt",
    "Summe inkl MwSt", "Summe inkl USt", "Gesamtsumme inkl MwSt", "Gesamtsumme brutto", "Total brutto",
    "Honorarsumme brutto", "Honorar brutto", "Rechnungstotal", "Totalbetrag", "Rechnungsendbetrag",
    "Bruttorechnungsbetrag", "Gesamtpreis brutto", "Endpreis", "Brutto-Gesamtbetrag", "Brutto gesamt",
    "Betrag brutto", "Gutschriftsbetrag", "Gutschriftbetrag", "Gutschriftssumme", "Gesamtrechnungsbetrag",
    "Rechnungsbetrag inkl MwSt", "Rechnungsbetrag inkl USt", "Gesamtkosten", "Total Rechnung", "Summe", "TTC",
    "Net TTC", "Total TVAC", "Montant TVAC", "Total TVA comprise", "Total TTC net", "Montant total TTC",
    "Total de la facture", "Total facture", "Montant de la facture", "Total avoir", "Montant facture",
    "Totaal inclusief", "Totaal incl", "Totaal inc btw", "Eindtotaal", "Eindbedrag", "Factuurtotaal",
    "Totaal factuur", "Totaal factuurbedrag", "Bedrag inclusief btw", "Totaal met btw", "Subtotaal incl btw",
    "Total importe", "Importe factura", "Total euros", "Total IVA incluido", "Total con impuestos", "Total documento",
    "Total abono", "Importe total factura", "Suma total", "Totale ivato", "Totale euro", "Totale generale",
    "Tot fattura", "Tot documento", "Totale IVA inclusa", "Totale IVA compresa", "Totale con IVA", "Importo fattura",
    "Totale lordo", "Total do documento", "Total c/ IVA", "Total fatura", "Valor da fatura", "Montante total",
    "Total global", "Gesamthonorar", "Bruttohonorar", "Honorar gesamt", "Total inkl", "Gesamt inkl", "Summe inkl",
    "Gesamtbetrag inkl", "Total en CHF", "Total TVA incluse", "Total TVA incl", "Montant total TVA incluse",
    "Total de votre facture", "Montant de votre facture", "Totale bolletta", "Jumlah", "Jumlah besar", "Total inc",
    "Invoice grand total", "Totaal factuur incl btw", "Total a facturar", "Importe total con IVA",
    role=Role.TOTAL,
)  # fmt: skip
AMOUNT_DUE = Printed(
    "Amount due", "Amount due by", "Total amount due", "Total amount due by", "Total due by", "Balance due",
    "Total due", "Amount payable", "Total payable", "Balance", "Residual", "Outstanding", "Zahlbetrag", "Zu zahlen",
    "Zu zahlender Betrag", "Zu zahlender Beitrag", "Fälliger Betrag", "Offener Betrag", "Restbetrag",
    "Überweisungsbetrag", "Net à payer", "Total à payer", "À payer", "Reste à payer", "Solde", "Montant dû",
    "Te betalen", "Nog te betalen", "Openstaand bedrag", "Total a pagar", "Importe a pagar", "Saldo", "A pagar",
    "Importo dovuto", "Netto a pagare", "Totale da pagare", "Da pagare", "Valor a pagar", "Amount to pay",
    "Please pay", "Pay this amount", "Total to pay", "To pay", "Total amount payable", "Net amount payable",
    "Now due", "Amount outstanding", "Total outstanding", "Balance to pay", "Remaining balance",
    "Balance outstanding", "Amount now due", "You owe", "Total balance due", "Current amount due", "Restforderung",
    "Zu bezahlen", "Zahlungsbetrag", "Noch zu zahlen", "Verbleibender Betrag", "Restzahlung", "Restsumme",
    "Noch offen", "Noch zu zahlender Betrag", "Zu überweisen", "Zu überweisender Betrag", "Nachzahlung",
    "Zahlbetrag brutto", "Gesamtforderung", "Zu zahlender Gesamtbetrag", "Abbuchungsbetrag",
    "Rechnungsbetrag zu zahlen", "Forderung", "Auszahlungsbetrag", "Total à régler", "Montant à régler",
    "Net à régler", "Montant à payer", "Montant net à payer", "Reste dû", "Solde à payer", "Solde dû", "Total dû",
    "À régler", "Somme à payer", "Net à payer TTC", "Totaal te betalen", "Totaal te voldoen", "Te voldoen",
    "Bedrag te betalen", "Door u te betalen", "Nog te voldoen", "Te betalen bedrag", "Restant te betalen", "Restant",
    "Líquido a percibir", "Total líquido a percibir", "Líquido a pagar", "Importe líquido", "Neto a pagar",
    "Pendiente", "Pendiente de pago", "Total pendiente", "Total a abonar", "Resta por pagar", "Importe pendiente",
    "Totale a pagare", "Totale dovuto", "Saldo a pagare", "Importo da pagare", "Netto da pagare", "Totale da versare",
    "Residuo", "Total a liquidar", "Valor em dívida", "Total por pagar", "Saldo a pagar", "A liquidar",
    "Zu zahlen bis", "Zahlbar bis", "Betrag bis zum", "Betrag bis spätestens", "Te betalen voor", "À payer avant le",
    "Da pagare entro", "A pagar antes del", "Amount to be paid", "Total to be paid", "Total en notre faveur",
    "Montant en notre faveur", "Solde en notre faveur", "Zu unseren Gunsten", "Total TTC à payer",
    "Total à payer TTC", "Montant prélevé", "Offener Saldo", "Schlusszahlung", "Restbetrag zu zahlen",
    "Totale a vs debito", "Amount now payable", "Total amount to pay", "Balance payable",
    role=Role.DUE,
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

    # 26 long positions of 103 tokens below 350 for the rest; the longest of 60 labelled invoices takes 800.
    max_output_tokens: ClassVar[int] = 3072
    text_layer_needs: ClassVar[tuple[str, ...]] = ("seller", "invoice_number", "date", "total")
    split_on: ClassVar[Split] = Split(number="invoice_number", head=("seller", "buyer", "date"), end=("total",))
    rules: ClassVar[tuple[Rule, ...]] = (
        adds_up("subtotal", "tax", to="total"),
        tax_is_plausible("tax", of="subtotal", net=True),
        lines_add_up("subtotal", "total"),
        quantity_times_price(),
        is_between("line_items[].tax_rate", 0, 30),  # the highest of value-added taxes is Hungary's 27 %
        dates_in_order("date", "due_date"),
        date_is_plausible("date"),
        amount_is_plausible("total"),
        currency_fits_country(by=("iban",)),
    )

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
    line_items: list[LineItem] = Field(default_factory=list, description="Billed positions in printed order.")
