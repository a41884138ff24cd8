"""Where in a file a new record begins.

Every cue says how much likelier it is on the first page of another record than on a further page of this one, in
natural logarithms; they are added up. See docs/extractions.md for what an author declares and docs/quality.md for how
often it is right.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from pipeline.merging.alike import Likeness, are_same, likeness

if TYPE_CHECKING:
    from pipeline.data import Json
    from pipeline.merging.notes import Note
    from pipeline.merging.numbering import SheetNumber
    from pipeline.schema import Split

PRIOR = -1.0
"""Most pages that follow another continue it."""


class Cue(StrEnum):
    """What a page is found to say beside the record so far."""

    NUMBER_SAME = "number same"
    NUMBER_NEAR = "number near"
    NUMBER_OTHER = "number other"
    NUMBER_MISSING = "number missing"
    NUMBERS_MISSING = "numbers missing"
    """Neither the page has one nor the record so far."""
    HEAD_SAME = "head same"
    HEAD_OTHER = "head other"
    HEADS_OTHER = "heads other"
    """One more beside another one."""
    HEAD_MISSING = "head missing"
    HEADS_MISSING = "heads missing"
    """Neither the page has it nor the record so far."""
    END_BEFORE = "end before"
    END_OPEN = "end open"
    END_SAME = "end same"
    END_OTHER = "end other"
    SHEET_FIRST = "sheet first"
    SHEET_NEXT = "sheet next"
    SHEET_LATER = "sheet later"
    SHEET_AFTER_LAST = "sheet after last"
    SHEET_BEFORE_LAST = "sheet before last"
    COPY = "copy"
    """The page says all that the first one says, items included: it was printed or scanned twice."""


WEIGHTS = {
    Cue.NUMBER_SAME: -4.0,
    Cue.NUMBER_NEAR: 3.0,
    Cue.NUMBER_OTHER: 3.5,
    Cue.NUMBER_MISSING: -3.0,  # of 60 first pages of labelled invoices two are read without, of further ones most
    Cue.NUMBERS_MISSING: -0.9,  # says little: first pages are read without one, too
    Cue.HEAD_SAME: 0.0,
    Cue.HEAD_OTHER: 0.5,  # little: of a further page something else is often taken for one head, seldom for two
    Cue.HEADS_OTHER: 2.5,
    Cue.HEAD_MISSING: -2.0,
    Cue.HEADS_MISSING: -0.4,  # nor does this
    Cue.END_BEFORE: 0.5,
    Cue.END_OPEN: -2.5,
    Cue.END_SAME: -1.5,
    Cue.END_OTHER: 1.5,
    Cue.SHEET_FIRST: 4.0,
    Cue.SHEET_NEXT: -4.0,
    Cue.SHEET_LATER: -2.0,
    Cue.SHEET_AFTER_LAST: 1.5,
    Cue.SHEET_BEFORE_LAST: -1.5,
    Cue.COPY: 8.0,
}


class Splitter:
    """Takes the pages of a file in their order and says which of them begin a record."""

    def __init__(self, split: Split) -> None:
        self._split = split
        self._names = (*([split.number] if split.number else []), *split.head, *split.end)
        self._so_far: Json = {}
        """Of the record: its number and end as the last page has them, its head as the first one has it."""
        self._first: Json = {}
        """All that its first page says."""
        self._sheet: SheetNumber | None = None

    def begins(self, note: Note) -> bool:
        """Take the next page that has a record; tell whether that begins a new one, which the first one does not."""
        said = {name: value for name in self._names if (value := note.record.get(name)) not in (None, "", [])}
        is_new = bool(self._so_far) and bool(said) and self._score(said, note) > 0
        if is_new or not self._so_far:
            self._so_far, self._first = {}, note.whole
        kept = {name: self._so_far[name] for name in self._split.head if name in self._so_far}
        self._so_far = {**self._so_far, **said, **kept}
        self._sheet = note.sheet
        return is_new

    def _score(self, said: Json, note: Note) -> float:
        cues = [*self._of_number(said), *self._of_heads(said), *self._of_ends(said), *self._of_sheets(note.sheet)]
        if note.whole == self._first and _has_items(note) and not said.keys().isdisjoint(self._split.end):
            cues.append(Cue.COPY)
        return PRIOR + sum(WEIGHTS[cue] for cue in cues)

    def _of_number(self, said: Json) -> list[Cue]:
        name = self._split.number
        if name is None:
            return []
        before, now = self._so_far.get(name), said.get(name)
        if now is None:
            return [Cue.NUMBERS_MISSING if before is None else Cue.NUMBER_MISSING]
        return [] if before is None else [_NUMBERS[likeness(before, now)]]

    def _of_heads(self, said: Json) -> list[Cue]:
        cues: list[Cue] = []
        for name in self._split.head:
            before, now = self._so_far.get(name), said.get(name)
            if now is None:
                cues.append(Cue.HEADS_MISSING if before is None else Cue.HEAD_MISSING)
            elif before is not None and are_same(before, now):
                cues.append(Cue.HEAD_SAME)
            elif before is not None:
                cues.append(Cue.HEADS_OTHER if Cue.HEAD_OTHER in cues else Cue.HEAD_OTHER)
        return cues

    def _of_ends(self, said: Json) -> list[Cue]:
        before = [name for name in self._split.end if name in self._so_far]
        now = [name for name in before if name in said]
        if not self._split.end:
            return []
        if not now:
            return [Cue.END_BEFORE if before else Cue.END_OPEN]
        is_same = all(are_same(self._so_far[name], said[name]) for name in now)
        return [Cue.END_SAME if is_same else Cue.END_OTHER]

    def _of_sheets(self, sheet: SheetNumber | None) -> list[Cue]:
        before = self._sheet
        ends = before is not None and before.is_last
        if sheet is None:
            is_between = before is not None and before.of is not None and not ends
            return [Cue.SHEET_AFTER_LAST] * ends + [Cue.SHEET_BEFORE_LAST] * is_between
        if sheet.number == 1:
            return [Cue.SHEET_FIRST, *[Cue.SHEET_AFTER_LAST] * ends]
        follows = before is not None and sheet.number == before.number + 1 and sheet.of == before.of
        return [Cue.SHEET_NEXT if follows else Cue.SHEET_LATER]


_NUMBERS = {Likeness.SAME: Cue.NUMBER_SAME, Likeness.NEAR: Cue.NUMBER_NEAR, Likeness.OTHER: Cue.NUMBER_OTHER}


def _has_items(note: Note) -> bool:
    return any(len(values) > 1 for values in (note.series or {}).values() if isinstance(values, list))
