"""What a run changed: documents that are new or ended otherwise, and values read otherwise from the same bytes."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from pipeline.data import Status
from pipeline.report.records import leaves, shown
from pipeline.show.text import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.data import Json
    from pipeline.report.rows import Rows

MOST_SHOWN = 500
"""Of each kind; the others are counted."""
_MOST_COMPARED = 100_000
"""Documents whose records are compared."""


@dataclass(frozen=True, slots=True)
class ValueChange:
    """A value that reads otherwise than before, though the file is the same."""

    uri: str
    path: str
    before: str | None
    after: str | None


@dataclass(slots=True)
class Changes:
    """What a run did to the current rows; documents by URI, in their order."""

    compared_with: str | None = None
    """Id of the run before; None for the first one."""
    new: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    """Their bytes did."""
    now_failing: list[str] = field(default_factory=list)
    now_ok: list[str] = field(default_factory=list)
    values: list[ValueChange] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    """Of each of these, those included that are not listed."""

    def __bool__(self) -> bool:
        return any(self.counts.values())

    @property
    def told(self) -> str:
        """In one line."""
        words = {"new": "new", "changed": "with other bytes", "now_failing": "now failing", "now_ok": "now ok"}
        told = [
            f"{counted(count, 'document')} {words[kind]}"
            for kind, count in self.counts.items()
            if kind in words and count
        ]
        if self.counts.get("values"):
            told.append(f"{counted(self.counts['values'], 'value')} read otherwise")
        return ", ".join(told)


def changes_of(rows: Rows, run_id: str, previous_run_id: str | None) -> Changes:
    """Return what is different since before `run_id`.

    Raises:
        StorageError: a part cannot be read.
    """
    found = Changes(previous_run_id)
    if previous_run_id is None or not rows.all.num_rows:
        return found
    names = ("source_uri", "run_id", "status", "sha256", "part", "row")
    columns = {name: rows.all[name].to_pylist() for name in names}
    same: list[tuple[int, int]] = []
    for place in np.flatnonzero(rows.is_current).tolist():
        if columns["run_id"][place] == run_id:
            _sort(found, same, place, columns)
    for before, after, uri in _records(rows, same[:_MOST_COMPARED], columns):
        _compare(found, uri, before, after)
    return found


def _sort(found: Changes, same: list[tuple[int, int]], place: int, columns: Json) -> None:
    uri, before = columns["source_uri"][place], place - 1
    if before < 0 or columns["source_uri"][before] != uri:
        return _add(found, "new", uri)
    was, now = columns["status"][before], columns["status"][place]
    if was != now:
        return _add(found, "now_ok" if now == Status.OK else "now_failing", uri)
    if columns["sha256"][before] != columns["sha256"][place]:
        return _add(found, "changed", uri)
    if now == Status.OK:
        same.append((before, place))
    return None


def _add(found: Changes, kind: str, uri: str) -> None:
    found.counts[kind] = found.counts.get(kind, 0) + 1
    if found.counts[kind] <= MOST_SHOWN:
        getattr(found, kind).append(uri)


def _records(rows: Rows, pairs: list[tuple[int, int]], columns: Json) -> Iterator[tuple[Json, Json, str]]:
    """Yield (record before, record now, URI), grouped such that each part is read once for each other part."""
    groups: defaultdict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    for before, after in pairs:
        groups[columns["part"][before], columns["part"][after]].append((before, after))
    for (old, new), members in groups.items():
        were, are = (
            rows.take(part, [columns["row"][pair[side]] for pair in members], ("source_uri", "record"))
            for side, part in enumerate((old, new))
        )
        for was, now in zip(were, are, strict=True):
            yield was["record"] or {}, now["record"] or {}, now["source_uri"]


def _compare(found: Changes, uri: str, before: Json, after: Json) -> None:
    was, now = dict(leaves("", before)), dict(leaves("", after))
    for path in {**was, **now}:
        if was.get(path) != now.get(path):
            found.counts["values"] = found.counts.get("values", 0) + 1
            if found.counts["values"] <= MOST_SHOWN:
                old, new = (shown(side[path]) if path in side else None for side in (was, now))
                found.values.append(ValueChange(uri, path, old, new))
