"""Headings that say whom the lines below them name: "Bill to:", "Verkäufer", "Adresse de livraison"."""

from __future__ import annotations

import re
from enum import StrEnum
from functools import cache

from pipeline.engines.ocr.labels import LabelIndex, label_key

MAX_HEADING_LETTERS = 45
"""Longer lines are sentences."""


class Heading(StrEnum):
    """Whom the lines below a heading name."""

    ISSUER = "issuer"
    RECIPIENT = "recipient"
    OTHER = "other"
    """Somebody else: where goods go, who is paid, whom to call."""


_HEADINGS: dict[Heading, tuple[str, ...]] = {
    Heading.ISSUER: (
        "Seller", "Supplier", "Vendor", "Service provider", "Issued by", "Billed by", "Verkäufer", "Lieferant",
        "Rechnungssteller", "Rechnungsersteller", "Leistungserbringer", "Vendeur", "Fournisseur", "Émetteur",
        "Prestataire", "Verkoper", "Leverancier", "Vendedor", "Proveedor", "Emisor", "Venditore", "Fornitore",
        "Cedente", "Fornecedor", "Emitente",
    ),
    Heading.RECIPIENT: (
        "Buyer", "Customer", "Client", "Bill to", "Billed to", "Invoice to", "Invoiced to", "Sold to",
        "Billing address", "Invoice address", "Attention", "Käufer", "Kunde", "Rechnungsempfänger",
        "Leistungsempfänger", "Rechnung an", "Rechnungsadresse", "Rechnungsanschrift", "Auftraggeber", "Acheteur",
        "Facturé à", "Adresse de facturation", "Destinataire", "Koper", "Klant", "Factuuradres", "Factuur aan",
        "Afnemer", "Cliente", "Comprador", "Facturar a", "Dirección de facturación", "Acquirente", "Cessionario",
        "Committente", "Fatturare a", "Spettabile", "Spett.le", "Destinatario", "Faturar a", "Destinatário",
        "Adquirente", "Guest", "Ordered by", "Besteller", "Gast", "Patient", "Mandant", "Mieter",
        "Datos del cliente", "Cessionario/committente", "Facturation", "Adressé à", "Rechnung für", "Invoice for",
        "Gefactureerd aan", "Debiteur", "Huésped", "Billing", "Faktura till", "Attn", "Att", "FAO",
        "Addressee", "Account holder", "Payer", "Tenant", "Member", "Student", "Policyholder", "Subscriber", "Invoiced",
        "Vertragspartner", "Versicherungsnehmer", "Zahlungspflichtiger", "Débiteur", "Abonné", "Titulaire", "Titular",
        "Intestatario", "Intestato a", "Huurder", "Opdrachtgever", "T.a.v.", "À l'attention de",
    ),
    Heading.OTHER: (
        "Ship to", "Shipped to", "Shipping address", "Deliver to", "Delivery address", "Delivery", "Remit to",
        "Pay to", "Payee", "Contact", "Sales contact", "Salesperson", "Owned by", "Cashier", "Tax representative",
        "Bank", "Bank details", "Lieferadresse", "Lieferanschrift", "Lieferung an", "Warenempfänger",
        "Zahlungsempfänger", "Ansprechpartner", "Steuervertreter", "Abweichender Rechnungsempfänger",
        "Abweichender Warenempfänger", "Abweichender Zahlungsempfänger", "Bankverbindung", "Adresse de livraison",
        "Livraison", "Livré à", "Bénéficiaire", "Contact commercial", "Représentant fiscal", "Afleveradres",
        "Leveradres", "Verzendadres", "Dirección de envío", "Dirección de entrega", "Indirizzo di spedizione",
        "Indirizzo di consegna", "Endereço de entrega", "Luogo di consegna", "Destinazione", "Destinazione merce",
        "Livrer à", "Envío", "Entregar en", "Enviar a", "Bezorgadres", "Morada de entrega", "Baustelle", "Lieferort",
        "Job site", "Chantier",
    ),
}  # fmt: skip
_BEFORE_COLON = {
    **dict.fromkeys(("from", "von", "de", "da", "van"), Heading.ISSUER),
    **dict.fromkeys(("to", "an", "a", "aan", "para", "per"), Heading.RECIPIENT),
}
"""Words too short to be headings but before a colon."""

_FILLERS = frozenset(
    "address adresse anschrift details data dati datos donnees references reference information informationen name "
    "nom naam the a del de la le il".split()
)


def party_heading(
    text: str, issuer_labels: tuple[str, ...] = (), recipient_labels: tuple[str, ...] = ()
) -> tuple[Heading, str] | None:
    """Whom a line introduces and the text that follows in the same line, or None for any other line.

    A heading stands alone ("Bill to", "Käufer/Leistungsempfänger") or before a colon ("Client : ACME").
    """
    head, colon, rest = text.replace("：", ":").partition(":")
    if len(head) > MAX_HEADING_LETTERS or not head[:1].isalpha() or any(char.isdigit() for char in head):
        return None
    if colon and label_key(head) in _BEFORE_COLON:
        return _BEFORE_COLON[label_key(head)], rest.strip()
    matches = _heading_index(issuer_labels, recipient_labels).find(head)
    # A letter forgiven would make "Invoice to" of "Invoice no", "Facturé à" of "Facture".
    if not matches or matches[0].start or not matches[0].exact:
        return None
    left = "".join(" " if any(m.start <= i < m.end for m in matches) else char for i, char in enumerate(head))
    if any(label_key(word) not in _FILLERS for word in re.findall(r"\w+", left)):
        return None
    return Heading(matches[0].owners[0]), rest.strip()


@cache
def _heading_index(issuer_labels: tuple[str, ...], recipient_labels: tuple[str, ...]) -> LabelIndex:
    schema = {Heading.ISSUER: issuer_labels, Heading.RECIPIENT: recipient_labels, Heading.OTHER: ()}
    return LabelIndex({kind: (*_HEADINGS[kind], *schema[kind]) for kind in Heading})
