"""Pages whose record is valid and in doubt: which get another try, and which of their tries counts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

from pipeline.data import Attempt, PageRecord, PageTask, TrySettings
from pipeline.errors import ErrorType, GenerationInvalid
from pipeline.reasons import BREACH, DOUBTFUL
from pipeline.tries import Ladder

_REASONS = {"off": (), "doubtful": (DOUBTFUL,), "breaches": (BREACH,), "both": (DOUBTFUL, BREACH)}
"""How the reasons begin that give a page another try."""
_SHOWN = 5


class Doubts:
    """Remembers the first valid record of each page that is read again. One more try each: a doubt is no fault.

    Pages that were read together have none: it would be a try for all of them.
    """

    def __init__(self, retry: Literal["off", "doubtful", "breaches", "both"], ladder: Ladder) -> None:
        self._beginnings: tuple[str, ...] = _REASONS[retry]
        self._ladder = ladder
        self._first: dict[tuple[str, int], tuple[PageTask, PageRecord]] = {}
        self.are_wanted = bool(self._beginnings)
        """Whether pages may get another try."""

    def following(self, task: PageTask, record: PageRecord) -> TrySettings | None:
        """Return the settings of another try, and remember the record meanwhile; None where it would be in vain."""
        reasons = [reason for reason in record.review_reasons if reason.startswith(self._beginnings)]
        if not self.are_wanted or not reasons or task.key in self._first or task.others:
            return None
        settings = self._ladder.after_doubt(task.attempts[-1], task.shown, size_matters=self._size_matters(record))
        if settings:
            self._first[task.key] = task, record
            more = f"; and {len(reasons) - _SHOWN} more" if len(reasons) > _SHOWN else ""
            task.attempts[-1] = _doubted(task.attempts[-1], f"Read again: {'; '.join(reasons[:_SHOWN])}{more}.")
        return settings

    def best(self, task: PageTask, record: PageRecord) -> PageRecord:
        """Return what counts of a page: this record, or the first one where that is in no more doubt."""
        first = self._first.get(task.key)
        return record if first is None or _score(record) > _score(first[1]) else _restored(*first)

    def earlier(self, task: PageTask) -> PageRecord | None:
        """Return the first record of a page of which the other try gave none; None where it has none."""
        first = self._first.get(task.key)
        return _restored(*first) if first else None

    def unread(self) -> Iterator[tuple[PageTask, PageRecord]]:
        """Yield the pages that are to be read again, with the first record of each; it is all they will have."""
        for task, first in list(self._first.values()):
            yield task, _restored(task, first)

    def forget(self, task: PageTask) -> None:
        """Forget a page that has its terminal record."""
        self._first.pop(task.key, None)

    def _size_matters(self, record: PageRecord) -> bool:
        """Tell whether the page was seen: what OCR took from its text layer is the same at every size."""
        return not self._ladder.deterministic or any(line.confidence is not None for line in record.lines)


def _restored(task: PageTask, first: PageRecord) -> PageRecord:
    """Return the first record with all tries: the one that counts has no error."""
    counts = len(first.attempts)
    accepted = replace(task.attempts[counts - 1], error=None)
    why = f"Try {counts} is in no more doubt, and counts."
    others = [one if one.error else _doubted(one, why) for one in task.attempts[counts:]]
    return replace(first, attempts=(*task.attempts[: counts - 1], accepted, *others))


def _doubted(attempt: Attempt, why: str) -> Attempt:
    return replace(attempt, error=GenerationInvalid(ErrorType.OUTPUT_DOUBTFUL, why))


def _score(record: PageRecord) -> float:
    """Return the values that are right less those that are wrong, as far as is known, less the rules that are broken.

    A value that is as likely wrong as right adds nothing, so that saying less is not better than saying it right.
    """
    sure = sum(2 * one.confidence - 1 for one in record.evidence if one.confidence is not None)
    return sure - len(record.breaches)
