"""What becomes of pages between their reading and their row: they wait for their text, and may be read again."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from made_records import document

from pipeline.config import RunConfig, SkipConfig, TriesConfig, TrustConfig
from pipeline.data import (
    Box,
    FinishReason,
    Generation,
    ImageFacts,
    PageKey,
    PageRecord,
    PageTask,
    Status,
    TextLine,
    TrySettings,
    Verdict,
    Word,
)
from pipeline.doubts import Doubts
from pipeline.engines.base import EngineInfo
from pipeline.errors import ErrorType, RenderError
from pipeline.extraction import load_extraction
from pipeline.identity import identify_run
from pipeline.judge import Judge
from pipeline.settling import Settling
from pipeline.skip import Shortcuts
from pipeline.tally import Tally
from pipeline.tries import Ladder
from pipeline.trust.assessing import Trust
from pipeline.trust.placing import placed
from pipeline.trust.reading import PageText
from pipeline.values import DateOrder

if TYPE_CHECKING:
    from pipeline.data import PageImage

RECEIPT = load_extraction("receipt")
SHOWN = ImageFacts(1000, 1400, rotation_deg=0, full_pixels=2_000_000)
LINES = (
    TextLine("Corner Shop", Box(100, 40, 420, 80), 0.99),
    TextLine("Date 2026-03-01", Box(100, 100, 420, 130), 0.99),
    TextLine("Total EUR 12.50", Box(100, 600, 500, 640), 0.99),
)
RIGHT: dict[str, Any] = {"seller": "Corner Shop", "date": "2026-03-01", "total": "12.50"}
WRONG: dict[str, Any] = {"seller": "Cosmic Slop Ltd", "date": "2001-09-09", "total": "999.99"}


@dataclass
class Texts:
    """Texts that come when the test says so."""

    read: dict[PageKey, PageText] = field(default_factory=dict)
    begun: dict[PageKey, Callable[[], None]] = field(default_factory=dict)
    come: deque[PageKey] = field(default_factory=deque)
    dropped: list[PageKey] = field(default_factory=list)
    is_full: bool = False

    def patience_s(self, _: float) -> float:
        """Wait as long as it takes."""
        return inf

    def begin(self, task: PageTask, _: PageImage, wake: Callable[[], None]) -> None:
        """Keep whom to wake."""
        self.begun[task.key] = wake

    def of(self, task: PageTask) -> PageText | None:
        """Return what has come."""
        return self.read.get(task.key)

    def comes(self, task: PageTask, lines: tuple[TextLine, ...] = LINES) -> None:
        """Let the text of a page be read."""
        self.read[task.key] = PageText(lines, SHOWN)
        self.come.append(task.key)
        self.begun[task.key]()

    def arrived(self) -> Iterator[PageKey]:
        """Yield what has come."""
        while self.come:
            yield self.come.popleft()

    def drop(self, task: PageTask) -> None:
        """Note it."""
        self.dropped.append(task.key)

    def give_up(self) -> None:
        """Nothing more is read."""
        for key in self.begun.keys() - self.read.keys():
            self.read[key] = PageText((), SHOWN)
            self.come.append(key)

    def close(self) -> None:
        """Nothing to release."""


class Run:
    """A run's settling, without a feed and without an engine."""

    def __init__(self, retry: str = "off", *, deterministic: bool = False) -> None:
        config = TrustConfig.model_validate({"retry": retry})
        ladder = Ladder(TriesConfig(), 1_500_000, deterministic=deterministic)
        self.rows: list[PageRecord] = []
        self.stop = threading.Event()
        self.texts = Texts()
        self.tally = Tally(lambda _: None)
        self.first = ladder.first()
        trust = Trust(RECEIPT.model, config, engine="vllm")
        order = DateOrder.DAY_FIRST
        shortcuts = Shortcuts(
            SkipConfig(blank=False, duplicates=False),
            RECEIPT,
            order,
            assess=lambda record: record,
            settle=self.rows.append,
            layers=None,
        )
        self.settling = Settling(
            shortcuts,
            Judge(RECEIPT, ladder, order),
            trust,
            Doubts(config.retry, ladder),
            texts=self.texts,
            stop=self.stop,
            tally=self.tally,
            settle=self.rows.append,
        )

    def taken(self, page_number: int = 1) -> PageTask:
        """Return a page that went to the engine."""
        task = PageTask(document(num_pages=9), Path("a.pdf"), page_number, self.first, shown=SHOWN)
        image: Any = type("Image", (), {"is_blank": False, "digest": None, "text_layer": None})()
        assert not self.settling.take(task, image, lambda: None)
        return task

    def answers(self, task: PageTask, values: dict[str, Any] | str) -> TrySettings | None:
        """Let the engine answer; return the settings of the page's next try."""
        text = values if isinstance(values, str) else json.dumps(values)
        decision = self.settling.judge.decide(task, Generation("1", text, FinishReason.STOP))
        following = self.settling.judged(task, decision)
        if following:
            task.settings = following
        return following

    def comes_back(self) -> PageTask:
        """Return the page that the engine is to read again."""
        [task] = self.settling.again()
        return task


