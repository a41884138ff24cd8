"""What else is printed on business papers: labels that no field asked for, in seven languages.

A label that is known to mean something else keeps its value from being taken: "Total qty 4"
is no total, "Delivery date" no document date. Some of them also bear witness: cash less
change is what was paid. A label that the schema itself gives to a field is never listed
against that field.
"""

from __future__ import annotations

from enum import StrEnum

from pipeline.schema import Role


class Clue(StrEnum):
    """Meanings that no field has."""

    TENDERED = "tendered"
    CHANGE = "change"
    ROUNDING = "rounding"
    PREPAID = "prepaid"
    OTHER_AMOUNT = "other amount"
    OTHER_DATE = "other date"
    PRINT_DATE = "print date"
    OTHER_NUMBER = "other number"
    TAX_SUMMARY = "tax summary"


AMOUNT_CLUES = frozenset({Clue.TENDERED, Clue.CHANGE, Clue.ROUNDING, Clue.PREPAID, Clue.OTHER_AMOUNT})

LABELS: dict[str, tuple[str, ...]] = {
    Role.NET: (
        "Subtotal", "Sub total", "Sub ttl", "Net amount", "Total excl GST", "Total excl VAT", "Total excluding GST",
        "Total excluding VAT", "Total excluding tax", "Total sales excluding GST", "Total exclude GST",
        "Excluded GST", "Total before tax", "Excl GST", "Excl VAT", "Excluding GST", "Excluding VAT",
        "Taxable amount", "Nettobetrag", "Nettosumme", "Zwischensumme", "Total HT", "Sous-total", "Subtotaal",
        "Totaal excl btw", "Imponibile", "Base imponible", "Subtotale",
    ),
    Role.TAX: (
        "GST", "VAT", "Tax", "Total GST", "Total tax", "Total VAT", "Tax amount", "GST payable", "GST amount",
        "Service tax", "SST", "MwSt", "USt", "Mehrwertsteuer", "Umsatzsteuer", "TVA", "BTW", "IVA", "Total TVA",
        "Total IVA", "Steuerbetrag",
    ),
    Role.TOTAL: (
        "Total", "Grand total", "Total amount", "Gesamtbetrag", "Bruttobetrag", "Total TTC", "Totaal", "Totale",
        "Totaalbedrag", "Importe total", "Valor total",
    ),
    Role.DUE: ("Amount due", "Balance due", "Zahlbetrag", "Net à payer", "Te betalen", "Saldo"),
    Role.DOCUMENT_DATE: ("Date", "Datum", "Fecha", "Data", "Invoice date", "Rechnungsdatum", "Date de facture"),
    Role.CURRENCY: ("Currency", "Währung", "Devise", "Valuta", "Moneda", "Moeda"),
    Role.DUE_DATE: (
        "Due date", "Payment due", "Payable by", "Pay by", "Fällig am", "Fälligkeit", "Fälligkeitsdatum",
        "Zahlbar bis", "Échéance", "Date d'échéance", "Vervaldatum", "Fecha de vencimiento", "Vencimiento",
        "Data di scadenza", "Scadenza", "Data de vencimento", "Vencimento",
    ),
    Role.DOCUMENT_NUMBER: (
        "Invoice no", "Invoice number", "Invoice", "Tax invoice", "Tax invoice no", "Simplified tax invoice",
        "Receipt no", "Receipt", "Bill no", "Document no", "Doc no", "Inv no", "Slip no", "Trans no",
        "Rechnungsnummer", "Rechnung Nr", "Beleg-Nr", "Bon-Nr", "Facture", "Ticket", "Factuurnummer", "Bonnummer",
        "Factura", "Fattura", "Scontrino", "Fatura",
    ),
    Role.DESCRIPTION: (
        "Description", "Item", "Article", "Product", "Model", "Bezeichnung", "Beschreibung", "Artikel",
        "Artikelbezeichnung", "Désignation", "Libellé", "Omschrijving", "Descripción", "Concepto", "Descrizione",
        "Descrição",
    ),
    Role.QUANTITY: (
        "Qty", "Quantity", "Items", "Menge", "Anzahl", "Quantité", "Qté", "Aantal", "Cantidad", "Quantità",
        "Quantidade", "Qtd",
    ),
    Role.UNIT_PRICE: (
        "Unit price", "U/Price", "U/P", "S/Price", "Price", "Rate", "Einzelpreis", "Preis", "Nettopreis",
        "Prix unitaire", "P.U.", "Prix", "Prijs", "Stukprijs", "Prijs per stuk", "Precio", "Precio unitario",
        "Prezzo", "Prezzo unitario", "Preço unitário",
    ),
    Clue.TENDERED: (
        "Cash", "Paid", "Tendered", "Accepted total", "Cash tendered", "Amount tendered", "Paid amount",
        "Amount paid", "Payment", "Received", "Cash received", "Visa", "Mastercard", "Credit card", "Debit card",
        "Card", "Bar", "Gegeben", "Geg Bar", "Bargeld", "EC-Karte", "Girocard", "Kartenzahlung", "Kreditkarte",
        "EFTPOS", "Visa tend", "Carte bancaire", "CB", "Pinnen", "Pin", "Tarjeta", "Tarjeta bancaria", "Bancomat",
        "Carta di credito", "Multibanco", "Cartão", "Importo pagato", "Pagamento contante", "Espèces", "Contant",
        "Contanti", "Efectivo", "Dinheiro", "Pago", "Tunai",
    ),
    Clue.CHANGE: (
        "Change", "Change due", "Cash change", "Rückgeld", "Rückgeld Bar", "Zurück", "Wechselgeld", "Rendu",
        "Rendu monnaie", "Monnaie", "Wisselgeld", "Resto", "Cambio", "Troco", "Baki",
    ),
    Clue.ROUNDING: (
        "Rounding", "Rounding adj", "Rounding adjustment", "Round adj", "Rounding adjust", "Cash rounding",
        "Round off", "Roundoff", "Rndg adj", "Rounded", "Bill rounding", "Rundung", "Rundungsdifferenz", "Arrondi",
        "Afronding", "Redondeo", "Arrotondamento", "Arredondamento",
    ),
    Clue.PREPAID: (
        "Prepaid", "Deposit", "Advance payment", "Already paid", "Anzahlung", "Erhaltene Anzahlungen",
        "Bereits gezahlt", "Acompte", "Acompte versé", "Montant déjà payé", "Aanbetaling", "Reeds betaald",
        "Anticipo", "Acconto", "Adiantamento",
    ),
    Clue.OTHER_AMOUNT: (
        "Discount", "Disc", "Total discount", "Total item discount", "Total savings", "Total saving", "You saved",
        "Item discount", "Total qty", "Tot qty", "Total quantity", "Total items", "Total item", "Total item(s)",
        "Item count", "Number of items", "No of items", "Service charge", "Serv charge", "Svc chg", "Total points",
        "Points", "Balance points", "Tax rate", "Rabatt", "Gesamtbetrag der Zuschläge",
        "Gesamtbetrag der Abschläge", "Summe Zuschläge", "Summe Abschläge", "Basisbetrag", "Steuerbasisbetrag",
        "Steuersatz", "Positionssumme", "Warenwert", "Zu-/Abschlag", "Zu- und Abschläge", "Positionsbetrag",
        "Bruttopreis", "Skonto", "Selbstbeteiligung", "Remise", "Total remise", "Base TVA", "Taux", "Korting",
        "Descuento", "Sconto", "Desconto", "Taxable", "Capital", "Stammkapital", "Versandkosten", "Shipping",
        "Base",
    ),
    Clue.OTHER_DATE: (
        "Delivery date", "Date of delivery", "Delivered", "Ship date", "Shipping date", "Order date",
        "Date of order", "Date of supply", "Supply date", "Period", "Billing period", "Date of birth",
        "Valid until", "Expiry date", "Member since", "Start date", "End date", "Version", "Lieferdatum",
        "Liefertermin", "Leistungsdatum", "Liefer- und Leistungsdatum", "Leistungszeitraum", "Lieferzeitraum",
        "Bestelldatum", "Bestellung vom", "Auftragsdatum", "Vertragsdatum", "Lieferschein-Datum", "Zeitraum",
        "Abrechnungszeitraum", "Rechnungszeitraum", "Auftrag-Datum", "Bestellung", "Gültig ab", "Gültig bis",
        "Skonto", "Stand", "Date de livraison", "Date de commande", "Date d'expédition", "Période", "Commande du",
        "Leverdatum", "Besteldatum", "Orderdatum", "Periode", "Fecha de entrega", "Fecha de pedido",
        "Data di consegna", "Data ordine", "Data de entrega", "Data do pedido", "Date de facture associée",
        "Date de début de prestation", "Date de fin de prestation",
    ),
    Clue.PRINT_DATE: (
        "Print date", "Printed", "Printed on", "Printed at", "Druckdatum", "Gedruckt am", "Date d'impression",
        "Imprimé le", "Afdrukdatum", "Fecha de impresión", "Data di stampa", "Data de impressão",
    ),
    Clue.OTHER_NUMBER: (
        "Order number", "Order no", "Order", "Purchase order", "PO number", "Customer number", "Customer no",
        "Customer ID", "Account number", "Account no", "VAT number", "VAT no", "VAT ID", "VAT reg no",
        "VAT registration no", "GST no", "GST reg no", "GST ID no", "GST ID", "GST registration no", "Tax ID",
        "Tax number", "Company no", "Company reg no", "Co reg", "Reg no", "ROC no", "Tel", "Phone", "Fax", "Mobile",
        "Telephone", "Table", "Terminal", "Cashier", "Till", "XRechnung", "ZUGFeRD", "Factur-X", "Delivery note",
        "Contract number", "Project", "Version", "Reference", "Your reference", "Our reference", "Page", "Time",
        "Salesperson", "Counter", "Pump", "Points", "Card number", "Bestellnummer", "Bestell-Nr", "Bestellung",
        "Bestellung Nr", "Auftragsnummer", "Auftrags-Nr", "Kundennummer", "Kunden-Nr", "Kundennr",
        "Lieferscheinnummer", "Lieferschein-Nr", "Lieferung Nr", "Vertragsnummer", "Vertrags-Nr", "Steuernummer",
        "Steuer-Nr", "USt-IdNr", "USt-Id-Nr", "USt-Identnr", "Umsatzsteuer-ID", "Handelsregisternummer",
        "Handelsregister", "HRB", "Kontonummer", "Kontonr", "BLZ", "BIC", "GLN", "GTIN", "EAN", "Telefon",
        "Telefax", "Seite", "Lief-Nr", "Lieferantennummer", "Artikelnummer", "Art-Nr", "Personalnr",
        "Ursprungsbeleg-Nr", "Reklamationsnummer", "Referenz", "Zähler-Nr", "Gläubiger-ID", "Mandatsreferenz",
        "Numéro de commande", "N° de commande", "N° client", "N° de client", "N° TVA", "N° TVA intra", "SIRET",
        "SIREN", "Téléphone", "Facture liée", "N° de facture associée", "Réf", "Référence", "Bestelnummer",
        "Ordernummer", "Klantnummer", "BTW nummer", "BTW", "KvK", "Telefoon", "Pagina", "Número de pedido",
        "Número de cliente", "NIF", "CIF", "Teléfono", "Página", "Numero ordine", "Codice cliente", "Partita IVA",
        "P IVA", "Codice fiscale", "Telefono", "Número do pedido", "NIPC", "Telefone", "CNPJ",
    ),
    Clue.TAX_SUMMARY: (
        "GST summary", "Tax summary", "VAT summary", "VAT analysis", "Tax code", "GST analysis",
        "Umsatzsteueraufschlüsselung", "Steueraufschlüsselung", "Détail TVA", "Résumé TVA", "BTW specificatie",
        "Riepilogo IVA", "Desglose IVA", "Resumo IVA",
    ),
}  # fmt: skip
