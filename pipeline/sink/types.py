"""pydantic model -> Arrow type: the `record` column is as typed as the schema that fills it."""

from __future__ import annotations

import datetime as dt
import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from decimal import Decimal
from enum import Enum
from typing import Any, get_args, get_origin

import pyarrow as pa
from pydantic import AwareDatetime, BaseModel, NaiveDatetime
from pydantic.fields import FieldInfo

from pipeline.errors import ConfigError

DECIMAL_DIGITS = 38
"""The most digits of Arrow's decimal128, and of DuckDB's and Polars' decimals."""
DEFAULT_DECIMAL_PLACES = 9
"""Of a Decimal field that states no limit."""

SUPPORTED = "str, int, float, bool, date, time, datetime, Decimal, Enum, Literal, list, dict, nested models, Optional"

_SCALARS: dict[Any, pa.DataType] = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
    dt.date: pa.date32(),
    dt.time: pa.time64("us"),
    dt.datetime: pa.timestamp("us"),
    NaiveDatetime: pa.timestamp("us"),
    AwareDatetime: pa.timestamp("us", tz="UTC"),
    # What JSON can say and Arrow cannot type is kept as JSON text.
    Any: pa.string(),
    dict: pa.string(),
}


def arrow_type(model: type[BaseModel]) -> pa.StructType:
    """Return the struct with one field per field of `model`, in its order; all nullable.

    Raises:
        ConfigError: a field's type has no Arrow counterpart, or a model has no fields or contains itself.
    """
    return _struct(model, model.__name__, ())


def _struct(model: type[BaseModel], where: str, parents: tuple[type[BaseModel], ...]) -> pa.StructType:
    if model in parents:
        raise ConfigError(f"{where}: {model.__name__} contains itself; a column has no endless type.")
    parents = (*parents, model)
    fields = [
        pa.field(name, _of(info.annotation, _limits(info.metadata), f"{where}.{name}", parents))
        for name, info in model.model_fields.items()
    ]
    fields += [
        pa.field(name, _of(info.return_type, {}, f"{where}.{name}", parents))
        for name, info in model.model_computed_fields.items()
    ]
    if not fields:
        raise ConfigError(f"{where}: the model {model.__name__} has no fields; give it at least one.")
    return pa.struct(fields)


def _of(annotation: Any, limits: dict[str, int], where: str, parents: tuple[type[BaseModel], ...]) -> pa.DataType:
    """Return the type of `annotation`; `limits` are the decimal limits that stand around it."""
    annotation, limits = unwrapped(annotation, limits)
    if annotation is Any or isinstance(annotation, type):
        return _of_class(annotation, limits, where, parents)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is typing.Literal:
        return _choice(arguments, where)
    if origin in {typing.Union, types.UnionType}:
        return _one_of(
            [_of(a, limits, where, parents) for a in arguments if a is not types.NoneType], annotation, where
        )
    if _is_subclass(origin, Mapping):
        return _mapping(arguments, where, parents)
    if _is_subclass(origin, (Sequence, AbstractSet)) and len({a for a in arguments if a is not Ellipsis}) == 1:
        return pa.list_(_of(arguments[0], {}, f"{where}[]", parents))
    raise _unsupported(annotation, where)


def _of_class(kind: Any, limits: dict[str, int], where: str, parents: tuple[type[BaseModel], ...]) -> pa.DataType:
    if kind is Decimal:
        return _decimal(limits)
    if kind in _SCALARS:
        return _SCALARS[kind]
    if _is_subclass(kind, Enum):
        return _choice([member.value for member in kind], where)
    if _is_subclass(kind, BaseModel):
        return _model(kind, where, parents)
    raise _unsupported(kind, where)


def unwrapped(annotation: Any, limits: dict[str, int]) -> tuple[Any, dict[str, int]]:
    """Take off Annotated, `type` aliases and NewType; gather the decimal limits on the way."""
    while True:
        # AwareDatetime and NaiveDatetime say by themselves what they are.
        if get_origin(annotation) is typing.Annotated:
            limits = {**limits, **_limits(annotation.__metadata__)}
            annotation = annotation.__origin__
        elif hasattr(annotation, "__value__"):
            annotation = annotation.__value__
        elif hasattr(annotation, "__supertype__"):
            annotation = annotation.__supertype__
        else:
            return annotation, limits


def _limits(metadata: Iterable[Any]) -> dict[str, int]:
    """Return `max_digits` and `decimal_places` as far as `metadata` sets them, at any depth of Field()."""
    found: dict[str, int] = {}
    for item in _flat(metadata):
        for name in ("max_digits", "decimal_places"):
            value = getattr(item, name, None)
            if isinstance(value, int):
                found[name] = value
    return found


def _flat(metadata: Iterable[Any]) -> Iterator[Any]:
    for item in metadata:
        if isinstance(item, FieldInfo):
            yield from _flat(item.metadata)
        else:
            yield item


def _decimal(limits: dict[str, int]) -> pa.DataType:
    """Return the narrowest decimal that holds every value within `limits`, as far as 38 digits go."""
    places = min(limits.get("decimal_places", DEFAULT_DECIMAL_PLACES), DECIMAL_DIGITS)
    if "decimal_places" not in limits:
        # Without a limit on places, all of max_digits may stand before the point.
        return pa.decimal128(min(limits.get("max_digits", DECIMAL_DIGITS) + places, DECIMAL_DIGITS), places)
    return pa.decimal128(max(min(limits.get("max_digits", DECIMAL_DIGITS), DECIMAL_DIGITS), places, 1), places)


def _choice(values: Iterable[Any], where: str) -> pa.DataType:
    """Return the common type of the values of a Literal or Enum."""
    kinds = {type(value.value if isinstance(value, Enum) else value) for value in values} - {type(None)}
    if len(kinds) == 1 and (kind := kinds.pop()) in (str, int, bool):
        return _SCALARS[kind]
    raise ConfigError(f"{where}: the choices must all be strings or all integers to become a column.")


def _one_of(found: list[pa.DataType], annotation: Any, where: str) -> pa.DataType:
    """Return the one type that the options of a union have in common."""
    if all(kind == found[0] for kind in found):
        return found[0]
    if set(found) == {pa.int64(), pa.float64()}:
        return pa.float64()
    raise _unsupported(annotation, where)


def _model(model: type[BaseModel], where: str, parents: tuple[type[BaseModel], ...]) -> pa.DataType:
    # A root model dumps as its value, without a field around it.
    root = model.model_fields.get("root") if getattr(model, "__pydantic_root_model__", False) else None
    if root is None:
        return _struct(model, where, parents)
    return _of(root.annotation, _limits(root.metadata), where, (*parents, model))


def _mapping(arguments: tuple[Any, ...], where: str, parents: tuple[type[BaseModel], ...]) -> pa.DataType:
    if arguments[0] is not str:
        raise _unsupported(f"a dict with {arguments[0]} keys", where)
    if arguments[1] in (Any, object):
        return pa.string()
    return pa.map_(pa.string(), _of(arguments[1], {}, f"{where}[]", parents))


def _is_subclass(candidate: Any, of: type | tuple[type, ...]) -> bool:
    return isinstance(candidate, type) and issubclass(candidate, of)


def _unsupported(annotation: Any, where: str) -> ConfigError:
    name = annotation.__name__ if isinstance(annotation, type) else annotation
    return ConfigError(f"{where}: {name} cannot become a Parquet column. Supported are {SUPPORTED}.")
