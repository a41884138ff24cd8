"""Headers of item tables: which columns a table has and where they stand.

A header is one or more close rows of labels; each column's label may be wrapped over several
of them. A table of items is told from tax summaries and payment plans by having two of:
description, quantity, unit price.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

from pipeline.data import Box
from pipeline.engines.ocr.labels import LabelIndex, label_key
from pipeline.engines.ocr.lexicon import LABELS
from pipeline.engines.ocr.page import PageLayout, Run, column_overlap, part_of, union
from pipeline.engines.ocr.specs import FieldSpec, field_specs
from pipeline.schema import Role

if TYPE_CHECKING:
    from pydantic import BaseModel

OTHER = ""
"""Owner of columns that no field asks for."""

OTHER_COLUMNS = (
    "Pos", "Position", "No", "Nr", "Line", "Ligne", "Zeile", "Art-Nr", "Art-Nr-Kunde", "Art-Nr-Lief",
    "Art-Nr-Lieferant", "Artikelnummer", "Artikel-Nr", "Item no", "Item code", "Product code", "Code", "SKU", "Ref",
    "Reference", "Référence", "Referenzen", "GTIN", "EAN", "Unit", "UoM", "Einheit", "Mengeneinheit", "Meng.-einheit",
    "Unité", "Eenheid", "Unidad", "Disc", "Disc %", "Discount", "Rabatt", "Remise", "Rem", "Korting", "Descuento",
    "Sconto", "Dto", "Sc", "Date", "Datum", "Shipment date", "VKE/Geb", "Tax amount", "Steuerbetrag", "Item #",
    "Código", "Cód", "Codice", "Cod", "UM", "U.M.", "Einh", "ME", "VAT amount", "Montant TVA", "Btw bedrag", "Gross",
    "Brutto",
)  # fmt: skip
"""Labels of columns that items often have and no field asks for."""

COLUMN_LABELS: dict[str, tuple[str, ...]] = {
    Role.DESCRIPTION: (
        "Text", "Produkt", "Tätigkeit", "Leistungsbeschreibung", "Gegenstand", "Ware", "Titel", "Details",
        "Particulars", "Services", "Service description", "Item description", "Activity", "Prestation", "Prestations",
        "Nature", "Détail", "Détails", "Servicio", "Producto", "Detalle", "Prodotto", "Servizio", "Prestazione",
        "Causale", "Dienst", "Werkzaamheden", "Specificatie", "Produto", "Serviço", "Nazwa", "Benämning", "Beskrivelse",
    ),
    Role.QUANTITY: (
        "Umfang", "Auflage", "Stück", "Stk", "Std", "Stunden", "Tage", "Anz", "Hrs", "Hours", "Days", "Pcs", "Pieces",
        "Qty/Hrs", "No of units", "Uds", "Ud", "Unidades", "Unid", "Horas", "Pezzi", "Pz", "Ore", "Q.ta", "Nb", "Nbre",
        "Quant", "Jours", "Heures", "Aant", "Stuks", "Uren", "Ilość", "Antal", "Antall", "Verbrauch",
    ),
    Role.UNIT_PRICE: (
        "Satz", "Stundensatz", "Tagessatz", "Einzel", "EP", "Einheitspreis", "Preis je Einheit", "Preis/Einheit",
        "Each", "Unit cost", "Cost", "Price each", "Price per unit", "Hourly rate", "Day rate", "Daily rate", "PU",
        "PU HT", "PU brut", "PU net", "Prix unit", "Prix U", "Px unit", "P. unitario", "Prezzo unit", "Prezzo un",
        "Costo", "Tarifa", "Precio ud", "Precio unit", "Tarief", "Stuksprijs", "Preço unit", "P. Unit", "Cena",
    ),
    Role.TAX_RATE: (
        "USt-Satz", "MwSt-Satz", "St-Satz", "Steuerschlüssel", "Tax code", "VAT code", "VAT rate", "Taux", "Tx TVA",
        "Code TVA", "% TVA", "% IVA", "Tipo IVA", "Aliq", "Aliq IVA", "Cod IVA", "Btw-tarief", "% btw", "Moms", "HST",
    ),
    Role.LINE_TOTAL: (
        "Wert", "Warenwert", "GP", "Netto", "Extended", "Extended price", "Ext price", "Extension", "Net", "Net value",
        "Value", "Charges", "Fees", "Subtotal", "Mt HT", "Prix total", "Total net", "Importe neto", "Precio total",
        "Prezzo totale", "Totaalprijs", "Totaal excl", "Valor total", "Belopp", "Beløb", "Kwota", "Wartość",
    ),
}  # fmt: skip
"""Labels that mean this in the header of a table and nowhere else, beyond those that the schema gives."""

HEADER_WORDS = frozenset(
    "eur usd gbp rm ohne netto brutto net gross ht ttc excl incl inkl exkl per pro pour par unsere ihre kunde lief art "
    "nr attributs note objet classification periode charge fact w o without before".split()
)
"""Words around labels; a row of nothing else continues a header."""

_TAX_ADDED = re.compile(
    r"(?i)\b(?:incl|inkl|excl|exkl|ohne|hors|w/o|without|before|excluding|including|zzgl|sin|con|senza)\b\.?\s*"
    r"(?:btw|mwst|ust|vat|tax|gst|tva|taxes?|iva)\b\.?"
)
ROW_GAP = 0.7
"""Vertical gap, in line heights, between rows of one header."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table."""

    owner: str
    """Name of the item's field it fills, or OTHER."""
    box: Box
    """Where its label stands."""


