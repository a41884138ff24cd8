"""When a value that was read is the labelled one. Pure.

By what the extraction's schema says a field is:

amount       equal as numbers: 26.6 is 26.60
date         the same day
code         of a currency: the same, a symbol standing for its code
identifier   document numbers, IBANs: the same characters, white space and case aside
name         names, addresses, other texts: alike by 0.9 of rapidfuzz's ratio (2 x common characters / all), case and
             white space aside, as SROIE's readers are usually scored
description  texts in line items: alike by 0.8, to the whole or to its first line
choice       enumerations, yes or no: the same text, case aside

`is_exact` admits no likeness: texts are the same, characters and case, white space aside.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from enum import Enum, StrEnum
from functools import cache
from typing import TYPE_CHECKING, Any

from rapidfuzz import fuzz

from pipeline.engines.ocr.specs import Kind, field_specs
from pipeline.eval.texts import folded, plain
from pipeline.schema import Role
from pipeline.values import parse_amount, parse_currency

if TYPE_CHECKING:
    from pydantic import BaseModel

    from pipeline.engines.ocr.specs import FieldSpec

MIN_LIKENESS = 0.9
MIN_DESCRIPTION_LIKENESS = 0.8


class Sort(StrEnum):
    """What a value is, for comparing it."""

    AMOUNT = "amount"
    DATE = "date"
    CODE = "code"
    IDENTIFIER = "identifier"
    NAME = "name"
    DESCRIPTION = "description"
    CHOICE = "choice"


_SORTS = {
    Kind.AMOUNT: Sort.AMOUNT,
    Kind.INTEGER: Sort.AMOUNT,
    Kind.DATE: Sort.DATE,
    Kind.CURRENCY: Sort.CODE,
    Kind.IBAN: Sort.IDENTIFIER,
    Kind.BOOLEAN: Sort.CHOICE,
    Kind.CHOICE: Sort.CHOICE,
}


@dataclass(frozen=True, slots=True)
class Column:
    """A field of the items of a list."""

    sort: Sort
    role: Role | None = None


@dataclass(frozen=True, slots=True)
class Shape:
    """What the records of a schema hold that can be compared."""

    fields: Mapping[str, Sort]
    """By path; those of nested records as `seller.name`."""
    lists: Mapping[str, Mapping[str, Column]]
    """Lists of records, by path: their fields."""


@cache
def shape_of(model: type[BaseModel]) -> Shape:
    """Return what the records of a model hold."""
    fields: dict[str, Sort] = {}
    lists: dict[str, Mapping[str, Column]] = {}
    plain_text = getattr(model, "plain_text_field", None)
    for spec in field_specs(model):
        if spec.name == plain_text:
            continue  # it is scored as a text
        if spec.kind is Kind.RECORD and spec.model:
            inner = shape_of(spec.model)
            fields |= {f"{spec.name}.{name}": sort for name, sort in inner.fields.items()}
            lists |= {f"{spec.name}.{name}": columns for name, columns in inner.lists.items()}
        elif spec.kind is Kind.ROWS and spec.model:
            columns = (one for one in field_specs(spec.model) if one.kind not in {Kind.RECORD, Kind.ROWS})
            lists[spec.name] = {one.name: Column(_sort(one, in_item=True), one.role) for one in columns}
        else:
            fields[spec.name] = _sort(spec)
    return Shape(fields, lists)


def _sort(spec: FieldSpec, *, in_item: bool = False) -> Sort:
    if spec.role is Role.DOCUMENT_NUMBER:
        return Sort.IDENTIFIER
    return _SORTS.get(spec.kind, Sort.DESCRIPTION if in_item else Sort.NAME)


def value_at(record: Mapping[str, Any], path: str) -> Any:
    """Return what stands in a record under `seller.name`; None when nothing does."""
    value: Any = record
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value if says_something(value) else None


def says_something(value: object) -> bool:
    """Tell whether there is a value."""
    return value not in (None, "", [], {})


def is_same(sort: Sort, read: object, expected: object) -> bool:
    """Tell whether a value is the labelled one; False where either is missing."""
    if not says_something(read) or not says_something(expected):
        return False
    if form := _FORMS.get(sort):
        return (ours := form(read)) is not None and ours == form(expected)
    if sort is Sort.NAME:
        return likeness(read, expected) >= MIN_LIKENESS
    first_line = str(expected).split("\n")[0]
    return max(likeness(read, expected), likeness(read, first_line)) >= MIN_DESCRIPTION_LIKENESS


def is_exact(sort: Sort, read: object, expected: object) -> bool:
    """Tell whether a value is the labelled one, texts to the letter."""
    if sort in {Sort.AMOUNT, Sort.DATE, Sort.CODE}:
        return is_same(sort, read, expected)
    return says_something(read) and says_something(expected) and plain(as_text(read)) == plain(as_text(expected))


def likeness(read: object, expected: object) -> float:
    """Return how alike two texts are, case and white space aside: 0..1."""
    return fuzz.ratio(folded(as_text(read)), folded(as_text(expected))) / 100


def as_text(value: object) -> str:
    """Return a value as it is shown and compared; the empty text for None."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case Decimal():
            return f"{value.normalize():f}"
        case date():
            return value.isoformat()[:10]
        case Enum():
            return str(value.value)
    return str(value)


def _decimal(value: object) -> Decimal | None:
    if isinstance(value, Decimal):
        return value
    if isinstance(value, bool):
        return None
    try:
        return Decimal(str(value).strip())
    except InvalidOperation:
        try:
            return parse_amount(str(value))
        except ValueError:
            return None


def _code(value: object) -> str:
    text = str(value).strip().upper()
    try:
        return parse_currency(text)
    except ValueError:
        return text


def _squeezed(value: object) -> str:
    return re.sub(r"\s", "", folded(as_text(value)))


_FORMS: Mapping[Sort, Callable[[object], object]] = {
    Sort.AMOUNT: _decimal,
    Sort.DATE: lambda value: as_text(value)[:10],
    Sort.CODE: _code,
    Sort.IDENTIFIER: _squeezed,
    Sort.CHOICE: lambda value: folded(as_text(value)),
}
"""What must be equal of two values; None where it is no such value."""
