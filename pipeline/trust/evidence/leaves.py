"""The values of a record one by one, with what the schema says of each."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from enum import Enum, StrEnum
from functools import cache
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from pipeline.data import Json
from pipeline.schema import Merge, Printed, Role, ValueKind

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo


class Kind(StrEnum):
    """How a value is looked for."""

    TEXT = "text"
    NUMBER = "number"
    DATE = "date"
    TIME = "time"
    CURRENCY = "currency"
    YES_OR_NO = "yes_or_no"
    CHOICE = "choice"
    PLAIN_TEXT = "plain_text"


@dataclass(frozen=True, slots=True)
class Spec:
    """What the schema says of a field, or of the items of a list."""

    owner: str
    """Path without indices: `line_items.quantity`."""
    labels: tuple[str, ...] = ()
    role: Role | None = None
    stands_last: bool = False
    """Whether of several places the last is the likeliest."""
    kind: Kind | None = None
    """What its type says; None leaves it to the value."""
    fields: Mapping[str, Spec] = field(default_factory=dict)
    """Of a nested model, or of the models in a list."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """One value that is not empty."""

    path: str
    value: Any
    kind: Kind
    spec: Spec
    item: tuple[str, int] | None = None
    """Path of the innermost list of objects it is in, and the number of its item."""

    @property
    def number(self) -> Decimal:
        """The value of a NUMBER."""
        return _decimal(self.value)


@cache
def spec_of(model: type[BaseModel]) -> Spec:
    """Return what a record model says of its fields."""
    return Spec("", fields=_fields(model, "", ()))


def labels_of(spec: Spec) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the owner and the labels of each field below."""
    for one in spec.fields.values():
        yield one.owner, one.labels
        yield from labels_of(one)


def leaves_of(record: Json, model: type[BaseModel], plain_text_field: str | None = None) -> Iterator[Leaf]:
    """Yield the values of a record that are not empty, in its order."""
    for name, value in record.items():
        spec = spec_of(model).fields.get(str(name)) or _unknown(str(name))
        if name == plain_text_field and isinstance(value, str) and value:
            yield Leaf(str(name), value, Kind.PLAIN_TEXT, spec)
        else:
            yield from _leaves(str(name), value, spec, None)


def _leaves(path: str, value: Any, spec: Spec, item: tuple[str, int] | None) -> Iterator[Leaf]:
    if value is None or value in ("", [], {}, (), set()):
        return
    if isinstance(value, BaseModel):
        value = dict(value)
    if isinstance(value, Mapping):
        for name, one in value.items():
            inner = spec.fields.get(str(name)) or _unknown(f"{spec.owner}.{name}")
            yield from _leaves(f"{path}.{name}", one, inner, item)
    elif isinstance(value, list | tuple | set | frozenset):
        for number, one in enumerate(value):
            inside = (path, number) if isinstance(one, Mapping | BaseModel) else item
            yield from _leaves(f"{path}[{number}]", one, spec, inside)
    else:
        yield _leaf(path, value, spec, item)


def _leaf(path: str, value: Any, spec: Spec, item: tuple[str, int] | None) -> Leaf:
    match value:
        case Enum():
            return Leaf(path, value.value, Kind.CHOICE, spec, item)
        case bool():
            kind = Kind.YES_OR_NO
        case Decimal() | int() | float():
            kind = Kind.NUMBER
        case dt.date():
            value, kind = (value.date() if isinstance(value, dt.datetime) else value), Kind.DATE
        case dt.time():
            value, kind = value.isoformat("minutes"), Kind.TIME
        case _:
            return _typed(path, str(value), spec, item)
    return Leaf(path, value, kind, spec, item)


def _typed(path: str, text: str, spec: Spec, item: tuple[str, int] | None) -> Leaf:
    """Read the text of a record that came as JSON as the schema's type says."""
    if spec.kind is Kind.NUMBER:
        try:
            return Leaf(path, Decimal(text), Kind.NUMBER, spec, item)
        except InvalidOperation:
            return Leaf(path, text, Kind.TEXT, spec, item)
    if spec.kind is Kind.DATE:
        try:
            return Leaf(path, dt.date.fromisoformat(text[:10]), Kind.DATE, spec, item)
        except ValueError:
            return Leaf(path, text, Kind.TEXT, spec, item)
    return Leaf(path, text, spec.kind if spec.kind in {Kind.CURRENCY, Kind.CHOICE} else Kind.TEXT, spec, item)


def _decimal(value: Any) -> Decimal:
    number = Decimal(str(value))
    return number if number.is_finite() else Decimal(0)


def _unknown(owner: str) -> Spec:
    """A name that the schema does not know: a key of a dict, an extra field."""
    return Spec(owner, labels=(_words(owner.rpartition(".")[2]),))


def _fields(model: type[BaseModel], owner: str, inside: tuple[type[BaseModel], ...]) -> dict[str, Spec]:
    if model in inside:  # a model that contains itself: its fields are known by name only
        return {}
    return {
        name: _spec(f"{owner}.{name}".removeprefix("."), name, info, (*inside, model))
        for name, info in model.model_fields.items()
    }


def _spec(owner: str, name: str, info: FieldInfo, inside: tuple[type[BaseModel], ...]) -> Spec:
    marks = [*info.metadata, *_flat(info.annotation)]
    printed = next((mark for mark in marks if isinstance(mark, Printed)), Printed())
    model = next((mark for mark in marks if isinstance(mark, type) and issubclass(mark, BaseModel)), None)
    kind = _kind(marks)
    return Spec(
        owner,
        labels=printed.labels or ((info.title or _words(name)),) * (printed.role is None),
        role=printed.role,
        stands_last=(printed.merge or (Merge.LAST if kind is Kind.NUMBER else Merge.FIRST)) is Merge.LAST,
        kind=kind,
        fields=_fields(model, owner, inside) if model else {},
    )


def _words(name: str) -> str:
    return name.replace("_", " ")


def _kind(marks: list[Any]) -> Kind | None:
    if ValueKind.CURRENCY in marks:
        return Kind.CURRENCY
    types = [mark for mark in marks if isinstance(mark, type)]
    if any(get_origin(mark) is Literal for mark in marks) or any(issubclass(mark, Enum) for mark in types):
        return Kind.CHOICE
    if bool in types:
        return Kind.YES_OR_NO
    if any(mark in types for mark in (Decimal, float, int)):
        return Kind.NUMBER
    return Kind.DATE if any(issubclass(mark, dt.date) for mark in types) else None


def _flat(annotation: Any) -> Iterator[Any]:
    """Types and marks inside unions, lists, dicts and Annotated, outermost first; literals stay whole."""
    for wrapper in ("__value__", "__supertype__"):
        annotation = getattr(annotation, wrapper, annotation)
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _flat(get_args(annotation)[0])
        yield from annotation.__metadata__
    elif origin in {Union, UnionType, list, dict, tuple, set, frozenset}:
        for part in get_args(annotation):
            yield from _flat(part)
    else:
        yield annotation
