"""Whether a labelled value stands in a text at all, wherever: what a reader of text leaves for others to find. Pure.

The rules are those of equality, applied to any place of the text; amounts and dates count in any printed form.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from rapidfuzz import fuzz

from pipeline.eval.equality import MIN_LIKENESS, Shape, Sort, as_text, is_same, says_something, value_at
from pipeline.eval.texts import folded
from pipeline.values import DateOrder, find_amounts, find_currencies, find_dates

if TYPE_CHECKING:
    from pipeline.eval.labels import Labelled

_FINDERS: Mapping[Sort, Callable[[str], list[object]]] = {
    Sort.AMOUNT: lambda text: [number for found in find_amounts(text) for number in (found.value, -found.value)],
    Sort.DATE: lambda text: [found.value for order in DateOrder for found in find_dates(text, order)],
    Sort.CODE: lambda text: [found.value for found in find_currencies(text)],
}


def values_present(label: Labelled, shape: Shape, text: str) -> tuple[int, int]:
    """Return how many of a document's labelled fields stand in a text, and how many are labelled."""
    values = list(_labelled(label, shape))
    return sum(stands_in(sort, value, text) for sort, value in values), len(values)


def stands_in(sort: Sort, value: object, text: str) -> bool:
    """Tell whether a value stands in a text."""
    if find := _FINDERS.get(sort):
        return any(is_same(sort, found, value) for line in text.splitlines() for found in find(line))
    wanted, there = folded(as_text(value)), folded(text)
    if sort is Sort.IDENTIFIER:
        return wanted.replace(" ", "") in there.replace(" ", "")
    # A name in a text that is shorter than itself: the parts would be compared the wrong way round.
    return len(there) >= len(wanted) * MIN_LIKENESS and fuzz.partial_ratio(wanted, there) >= 100 * MIN_LIKENESS


def _labelled(label: Labelled, shape: Shape) -> Iterator[tuple[Sort, object]]:
    for name, sort in shape.fields.items():
        value = value_at(label.fields, name)
        if says_something(value) and label.visible.get(name) is not False:
            yield sort, value