@dataclass(frozen=True, slots=True)
class Header:
    """The columns of a table, left to right, and the first row below their labels."""

    columns: tuple[Column, ...]
    first_row: int
    end_row: int
    inferred: bool = False
    """Whether nothing is printed and the columns were told from the rows; `end_row` is the first of them."""


def find_headers(page: PageLayout, model: type[BaseModel]) -> list[Header]:
    """The headers of item tables on the page, top to bottom."""
    headers: list[Header] = []
    for row in range(len(page.rows)):
        if headers and row < headers[-1].end_row:
            continue
        if len({owner for run in page.rows[row] for owner in _owners(run.text, model)} - {OTHER}) < 2 or _has_value(
            page, row
        ):
            continue
        first, end = _extent(page, row, model, headers[-1].end_row if headers else 0)
        columns = _columns([run for r in range(first, end) for run in page.rows[r]], model)
        if _is_item_table(columns, field_specs(model)):
            headers.append(Header(columns, first, end))
    return headers


def _is_item_table(columns: Sequence[Column], specs: Sequence[FieldSpec]) -> bool:
    telling = {Role.DESCRIPTION, Role.QUANTITY, Role.UNIT_PRICE}
    roles = {spec.role for spec in specs if spec.name in {column.owner for column in columns}}
    by_role = len(roles & telling) >= 2 or (len(roles & telling) == 1 and Role.LINE_TOTAL in roles and len(columns) > 1)
    return by_role or (not any(spec.role for spec in specs) and len({c.owner for c in columns} - {OTHER}) >= 2)


@cache
def _index(model: type[BaseModel]) -> LabelIndex:
    specs = field_specs(model)
    labels = {spec.name: labels_of(spec) for spec in specs}
    taken = {label_key(label) for texts in labels.values() for label in texts}
    return LabelIndex({**labels, OTHER: tuple(text for text in OTHER_COLUMNS if label_key(text) not in taken)})


@cache
def _words(model: type[BaseModel]) -> frozenset[str]:
    labels = [label for spec in field_specs(model) for label in labels_of(spec)]
    return HEADER_WORDS | {label_key(word) for label in (*labels, *OTHER_COLUMNS) for word in re.findall(r"\w+", label)}


def labels_of(spec: FieldSpec) -> tuple[str, ...]:
    """What a column may be called: by the schema, on papers in general, in headers."""
    role = spec.role or ""
    return spec.labels + LABELS.get(role, ()) + COLUMN_LABELS.get(role, ())


def _owners(text: str, model: type[BaseModel]) -> list[str]:
    return [match.owners[0] for match in _index(model).find(_without_tax(text))]


def _without_tax(text: str) -> str:
    """The text with the tax that a price excludes or includes blanked, so that positions stay."""
    return _TAX_ADDED.sub(lambda match: " " * len(match[0]), text)


def _has_value(page: PageLayout, row: int) -> bool:
    """Whether a row holds more than labels: a number, a key with its value."""
    return any(re.search(r"^\W*\d|\d[.,]\d|\d{4}|\s\d+\s|:\s*\S", run.text) for run in page.rows[row])


def _extent(page: PageLayout, row: int, model: type[BaseModel], floor: int) -> tuple[int, int]:
    """The first row of a header and the row after its last."""
    first, end = row, row + 1
    while first > floor and _belongs(page, first - 1, first, model):
        first -= 1
    while end < len(page.rows) and _belongs(page, end, end - 1, model):
        end += 1
    return first, end


