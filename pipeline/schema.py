"""What a `schema.py` of an extraction is written with: field types and where fields are printed.

    class Receipt(BaseModel):
        total: Annotated[Amount | None, Printed("Total", "Amount due", role=Role.TOTAL)] = Field(
            None, description="Amount paid, tax included."
        )

Models print values as they stand on the page ("1.234,50 €", "12/03/2018"); the types here
turn them into one form, by the rules in `parse_amount` and `parse_date`. The same rules
read values out of OCR text.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationInfo, WithJsonSchema

from pipeline.values import DateOrder, parse_amount, parse_currency, parse_date, parse_iban

AMOUNT_DECIMAL_PLACES = 6
"""Unit prices are printed with up to six decimal places (kWh, litres); money never needs more."""


class Role(StrEnum):
    """What a field is to its document, where a label alone does not tell."""

    ISSUER_NAME = "issuer_name"
    ISSUER_ADDRESS = "issuer_address"
    RECIPIENT_NAME = "recipient_name"
    RECIPIENT_ADDRESS = "recipient_address"
    DOCUMENT_NUMBER = "document_number"
    DOCUMENT_DATE = "document_date"
    DUE_DATE = "due_date"
    NET = "net"
    TAX = "tax"
    TOTAL = "total"
    DUE = "due"
    CURRENCY = "currency"
    DESCRIPTION = "description"
    QUANTITY = "quantity"
    UNIT_PRICE = "unit_price"
    TAX_RATE = "tax_rate"
    LINE_TOTAL = "line_total"


class ValueKind(StrEnum):
    """What a string type below holds; the mark by which readers of a schema tell them apart."""

    CURRENCY = "currency"
    IBAN = "iban"


class Merge(StrEnum):
    """How the page values of a field become the document's value."""

    FIRST = "first"
    """The first page that has it; the default."""
    LAST = "last"
    """The last page that has it; the default of amounts, since totals stand at the end."""
    JOIN = "join"
    """All pages, joined by a form feed; the default of the plain-text field."""
    EXTEND = "extend"
    """All pages' items one after another; the default of lists."""


@dataclass(frozen=True, slots=True, init=False)
class Printed:
    """Field annotation: the labels under which a field is printed, in any language, and its role."""

    labels: tuple[str, ...]
    role: Role | None
    merge: Merge | None

    def __init__(self, *labels: str, role: Role | None = None, merge: Merge | None = None) -> None:
        object.__setattr__(self, "labels", labels)
        object.__setattr__(self, "role", role)
        object.__setattr__(self, "merge", merge)


@dataclass(frozen=True, slots=True)
class Split:
    """How several records in one file are told apart; a class variable `split_on` of the record's model.

    Names fields of the record. A page is held against the record so far: by its printed page number, and by which
    of these fields it has and whether they say something else; see `pipeline.merging.splitting`.
    """

    number: str | None = None
    """What names a record, such as an invoice number."""
    head: tuple[str, ...] = ()
    """What is printed at the top of its first page."""
    end: tuple[str, ...] = ()
    """What it ends with, such as its total."""


def _normalised(parse: Callable[[str], Any]) -> BeforeValidator:
    """Run `parse` on strings; the empty string and a bare dash mean that there is no value."""

    def validate(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        return None if value.strip() in {"", "-", "—", "–"} else parse(value)

    return BeforeValidator(validate)


def _date(value: Any, info: ValidationInfo) -> Any:
    if not isinstance(value, str):
        return value
    if not value.strip():
        return None
    order = (info.context or {}).get("date_order", DateOrder.DAY_FIRST)
    return parse_date(value, order)


_AS_PRINTED = WithJsonSchema({"type": "string"})

Amount = Annotated[
    Decimal,
    Field(max_digits=24, decimal_places=AMOUNT_DECIMAL_PLACES),
    _normalised(parse_amount),
    _AS_PRINTED,
]
"""A number of money, a quantity or a percentage; see `parse_amount`."""

Date = Annotated[dt.date, BeforeValidator(_date), _AS_PRINTED]
"""A calendar day; see `parse_date`. Validation context: {"date_order": DateOrder}."""

Currency = Annotated[
    str,
    ValueKind.CURRENCY,
    Field(pattern="^[A-Z]{3}$"),
    _normalised(parse_currency),
    _AS_PRINTED,
]
"""ISO 4217 code; symbols are understood, see `parse_currency`."""

Iban = Annotated[str, ValueKind.IBAN, _normalised(parse_iban), _AS_PRINTED]
"""International bank account number (ISO 13616) without spaces, check digits verified."""

__all__ = ["Amount", "Currency", "Date", "DateOrder", "Iban", "Merge", "Printed", "Role", "Split", "ValueKind"]
