"""Values of the `record` column -> the values they were made of, as far as Arrow's own types do not tell."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, get_args, get_origin

from pydantic import BaseModel

from pipeline.sink.types import unwrapped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pipeline.data import Json

    Restore = Callable[[Any], Any]


def record_restorer(model: type[BaseModel]) -> Restore | None:
    """Return what turns JSON text in a record of `model` back into values; None when it can hold no such text.

    The rest is left as it is: an enum's value is not its member, a set is a list.
    """
    fields = {name: _of(info.annotation) for name, info in model.model_fields.items()}
    fields |= {name: _of(info.return_type) for name, info in model.model_computed_fields.items()}
    return _or_none(_struct, {name: restore for name, restore in fields.items() if restore})


def _of(annotation: Any) -> Restore | None:
    annotation, _ = unwrapped(annotation, {})
    if annotation in (Any, object):
        return _any
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is typing.Literal:
        return None
    if origin in {typing.Union, types.UnionType}:
        return next(filter(None, map(_of, arguments)), None)
    kind = origin or annotation
    if issubclass(kind, BaseModel):
        root = kind.model_fields.get("root") if getattr(kind, "__pydantic_root_model__", False) else None
        return _of(root.annotation) if root else record_restorer(kind)
    if issubclass(kind, Mapping):
        free = not arguments or arguments[1] in (Any, object)
        return _mapping if free else _or_none(_values, _of(arguments[1]))
    return _or_none(_items, _of(arguments[0])) if arguments else None


def _or_none(restore: Callable[[Any, Any], Any], inner: Any) -> Restore | None:
    return partial(restore, inner) if inner else None


def _struct(fields: dict[str, Restore], value: Json | None) -> Json | None:
    if value is None:
        return None
    return value | {name: restore(value.get(name)) for name, restore in fields.items()}


def _values(restore: Restore, value: Json | None) -> Json | None:
    return None if value is None else {name: restore(item) for name, item in value.items()}


def _items(restore: Restore, value: Iterable[Any] | None) -> list[Any] | None:
    return None if value is None else [restore(item) for item in value]


def _mapping(text: Any) -> Any:
    value = _any(text)
    return value if isinstance(value, dict) else text


def _any(text: Any) -> Any:
    """Return what `text` is the JSON of; `text` when it is none, or not as we write it: then it was a string."""
    try:
        value = json.loads(text)
        return value if not isinstance(value, str) and json.dumps(value) == text else text
    except (TypeError, ValueError, RecursionError):
        return text
