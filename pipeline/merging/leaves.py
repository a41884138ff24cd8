"""How each value of a record merges: the fields of a model, those of the models within it too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from pipeline.errors import ConfigError
from pipeline.schema import Merge, Printed, Role, Split

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from pipeline.data import Json


LEAST_HEAD = 2
"""Fields of a first page's head that begin a record by themselves; see HEAD_OTHER in splitting."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A field that merges by one rule."""

    names: tuple[str, ...]
    """From the record's field down: ("seller",), ("seller", "name")."""
    merge: Merge
    is_amount: bool = False
    keeps: tuple[bool, ...] = ()
    """Of each name, whether nothing is kept as it is: left out it would be refused, or become a default."""
    item: type[BaseModel] | None = None
    """The model of a list's items, if they have one."""

    @property
    def path(self) -> str:
        """As evidence has it: `seller.name`."""
        return ".".join(self.names)

    @property
    def is_series(self) -> bool:
        """Whether all pages' values make the document's."""
        return self.merge in {Merge.JOIN, Merge.EXTEND}

    @property
    def empty(self) -> str | list[Any]:
        """A series of nothing."""
        return "" if self.merge is Merge.JOIN else []

    def value(self, record: Json) -> Any:
        """Return what a record has for it, None where it has nothing."""
        found: Any = record
        for name in self.names:
            if not isinstance(found, dict):
                return None
            found = found.get(name)
        return found

    def nothing(self, record: Json) -> tuple[tuple[str, ...], Any] | None:
        """Return where a record has nothing instead of a value, and what; None where that need not be kept.

        A record within it may be what is absent: a buyer has no name where there is no buyer.
        """
        found: Any = record
        for depth, keeps in enumerate(self.keeps, 1):
            found = found.get(self.names[depth - 1])
            if not isinstance(found, dict):
                return (self.names[:depth], found) if keeps else None
        return None


def put(record: Json, names: Sequence[str], value: Any) -> None:
    """Set a value that is not there yet, and what it stands in."""
    for name in names[:-1]:
        record = record.setdefault(name, {})
    record.setdefault(names[-1], value)


def leaves_of(model: type[BaseModel], plain_text_field: str | None) -> tuple[Leaf, ...]:
    """Return how the values of a record merge, in the order of its fields.

    A model within the record merges field by field, unless the field that holds it states a rule: then as a whole.

    Raises:
        ConfigError: a field's values cannot be merged as its rule says.
    """
    return tuple(_leaves(model, plain_text_field, (), frozenset()))


def split_of(model: type[BaseModel]) -> Split | None:
    """Return how the model says that records are told apart; None where it does not say.

    Raises:
        ConfigError: `split_on` is no Split, names fields that the model lacks, or too few to tell anything apart.
    """
    split = getattr(model, "split_on", None)
    if split is None:
        return None
    if not isinstance(split, Split):
        raise ConfigError(f"{model.__name__}.split_on must be a pipeline.schema.Split.")
    named = {*split.head, *split.end, *([split.number] if split.number else [])}
    if unknown := named - model.model_fields.keys():
        raise ConfigError(f"{model.__name__}.split_on names fields that it lacks: {', '.join(sorted(unknown))}.")
    if not split.number and not split.end and len(split.head) < LEAST_HEAD:
        raise ConfigError(f"{model.__name__}.split_on needs a number, an end, or two fields of head.")
    return split


def role_of(field: FieldInfo) -> Role | None:
    """Return what a field is to its document, as its annotation says."""
    return next((meta.role for meta in field.metadata if isinstance(meta, Printed)), None)


def holds_amount(field: FieldInfo) -> bool:
    """Tell whether its value is a number with decimals."""
    return "Decimal" in str(field.annotation)


def _leaves(
    model: type[BaseModel],
    plain_text_field: str | None,
    within: tuple[tuple[str, bool], ...],
    above: frozenset[type[BaseModel]],
) -> Iterator[Leaf]:
    """Yield the leaves of a model; `within` has the names that lead to it, and whether they keep nothing as it is."""
    for name, field in model.model_fields.items():
        kinds = set(_kinds(field.annotation))
        says_default = NoneType in kinds and field.get_default() not in (None, "", [], {})
        path = (*within, (name, field.is_required() or says_default))
        kinds.discard(NoneType)
        stated = next((meta.merge for meta in field.metadata if isinstance(meta, Printed) and meta.merge), None)
        inner = _only_model(kinds)
        if inner and not stated and inner not in above:
            yield from _leaves(inner, None, path, above | {model})
            continue
        merge = stated or _default(field, kinds, is_plain_text=name == plain_text_field and not within)
        _check(f"{model.__name__}.{name}", merge, kinds)
        item = _item(field.annotation) if merge is Merge.EXTEND else None
        names, keeps = zip(*path, strict=True)
        yield Leaf(names, merge, holds_amount(field), keeps, item)


def _default(field: FieldInfo, kinds: set[Any], *, is_plain_text: bool) -> Merge:
    if is_plain_text:
        return Merge.JOIN
    if list in kinds:
        return Merge.EXTEND
    return Merge.LAST if holds_amount(field) else Merge.FIRST


def _check(name: str, merge: Merge, kinds: set[Any]) -> None:
    needed = {Merge.JOIN: str, Merge.EXTEND: list}.get(merge)
    if needed and kinds != {needed}:
        raise ConfigError(f"{name}: merge={merge.name} is for fields of type {needed.__name__}.")


def _only_model(kinds: set[Any]) -> type[BaseModel] | None:
    """Return the model that a field takes, and nothing else."""
    kind = next(iter(kinds)) if len(kinds) == 1 else None
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _item(annotation: Any) -> type[BaseModel] | None:
    """Return the model of a list's items."""
    for option in _options(annotation):
        for argument in get_args(option):
            if found := _only_model(set(_kinds(argument)) - {NoneType}):
                return found
    return None


def _kinds(annotation: Any) -> Iterator[Any]:
    """Yield the classes that an annotation allows, without what they hold."""
    for option in _options(annotation):
        yield get_origin(option) or option


def _options(annotation: Any) -> Iterator[Any]:
    """Yield the types that an annotation allows."""
    for wrapper in ("__value__", "__supertype__"):  # `type` aliases and NewType
        annotation = getattr(annotation, wrapper, annotation)
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _options(get_args(annotation)[0])
    elif origin in {Union, UnionType}:
        for option in get_args(annotation):
            yield from _options(option)
    else:
        yield annotation
