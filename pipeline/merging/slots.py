"""The values of one field over the pages of one record. All take pages in their order."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from pipeline.data import Verdict
from pipeline.merging.conflicts import Sayings, is_comparable
from pipeline.merging.items import PageItem, continued
from pipeline.merging.notes import moved
from pipeline.schema import Merge

if TYPE_CHECKING:
    from pydantic import BaseModel

    from pipeline.data import Conflict, FieldEvidence
    from pipeline.merging.leaves import Leaf

PAGE_BREAK = "\f"
"""Between the pages of a merged plain-text field, as pdftotext writes it."""

LIKELY = 0.5
"""Confidence from which a value is rather right than wrong, and contradicts others."""

_ITEM = re.compile(r"\[(\d+)\]")


@dataclass(slots=True)
class Budget:
    """How much of a series a file's row may still take, over all its records."""

    left: int
    is_cut: bool = False

    def take(self, wanted: int) -> int:
        """Return how much may be had, and take that."""
        given = min(wanted, self.left)
        self.left -= given
        self.is_cut = self.is_cut or given < wanted
        return given


class Slot(Protocol):
    """The values of one field."""

    is_set: bool
    is_cut: bool

    def add(self, page_number: int, value: Any, evidence: list[FieldEvidence], *, counts: bool) -> None:
        """Take in what a page says; `counts` is whether it may contradict other pages."""
        ...

    def value(self) -> Any:
        """Return the record's value."""
        ...

    def evidence(self) -> list[FieldEvidence]:
        """Return where it stands, by its path in the record."""
        ...

    def conflict(self) -> Conflict | None:
        """Return what pages say otherwise."""
        ...


class _Single:
    """The value of the first or of the last page that has one.

    One that its page does not show yields to others, unless it is likely all the same: names stand in logos.
    """

    is_cut = False

    def __init__(self, leaf: Leaf) -> None:
        self.is_set = False
        self._leaf = leaf
        self._sayings = Sayings(leaf.path, leaf.merge)
        self._value: Any = None
        self._page_number = 0
        self._evidence: list[FieldEvidence] = []
        self._is_shown = False

    def add(self, page_number: int, value: Any, evidence: list[FieldEvidence], *, counts: bool) -> None:
        is_shown = all(one.verdict is not Verdict.NOT_FOUND or _is_likely(one, unknown=False) for one in evidence)
        if counts and is_shown and is_comparable(value, self._leaf.merge) and all(map(_is_likely, evidence)):
            self._sayings.add(page_number, value)
        is_better = is_shown >= self._is_shown if self._leaf.merge is Merge.LAST else is_shown > self._is_shown
        if not self.is_set or is_better:
            self.is_set, self._is_shown = True, is_shown
            self._value, self._page_number, self._evidence = value, page_number, evidence

    def value(self) -> Any:
        return self._value

    def evidence(self) -> list[FieldEvidence]:
        return self._evidence

    def conflict(self) -> Conflict | None:
        return self._sayings.conflict(self._page_number, self._value) if self.is_set else None


class _Joined:
    """The texts of all pages, as far as the budget goes."""

    def __init__(self, budget: Budget) -> None:
        self.is_set = self.is_cut = False
        self._budget = budget
        self._texts: list[str] = []
        self._evidence: list[FieldEvidence] = []

    def add(self, page_number: int, value: Any, evidence: list[FieldEvidence], *, counts: bool) -> None:  # noqa: ARG002 - see Slot
        text = f"{PAGE_BREAK}{value}" if self.is_set else value
        self.is_set = True
        kept = text[: self._budget.take(len(text))]
        self.is_cut = self.is_cut or len(kept) < len(text)
        if kept:
            self._texts.append(kept)
            self._evidence.extend(evidence)

    def value(self) -> Any:
        return "".join(self._texts)

    def evidence(self) -> list[FieldEvidence]:
        return self._evidence

    def conflict(self) -> Conflict | None:
        return None


class _Items:
    """The items of all pages, as far as the budget goes, without what page breaks put between them."""

    def __init__(self, path: str, item: type[BaseModel] | None, budget: Budget) -> None:
        self.is_set = self.is_cut = False
        self._path = path
        self._item = item
        self._budget = budget
        self._pages: list[list[PageItem]] = []
        self._whole: list[PageItem] | None = None
        """Of all pages, once they are all there."""
        self._evidence: dict[tuple[int, int], list[FieldEvidence]] = defaultdict(list)
        """By page number and place on that page."""

    def add(self, page_number: int, value: Any, evidence: list[FieldEvidence], *, counts: bool) -> None:  # noqa: ARG002 - see Slot
        self.is_set = True
        kept = value[: self._budget.take(len(value))]
        self.is_cut = self.is_cut or len(kept) < len(value)
        if kept:
            self._pages.append([PageItem(page_number, place, one) for place, one in enumerate(kept)])
        for one in evidence:
            item = _ITEM.match(one.path, len(self._path))
            if item and int(item[1]) < len(kept):
                self._evidence[page_number, int(item[1])].append(one)

    def value(self) -> Any:
        return [one.value for one in self._continued()]

    def evidence(self) -> list[FieldEvidence]:
        return [
            moved(found, f"{self._path}[{index}]{found.path[found.path.index(']', len(self._path)) + 1 :]}")
            for index, one in enumerate(self._continued())
            for half in (one, one.rest)
            if half
            for found in self._evidence.get((half.page_number, half.place), ())
        ]

    def conflict(self) -> Conflict | None:
        return None

    def _continued(self) -> list[PageItem]:
        if self._whole is None:
            self._whole = continued(self._pages, self._item)
        return self._whole


def open_slot(leaf: Leaf, budget: Budget | None) -> Slot:
    """Return an empty slot for a field; series take from a budget."""
    if budget is None:
        return _Single(leaf)
    return _Joined(budget) if leaf.merge is Merge.JOIN else _Items(leaf.path, leaf.item, budget)


def _is_likely(one: FieldEvidence, *, unknown: bool = True) -> bool:
    return unknown if one.confidence is None else one.confidence >= LIKELY
