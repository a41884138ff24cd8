"""One record in the making: the pages that it is of, one after another."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.data import Breach, RecordPart
from pipeline.errors import GenerationInvalid
from pipeline.merging.leaves import leaves_of, put, split_of
from pipeline.merging.notes import unpack
from pipeline.merging.slots import Budget, open_slot
from pipeline.rules import check_rules, rules_of

if TYPE_CHECKING:
    from pydantic import BaseModel

    from pipeline.data import FieldEvidence, Json
    from pipeline.merging.leaves import Leaf
    from pipeline.merging.notes import Note
    from pipeline.rules import Rule
    from pipeline.schema import Split


class Frame(NamedTuple):
    """What all records of an extraction have in common."""

    leaves: Sequence[Leaf]
    split: Split | None
    rules: Sequence[Rule]
    check: Callable[[Json], Json]
    """Returns the typed record of merged values, or raises GenerationInvalid."""
    is_split: bool = True
    """Whether several records in one file are told apart, where `split` says how."""


def frame_of(model: type[BaseModel], plain_text_field: str | None, check: Callable[[Json], Json]) -> Frame:
    """Return what the records of a model have in common.

    Raises:
        ConfigError: the model says of merging, splitting or rules what cannot be.
    """
    return Frame(leaves_of(model, plain_text_field), split_of(model), rules_of(model), check)


class Draft:
    """Takes in the pages of one record in their order. Memory: as much as its record and the budgets allow."""

    def __init__(self, frame: Frame, budgets: Mapping[str, Budget]) -> None:
        self._frame = frame
        self._slots = {leaf.path: open_slot(leaf, budgets.get(leaf.path)) for leaf in frame.leaves}
        self._num_records = 0
        self._first_come: Json = {}
        self._empty: dict[tuple[str, ...], Any] = {}
        """What pages have that have nothing, by names; see Leaf.nothing."""

    def add(self, note: Note) -> None:
        """Take in the next page."""
        self._num_records += 1
        record = self._first_come = note.whole
        evidence = self._by_leaf([*unpack(note.evidence), *unpack(note.series_evidence)])
        head = self._frame.split.head if self._frame.split else ()
        is_head = self._is_head(record)
        for leaf in self._frame.leaves:
            value = leaf.value(record)
            if value not in (None, [], ""):
                # On a page that is no head, readers take something else for a part of one.
                counts = is_head or leaf.path not in head
                self._slots[leaf.path].add(note.page_number, value, evidence.get(leaf.path, []), counts=counts)
            elif nothing := leaf.nothing(record):
                self._empty.setdefault(*nothing)

    def finish(self, first_page: int, last_page: int, *, whole: bool) -> tuple[RecordPart, GenerationInvalid | None]:
        """Return the record of these pages, without it and why where its values break the schema.

        A single page's record is returned as it came. Those of several are validated once merged: the schema's
        validators run again on values they have seen, so they must leave those as they are.

        Args:
            whole: Whether all of its pages were read.
        """
        try:
            record = self._single() if self._num_records == 1 else self._frame.check(self._merged())
        except GenerationInvalid as invalid:
            return RecordPart(first_page, last_page, None), invalid
        slots = [self._slots[leaf.path] for leaf in self._frame.leaves]
        outcomes = check_rules(self._askable(), record, whole=whole)
        return RecordPart(
            first_page=first_page,
            last_page=last_page,
            record=record,
            evidence=tuple(one for slot in slots for one in slot.evidence()),
            breaches=tuple(Breach(one.rule, one.message, one.paths) for one in outcomes if one.message is not None),
            conflicts=tuple(found for slot in slots if (found := slot.conflict())),
        ), None

    def _askable(self) -> list[Rule]:
        """Return the rules that look at nothing of which a limit left something out."""
        cut = {path for path, slot in self._slots.items() if slot.is_cut}
        return [one for one in self._frame.rules if cut.isdisjoint(field.partition("[")[0] for field in one.fields)]

    def _is_head(self, record: Json) -> bool:
        """Tell whether a page looks like the first one of a record: it has most of what is printed there."""
        split = self._frame.split
        names = (*((split.number,) if split.number else ()), *split.head) if split else ()
        return 2 * sum(record.get(name) not in (None, "") for name in names) > len(names)

    def _single(self) -> Json:
        record = dict(self._first_come)
        for leaf in self._frame.leaves:
            if self._slots[leaf.path].is_cut:
                _put(leaf, record, self._slots[leaf.path].value())
        return record

    def _merged(self) -> Json:
        record: Json = {}
        for leaf in self._frame.leaves:
            if self._slots[leaf.path].is_set:
                put(record, leaf.names, self._slots[leaf.path].value())
        for names, nothing in sorted(self._empty.items(), key=lambda one: -len(one[0])):
            put(record, names, nothing)
        return record

    def _by_leaf(self, evidence: Sequence[FieldEvidence]) -> dict[str, list[FieldEvidence]]:
        """Return evidence by the path of the field that it is of."""
        found: dict[str, list[FieldEvidence]] = defaultdict(list)
        for one in evidence:
            path = one.path.partition("[")[0]
            while path and path not in self._slots:
                path = path.rpartition(".")[0]
            found[path].append(one)
        return found


def _put(leaf: Leaf, record: Json, value: object) -> None:
    """Set a value without changing what the record shares with the page's own."""
    for name in leaf.names[:-1]:
        record[name] = dict(record[name])
        record = record[name]
    record[leaf.names[-1]] = value
