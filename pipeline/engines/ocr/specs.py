"""What a pydantic model asks for, in the terms in which a page is searched."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum, StrEnum
from functools import cache
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError

from pipeline.schema import Printed, Role, ValueKind

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo


class Kind(StrEnum):
    """How the value of a field is recognised on a page."""

    TEXT = "text"
    AMOUNT = "amount"
    INTEGER = "integer"
    DATE = "date"
    CURRENCY = "currency"
    IBAN = "iban"
    BOOLEAN = "boolean"
    CHOICE = "choice"
    RECORD = "record"
    """A nested model, filled from the same page."""
    ROWS = "rows"
    """A list of models, filled from table rows."""
    UNSUPPORTED = "unsupported"
    """Left at its default, e.g. a list of strings."""


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """One field of a model."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    """As the schema gives them; without any, the title or the words of the field's name."""
    role: Role | None
    nullable: bool
    """Whether None is a valid value."""
    choices: tuple[Any, ...] = ()
    """Of CHOICE: the values allowed."""
    model: type[BaseModel] | None = None
    """Of RECORD and ROWS: the model of the nested record or of one row."""
    adapter: TypeAdapter[Any] | None = field(default=None, compare=False, repr=False)

    def accepts(self, value: Any) -> bool:
        """Whether the field's type and constraints (a pattern, a range) allow the value."""
        try:
            if self.adapter:
                self.adapter.validate_python(value)
        except ValidationError:
            return False
        return True


@cache
def field_specs(model: type[BaseModel]) -> tuple[FieldSpec, ...]:
    """The fields of `model` in the order of their definition."""
    return tuple(_spec(name, info) for name, info in model.model_fields.items())


def _spec(name: str, info: FieldInfo) -> FieldSpec:
    marks = [*info.metadata, *_flatten(info.annotation)]
    printed = next((mark for mark in marks if isinstance(mark, Printed)), Printed())
    kind, choices, model = _kind(marks)
    labels = printed.labels or ((info.title or name.replace("_", " ")),) * (printed.role is None)
    adapter: TypeAdapter[Any] = TypeAdapter(Annotated[info.annotation, info])  # type: ignore[arg-type]
    return FieldSpec(name, kind, labels, printed.role, NoneType in marks, choices, model, adapter)


def _flatten(annotation: Any) -> Iterator[Any]:
    """Types and marks inside unions and Annotated, outermost first; lists and literals stay whole."""
    if get_origin(annotation) in {Union, UnionType, Annotated}:
        for part in (*get_args(annotation), *getattr(annotation, "__metadata__", ())):
            yield from _flatten(part)
    else:
        yield annotation


_KIND_OF_TYPE: dict[Any, Kind] = {
    Decimal: Kind.AMOUNT,
    float: Kind.AMOUNT,
    int: Kind.INTEGER,
    bool: Kind.BOOLEAN,
    dt.date: Kind.DATE,
    ValueKind.CURRENCY: Kind.CURRENCY,
    ValueKind.IBAN: Kind.IBAN,
}


def _kind(marks: list[Any]) -> tuple[Kind, tuple[Any, ...], type[BaseModel] | None]:
    for mark in marks:
        if get_origin(mark) is Literal:
            return Kind.CHOICE, get_args(mark), None
        if get_origin(mark) is list:
            item = next(_flatten(get_args(mark)[0]), None)
            return (Kind.ROWS, (), item) if _is_model(item) else (Kind.UNSUPPORTED, (), None)
        if _is_model(mark):
            return Kind.RECORD, (), mark
        if isinstance(mark, type) and issubclass(mark, Enum):
            return Kind.CHOICE, tuple(member.value for member in mark), None
    # A ValueKind mark says more than the `str` beside it, so types decide in the order of the table.
    simple = [_KIND_OF_TYPE[m] for m in marks if isinstance(m, type | ValueKind) and m in _KIND_OF_TYPE]
    return (simple[0], (), None) if simple else (Kind.TEXT if str in marks else Kind.UNSUPPORTED, (), None)


def _is_model(mark: Any) -> bool:
    return isinstance(mark, type) and issubclass(mark, BaseModel)