def _belongs(page: PageLayout, row: int, neighbour: int, model: type[BaseModel]) -> bool:
    """Whether a row beside a header's row is part of it: close, and made of the words of headers."""
    a, b = union([run.box for run in page.rows[row]]), union([run.box for run in page.rows[neighbour]])
    gap = max(a.y0, b.y0) - min(a.y1, b.y1)
    words = [label_key(word) for run in page.rows[row] for word in re.findall(r"[^\W\d_]+", run.text)]
    known = sum(word in _words(model) for word in words)
    plain = not any(char.isdigit() or char == ":" for run in page.rows[row] for char in run.text)
    return gap <= ROW_GAP * page.line_height_px and plain and 2 * known >= len(words) > 0


def _columns(runs: Sequence[Run], model: type[BaseModel]) -> tuple[Column, ...]:
    """The columns of a header from its runs: labels above each other joined, labels in one run parted."""
    stacks: list[list[tuple[str, Box]]] = []
    for text, box in sorted((s for run in runs for s in _segments(run, model)), key=lambda s: s[1].y0):
        near = [stack for stack in stacks if column_overlap(union([b for _, b in stack]), box) > 0.1]
        if near:
            near[0].append((text, box))
        else:
            stacks.append([(text, box)])
    cells = [([text for text, _ in stack], union([box for _, box in stack])) for stack in stacks]
    cells.sort(key=lambda cell: cell[1].x0)
    columns = [_column(texts, box, model) for texts, box in cells]
    return _one_each(columns, [(" ".join(texts), box) for texts, box in cells], model)


def _segments(run: Run, model: type[BaseModel]) -> Iterator[tuple[str, Box]]:
    """A run cut before each label that another label precedes."""
    matches = _index(model).find(_without_tax(run.text))
    starts = [b.start for a, b in pairwise(matches) if a.owners != b.owners and not _is_unit(run.text[b.start : b.end])]
    cuts = [0, *starts, len(run.text)]
    for start, end in pairwise(cuts):
        if run.text[start:end].strip():
            yield run.text[start:end].strip(), part_of(run, start, end)


def _is_unit(label: str) -> bool:
    """Whether a label is the unit of measure, which stands with the quantity: "Menge Einheit"."""
    return label_key(label) in {"unit", "uom", "einheit", "unite", "eenheid", "unidad"}


def _column(texts: Sequence[str], box: Box, model: type[BaseModel]) -> Column:
    """The column of stacked labels: the one they spell together, else the first that any of them is."""
    for text in (re.sub(r"-\s+", "", " ".join(texts)), *texts):
        owners = _owners(text, model)
        if owners:
            return Column(owners[0], box)
    return Column(OTHER, box)


def _one_each(columns: list[Column], cells: Sequence[tuple[str, Box]], model: type[BaseModel]) -> tuple[Column, ...]:
    """The columns with each field owning one: a second price is the line's total, a hidden label comes to light."""
    role_of = {spec.name: spec.role for spec in field_specs(model)}
    name_of = {role: name for name, role in role_of.items() if role}
    total = name_of.get(Role.LINE_TOTAL)
    prices = [i for i, column in enumerate(columns) if role_of.get(column.owner) is Role.UNIT_PRICE]
    if total and len(prices) > 1 and not any(column.owner == total for column in columns):
        columns[prices[-1]] = replace(columns[prices[-1]], owner=total)
    priced = any(role_of.get(column.owner) is Role.UNIT_PRICE for column in columns[:-1])
    if total and priced and columns[-1].owner == OTHER and not _index(model).find(cells[-1][0]):
        columns[-1] = replace(columns[-1], owner=columns[-1].owner if total in {c.owner for c in columns} else total)
    owned = {column.owner for column in columns}
    for i, (text, _) in enumerate(cells):
        hidden = [owner for owner in _owners(text, model) if owner not in owned]
        if columns[i].owner == OTHER and hidden:
            columns[i] = replace(columns[i], owner=hidden[0])
            owned.add(hidden[0])
    seen: set[str] = set()
    order = sorted(
        range(len(columns)), reverse=True, key=lambda i: role_of.get(columns[i].owner) is Role.DESCRIPTION and i
    )
    for i in sorted(range(len(columns)), key=order.index):
        if columns[i].owner in seen:
            columns[i] = replace(columns[i], owner=OTHER)
        seen.add(columns[i].owner)
    return tuple(columns)
