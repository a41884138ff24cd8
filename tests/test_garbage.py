"""Output of a model that has stopped reading, told from honest pages that repeat themselves."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.config import TriesConfig
from pipeline.data import Document, DocumentRef, FinishReason, Generation, PageRecord, PageTask
from pipeline.errors import ErrorType
from pipeline.extraction import load_extraction
from pipeline.judge import GARBAGE_IN_A_ROW, GarbageAlarm, Judge, is_garbage
from pipeline.tries import Ladder
from pipeline.values import DateOrder

EXPECTED = Path(__file__).parent.parent / "sample_docs" / "_expected"
REPEATS, CUT_OFF = ErrorType.OUTPUT_REPEATS, ErrorType.OUTPUT_CUT_OFF

GARBAGE = {
    "one token": "!" * 64,
    "one token of many letters": "addCriterion" * 20,
    "a few tokens": "the the of " * 30,
    "after a start": "Invoice number 2024-17\n" + "0" * 400,
    "with line breaks between": ("!" * 100 + "\n") * 8,
    "in a record": json.dumps({"text": "!" * 100}),
    "in several fields of a record": json.dumps({"seller": "!" * 80, "buyer": "!" * 80, "total": None}),
    "spaces alone": json.dumps({"text": " " * 500}),
    "a very long rule": "_" * 2000,
}
HONEST = {
    "blank page": "",
    "blank record": json.dumps({"seller": None, "total": None, "items": []}),
    "one word": "Page",
    "page number": "1111111111",
    "a rule alone": "-" * 200,
    "a dotted line alone": ". " * 100,
    "rows of stars and dashes": "\n".join(["*" * 48, "RECEIPT", "-" * 48, "TOTAL 9.80", "=" * 48, "-" * 48]),
    "table of contents": "\n".join(f"{number} Chapter {'.' * 90} {number * 7}" for number in range(30)),
    "form of empty lines": "\n".join(["Name " + "_" * 80] * 30),
    "table of equal rows": "\n".join(["0.00 0.00 0.00"] * 200),
    "table of equal rows in a record": json.dumps({"text": "\n".join(["0.00"] * 200)}),
    "empty cells": "\n".join(["| | | | | | | |"] * 60),
    "zeros": "0.00 " * 12 + "total 0.00",
    "equal items": json.dumps({"items": [{"description": "Coffee", "amount": "2.50"}] * 60}),
}


@pytest.mark.parametrize("text", GARBAGE.values(), ids=GARBAGE)
def test_one_piece_over_and_over_is_no_reading(text: str) -> None:
    """Such output fits plain text and many a schema, so nothing else would refuse it."""
    assert is_garbage(text)


@pytest.mark.parametrize("text", HONEST.values(), ids=HONEST)
def test_pages_may_repeat_themselves(text: str) -> None:
    """Forms, receipts and tables do, and some pages show nothing but a rule."""
    assert not is_garbage(text)


def test_no_sample_document_is_taken_for_garbage() -> None:
    """The shipped documents with their known answers, as records and as texts."""
    texts = [path.read_text("utf-8") for path in EXPECTED.glob("*/*")]
    assert texts
    assert not any(map(is_garbage, texts))


@pytest.mark.parametrize("text", ["a" * 15 + "b", "ab" * 15 + "c", "x", "12 "])
def test_looking_for_repetitions_takes_time_in_proportion(text: str) -> None:
    """It runs on every output, hostile ones included, beside an engine that must not wait."""
    started = time.perf_counter()
    is_garbage(text * (200_000 // len(text)))
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize("reason", [FinishReason.STOP, FinishReason.LENGTH])
def test_a_page_of_one_token_gets_its_next_try(reason: FinishReason) -> None:
    """More room, which a cut-off output gets, would only make it longer."""
    ladder = Ladder(TriesConfig(), max_pixels=1_000_000, deterministic=False)
    document = Document(DocumentRef("file:///a.pdf", 1, datetime.now(UTC)), "0" * 64, "application/pdf", 1)
    task = PageTask(document, Path("a.pdf"), 1, ladder.first())
    judge = Judge(load_extraction("transcript"), ladder, DateOrder.DAY_FIRST)

    decision = judge.decide(task, Generation("1", "!" * 2000, reason))

    assert task.attempts[0].error_type is REPEATS
    assert not isinstance(decision, PageRecord)
    assert decision.temperature > 0
    assert decision.max_tokens == ladder.first().max_tokens


def test_an_engine_that_only_repeats_itself_raises_the_alarm_once() -> None:
    """A new engine that does the same on the same pages proves that it is the pages."""
    alarm = GarbageAlarm()
    raised = [alarm.saw(REPEATS) for _ in range(3 * GARBAGE_IN_A_ROW)]
    assert raised.index(True) == GARBAGE_IN_A_ROW - 1
    assert raised.count(True) == 1


def test_a_valid_output_in_between_proves_that_the_engine_reads() -> None:
    """Pages that make a good model loop are spread among others."""
    alarm = GarbageAlarm()
    pattern: list[ErrorType | None] = [REPEATS] * (GARBAGE_IN_A_ROW - 1) + [None]
    assert not any(alarm.saw(found) for found in pattern * 5)


def test_the_alarm_is_armed_again_by_a_valid_output_and_not_by_other_faults() -> None:
    """A cut-off output may be garbage too."""
    alarm = GarbageAlarm()
    for _ in range(2):
        assert not any(alarm.saw(found) for found in [None, *[REPEATS, CUT_OFF] * (GARBAGE_IN_A_ROW - 1)])
        assert alarm.saw(REPEATS)
