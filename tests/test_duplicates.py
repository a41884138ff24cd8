"""Which pages wait for another one with the same image, and how much is remembered of those that were read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_records import document, failed_page, ok_page

from pipeline.data import Box, PageImage, PageTask, RenderSpec, TextLayer, TextLine, TrySettings
from pipeline.skip.duplicates import ENTRY_BYTES, Duplicates, identity_of

SPEC = RenderSpec(1_000)
FIRST = TrySettings(1, 100, 0.0, constrained=False, render=SPEC)
KEYS = [bytes([number]) * 16 for number in range(8)]


def task(page_number: int) -> PageTask:
    """Return a page on its way."""
    return PageTask(document(num_pages=9), Path("a.pdf"), page_number, FIRST)


def image(digest: str | None, text: str | None = None) -> PageImage:
    """Return a page image of which only what it says of itself matters."""
    lines = (TextLine(text, Box(0, 0, 1, 1)),) if text is not None else ()
    layer = TextLayer(lines, 0, 0, 0) if text is not None else None
    return PageImage(1, np.zeros((28, 28, 3), np.uint8), SPEC, 72, layer, 0.1, digest=digest)


def test_images_are_equal_by_pixels_and_by_the_text_that_an_engine_would_read() -> None:
    """Two pages that look alike may carry different text; an engine that reads it must not get the other's."""
    same, other, bare = (identity_of(image("ab" * 16, text)) for text in ("total 7", "total 9", None))
    assert same == identity_of(image("ab" * 16, "total 7"))
    assert len({same, other, bare, identity_of(image("cd" * 16))}) == 4
    assert {len(key) for key in (same, other, bare) if key} == {16}
    assert identity_of(image(None)) is None


def test_a_page_waits_for_the_one_that_is_being_read_and_gets_what_that_said() -> None:
    """The engine is asked once."""
    found = Duplicates()
    assert not found.must_wait(task(1), KEYS[0])
    assert found.must_wait(task(2), KEYS[0])
    assert not found.must_wait(task(3), KEYS[1])
    first = ok_page(document(num_pages=9), 1)
    assert [waiting.page_number for waiting in found.settled(first)] == [2]
    said = found.find(KEYS[0])
    assert said
    assert (said.record, said.raw_text, said.attempts, said.token_logprobs) == (first.record, first.raw_text, (), ())
    assert [line.text for line in said.lines] == [line.text for line in first.lines]
    assert found.find(KEYS[1]) is None


def test_a_page_that_comes_again_does_not_wait_for_itself() -> None:
    """Its engine died: it is still the first one."""
    found = Duplicates()
    for _ in range(2):
        assert not found.must_wait(task(1), KEYS[0])
    assert not found.settled(ok_page(document(num_pages=9), 1))


def test_after_a_failure_equal_pages_are_read_until_one_is_ok() -> None:
    """One of 1,000 pages that fails must not make the others wait for each other in turn."""
    found = Duplicates()
    assert not found.must_wait(task(1), KEYS[0])
    assert found.must_wait(task(2), KEYS[0])
    assert [waiting.page_number for waiting in found.settled(failed_page(document(num_pages=9), 1))] == [2]
    assert not any(found.must_wait(task(number), KEYS[0]) for number in (2, 3, 4))
    assert not found.settled(ok_page(document(num_pages=9), 2))
    assert not found.settled(failed_page(document(num_pages=9), 3))
    assert found.find(KEYS[0])


def test_only_so_many_pages_wait() -> None:
    """They stay in memory and are recorded at one go; more of them are read."""
    found = Duplicates(most_waiting=2)
    assert [found.must_wait(task(number), KEYS[0]) for number in (1, 2, 3, 4)] == [False, True, True, False]
    assert len(found.settled(ok_page(document(num_pages=9), 1))) == 2
    assert not found.must_wait(task(5), KEYS[1])
    assert found.must_wait(task(6), KEYS[1])


def test_a_page_nobody_is_reading_changes_nothing() -> None:
    """Rows of pages that were never compared are settled too: of unreadable files, of later tries."""
    assert not Duplicates().settled(ok_page(document(), 1))


@pytest.mark.parametrize("text", ["x", "x" * 10_000])
def test_what_was_not_asked_for_longest_is_forgotten(text: str) -> None:
    """Memory is bounded however many pages a run has."""
    found = Duplicates(kept_bytes=3 * (ENTRY_BYTES + 1_500))
    for number, key in enumerate(KEYS[:3], 1):
        found.must_wait(task(number), key)
        found.settled(replace(ok_page(document(num_pages=9), number), raw_text=text))
    assert found.find(KEYS[0])
    for number, key in enumerate(KEYS[3:], 4):
        found.must_wait(task(number), key)
        found.settled(replace(ok_page(document(num_pages=9), number), raw_text=text))
        assert found.find(KEYS[0])
    assert found.find(KEYS[1]) is None
    assert found.find(KEYS[7])
