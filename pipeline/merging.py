"""Records of a document's pages -> the document's record, however many pages it has and in whatever order they come.

Knows nothing of prompts and engines; what makes a record valid is the extraction's.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from operator import itemgetter
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Protocol, Union, get_args, get_origin

from pipeline.data import Json
from pipeline.errors import ConfigError
from pipeline.schema import Merge, Printed

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

PAGE_BREAK = "\f"
"""Between the pages of a merged plain-text field, as pdftotext writes it."""


class Merger:
    """Takes the records of one document's pages and makes one of them.

    Memory is bounded by the limits and one page's record, never by the number of pages. The result is the same
    whatever the order in which pages come: they are read ahead, and retried, out of order.
    """

    def __init__(
        self, rules: Mapping[str, Merge], check: Callable[[Json], Json], *, max_characters: int, max_items: int
    ) -> None:
        """Begin a document without pages; see Extraction.merger.

        Args:
            rules: by field name.
            check: returns the typed record of merged values, or raises GenerationInvalid.
            max_characters: of each joined text, page breaks included.
            max_items: of each list.
        """
        limits = {Merge.JOIN: max_characters, Merge.EXTEND: max_items}
        self._fields = {name: _field(rule, limits) for name, rule in rules.items()}
        self._check = check
        self._num_records = 0
        self._first_come: Json = {}

    def add(self, page_number: int, record: Json | None) -> None:
        """Take in a page, each once; None is a page that has no record. The record itself is left as it is."""
        if record is None:
            return
        self._num_records += 1
        self._first_come = record if self._num_records == 1 else {}
        for name, field in self._fields.items():
            value = record.get(name)
            if value not in (None, [], ""):
                field.add(page_number, value)

    def result(self) -> tuple[Json | None, bool]:
        """Return the document's record, None when no page has one, and whether a limit cut it.

        A single record is returned as it came. Several are validated once merged: the schema's validators run
        again on values they have seen, so they must leave those as they are.

        Raises:
            GenerationInvalid: the merged values break a rule of the schema.
        """
        cut = {name: field.value() for name, field in self._fields.items() if field.is_cut}
        if self._num_records <= 1:
            return ({**self._first_come, **cut} if self._num_records else None), bool(cut)
        merged = {name: field.value() for name, field in self._fields.items() if field.is_set}
        return self._check(merged), bool(cut)


def merge_rules(model: type[BaseModel], plain_text_field: str | None) -> dict[str, Merge]:
    """Return the rule of each field of a record model, the stated or the default one.

    Raises:
        ConfigError: a field's values cannot be merged as its rule says.
    """
    rules = {name: _rule(field, is_plain_text=name == plain_text_field) for name, field in model.model_fields.items()}
    for name, rule in rules.items():
        needed = {Merge.JOIN: str, Merge.EXTEND: list}.get(rule)
        if needed and set(_kinds(model.model_fields[name].annotation)) - {NoneType} != {needed}:
            raise ConfigError(f"{model.__name__}.{name}: merge={rule.name} is for fields of type {needed.__name__}.")
    return rules


def _rule(field: FieldInfo, *, is_plain_text: bool) -> Merge:
    stated = next((meta.merge for meta in field.metadata if isinstance(meta, Printed) and meta.merge), None)
    if stated:
        return stated
    if is_plain_text:
        return Merge.JOIN
    if list in _kinds(field.annotation):
        return Merge.EXTEND
    return Merge.LAST if "Decimal" in str(field.annotation) else Merge.FIRST


def _kinds(annotation: Any) -> Iterator[Any]:
    """Yield the classes that an annotation allows, without what they hold."""
    for wrapper in ("__value__", "__supertype__"):  # `type` aliases and NewType
        annotation = getattr(annotation, wrapper, annotation)
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _kinds(get_args(annotation)[0])
    elif origin in {Union, UnionType}:
        for option in get_args(annotation):
            yield from _kinds(option)
    else:
        yield origin or annotation


class _Field(Protocol):
    """The values of one field."""

    is_set: bool
    is_cut: bool

    def add(self, page_number: int, value: Any) -> None: ...

    def value(self) -> Any: ...


def _field(rule: Merge, limits: Mapping[Merge, int]) -> _Field:
    match rule:
        case Merge.JOIN:
            return _Series(limits[rule], PAGE_BREAK.join, gap=len(PAGE_BREAK))
        case Merge.EXTEND:
            return _Series(limits[rule], lambda parts: list(chain.from_iterable(parts)))
        case Merge.FIRST | Merge.LAST:
            return _Single(rule)


class _Single:
    """The value of the first or of the last page that has one."""

    is_cut = False

    def __init__(self, rule: Merge) -> None:
        self.is_set = False
        self._sign = 1 if rule is Merge.FIRST else -1
        self._rank = 0
        self._value: Any = None

    def add(self, page_number: int, value: Any) -> None:
        rank = self._sign * page_number
        if not self.is_set or rank < self._rank:
            self.is_set, self._rank, self._value = True, rank, value

    def value(self) -> Any:
        return self._value


class _Series:
    """Values of all pages in page order, as long as they begin within the limit.

    What lies behind the limit is dropped at once: pages yet to come can only push it further back.
    """

    def __init__(self, limit: int, combine: Callable[[list[Any]], Any], *, gap: int = 0) -> None:
        """Begin empty; `gap` is what stands between two parts, counted as their length is."""
        self.is_set = False
        self.is_cut = False
        self._limit = limit
        self._combine = combine
        self._gap = gap
        self._parts: list[tuple[int, Any]] = []
        self._end = -gap
        """Where the last part ends."""

    def add(self, page_number: int, value: Any) -> None:
        self.is_set = True
        insort(self._parts, (page_number, value), key=itemgetter(0))
        self._end += self._gap + len(value)
        self._drop_behind_limit()

    def value(self) -> Any:
        return self._combine([part for _, part in self._parts])[: self._limit]

    def _drop_behind_limit(self) -> None:
        while self._end > self._limit:
            self.is_cut = True
            page_number, last = self._parts.pop()
            start = self._end - len(last)
            self._end = start - self._gap
            if self._end < self._limit:  # it begins within, or the gap before it does
                kept = last[: max(0, self._limit - start)]
                self._parts.append((page_number, kept))
                self._end = start + len(kept)
                return