def verdicts(row: PageRecord) -> dict[str, Verdict | None]:
    """Return what was found of each value."""
    return {one.path: one.verdict for one in row.evidence}


def errors(row: PageRecord) -> list[ErrorType | None]:
    """Return why each try was not accepted."""
    return [attempt.error_type for attempt in row.attempts]


def test_a_page_waits_for_its_text_and_is_then_recorded_with_it() -> None:
    """The CPU takes longer than the engine; the row has the lines that nobody else has."""
    run = Run()
    task = run.taken()
    assert run.answers(task, RIGHT) is None
    assert list(run.settling.again()) == []
    assert run.rows == []
    run.texts.comes(task)
    assert list(run.settling.again()) == []
    [row] = run.rows
    assert row.lines == LINES
    assert verdicts(row)["seller"] is Verdict.EXACT
    assert run.texts.dropped == [task.key]


def test_a_page_whose_text_is_there_before_its_answer_does_not_wait() -> None:
    """Most text layers are."""
    run = Run()
    task = run.taken()
    run.texts.comes(task)
    assert list(run.settling.again()) == []
    run.answers(task, RIGHT)
    assert len(run.rows) == 1


def test_a_page_that_failed_does_not_wait() -> None:
    """Pages that equal it have to be read themselves, for which the engine must be there."""
    run = Run()
    task = run.taken()
    while run.answers(task, "no JSON"):
        pass
    [row] = run.rows
    assert (row.status, len(row.attempts), row.evidence) == (Status.FAILED, 3, ())


def test_a_stop_ends_the_waiting_and_loses_no_page() -> None:
    """After Ctrl-C or at the deadline pages are recorded as they were read; their values are not checked."""
    run = Run()
    for number in (1, 2, 3):
        assert run.answers(run.taken(number), RIGHT) is None
    run.stop.set()
    run.settling.finish()
    assert sorted(row.page_number or 0 for row in run.rows) == [1, 2, 3]
    assert set(verdicts(run.rows[0]).values()) == {None}
    assert run.rows[0].status is Status.OK


def test_the_end_of_a_run_waits_for_the_text_of_parked_pages() -> None:
    """A worker thread wakes it."""
    run = Run()
    task = run.taken()
    run.answers(task, RIGHT)
    late = threading.Timer(0.05, run.texts.comes, [task])
    late.start()
    run.settling.finish()
    late.join()
    assert verdicts(run.rows[0])["total"] is Verdict.EXACT


def test_a_page_in_doubt_is_read_again_and_the_better_try_counts() -> None:
    """The engine must stay while a page may come back, and the row tells why there were two tries."""
    run = Run("doubtful")
    task = run.taken()
    assert run.answers(task, WRONG) is None
    assert run.settling.may_return
    run.texts.comes(task)
    back = run.comes_back()
    assert (back, back.settings.number, run.tally.pages_retried) == (task, 2, 1)
    assert run.rows == []
    assert run.answers(task, RIGHT) is None
    assert (run.settling.may_return, len(run.rows)) == (False, 1)
    [row] = run.rows
    assert row.record is not None
    assert row.record["seller"] == "Corner Shop"
    assert errors(row) == [ErrorType.OUTPUT_DOUBTFUL, None]
    assert "doubtful: total" in str(row.attempts[0].error)


def test_the_first_try_counts_where_the_other_one_is_in_more_doubt() -> None:
    """A model that is asked again may guess; what it said first stands, with the image that it was said of."""
    run = Run("doubtful")
    task = run.taken()
    run.texts.comes(task)
    assert list(run.settling.again()) == []
    assert run.answers(task, RIGHT | {"total": "999.99"})
    task.shown = ImageFacts(1200, 1680, rotation_deg=0)
    assert run.answers(task, WRONG) is None
    [row] = run.rows
    assert row.record is not None
    assert row.record["seller"] == "Corner Shop"
    assert (row.width_px, errors(row)) == (1000, [None, ErrorType.OUTPUT_DOUBTFUL])
    assert row.status is Status.OK


@pytest.mark.parametrize("how", ["invalid", "not rendered"])
def test_another_try_that_gives_nothing_takes_nothing_away(how: str) -> None:
    """The page had a valid record: it is not failed, and not tried once more."""
    run = Run("doubtful")
    task = run.taken()
    run.texts.comes(task)
    assert list(run.settling.again()) == []
    assert run.answers(task, WRONG)
    if how == "invalid":
        assert run.answers(task, "no JSON") is None
    else:
        run.settling.give_up(task, RenderError(ErrorType.RENDER_CRASH, "It crashed."))
    [row] = run.rows
    assert (row.status, row.record and row.record["seller"]) == (Status.OK, "Cosmic Slop Ltd")
    assert errors(row) == [None, ErrorType.OUTPUT_INVALID] if how == "invalid" else [None]


