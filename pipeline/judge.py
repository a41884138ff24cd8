"""Decides what becomes of a generation: a terminal record, or another try."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime

from pipeline.data import Attempt, FinishReason, Generation, Json, PageRecord, PageTask, Status, TrySettings
from pipeline.errors import ErrorType, GenerationInvalid, PageError
from pipeline.extraction import Extraction
from pipeline.tries import Ladder
from pipeline.values import DateOrder

GARBAGE_SHARE = 0.5
"""Share of a text from which on one repeated piece is all it says; 7,600 texts of honest pages reach 0.054 at most."""
GARBAGE_CHARS = 64
FILLER_CHARS = 240
"""Rules, dotted leaders and rows of stars are honest up to a printed line, and may be all that a page shows."""
GARBAGE_IN_A_ROW = 8

_REPEATED = re.compile(r"([^\n]{1,16}?)\1{15,}")
"""One token or a few, 16 times or more within a line; equal rows are a table."""
_ESCAPED_BREAK = re.compile(r"\\[nr]")
_FILLER = re.compile(r"[\s\-_.=*·•…~#+|–—/\\]*")


def is_garbage(text: str) -> bool:
    """Tell whether a text, or the JSON that holds it, is mostly one piece over and over.

    So speaks a model whose numbers overflowed: `!!!!!!`, whatever the page.
    """
    lines = _ESCAPED_BREAK.sub("\n", text).strip()
    if not _may_repeat(lines):
        return False
    runs = (match[0] for match in _REPEATED.finditer(lines))
    length = sum(len(run) for run in runs if len(run) >= (FILLER_CHARS if _FILLER.fullmatch(run) else GARBAGE_CHARS))
    return length > GARBAGE_SHARE * len(lines)


def _may_repeat(text: str) -> bool:
    """Rule out in microseconds, for nearly every page, what the expression above takes a millisecond to look for.

    Runs of 64 characters or more that cover half of a text hold at least a quarter of its windows of 32
    characters, and in each of these the first 16 stand again within the next 16.
    """
    windows = range(0, len(text) - 31, 32)
    repeated = sum(text.find(text[start : start + 16], start + 1, start + 32) >= 0 for start in windows)
    return repeated * 128 >= len(text) * GARBAGE_SHARE * 2


class GarbageAlarm:
    """Notices that an engine has stopped reading: repetitions in a row, whatever page they are of.

    Goes off once, and again only after a valid output: where a new engine repeats itself on the
    same pages, it is the pages.
    """

    def __init__(self) -> None:
        self._in_a_row = 0

    def saw(self, error_type: ErrorType | None) -> bool:
        """Take note of how a generation ended; True when the engine must be replaced."""
        if error_type is None:
            self._in_a_row = 0
        elif error_type is ErrorType.OUTPUT_REPEATS:
            self._in_a_row += 1
            return self._in_a_row == GARBAGE_IN_A_ROW
        return False


class Judge:
    """Holds generations against the schema and pages against their number of tries."""

    def __init__(self, extraction: Extraction, ladder: Ladder, date_order: DateOrder) -> None:
        self._extraction = extraction
        self._ladder = ladder
        self._date_order = date_order

    def decide(self, task: PageTask, generation: Generation) -> PageRecord | TrySettings:
        """Enter the generation as an attempt of `task`; return the page's record, or the settings of its next try.

        Pages that were read together and have had their tries are each read by themselves.
        """
        record, error = self._validated(generation)
        attempt = _attempt(task, generation, error)
        task.attempts.append(attempt)
        if error is None:
            return self._record(task, generation, record, None)
        following = self._ladder.next(attempt) or (self._ladder.first() if task.settings.window_pages > 1 else None)
        return following or self._record(task, generation, self._salvaged(task), error)

    def read_with(self, task: PageTask, record: PageRecord) -> Iterator[PageRecord]:
        """Yield the records of the pages that were read with a page: they say in whose row all of it stands."""
        for page in task.others:
            yield PageRecord(
                document=record.document,
                page_number=page.page_number,
                status=record.status,
                started_at=page.started_at,
                finished_at=record.finished_at,
                read_with=record.read_with,
                **asdict(page.shown),
            )

    def give_up(self, task: PageTask, error: PageError) -> PageRecord:
        """Return the record of a page that gets no further try although no engine answered the last one.

        What earlier tries gave is kept, with the reason why they were not enough.
        """
        last = task.attempts[-1].error if task.attempts else None
        return self._record(task, None, self._salvaged(task), last or error)

    def _validated(self, generation: Generation) -> tuple[Json | None, PageError | None]:
        match generation.finish_reason:
            case FinishReason.ERROR:
                return None, generation.error or PageError(ErrorType.ENGINE_CRASH, "The engine gave no reason.")
            case FinishReason.STOP | FinishReason.LENGTH if is_garbage(generation.text):
                return None, GenerationInvalid(ErrorType.OUTPUT_REPEATS, "The output is one piece over and over.")
            case FinishReason.LENGTH:
                return None, GenerationInvalid(
                    ErrorType.OUTPUT_CUT_OFF,
                    f"The output was cut off after {generation.output_tokens} tokens; raise tries.max_tokens.",
                )
            case FinishReason.REPETITION:
                return None, GenerationInvalid(ErrorType.OUTPUT_REPEATS, "The model repeated itself and was stopped.")
            case FinishReason.STOP:
                try:
                    return self._extraction.validate(generation.text, self._date_order), None
                except GenerationInvalid as error:
                    return None, error

    def _salvaged(self, task: PageTask) -> Json | None:
        candidates = (
            self._extraction.salvage(attempt.raw_text, self._date_order)
            for attempt in reversed(task.attempts)
            if attempt.raw_text
        )
        return next((record for record in candidates if record), None)

    def _record(
        self, task: PageTask, generation: Generation | None, record: Json | None, error: PageError | None
    ) -> PageRecord:
        shown = task.shown
        if shown.rotation_deg is not None and generation and generation.rotation_deg:
            shown = replace(shown, rotation_deg=(shown.rotation_deg + generation.rotation_deg) % 360)
        return PageRecord(
            document=task.document,
            page_number=task.page_number,
            status=Status.FAILED if error else Status.OK,
            started_at=task.started_at,
            finished_at=datetime.now(UTC),
            record=record,
            partial=error is not None and record is not None,
            raw_text=task.attempts[-1].raw_text if task.attempts else None,
            lines=generation.lines if generation else (),
            token_logprobs=generation.token_logprobs if generation else (),
            attempts=tuple(task.attempts),
            error=error,
            read_with=tuple(page.page_number for page in task.window) if task.others else (),
            **asdict(shown),
        )


def _attempt(task: PageTask, generation: Generation, error: PageError | None) -> Attempt:
    return Attempt(
        settings=task.settings,
        finish_reason=generation.finish_reason,
        raw_text=generation.text,
        error=error,
        prompt_tokens=generation.prompt_tokens,
        output_tokens=generation.output_tokens,
        cached_tokens=generation.cached_tokens,
        queue_s=generation.queue_s,
        prefill_s=generation.prefill_s,
        decode_s=generation.decode_s,
    )
