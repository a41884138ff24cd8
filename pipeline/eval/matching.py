"""Which item that was read is which labelled one: the best one-to-one pairing. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from rapidfuzz import fuzz
from rapidfuzz.process import cdist

from pipeline.eval.equality import Column, Sort, as_text, is_same, says_something
from pipeline.eval.texts import folded
from pipeline.schema import Role

if TYPE_CHECKING:
    import numpy.typing as npt

    Matrix = npt.NDArray[np.float64]

MIN_LIKENESS = 0.3
"""Items less alike are no pair. Half of it is their texts' likeness, half the share of their numbers that are equal."""

Item = Mapping[str, Any]


def pair_items(read: Sequence[Item], truth: Sequence[Item], columns: Mapping[str, Column]) -> list[tuple[int, int]]:
    """Return (index of an item read, index of its label), each index once at most, so that likeness is greatest.

    Time: cubic in the number of items, by vectors of numbers; 300 of either take a second.
    """
    if not read or not truth:
        return []
    likeness = _likeness(read, truth, columns)
    likeness[likeness < MIN_LIKENESS] = 0
    return [(i, j) for i, j in assign(likeness) if likeness[i, j] > 0]


def is_same_cell(name: str, column: Column, read: Item, truth: Item) -> bool:
    """Tell whether a field of an item is the labelled one; a price before discounts is right, too."""
    if is_same(column.sort, read.get(name), truth.get(name)):
        return True
    return column.role is Role.UNIT_PRICE and is_same(column.sort, read.get(name), truth.get("gross_unit_price"))


def assign(weights: Matrix) -> list[tuple[int, int]]:
    """Return the one-to-one assignment of rows to columns with the greatest sum of weights, by row.

    Source: the Hungarian method by shortest augmenting paths (Jonker and Volgenant, 1987).
    """
    if weights.shape[0] > weights.shape[1]:
        return sorted((i, j) for j, i in assign(weights.T))
    rows, columns = weights.shape
    row_price, column_price = np.zeros(rows), np.zeros(columns + 1)
    row_of = np.full(columns + 1, -1)
    for row in range(rows):
        row_of[columns] = row
        _augment(-weights, row_price, column_price, row_of)
    return sorted((int(row_of[column]), column) for column in range(columns) if row_of[column] >= 0)


def _augment(cost: Matrix, row_price: Matrix, column_price: Matrix, row_of: npt.NDArray[np.int_]) -> None:
    """Give the row that stands in the last, invented column a real one, along the cheapest path."""
    columns = cost.shape[1]
    least, came_from = np.full(columns, np.inf), np.full(columns, columns)
    is_used = np.zeros(columns + 1, dtype=bool)
    column = columns
    while row_of[column] >= 0:
        is_used[column] = True
        row, free = row_of[column], ~is_used[:columns]
        reduced = cost[row] - row_price[row] - column_price[:columns]
        better = free & (reduced < least)
        least[better], came_from[better] = reduced[better], column
        following = int(np.argmin(np.where(free, least, np.inf)))
        step = least[following]
        row_price[row_of[is_used]] += step
        column_price[is_used] -= step
        least[free] -= step
        column = following
    while column != columns:
        row_of[column] = row_of[came_from[column]]
        column = int(came_from[column])


def _likeness(read: Sequence[Item], truth: Sequence[Item], columns: Mapping[str, Column]) -> Matrix:
    texts = [name for name, column in columns.items() if column.sort is Sort.DESCRIPTION]
    numbers = {
        name: column
        for name, column in columns.items()
        if column.sort is not Sort.DESCRIPTION and column.role is not Role.TAX_RATE
    }
    alike = _texts_alike(read, truth, texts)
    equal = _numbers_equal(read, truth, numbers)
    if not texts or not numbers:
        return equal if numbers else alike
    return (alike + equal) / 2


def _texts_alike(read: Sequence[Item], truth: Sequence[Item], names: Sequence[str]) -> Matrix:
    def joined(item: Item) -> str:
        return folded(" ".join(as_text(item.get(name)) for name in names))

    found = cdist([joined(one) for one in read], [joined(one) for one in truth], scorer=fuzz.ratio, dtype=np.float64)
    return np.asarray(found / 100)


def _numbers_equal(read: Sequence[Item], truth: Sequence[Item], columns: Mapping[str, Column]) -> Matrix:
    """Return of each pair the share of the labelled numbers that are equal."""
    shares = np.zeros((len(read), len(truth)))
    for j, label in enumerate(truth):
        known = {name: column for name, column in columns.items() if says_something(label.get(name))}
        for i, item in enumerate(read):
            right = sum(is_same_cell(name, column, item, label) for name, column in known.items())
            shares[i, j] = right / len(known) if known else 0
    return shares
