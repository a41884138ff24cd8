"""What a rule is, how records are held against rules, and the decorator for own ones."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from pipeline.errors import ConfigError

log = logging.getLogger(__name__)

SERIES = (list, tuple, Sequence)

ITEM = "[]."
"""Between a list and a field of its items, as in "line_items[].quantity"."""

Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one look at a record said."""

    paths: tuple[str, ...]
    """Of the values looked at: `total`, `line_items[0].quantity`."""
    message: str | None = None
    """What is wrong; None when the rule holds."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finding of a rule that applies to a record."""

    rule: str
    paths: tuple[str, ...]
    message: str | None
    """What is wrong; None when the rule holds."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule, by its name."""

    name: str
    """What breaches are recorded and counted by: never rename one."""
    fields: tuple[str, ...]
    """The fields that it looks at, "line_items[].quantity" for those of a list's items."""
    check: Callable[[Values], Iterator[Finding]]
    """Yields nothing where the rule does not apply."""
    whole: bool = False
    """Whether it takes all pages of a document: one page of several may lack what it adds up."""


def check_rules(rules: Sequence[Rule], record: Values, *, whole: bool) -> tuple[Outcome, ...]:
    """Return what the rules say of a record; nothing for those that do not apply.

    A rule that raises says nothing, and the log tells of it once; a run goes on.

    Args:
        record: typed values by field name, as validated.
        whole: Whether it is of a whole document; of one page of several, only rules are asked that need no more.
    """
    return tuple(outcome for one in rules if whole or not one.whole for outcome in _outcomes(one, record))


def _outcomes(rule_: Rule, record: Values) -> list[Outcome]:
    try:
        return [Outcome(rule_.name, found.paths, found.message) for found in rule_.check(record)]
    except Exception as error:  # the user's code: what it says of one record must not end the night
        _tell(rule_.name, type(error).__name__)
        log.debug("the rule %s failed", rule_.name, exc_info=True)
        return []


@lru_cache(maxsize=256)
def _tell(name: str, error: str) -> None:
    """Say once that a rule fails, not once for each of a million pages."""
    log.error("The rule %s of the schema fails with %s; where it does, it counts as if it did not apply.", name, error)


def rules_of(model: type[BaseModel]) -> tuple[Rule, ...]:
    """Return the rules in the class variable `rules` of a record's model; none without it.

    Raises:
        ConfigError: it holds something else, a name twice, a field that is not there or items of several lists.
    """
    rules = getattr(model, "rules", ())
    if not isinstance(rules, tuple | list) or not all(isinstance(one, Rule) for one in rules):
        raise ConfigError(f"{model.__name__}.rules must be a tuple of rules, see pipeline.rules.")
    names = [one.name for one in rules]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"{model.__name__}.rules has the name {twice[0]} twice; give one of them another name.")
    for one in rules:
        for field in one.fields:
            if not _has(model, field):
                raise ConfigError(f"The rule {one.name} asks for the field {field}, which {model.__name__} lacks.")
        if len(lists_in(one.fields)) > 1 or any(field.count(ITEM) > 1 for field in one.fields):
            raise ConfigError(f"The rule {one.name} asks for items of several lists; a rule can look at one's only.")
    return tuple(rules)


def _has(model: type[BaseModel], field: str) -> bool:
    """Tell whether a model has a field, items of lists marked as such."""
    name, _, rest = field.partition(".")
    bare = name.removesuffix("[]")
    if bare not in model.model_fields:
        return False
    inner = _models_in(model.model_fields[bare].annotation, is_item=False)
    return name == bare if not rest else any(is_item == (name != bare) and _has(one, rest) for one, is_item in inner)


def _models_in(annotation: Any, *, is_item: bool) -> Iterator[tuple[type[BaseModel], bool]]:
    """Yield the models in an annotation, and whether they are of a list's items."""
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        yield annotation, is_item
    for argument in get_args(annotation):
        yield from _models_in(argument, is_item=is_item or get_origin(annotation) in SERIES)


Judgement = Callable[..., bool | str | None]


def rule(*fields: str, name: str | None = None, whole: bool = False) -> Callable[[Judgement], Rule]:
    """Make a rule of a function of the values of `fields`.

    It is called where all of them are there, and returns True, None or "" when the rule holds, False or what is wrong
    when it does not. Fields of a list's items ("line_items[].quantity") make it be called once for each item.

    Args:
        name: default the function's; its first line of docstring is the message of False.
        whole: see Rule.
    """

    def decorate(judge: Judgement) -> Rule:
        first_line = (inspect.getdoc(judge) or "").partition("\n")[0].strip()
        default = first_line or f"The rule {judge.__name__} does not hold."

        def check(record: Values) -> Iterator[Finding]:
            for found in values_at(record, fields):
                said = judge(*found.values())
                message = said if isinstance(said, str) else default if said is False else None
                yield Finding(tuple(found), message or None)

        return Rule(name or judge.__name__, fields, check, whole)

    return decorate


def values_at(record: Values, fields: Sequence[str], *, optional: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    """Yield the values of `fields`, then `optional`, by path; once, or once for each item of the list that they name.

    Left out is what lacks one of `fields`: None, or an empty text.
    """
    lists = lists_in((*fields, *optional))
    items = value_at(record, lists.pop()) or () if lists else (None,)
    for index, item in enumerate(items):
        found = dict(_value(record, item, index, field) for field in fields)
        if all(value not in (None, "") for value in found.values()):
            yield found | dict(_value(record, item, index, field) for field in optional)


def value_at(record: Any, field: str) -> Any:
    """Return a value of a record, or of a record within it: "sums.total". None where there is none."""
    for name in field.split("."):
        record = record.get(name) if isinstance(record, Mapping) else None
    return record


def plain_name(fields: str) -> str:
    """Return the name of a rule made of fields, without the marks of lists."""
    return fields.replace(ITEM, "_")


def lists_in(fields: Sequence[str]) -> set[str]:
    """Return the lists at whose items fields are."""
    return {field.partition(ITEM)[0] for field in fields if ITEM in field}


def _value(record: Values, item: Any, index: int, field: str) -> tuple[str, Any]:
    list_name, mark, inner = field.partition(ITEM)
    return (f"{list_name}[{index}].{inner}", value_at(item, inner)) if mark else (field, value_at(record, field))
