"""A record and what was found out about it -> what is shown of it."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import math
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from pipeline.report.views import BreachView, FieldView, ItemsView, RecordView, plain
from pipeline.report.words import label_of

if TYPE_CHECKING:
    from pipeline.data import Breach, Conflict, FieldEvidence, RecordPart

_DOUBTS = ("doubtful: ", "not found: ")


def record_view(
    part: RecordPart, number: int = 0, *, notes: Mapping[str, str] | None = None, is_partial: bool = False
) -> RecordView:
    """Return what is shown of a record.

    Args:
        number: its place among the document's records.
        notes: what people have done about fields, by path.
    """
    build = _Builder(part, number, notes or {})
    fields: list[FieldView] = []
    items: list[ItemsView] = []
    for name, value in (part.record or {}).items():
        if _is_table(value):
            items.append(build.table(name, value))
        else:
            fields += build.fields(name, value)
    keys = {field.path: field.key for field in fields}
    keys |= {cell.path: cell.key for table in items for row in table.rows for cell in row if cell}
    return RecordView(
        number=number,
        first_page=part.first_page,
        last_page=part.last_page,
        fields=tuple(fields),
        items=tuple(items),
        breaches=tuple(_breach(breach, keys) for breach in part.breaches),
        conflicts=part.conflicts,
        review_reasons=part.review_reasons,
        is_partial=is_partial,
    )


def shown(value: Any) -> str:
    """Return a value as people read it: thousands separated, dates as ISO 8601 has them."""
    match value:
        case bool():
            text = "yes" if value else "no"
        case Decimal() if value.is_finite():
            text = f"{value:,.{max(_places(value), 2)}f}"
        case float() if math.isfinite(value):
            text = f"{value:,.6g}"
        case int():
            text = f"{value:,}"
        case dt.datetime():
            text = f"{value:%Y-%m-%d %H:%M}" + (" UTC" if value.tzinfo else "")
        case dict() | list() | tuple():
            text = json.dumps(value, default=typed, ensure_ascii=False)
        case _:
            text = str(value)
    return text


def typed(value: Any) -> str:
    """Return a value as a person would type it."""
    match value:
        case bool():
            return "true" if value else "false"
        case Decimal() if value.is_finite():
            return f"{value:.{max(_places(value), 2)}f}"
        case dt.date() | dt.time():
            return value.isoformat()
        case dict() | list() | tuple():
            return json.dumps(value, default=typed, ensure_ascii=False)
    return str(value)


def leaves(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield (path, value) of each value in `value` that is not empty."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from leaves(f"{path}.{name}" if path else str(name), inner)
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from leaves(f"{path}[{index}]", inner)
    elif plain(value):
        yield path, value


class _Builder:
    def __init__(self, part: RecordPart, number: int, notes: Mapping[str, str]) -> None:
        self._number = number
        self._notes = notes
        self._evidence: dict[str, FieldEvidence] = {found.path: found for found in part.evidence}
        self._doubtful = {
            reason.removeprefix(doubt)
            for reason in part.review_reasons
            for doubt in _DOUBTS
            if reason.startswith(doubt)
        }
        self._conflicting = _conflicting(part.conflicts)
        self._rules: dict[str, list[str]] = {}
        self._keys = itertools.count()
        for breach in part.breaches:
            for path in breach.paths:
                self._rules.setdefault(path, []).append(breach.rule)

    def fields(self, path: str, value: Any) -> list[FieldView]:
        """Return a field for each value below `path`."""
        return [self.field(found, inner) for found, inner in leaves(path, value)]

    def field(self, path: str, value: Any, label: str | None = None) -> FieldView:
        return FieldView(
            key=f"r{self._number}-{next(self._keys)}",
            path=path,
            label=label_of(path) if label is None else label,
            value=shown(value),
            raw=typed(value),
            evidence=self._evidence.get(path),
            is_doubtful=path in self._doubtful,
            is_conflicting=path in self._conflicting,
            breaches=tuple(self._rules.get(path, ())),
            note=self._notes.get(path),
        )

    def table(self, path: str, items: list[Mapping[str, Any]]) -> ItemsView:
        """Return a list of objects; columns that are empty in all rows are left out."""
        flat = [dict(leaves("", item)) for item in items]
        names = [name for item in items for name, _ in leaves("", item)]
        order = {name: None for item in items for name in item}
        columns = sorted(dict.fromkeys(names), key=lambda name: _position(name, list(order)))
        rows = tuple(
            tuple(self._cell(f"{path}[{row}].{name}", item.get(name), name) for name in columns)
            for row, item in enumerate(flat)
        )
        return ItemsView(path, label_of(path), tuple(map(label_of, columns)), rows)

    def _cell(self, path: str, value: Any, name: str) -> FieldView | None:
        return self.field(path, value, label_of(name)) if plain(value) else None


def _position(name: str, order: list[str]) -> int:
    first = name.partition(".")[0].partition("[")[0]
    return order.index(first) if first in order else len(order)


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, Mapping) for item in value)


def _places(value: Decimal) -> int:
    return -int(value.normalize().as_tuple().exponent)


def _conflicting(conflicts: tuple[Conflict, ...]) -> set[str]:
    return {conflict.path for conflict in conflicts}


def _breach(breach: Breach, keys: Mapping[str, str]) -> BreachView:
    return BreachView(breach.rule, breach.message, breach.paths, tuple(keys.get(path, "") for path in breach.paths))
