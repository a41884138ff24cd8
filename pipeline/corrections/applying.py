"""Corrections put into the record that was read."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from itertools import pairwise
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from pipeline.corrections.paths import Step, get_value, parse_path
from pipeline.corrections.store import Action
from pipeline.corrections.values import canonical, complete, from_json
from pipeline.data import Json

if TYPE_CHECKING:
    import pyarrow as pa

    from pipeline.corrections.store import Correction
    from pipeline.data import Breach

WHOLE = ""
"""The path of a record: who accepts it accepts all that it says."""
MOST_ADDED_ITEMS = 100
"""Behind the last item that was read."""


class ReviewAction(StrEnum):
    """What became of what somebody said of a value."""

    ACCEPTED = "accepted"
    CORRECTED = "corrected"
    OUTDATED = "outdated"
    """The document was read again with another value since; the reading stands."""


@dataclass(frozen=True, slots=True)
class Review:
    """What a person said of a value, as it stands now."""

    action: ReviewAction
    value: Any
    """What it is to be, in JSON's form."""
    seen: Any
    """What had been read when it was said, in JSON's form."""
    reviewer: str
    reviewed_at: datetime
    correction_id: str


def digest_of(record: Json) -> str:
    """Return what identifies all values of a record; what somebody saw who accepts it whole."""
    return hashlib.sha256(canonical(record).encode(errors="surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class Applied:
    """A record as people corrected it."""

    record: Json
    laid: Json
    """The same with None in place of items that were taken out, so that paths are those of the record as read."""
    reviews: dict[str, Review]
    """What they said, by path."""

    @property
    def settled(self) -> frozenset[str]:
        """Paths of which somebody said something that holds."""
        return frozenset(path for path, one in self.reviews.items() if one.action is not ReviewAction.OUTDATED)


def apply(record: Json, corrections: Mapping[str, Correction], kind: pa.StructType) -> Applied:
    """Return a record with its corrections. The record itself is left as it is.

    Args:
        corrections: the latest of each path; paths are those of the record as it was read.
        kind: of the record's column.
    """
    laid: Json = copy.deepcopy(record)
    reviews: dict[str, Review] = {}
    removed: list[tuple[Step, ...]] = []
    for path, correction in sorted(corrections.items(), key=lambda item: _order(parse_path(item[0], record))):
        if correction.action is Action.UNDO:
            continue
        reviews[path] = review = _judged(record, correction, kind)
        if review.action is ReviewAction.CORRECTED:
            value, steps = _value_of(correction, kind, record), parse_path(path, laid)
            if value is None and isinstance(steps[-1], int):
                removed.append(steps)
            elif not _set(laid, steps, value):
                reviews[path] = replace(review, action=ReviewAction.OUTDATED)
    for steps in removed:
        _set(laid, steps, None)
    laid = complete(laid, kind)
    result = copy.deepcopy(laid) if removed else laid
    for steps in sorted(removed, key=itemgetter(-1), reverse=True):
        _remove(result, steps)
    return Applied(result, laid, reviews)


def open_reasons(reasons: Iterable[str], breaches: Iterable[Breach], applied: Applied) -> tuple[str, ...]:
    """Return the reasons to review a record that nobody has dealt with, and those that outdated corrections are."""
    reviews, settled = applied.reviews, applied.settled
    outdated = [f"outdated: {path or 'record'}" for path, one in reviews.items() if one.action is ReviewAction.OUTDATED]
    if WHOLE in settled:
        return tuple(outdated)
    about = {breach.rule: breach.paths for breach in breaches}
    return (*(reason for reason in reasons if not _is_settled(reason, about, settled)), *outdated)


def is_covered(path: str, settled: Iterable[str]) -> bool:
    """Tell whether somebody dealt with a value: with itself, what it is part of, or the whole record."""
    return any(one in {path, WHOLE} or path.startswith((f"{one}.", f"{one}[")) for one in settled)


def _is_settled(reason: str, about: Mapping[str, tuple[str, ...]], settled: Collection[str]) -> bool:
    kind, _, what = reason.partition(": ")
    if kind == "breach":
        paths = about.get(what, ())
        return bool(paths) and all(is_covered(path, settled) for path in paths)
    return is_covered(what, settled)


def _judged(record: Json, correction: Correction, kind: pa.StructType) -> Review:
    value, seen = (json.loads(text) if text is not None else None for text in (correction.value, correction.seen))
    now = digest_of(record) if correction.path == WHOLE else get_value(record, correction.path)
    column = kind_at(kind, correction.path, record) if correction.path != WHOLE else None
    text = canonical(now)
    action = ReviewAction.OUTDATED
    if text == _typed_text(seen, column):
        action = ReviewAction.ACCEPTED if correction.action is Action.ACCEPT else ReviewAction.CORRECTED
    elif correction.action is Action.CORRECT and text == _typed_text(value, column):
        action = ReviewAction.ACCEPTED  # the page is read as it was corrected
    return Review(action, value, seen, correction.reviewer, correction.at, correction.id)


def _value_of(correction: Correction, kind: pa.StructType, record: Json) -> Any:
    """Return the value typed as its column; None where the column has changed so much that it does not fit."""
    value = json.loads(correction.value) if correction.value is not None else None
    column = kind_at(kind, correction.path, record)
    return _typed(value, column) if column is not None else value


def _typed(value: Any, column: pa.DataType) -> Any:
    try:
        return from_json(value, column)
    except ValueError:
        return None


def _typed_text(value: Any, column: pa.DataType | None) -> str:
    """Return what is equal for equal values of a column, however they are written."""
    try:
        return canonical(value if column is None else from_json(value, column))
    except ValueError:
        return canonical(value)


def kind_at(kind: pa.DataType, path: str, record: Json | None = None) -> pa.DataType | None:
    """Return the column type of the values at a path; None where there can be none.

    Args:
        record: one of `kind`, as `parse_path` takes it.
    """
    import pyarrow as pa

    found: pa.DataType | None = kind
    for step in parse_path(path, record):
        if found is not None and isinstance(step, int):
            found = found.value_type if pa.types.is_list(found) else None
        elif found is not None and pa.types.is_map(found):
            found = found.item_type
        elif found is not None:
            names = [field.name for field in found] if pa.types.is_struct(found) else []
            found = found.field(step).type if step in names else None
    return found


def _order(steps: tuple[Step, ...]) -> list[tuple[int, int, str]]:
    return [(0, step, "") if isinstance(step, int) else (1, 0, step) for step in steps]


def _set(record: Any, steps: tuple[Step, ...], value: Any) -> bool:
    """Put a value in its place, and return whether there is one."""
    try:
        _put(record, steps, value)
    except (LookupError, TypeError, AttributeError):
        return False
    return True


def _put(record: Any, steps: tuple[Step, ...], value: Any) -> None:
    for step, following in _pairs(steps):
        if isinstance(step, int):
            _lengthen(record, step)
        child = record[step] if isinstance(step, int) else record.get(step)
        if not isinstance(child, dict | list):
            child = [] if isinstance(following, int) else {}
            record[step] = child
        record = child
    if isinstance(steps[-1], int):
        _lengthen(record, steps[-1])
    record[steps[-1]] = value


def _pairs(steps: tuple[Step, ...]) -> Iterator[tuple[Step, Step]]:
    return pairwise(steps)


def _lengthen(items: list[Any], number: int) -> None:
    if number >= len(items) + MOST_ADDED_ITEMS:
        raise IndexError(f"item {number} lies too far behind the last one")
    items.extend({} for _ in range(number + 1 - len(items)))


def _remove(record: Any, steps: tuple[Step, ...]) -> None:
    for step in steps[:-1]:
        record = record[step]
    if isinstance(steps[-1], int) and steps[-1] < len(record):
        del record[steps[-1]]
