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
    WITHHELD = "withheld"
    OTHER_AMOUNT = "other amount"
    OTHER_DATE = "other date"
    PRINT_DATE = "print date"
    OTHER_NUMBER = "other number"
    ANY_NUMBER = "any number"
    TAX_SUMMARY = "tax summary"


AMOUNT_CLUES = frozenset({Clue.TENDERED, Clue.CHANGE, Clue.ROUNDING, Clue.PREPAID, Clue.WITHHELD, Clue.OTHER_AMOUNT})

LABELS: dict[str, tuple[str, ...]] = {
    Role.NET: (
        "Subtotal", "Sub ttl", "Net amount", "Total excl GST", "Total excl VAT", "Total excluding GST",
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
        "Data di scadenza", "Scadenza", "Data de vencimento", "Vencimento", "Due by", "Due on", "Fällig bis",
    ),
    Role.DOCUMENT_NUMBER: (
        "Invoice no", "Invoice number", "Invoice", "Tax invoice", "Tax invoice no", "Simplified tax invoice",
        "Receipt no", "Receipt", "Bill no", "Document no", "Doc no", "Inv no", "Slip no", "Trans no",
        "Rechnungsnummer", "Rechnung Nr", "Beleg-Nr", "Bon-Nr", "Facture", "Ticket", "Factuurnummer", "Bonnummer",
        "Factura", "Fattura", "Scontrino", "Fatura", "Rechnung", "Beleg", "Bon", "Rechnungs-Nr", "Quittung",
        "Facture n°", "N° facture", "Ticket n°", "Note n°", "Factuur", "Kassabon", "Factura simplificada",
        "Nº factura", "Nº ticket", "Documento n", "Documento commerciale", "Documento commerciale n", "Ricevuta",
        "Fatura simplificada", "Fatura n°", "Receipt number", "Check #", "Order #", "Ref no",
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
        "Contanti", "Efectivo", "Dinheiro", "Pago", "Tunai", "Betrag BAR", "Bar EUR", "Karte", "Kreditkarte Visa",
        "V Pay", "Maestro", "American Express", "Amex", "Contactless", "Bancontact", "iDEAL", "PayPal", "Twint",
        "Postcard", "CB EMV", "Chèque", "Carte", "Ticket restaurant", "Tarjeta crédito", "Entregado", "Recibido",
        "Carta", "Pagamento elettronico", "Contante", "Numerário", "Entregue", "MB", "Touch n Go", "GrabPay",
        "PayNow", "NETS", "E-wallet",
    ),
    Clue.CHANGE: (
        "Change", "Change due", "Cash change", "Rückgeld", "Rückgeld Bar", "Zurück", "Wechselgeld", "Rendu",
        "Rendu monnaie", "Monnaie", "Wisselgeld", "Resto", "Cambio", "Troco", "Baki", "Retour", "Change given",
        "Terug", "Vuelta", "Su cambio", "Devolución", "Restgeld", "À rendre", "Devolver",
    ),
    Clue.ROUNDING: (
        "Rounding", "Rounding adj", "Rounding adjustment", "Round adj", "Rounding adjust", "Cash rounding",
        "Round off", "Rndg adj", "Rounded", "Bill rounding", "Rundung", "Rundungsdifferenz", "Arrondi", "Afronding",
        "Redondeo", "Arrotondamento", "Arredondamento", "Rundung 5 Rp", "Rappenrundung", "Rundungsbetrag",
        "Afrondingsverschil", "Rundungsausgleich", "Rounding diff", "Afgerond", "Cent rounding",
    ),
    Clue.PREPAID: (
        "Prepaid", "Deposit", "Advance payment", "Already paid", "Anzahlung", "Erhaltene Anzahlungen",
        "Bereits gezahlt", "Acompte", "Acompte versé", "Montant déjà payé", "Aanbetaling", "Reeds betaald",
        "Anticipo", "Acconto", "Adiantamento", "Deposit received", "Deposit paid", "Less deposit", "Less paid",
        "Less payment", "Payments", "Payment received", "Payments received", "Credits", "Less advance", "Advance",
        "Paid to date", "Abschlagszahlung", "Abschlagszahlungen", "Geleistete Abschläge", "Geleistete Zahlungen",
        "Bereits bezahlt", "Bereits geleistet", "Vorauszahlung", "Vorauszahlungen", "Teilzahlung",
        "abzüglich Anzahlung", "abzgl Anzahlung", "Akonto", "Akontozahlung", "Akontozahlungen", "Gezahlte Abschläge",
        "Acomptes", "Acomptes versés", "Déjà réglé", "Déjà payé", "Versement", "Provision versée", "Provisions",
        "Arrhes", "Voorschot", "Voorschotten", "Reeds voldaan", "Betaald", "Aanbetaald", "Entrega a cuenta",
        "A cuenta", "Pagado", "Anticipos", "Señal", "Acconti", "Acconto versato", "Già pagato", "Caparra", "Sinal",
        "Já pago", "Adiantamentos",
    ),
    Clue.WITHHELD: (
        "Withholding tax", "Retention", "Less retention", "Einbehalt", "Sicherheitseinbehalt", "Bauabzugsteuer",
        "Retenue", "Retenue de garantie", "Retenue à la source", "Inhouding", "Retención", "Retención IRPF",
        "Retenciones", "IRPF", "Ritenuta", "Ritenuta d'acconto", "Rit acconto", "Retenção", "Retenção na fonte",
        "IRS",
    ),
    Clue.OTHER_AMOUNT: (
        "Discount", "Disc", "Abschlag", "Abschläge", "Total discount", "Total item discount", "Total savings",
        "Total saving", "You saved", "Item discount", "Total qty", "Tot qty", "Total quantity", "Total items",
        "Total item", "Item count", "Number of items", "No of items", "Service charge", "Serv charge", "Svc chg",
        "Total points", "Points", "Balance points", "Tax rate", "Rabatt", "Gesamtbetrag der Zuschläge",
        "Gesamtbetrag der Abschläge", "Summe Zuschläge", "Summe Abschläge", "Basisbetrag", "Steuerbasisbetrag",
        "Steuersatz", "Positionssumme", "Warenwert", "Zu-/Abschlag", "Zu- und Abschläge", "Positionsbetrag",
        "Bruttopreis", "Skonto", "Selbstbeteiligung", "Remise", "Total remise", "Base TVA", "Taux", "Korting",
        "Descuento", "Sconto", "Desconto", "Taxable", "Capital", "Stammkapital", "Versandkosten", "Shipping", "Base",
        "Savings", "Delivery", "Delivery charge", "Postage", "Carriage", "Freight", "Handling", "Shipping & handling",
        "Carried forward", "Brought forward", "Page subtotal", "Page total", "Previous page", "Previous balance",
        "Opening balance", "Last bill", "Balance brought forward", "Late fee", "Credit limit", "Übertrag",
        "Übertrag Seite", "Zwischensumme Seite", "Seitensumme", "Mahngebühr", "Versand", "Porto", "Fracht",
        "Frachtkosten", "Lieferkosten", "Versandpauschale", "Trinkgeld", "Tip", "Gratuity", "Suggested tip",
        "Frais de port", "Port", "Livraison", "Report", "À reporter", "Reporté", "Total page", "Escompte",
        "Verzendkosten", "Transport", "Transporteren", "Transport naar volgende pagina", "Portes", "Gastos de envío",
        "Suma y sigue", "Suma anterior", "Portes de envio", "A transportar", "Transportado", "Spese di trasporto",
        "Trasporto", "Spedizione", "Spese di spedizione", "Spese", "A riportare", "Riporto", "Propina", "Pourboire",
        "Mancia", "Fooi", "Gorjeta", "Tip amount",
    ),
    Clue.OTHER_DATE: (
        "Delivery date", "Date of delivery", "Delivered", "Ship date", "Shipping date", "Order date", "Date of order",
        "Date of supply", "Supply date", "Period", "Billing period", "Date of birth", "Valid until", "Expiry date",
        "Member since", "Start date", "End date", "Version", "Lieferdatum", "Liefertermin", "Leistungsdatum",
        "Liefer- und Leistungsdatum", "Leistungszeitraum", "Lieferzeitraum", "Bestelldatum", "Bestellung vom",
        "Auftragsdatum", "Vertragsdatum", "Lieferschein-Datum", "Zeitraum", "Abrechnungszeitraum",
        "Rechnungszeitraum", "Auftrag-Datum", "Bestellung", "Gültig ab", "Gültig bis", "Skonto", "Stand",
        "Date de livraison", "Date de commande", "Date d'expédition", "Période", "Commande du", "Leverdatum",
        "Besteldatum", "Orderdatum", "Fecha de entrega", "Fecha de pedido", "Data di consegna", "Data ordine",
        "Data de entrega", "Data do pedido", "Date de facture associée", "Date de début de prestation",
        "Date de fin de prestation", "Vertrag vom", "Auftrag vom", "Angebot vom", "Lieferschein vom", "Lieferung vom",
        "Abschlagszahlung vom", "Anzahlung vom", "Ihr Auftrag vom", "Ihre Bestellung vom", "Ihre Anfrage vom",
        "Kaufdatum", "Anreise", "Abreise", "Arrival", "Departure", "Check-in", "Check-out", "Leistungszeit",
        "Leistungsmonat", "Lieferung am", "Geliefert am", "Geleistet am", "Ablesedatum", "Nächste Ablesung",
        "Zugelassen am", "Erstzulassung", "Annahmedatum", "Gültig", "Ihr Schreiben vom", "Despatch date",
        "Dispatch date", "Shipped", "Ordered", "Order placed", "Service date", "Date of service", "Service period",
        "Period from", "Next invoice", "Next bill", "Contract date", "Return by", "Period of supply",
        "Works completed", "Date de prestation", "Date de la commande", "Livré le", "Commandé le",
        "Bon de livraison du", "Devis du", "Arrivée", "Départ", "Période du", "Date de la livraison",
        "Leveringsdatum", "Datum levering", "Geleverd op", "Aankomst", "Vertrek", "Offerte van", "Bestelling van",
        "Fecha de servicio", "Fecha pedido", "Fecha albarán", "Fecha entrega", "Fecha de operación",
        "Fecha operación", "Periodo de facturación", "Periodo", "Llegada", "Salida", "Entrada", "Data consegna",
        "Data DDT", "DDT del", "Arrivo", "Partenza", "Periodo di riferimento", "Data do fornecimento", "Data carga",
        "Data entrega", "Data de carga", "Chegada", "Partida", "Data de operação",
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
        "Bestellung Nr", "Auftragsnummer", "Auftrags-Nr", "Kundennummer", "Kunden-Nr", "Lieferscheinnummer",
        "Lieferschein-Nr", "Lieferung Nr", "Vertragsnummer", "Vertrags-Nr", "Steuernummer", "Steuer-Nr", "USt-IdNr",
        "USt-Identnr", "Umsatzsteuer-ID", "Handelsregisternummer", "Handelsregister", "HRB", "Kontonummer", "Kontonr",
        "BLZ", "BIC", "GLN", "GTIN", "EAN", "Telefon", "Telefax", "Seite", "Lief-Nr", "Lieferantennummer",
        "Artikelnummer", "Art-Nr", "Personalnr", "Ursprungsbeleg-Nr", "Reklamationsnummer", "Referenz", "Zähler-Nr",
        "Gläubiger-ID", "Mandatsreferenz", "Numéro de commande", "N° de commande", "N° client", "N° de client",
        "N° TVA", "N° TVA intra", "SIRET", "SIREN", "Facture liée", "N° de facture associée", "Réf", "Bestelnummer",
        "Ordernummer", "Klantnummer", "BTW nummer", "BTW", "KvK", "Telefoon", "Pagina", "Número de pedido",
        "Número de cliente", "NIF", "CIF", "Teléfono", "Numero ordine", "Codice cliente", "Partita IVA", "P IVA",
        "Codice fiscale", "Número do pedido", "NIPC", "Telefone", "CNPJ", "Original invoice", "Original invoice no",
        "Related invoice", "Against invoice", "Credit for invoice", "Ref invoice", "Job no", "Job number", "Job",
        "Quote no", "Quotation no", "Delivery no", "DN no", "Sort code", "Account", "Customer", "Cust no",
        "Client no", "Client ref", "Your ref", "Our ref", "Your order", "Your order no", "PO", "Order ref",
        "Folio no", "Room", "Check", "Server", "Ticket no", "Company registration", "Registered no", "Company number",
        "ABN", "ACN", "EIN", "UEN", "BRN", "SST no", "SST ID", "Routing", "IBAN", "SWIFT", "Meter no", "Meter number",
        "MPAN", "Supply number", "Batch", "Auth", "Approval", "Approval code", "Invoice to account", "zu Rechnung",
        "zu Rechnung Nr", "zur Rechnung", "Zur Rechnung Nr", "Originalrechnung", "Ursprungsrechnung", "Bezug",
        "Bezug Rechnung", "Bezugsrechnung", "Bezug auf Rechnung", "Storno zu Rechnung", "Korrektur zu Rechnung",
        "Betrifft Rechnung", "Kd-Nr", "Kunde", "Debitor", "Debitoren-Nr", "Debitor-Nr", "Ihr Zeichen",
        "Unser Zeichen", "Ihre Zeichen", "Unsere Zeichen", "Ihre Bestellung", "Auftrag", "Auftrag Nr", "Angebot",
        "Angebots-Nr", "Angebot Nr", "Lieferschein", "LS-Nr", "Projekt", "Projekt-Nr", "Projektnummer", "Objekt",
        "Vorgang", "Vorgangs-Nr", "Kommission", "Zählernummer", "Zählpunkt", "Marktlokation", "Vertragskonto",
        "Vertragskontonummer", "Vertragskonto-Nr", "Kassenzeichen", "Kassen-Nr", "Kassa", "Kassa-ID", "Zimmer",
        "Tisch", "Filiale", "Bediener", "Amtliches Kennzeichen", "Kennzeichen", "Fahrgestell-Nr", "Fahrgestellnummer",
        "FIN", "Kilometerstand", "km-Stand", "UID", "UID-Nr", "UID-Nummer", "ATU", "Firmenbuch", "FN", "MwSt-Nr",
        "CHE", "QR-Referenz", "HRA", "St-Nr", "Mobil", "Rufnummer", "Rufnummern", "Verwendungszweck", "Patient",
        "Patienten-Nr", "Facture d'origine", "Facture rectifiée", "Avoir sur facture", "Votre commande",
        "Notre référence", "Votre référence", "Vos réf", "Nos réf", "Bon de commande", "Bon de livraison", "N° BL",
        "Dossier", "N° dossier", "Contrat", "N° de contrat", "N° contrat", "RCS", "APE", "NAF",
        "TVA intracommunautaire", "N° compte", "Compte client", "Code client", "Réf client", "Client n°", "N° siret",
        "Table n°", "Devis", "Devis n°", "Code APE", "N° d'entreprise", "Oorspronkelijke factuur", "Uw referentie",
        "Onze referentie", "Uw kenmerk", "Ons kenmerk", "Klantnr", "Debiteurnr", "Debiteurnummer", "Debiteur",
        "Ordernr", "Bestelnr", "Pakbon", "Pakbonnummer", "Projectnummer", "Offerte", "Offertenummer", "KvK nr",
        "KvK nummer", "BTW nr", "BTW-id", "Ondernemingsnummer", "RPR", "Tafel", "Kassa nr", "Relatienummer",
        "Contractnummer", "Dossiernummer", "Referentie", "Kenteken", "Factura rectificada", "Factura original",
        "Nº pedido", "Nº de pedido", "Pedido", "Su pedido", "Albarán", "Nº albarán", "Nº cliente", "Cód cliente",
        "Código cliente", "Cliente nº", "Presupuesto", "Expediente", "Su referencia", "Nuestra referencia",
        "Contrato", "Nº contrato", "Mesa", "Registro mercantil", "CUPS", "Referencia", "Rif fattura", "Vs ordine",
        "Vs rif", "Ns rif", "Ordine", "Ordine n", "DDT", "DDT n", "Codice", "C.F.", "Cod fiscale", "Part IVA", "REA",
        "SDI", "Codice SDI", "Codice destinatario", "CIG", "CUP", "Tavolo", "Commessa", "Contratto", "Riferimento",
        "Fatura original", "Encomenda", "Nº encomenda", "Encomenda nº", "Guia", "Guia de remessa", "Contribuinte",
        "Nº contribuinte", "N/ref", "V/ref", "Requisição", "Contrato nº", "ATCUD", "Orçamento",
    ),
    Clue.ANY_NUMBER: ("Number", "Nummer", "Numéro", "Numero", "Beleg", "Document", "Dokument", "Documento"),
    Clue.TAX_SUMMARY: (
        "GST summary", "Tax summary", "VAT summary", "VAT analysis", "Tax code", "GST analysis",
        "Umsatzsteueraufschlüsselung", "Steueraufschlüsselung", "Détail TVA", "Résumé TVA", "BTW specificatie",
        "Riepilogo IVA", "Desglose IVA", "Resumo IVA",
    ),
}  # fmt: skip
