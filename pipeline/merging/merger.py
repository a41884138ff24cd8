"""Takes the records of a file's pages and makes one or several of them."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.merging.draft import Draft, Frame
from pipeline.merging.notes import Note, PageNotes, pack
from pipeline.merging.numbering import sheet_number
from pipeline.merging.slots import Budget
from pipeline.merging.splitting import Splitter
from pipeline.schema import Merge

if TYPE_CHECKING:
    from pipeline.data import FieldEvidence, Json, RecordPart, TextLine
    from pipeline.errors import PageError


@dataclass(frozen=True, slots=True)
class Limits:
    """What a file's row holds at most."""

    characters: int
    """Of each joined text, page breaks included."""
    items: int
    """Of each list."""
    records: int


@dataclass(frozen=True, slots=True)
class Merged:
    """The records of a file."""

    parts: tuple[RecordPart, ...] = ()
    """In page order, together all of its pages; empty when no page has a record."""
    is_cut: bool = False
    """Whether a limit left something out."""
    error: PageError | None = None
    """Why the first part without a record has none."""

    @property
    def record(self) -> Json | None:
        """The first record."""
        return self.parts[0].record if self.parts else None


class Merger:
    """Takes the records of one file's pages and makes one of them, or several where the file holds several.

    Memory is bounded by the limits and eight bytes a page: what pages say waits in a temporary file without a name.
    The result is the same whatever the order in which pages come: they are read ahead, and retried, out of order.
    """

    def __init__(self, frame: Frame, limits: Limits) -> None:
        """Begin a file without pages; see Extraction.merger."""
        self._frame = frame
        self._limits = limits
        self._splits = frame.is_split and frame.split is not None
        self._notes = PageNotes()
        self._num_pages = 0
        self._failed = array("I")
        self._series = {leaf.path: leaf.empty for leaf in frame.leaves if leaf.is_series and len(leaf.names) == 1}
        sizes = {Merge.JOIN: limits.characters, Merge.EXTEND: limits.items}
        self._budgets = {leaf.path: Budget(sizes[leaf.merge]) for leaf in frame.leaves if leaf.is_series}

    def add(
        self,
        page_number: int,
        record: Json | None,
        evidence: Sequence[FieldEvidence] = (),
        lines: Sequence[TextLine] = (),
        *,
        failed: bool = False,
    ) -> None:
        """Take in a page, each once; None is a page that has no record. The record itself is left as it is.

        Args:
            failed: Whether the page says more than could be read of it, so that the record lacks something.

        Raises:
            StorageError: the temporary folder is full or gone.
        """
        self._num_pages = max(self._num_pages, page_number)
        if failed:
            self._failed.append(page_number)
        if record is None:
            return
        sheet = sheet_number(lines) if self._splits else None
        said, series = (
            {name: value for name, value in record.items() if (name in self._series) is is_series}
            for is_series in (False, True)
        )
        of_said, of_series = (
            [one for one in evidence if (one.path.replace("[", ".").partition(".")[0] in self._series) is is_series]
            for is_series in (False, True)
        )
        self._notes.add(Note(page_number, said, pack(of_said), sheet, series, pack(of_series)))

    def result(self) -> Merged:
        """Return the records of all pages added, once; nothing is kept afterwards.

        Raises:
            StorageError: the temporary folder is gone.
        """
        try:
            return self._merged()
        finally:
            self.close()

    def close(self) -> None:
        """Drop what is kept; a second call does nothing."""
        self._notes.close()

    def _merged(self) -> Merged:
        parts: list[RecordPart] = []
        error, is_whole = None, True
        first_page = 1
        for draft, last_page in self._drafts():
            if len(parts) == self._limits.records:
                is_whole = False
                break
            whole = not any(first_page <= number <= last_page for number in self._failed)
            part, invalid = draft.finish(first_page, last_page, whole=whole)
            parts.append(part)
            error, first_page = error or invalid, last_page + 1
        is_cut = not is_whole or any(budget.is_cut for budget in self._budgets.values())
        return Merged(tuple(parts), is_cut, error)

    def _drafts(self) -> Iterator[tuple[Draft, int]]:
        """Yield each record in the making with its last page."""
        draft: Draft | None = None
        splitter = Splitter(self._frame.split) if self._frame.split and self._splits else None
        for read in self._notes.read(self._wants_series):
            note = read if read.series is not None else read._replace(series=self._series)
            begins = splitter.begins(note) if splitter else False
            if draft and begins:
                yield draft, note.page_number - 1
                draft = None
            draft = draft or Draft(self._frame, self._budgets)
            draft.add(note)
        if draft:
            yield draft, self._num_pages

    def _wants_series(self) -> bool:
        """Tell whether anything of a series can still be kept, or is yet to be found too long."""
        return any(budget.left or not budget.is_cut for budget in self._budgets.values())
