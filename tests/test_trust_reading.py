"""The text of pages whose engine tells none: which pages are read, and what becomes of those that are not."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_records import document

from pipeline.config import OcrConfig, TrustConfig
from pipeline.data import Box, ImageFacts, PageImage, PageTask, RenderSpec, TextLayer, TextLine, TrySettings
from pipeline.trust.reading import PageTexts

SPEC = RenderSpec(max_pixels=28 * 28)
FIRST = TrySettings(number=1, max_tokens=9, temperature=0, constrained=True, render=SPEC)
SHOWN = ImageFacts(28, 28, rotation_deg=0)
PROSE = "Thank you for your visit, and come again soon to see what is new on our shelves."


def page(number: int = 1) -> PageTask:
    """Return a page on its way to the engine."""
    return PageTask(document(num_pages=9), Path("a.pdf"), number, FIRST, shown=SHOWN)


def image(text: str | None = None) -> PageImage:
    """Return an image of a page that was scanned, or that has this text."""
    line = TextLine(text or "", Box(1, 1, 27, 9))
    layer = TextLayer((line,), hidden_share=0, unmapped_share=0, image_share=0) if text else None
    return PageImage(1, np.zeros((28, 28, 3), np.uint8), SPEC, None, layer, 0.0)


def test_a_page_that_comes_again_has_the_text_that_it_has() -> None:
    """Its engine was replaced before it was read: nobody reads its text a second time."""
    with closing(PageTexts(TrustConfig(scans="off"), OcrConfig())) as texts:
        task = page()
        for text in (PROSE, None):
            texts.begin(task, image(text), lambda: None)
        known = texts.of(task)
        assert known is not None
        assert [line.text for line in known.lines] == [PROSE]
        texts.drop(task)
        assert texts.of(task) == ((), SHOWN)


def test_pages_that_cannot_be_read_have_no_text_and_are_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    """A library that is missing, or too little memory for it, fails every page: nobody is to find out from counts."""
    woken = threading.Event()
    with closing(PageTexts(TrustConfig(scans="all", workers=1), OcrConfig(memory_limit_mb=256))) as texts:
        tasks = [page(1), page(2)]
        for task in tasks:
            texts.begin(task, image(), woken.set)
        while None in (known := [texts.of(task) for task in tasks]):
            assert woken.wait(60)
            woken.clear()
    assert known == [((), SHOWN)] * 2
    [record] = caplog.records
    assert (record.levelname, "not checked" in record.getMessage()) == ("WARNING", True)


@pytest.mark.slow
def test_a_page_that_takes_too_long_does_not_hold_up_the_end_of_a_run() -> None:
    """Whoever stopped it kills it soon; and then all pages that wait for their text would be read again."""
    woken = threading.Event()
    pixels = np.random.default_rng(1).integers(0, 256, (2800, 2800, 3), np.uint8)
    with closing(PageTexts(TrustConfig(scans="all", workers=1), OcrConfig(), grace_s=0.1)) as texts:
        short, long, last = (page(number) for number in (1, 2, 3))
        for task, one in ((short, image()), (long, replace(image(), pixels=pixels)), (last, image())):
            texts.begin(task, one, woken.set)
        assert woken.wait(60)
        time.sleep(0.2)  # for the process to turn to the next page
        texts.give_up()
        assert (texts.of(long), texts.of(last)) == (None, ((), SHOWN))
        time.sleep(0.1)
        texts.give_up()
        assert texts.of(long) == ((), SHOWN)
        assert {number for _, number in texts.arrived()} == {1, 2, 3}


def test_processes_that_cannot_start_are_tried_for_one_page(caplog: pytest.LogCaptureFixture) -> None:
    """Each of the pages that wait would try it again, a second or more each: they have no text at once."""
    ocr = OcrConfig().model_copy(update={"memory_limit_mb": 24})
    woken = threading.Event()
    with closing(PageTexts(TrustConfig(scans="all", workers=1), ocr)) as texts:
        tasks = [page(number) for number in range(1, 9)]
        for task in tasks:
            texts.begin(task, image(), woken.set)
        assert woken.wait(60)
        assert len([*texts.arrived()]) >= len(tasks) - 1  # one may be on its way
        assert [texts.of(task) for task in tasks[3:]] == [((), SHOWN)] * 5
        assert not texts.is_full
    assert [record.levelname for record in caplog.records] == ["WARNING"]
