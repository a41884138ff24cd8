"""What of each labelled document was read right: value by value, item by item, text. Pure.

Counted as readers of receipts and invoices are usually scored: a value counts where it is labelled, unless it is known
that the page does not show it; what was read where nobody labelled anything is neither right nor wrong. A document that
was not read at all has none of its values.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.data import FieldEvidence, Status
from pipeline.eval.equality import Column, Shape, Sort, as_text, is_exact, is_same, says_something, value_at
from pipeline.eval.matching import Item, is_same_cell, pair_items
from pipeline.eval.texts import TextScore, folded, score_text, without_markup
from pipeline.schema import Role

if TYPE_CHECKING:
    from pipeline.eval.labels import Labelled
    from pipeline.eval.readings import Reading

_TELLING_AMOUNTS = 2
"""Different ones in a label, from which on another document with the same ones is a copy."""
_SHOWN_AS = {"description": "line_desc", "line_total": "line_total"}
"""Column of items -> the name under which `visible_on_page` says how many of its values stand on the page."""
_TELLING_ROLES = (Role.DESCRIPTION, Role.QUANTITY, Role.LINE_TOTAL)
"""What must be right of an item for the item to be right; all of it where a schema has no such roles."""


@dataclass(frozen=True, slots=True)
class ScoredValue:
    """A value that is labelled, or was read, or both."""

    field: str
    """Its path without indices: `total`, `line_items.quantity`."""
    path: str | None
    """Where it stands in the record that was read; None: it was not read."""
    is_labelled: bool
    is_read: bool
    is_right: bool
    is_exact: bool
    expected: str | None
    value: str | None
    evidence: FieldEvidence | None = None
    is_known: bool = True
    """Whether it is known what is right: False where items are labelled, but not this column of them."""


@dataclass(frozen=True, slots=True)
class ItemsScore:
    """How a list of items was read."""

    name: str
    labelled: int
    read: int
    found: int
    """Items read that are alike enough to a labelled one."""
    right: int
    """Those of them with description, quantity and total as labelled."""


@dataclass(frozen=True, slots=True)
class DocumentScore:
    """How one document was read."""

    id: str
    kind: str
    language: str
    extraction: str
    status: Status | None
    """None: the output does not have it."""
    values: tuple[ScoredValue, ...]
    items: tuple[ItemsScore, ...] = ()
    text: TextScore | None = None
    breaches: tuple[str, ...] = ()
    """Rules that are broken by values of which any is labelled: of others nobody can say that they are wrong."""
    needs_review: bool = False
    pages: int = 0
    pages_failed: int = 0
    error: str | None = None
    uri: str | None = None
    cluster: str = ""
    """Equal for documents that say the same, as one printed by several programs, or turned."""

    @property
    def fields(self) -> tuple[ScoredValue, ...]:
        """The values that stand in no item."""
        return tuple(one for one in self.values if "." not in one.field or not self._in_item(one.field))

    @property
    def is_all_right(self) -> bool:
        """Whether every labelled field outside items was read right, and none that is known to be absent was read."""
        return all(one.is_right for one in self.fields)

    def _in_item(self, field: str) -> bool:
        return any(field.startswith(f"{one.name}.") for one in self.items)


def score_document(label: Labelled, reading: Reading, shape: Shape, *, strict: bool = False) -> DocumentScore:
    """Return how a document was read.

    Args:
        strict: count only values of which it is known that they stand on the page.
    """
    values = list(_fields(label, reading, shape, strict=strict))
    items = []
    for name, columns in shape.lists.items():
        truth = [one for one in value_at(label.fields, name) or () if isinstance(one, Mapping)]
        if truth or name in label.absent:
            scored = _Items(name, columns, label, reading)
            values += scored.values(truth)
            items.append(scored.score(truth))
    return DocumentScore(
        *(label.name, label.kind, label.language, label.extraction, reading.status),
        values=tuple(values),
        items=tuple(items),
        text=_text(label, reading),
        breaches=tuple(_judged_breaches(reading, values)),
        needs_review=reading.needs_review,
        pages=reading.pages,
        pages_failed=reading.pages_failed,
        error=reading.error,
        uri=reading.uri,
        cluster=_cluster(label, shape),
    )


def _judged_breaches(reading: Reading, values: Sequence[ScoredValue]) -> Iterator[str]:
    judged = {value.field for value in values if value.is_known}
    rules = (rule for rule, paths in reading.breaches if not paths or judged & {_field_of(path) for path in paths})
    return iter(dict.fromkeys(rules))


def _field_of(path: str) -> str:
    return re.sub(r"\[\d+\]", "", path)


def _cluster(label: Labelled, shape: Shape) -> str:
    """Return what copies of a document have in common: their text, or their amounts where there are several."""
    if label.is_text and label.text:
        said = folded(label.text)
    else:
        amounts = {as_text(value_at(label.fields, name)) for name, sort in shape.fields.items() if sort is Sort.AMOUNT}
        said = "|".join(sorted(amounts - {""}))
        if len(amounts - {""}) < _TELLING_AMOUNTS:
            return label.name
    return hashlib.sha256(f"{label.kind}:{said}".encode()).hexdigest()[:16]


def _fields(label: Labelled, reading: Reading, shape: Shape, *, strict: bool) -> Iterator[ScoredValue]:
    for name, sort in shape.fields.items():
        expected, read = value_at(label.fields, name), value_at(reading.record, name)
        shown = label.visible.get(name)
        if name in label.absent and says_something(read):
            yield _value(name, name, sort, (read, None), reading)
        elif says_something(expected) and shown is not False and (shown is True or not strict):
            yield _value(name, name, sort, (read, expected), reading)


def _value(
    field: str,
    path: str,
    sort: Sort,
    pair: tuple[object, object],
    reading: Reading,
    *,
    is_right: bool | None = None,
    is_known: bool = True,
) -> ScoredValue:
    """Args: pair: what was read, what is labelled; is_right: where that is decided otherwise than by the two."""
    read, expected = pair
    is_read = says_something(read)
    return ScoredValue(
        field=field,
        path=path if is_read else None,
        is_labelled=says_something(expected),
        is_read=is_read,
        is_right=is_same(sort, read, expected) if is_right is None else is_right,
        is_exact=is_exact(sort, read, expected),
        expected=as_text(expected) if says_something(expected) else None,
        value=as_text(read) if is_read else None,
        evidence=reading.evidence.get(path),
        is_known=is_known,
    )


class _Items:
    """One list of a document, read and labelled."""

    def __init__(self, name: str, columns: Mapping[str, Column], label: Labelled, reading: Reading) -> None:
        read = value_at(reading.record, name)
        self._name = name
        self._reading = reading
        self._read: list[Item] = [one for one in read or () if isinstance(one, Mapping)]
        self._all = columns
        self._columns = {column: kind for column, kind in columns.items() if _is_shown(column, label.visible)}

    def score(self, truth: Sequence[Item]) -> ItemsScore:
        pairs = pair_items(self._read, truth, self._all)
        right = sum(self._is_right(self._read[i], truth[j]) for i, j in pairs)
        return ItemsScore(self._name, len(truth), len(self._read), len(pairs), right)

    def values(self, truth: Sequence[Item]) -> Iterator[ScoredValue]:
        partner = dict(pair_items(self._read, truth, self._all))
        told = {column for item in truth for column in self._columns if says_something(item.get(column))}
        for i, item in enumerate(self._read):
            label = truth[partner[i]] if i in partner else None
            for column, kind in self._columns.items():
                if says_something(item.get(column)) or (label and says_something(label.get(column))):
                    yield self._cell(column, kind, (i, item), label, is_told=not truth or column in told)
        for j in sorted(set(range(len(truth))) - set(partner.values())):
            for column, kind in self._columns.items():
                if says_something(truth[j].get(column)):
                    yield self._cell(column, kind, (0, {}), truth[j], is_told=True)

    def _cell(
        self, column: str, kind: Column, read: tuple[int, Item], label: Item | None, *, is_told: bool
    ) -> ScoredValue:
        """Args: is_told: whether anybody labelled this column, in whatever item."""
        number, item = read
        expected = (label or {}).get(column)
        is_right = label is not None and is_same_cell(column, kind, item, label)
        return _value(
            *(f"{self._name}.{column}", f"{self._name}[{number}].{column}", kind.sort),
            (item.get(column), expected),
            self._reading,
            is_right=is_right,
            is_known=is_told if label is None else says_something(expected) or is_right,
        )

    def _is_right(self, item: Item, truth: Item) -> bool:
        telling = {name: kind for name, kind in self._columns.items() if kind.role in _TELLING_ROLES} or self._columns
        known = {name: kind for name, kind in telling.items() if says_something(truth.get(name))}
        return all(is_same_cell(name, kind, item, truth) for name, kind in known.items())


def _is_shown(column: str, visible: Mapping[str, Any]) -> bool:
    """Tell whether the page shows all values of a column, as far as is known."""
    shown = visible.get(_SHOWN_AS.get(column, ""))
    return not shown or shown[0] == shown[1]


def _text(label: Labelled, reading: Reading) -> TextScore | None:
    if not label.text or reading.text is None:
        return None
    read = without_markup(reading.text) if label.is_text else reading.text
    return score_text(read, label.text, case_counts=label.is_text)
