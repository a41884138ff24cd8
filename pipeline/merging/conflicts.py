"""What pages of one record say of one field, and whether that is the same."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any, NamedTuple

from pipeline.data import Conflict
from pipeline.merging.alike import are_same
from pipeline.schema import Merge

MOST_VALUES = 10
"""Of one conflict: who sees ten looks at the pages."""

LONGEST_VALUE = 200
"""Characters of a text in a conflict."""

Number = int | float | Decimal


class _Said(NamedTuple):
    page_number: int
    value: Any


class Sayings:
    """The different values of a field, each with the first page that says it. Takes pages in their order."""

    def __init__(self, path: str, merge: Merge) -> None:
        self._path = path
        self._merge = merge
        self._said: list[_Said] = []

    def add(self, page_number: int, value: Any) -> None:
        """Take in what a page says."""
        if self._merge is Merge.FIRST and len(self._said) == MOST_VALUES:
            return
        if any(said.value == value for said in self._said) or any(are_same(said.value, value) for said in self._said):
            return
        self._said.append(_Said(page_number, value))
        if len(self._said) > MOST_VALUES:
            self._forget_smallest()

    def conflict(self, page_number: int, value: Any) -> Conflict | None:
        """Return what contradicts the record's own value, which that page says; None where nothing does."""
        others = [said for said in self._said if not are_same(said.value, value) and self._contradicts(said, value)]
        if not others:
            return None
        listed = sorted([*others, _Said(page_number, value)])[: MOST_VALUES + 1]
        return Conflict(self._path, tuple((said.page_number, _text(said.value)) for said in listed))

    def _forget_smallest(self) -> None:
        """Drop the smallest amount, which may be a running sum."""
        self._said.remove(min(self._said, key=lambda said: abs(said.value)))

    def _contradicts(self, said: _Said, value: Any) -> bool:
        """Tell whether a page says something else on purpose: sums that run up to the last one do not."""
        if self._merge is Merge.FIRST:
            return True
        return bool(abs(said.value) > abs(value) or said.value * value < 0)


def is_comparable(value: Any, merge: Merge) -> bool:
    """Tell whether pages can contradict each other with such values: by rule LAST only numbers can."""
    if merge is Merge.LAST:
        return isinstance(value, Number) and not isinstance(value, bool)
    return merge is Merge.FIRST and isinstance(value, str | Number | dt.date | dt.time)


def _text(value: Any) -> str:
    if isinstance(value, Decimal):
        return format(value.normalize(), "f")
    return str(value)[:LONGEST_VALUE]
