"""Fields, rules and reasons for review in words: "Line items 3: quantity" for `line_items[2].quantity`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

_INDEX = re.compile(r"\[(\d+)\]")
_CAPITALS = frozenset({"bic", "iban", "id", "url", "vat"})
_MOST_ROWS = 6
_KINDS = {
    "doubtful": ("doubtful", "doubtful"),
    "not found": ("missing", "not on the page"),
    "breach": ("breach", "breaks"),
    "conflict": ("doubtful", "pages differ"),
    "outdated": ("doubtful", "outdated"),
}
"""Of a reason for review: how it looks, and how it is called."""


class Told(NamedTuple):
    """A reason to look at a record."""

    state: str
    """As that of a field."""
    text: str


def label_of(path: str) -> str:
    """Return a field's name for people, rows counted from 1 as in tables: "Seller, name", "Line items 3: quantity"."""
    before, number, after = _split(path)
    if number is None:
        return _words(path)
    return _in_row(before, str(number + 1), after)


def rule_words(name: str) -> str:
    """Return a rule's name for people: "lines add up"."""
    return name.replace("_", " ")


def reasons_told(reasons: Iterable[str]) -> tuple[Told, ...]:
    """Return the reasons to look at a record, those of one column of a table as one."""
    rows: dict[tuple[str, str, str, bool], list[int]] = {}
    for reason in reasons:
        kind, _, about = reason.partition(": ")
        before, number, after = _split(about) if kind != "breach" else (about, None, "")
        rows.setdefault((kind, before, after, number is not None), []).extend(() if number is None else (number + 1,))
    return tuple(_told(kind, before, after, numbers) for (kind, before, after, _), numbers in rows.items())


def _told(kind: str, before: str, after: str, rows: list[int]) -> Told:
    state, called = _KINDS.get(kind, ("doubtful", kind))
    if kind == "breach":
        return Told(state, f"{called}: {rule_words(before)}")
    if not rows:
        return Told(state, f"{called}: {_words(before)}" if before else called)
    numbers = ", ".join(map(str, rows[:_MOST_ROWS]))
    more = f" and {len(rows) - _MOST_ROWS:,} more" if len(rows) > _MOST_ROWS else ""
    return Told(state, f"{called}: {_in_row(before, numbers + more, after)}")


def _split(path: str) -> tuple[str, int | None, str]:
    """Return what stands before the first number of a path, the number, and what stands behind it."""
    found = _INDEX.search(path)
    return (path[: found.start()], int(found[1]), path[found.end() :].lstrip(".")) if found else (path, None, "")


def _in_row(before: str, rows: str, after: str) -> str:
    inner = label_of(after) if after else ""
    if inner.partition(" ")[0].lower() in _CAPITALS:
        return f"{_words(before)} {rows}: {inner}"
    return f"{_words(before)} {rows}" + (f": {inner[:1].lower()}{inner[1:]}" if inner else "")


def _words(path: str) -> str:
    text = path.replace("_", " ").replace(".", ", ")
    words = " ".join(word.upper() if word in _CAPITALS else word for word in text.split(" "))
    return words[:1].upper() + words[1:]