@pytest.mark.parametrize("retry", ["off", "breaches"])
def test_a_broken_rule_gives_another_try_where_that_is_wanted(retry: str) -> None:
    """Its own setting: a sum that is wrong on the paper is wrong at every try."""
    run = Run(retry)
    task = run.taken()
    run.texts.comes(task, (*LINES, TextLine("Tea 2 5.00 45.00", Box(100, 500, 500, 540), 0.99)))
    assert list(run.settling.again()) == []
    item = {"description": "Tea", "quantity": "2", "unit_price": "5.00", "line_total": "45.00"}
    following = run.answers(task, RIGHT | {"line_items": [item]})
    assert bool(following) is (retry == "breaches")
    assert [error.error_type for error in [task.attempts[0].error] if error] == (
        [ErrorType.OUTPUT_DOUBTFUL] if following else []
    )
    assert [[breach.rule for breach in row.breaches] for row in run.rows] == (
        [] if following else [["quantity_times_price"]]
    )


def test_a_page_that_needs_no_review_is_not_read_again() -> None:
    """The engine's time is for others."""
    run = Run("both")
    task = run.taken()
    run.texts.comes(task)
    assert list(run.settling.again()) == []
    assert run.answers(task, RIGHT) is None
    assert run.rows[0].review_reasons == ()


def test_a_page_that_no_engine_reads_again_keeps_its_first_record() -> None:
    """It waits for its other try when the run is stopped, or when engines die for good: the first one was paid for."""
    run = Run("doubtful")
    task = run.taken()
    run.texts.comes(task)
    assert list(run.settling.again()) == []
    assert run.answers(task, WRONG)
    assert run.rows == []
    run.settling.finish(at_once=True)
    [row] = run.rows
    assert (row.status, row.record and row.record["seller"], errors(row)) == (Status.OK, "Cosmic Slop Ltd", [None])
    assert any(reason.startswith("doubtful") for reason in row.review_reasons)
    assert run.texts.dropped == [task.key]


def test_a_page_that_comes_back_counts_as_read_once() -> None:
    """The rate of a run decides how many documents it takes until its deadline."""
    run = Run("doubtful")
    run.tally.report("reading")
    task = run.taken()
    assert run.answers(task, WRONG) is None
    run.tally.page_read()  # by the driver: it has no other try as yet
    run.texts.comes(task)
    run.comes_back()
    assert (run.tally.pages_per_s, run.tally.pages_retried) == (0, 1)


def test_pages_that_were_stopped_are_not_read_again() -> None:
    """Nobody is there to read them."""
    run = Run("doubtful")
    task = run.taken()
    run.answers(task, WRONG)
    run.stop.set()
    run.settling.finish()
    assert len(run.rows) == 1


def test_only_another_try_can_change_a_record_and_so_the_fingerprint() -> None:
    """Whoever wants more or less said of records does not want a million pages read again."""

    def fingerprint(**trust: Any) -> str:
        config = RunConfig.model_validate({"input": "in", "output": "out", "trust": trust})
        return identify_run(config, RECEIPT, EngineInfo("vllm", "a", "b", "c"), 1_000_000).fingerprint

    usual = fingerprint()
    assert {fingerprint(evidence=False), fingerprint(min_confidence=0.5), fingerprint(scans="all")} == {usual}
    others: list[dict[str, Any]] = [{"retry": "both"}, {"retry": "doubtful"}, {"retry": "both", "min_confidence": 0.5}]
    assert len({usual, *(fingerprint(**other) for other in others)}) == len(others) + 1


def test_boxes_follow_the_page_to_another_image_of_it() -> None:
    """The text is read from the first image; the try that counts may have been shown a larger one, or a turned one."""
    line = TextLine("Total", Box(10, 20, 30, 25), 0.5, (Word("Total", Box(10, 20, 30, 25)),))
    first = ImageFacts(100, 200, rotation_deg=0)
    larger = placed([line], first, ImageFacts(200, 400, rotation_deg=0))
    assert larger == (TextLine("Total", Box(20, 40, 60, 50), 0.5, (Word("Total", Box(20, 40, 60, 50)),)),)
    boxes = {90: Box(175, 10, 180, 30), 180: Box(70, 175, 90, 180), 270: Box(20, 70, 25, 90)}
    for turn, box in boxes.items():
        size = (200, 100) if turn % 180 else (100, 200)
        turned = ImageFacts(*size, rotation_deg=turn)
        [moved] = placed([line], first, turned)
        assert moved.box == box
        assert placed([moved], turned, first)[0].box == line.box
    assert placed([line], first, ImageFacts()) == (line,)


def test_no_further_page_is_rendered_while_all_scans_are_to_be_read_and_enough_wait() -> None:
    """The feed asks before it renders."""
    run = Run()
    assert not run.settling.is_full
    run.texts.is_full = True
    assert run.settling.is_full
