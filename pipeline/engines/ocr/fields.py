"""Filling a pydantic model from the lines of a page: labels, layout and arithmetic, no model.

A field without a role is filled from what stands beside its labels. Roles say more: dates,
numbers and amounts of the document are told from others like them, see `dates.py` and
`totals.py`; sender and recipient are found in `parties.py`, lists in `tables.py`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any

from pipeline.data import TextLine
from pipeline.engines.ocr.candidates import BELOW, Claims, Zone, labelled
from pipeline.engines.ocr.currency import find_currency
from pipeline.engines.ocr.dates import document_date, due_date, page_date_order
from pipeline.engines.ocr.labels import LabelIndex, label_key
from pipeline.engines.ocr.lexicon import LABELS, Clue
from pipeline.engines.ocr.page import PageLayout
from pipeline.engines.ocr.parties import find_parties
from pipeline.engines.ocr.readers import is_number_cell, reader_of
from pipeline.engines.ocr.specs import FieldSpec, Kind, field_specs
from pipeline.engines.ocr.tables import find_rows
from pipeline.engines.ocr.totals import ROLES as TOTALS
from pipeline.engines.ocr.totals import find_totals
from pipeline.schema import Role
from pipeline.values import DateOrder, Found, find_ibans

if TYPE_CHECKING:
    from pydantic import BaseModel

LEAST_SCORE = 0.4
"""Below this a label covers so little of its line that it is a word in prose."""

LEAST_NUMBER_SCORE = 0.3
"""A number that follows its label is seldom there by chance, even in a sentence."""

_PARTIES = frozenset({Role.ISSUER_NAME, Role.ISSUER_ADDRESS, Role.RECIPIENT_NAME, Role.RECIPIENT_ADDRESS})

_RELATED = frozenset({*TOTALS, Role.DOCUMENT_DATE, Role.DUE_DATE, Role.CURRENCY})
"""Roles whose value depends on what else is on the page."""


def fill_record(
    lines: Sequence[TextLine], width_px: int, height_px: int, model: type[BaseModel], date_order: DateOrder
) -> dict[str, Any]:
    """The values of `model` that the page prints, ready for JSON and for validation by `model`.

    Dates are ISO, amounts plain decimals, all else as printed. What is not found is None
    (an empty list for lists) where the model allows it, and left out otherwise.

    Args:
        date_order: how dates are read that could be both; a page whose other dates can only be
            read the other way round overrides it.
    """
    page = PageLayout(lines, width_px, height_px)
    return _fill(page, model, page_date_order(page, date_order))


def _fill(page: PageLayout, model: type[BaseModel], order: DateOrder) -> dict[str, Any]:
    specs = field_specs(model)
    claims = Claims(page, label_index(model))
    by_role = _role_values(page, claims, specs, order)
    parties = find_parties(page, specs)
    record = {}
    for spec in specs:
        value = parties.get(spec.name) if spec.role in _PARTIES else _value(page, claims, spec, by_role, order)
        if value is not None or spec.nullable:
            record[spec.name] = _plain(value)
    return record


def _value(page: PageLayout, claims: Claims, spec: FieldSpec, by_role: dict[Role, Any], order: DateOrder) -> Any:
    if spec.role in _RELATED:
        return by_role.get(spec.role)
    if spec.role is Role.DOCUMENT_NUMBER:
        return _document_number(claims, spec, order)
    match spec.kind:
        case Kind.RECORD:
            return _nested(page, spec, order)
        case Kind.ROWS:
            return find_rows(page, spec)
        case Kind.IBAN:
            return _iban(page, claims, owner_of(spec))
    read = reader_of(spec, order)
    best = next(iter(labelled(claims, owner_of(spec), lambda zone: read(zone.text))), None)
    return best.value if best and best.score >= LEAST_SCORE else None


def _nested(page: PageLayout, spec: FieldSpec, order: DateOrder) -> dict[str, Any] | None:
    nested = _fill(page, spec.model, order) if spec.model else {}
    return nested if any(value is not None for value in nested.values()) else None


def _document_number(claims: Claims, spec: FieldSpec, order: DateOrder) -> Any:
    """The number beside or below its labels, else of a run or column that says no more than "Number"."""
    read = reader_of(spec, order)

    def beside(zone: Zone) -> list[Found[Any]]:
        return read(zone.text) if zone.weight != BELOW else in_cell(zone)

    def in_cell(zone: Zone) -> list[Found[Any]]:
        return read(zone.text) if is_number_cell(zone.text) else []

    best = next(iter(labelled(claims, Role.DOCUMENT_NUMBER, beside)), None)
    if best is None or best.score < LEAST_NUMBER_SCORE:
        others = labelled(claims, Clue.ANY_NUMBER, in_cell)
        best = next((other for other in others if other.claim and other.claim.start == 0), None)
    return best.value if best else None


def _role_values(page: PageLayout, claims: Claims, specs: Sequence[FieldSpec], order: DateOrder) -> dict[Role, Any]:
    """Values of the roles that are found in relation to each other; only of those the model asks for."""
    asked = {spec.role for spec in specs}
    found: dict[Role, Any] = {}
    if asked & set(TOTALS):
        found |= find_totals(claims)
    finders: dict[Role, Callable[[], Any]] = {
        Role.DOCUMENT_DATE: lambda: document_date(page, claims, order),
        Role.DUE_DATE: lambda: due_date(page, claims, order),
        Role.CURRENCY: lambda: find_currency(page, claims),
    }
    return found | {role: find() for role, find in finders.items() if role in asked}


def _iban(page: PageLayout, claims: Claims, owner: str) -> str | None:
    best = labelled(claims, owner, lambda zone: find_ibans(zone.text))
    if best:
        return best[0].value
    rows = [" ".join(run.text for run in row) for row in page.rows]
    return next((found.value for row in rows for found in find_ibans(row)), None)


def owner_of(spec: FieldSpec) -> str:
    """Whose labels a field's are: its role's, else its own."""
    return spec.role or f"field {spec.name}"


@cache
def label_index(model: type[BaseModel]) -> LabelIndex:
    """The labels of the model's fields and of its lists' columns, and the others that papers bear."""
    labels: dict[str, tuple[str, ...]] = {}
    own: set[str] = set()
    for spec in field_specs(model):
        labels[owner_of(spec)] = labels.get(owner_of(spec), ()) + spec.labels
        own |= {label_key(label) for label in spec.labels}
        for column in field_specs(spec.model) if spec.model and spec.kind is Kind.ROWS else ():
            labels[owner_of(column)] = labels.get(owner_of(column), ()) + column.labels
    for owner, texts in LABELS.items():
        labels[owner] = labels.get(owner, ()) + tuple(text for text in texts if label_key(text) not in own)
    return LabelIndex(labels)


def _plain(value: Any) -> Any:
    """A value as JSON can hold it."""
    if isinstance(value, dt.date):
        return value.isoformat()
    return format(value, "f") if isinstance(value, Decimal) else value
