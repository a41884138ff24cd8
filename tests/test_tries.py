"""The ladder: what changes from one try to the next."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.config import TriesConfig
from pipeline.data import Attempt, FinishReason, ImageFacts, RenderSpec, TrySettings
from pipeline.errors import ErrorType, PageError
from pipeline.tries import Ladder

LADDER = Ladder(TriesConfig(max_tries=4, max_tokens=100), max_pixels=1_000_000, deterministic=False)


def failed(settings: TrySettings, error_type: ErrorType) -> Attempt:
    """Return an attempt that ended that way."""
    return Attempt(settings, FinishReason.STOP, "", PageError(error_type, "no"))


def climb(ladder: Ladder, error_type: ErrorType) -> list[TrySettings]:
    """Return the settings of all tries when each fails the same way."""
    tries = [ladder.first()]
    while following := ladder.next(failed(tries[-1], error_type)):
        tries.append(following)
    return tries


def test_a_cut_off_output_gets_more_tokens() -> None:
    """The page is long, so nothing but the limit should change."""
    tries = climb(LADDER, ErrorType.OUTPUT_CUT_OFF)
    assert [settings.max_tokens for settings in tries] == [100, 200, 400, 800]
    assert {settings.temperature for settings in tries} == {0.0}


def test_the_extraction_says_how_long_outputs_are_unless_the_configuration_does() -> None:
    """A receipt that writes 2,000 tokens is a loop; a transcript of as many is not."""
    extraction = Ladder(TriesConfig(max_tries=3), max_pixels=1_000_000, deterministic=False, max_tokens=4096)
    assert [one.max_tokens for one in climb(extraction, ErrorType.OUTPUT_CUT_OFF)] == [4096, 8192, 16384]
    assert replace(extraction, config=LADDER.config).first().max_tokens == 100


def test_an_invalid_output_gets_warmer_then_larger_and_unconstrained() -> None:
    """Each try must ask something new; a greedy sampler repeats its fault."""
    tries = climb(LADDER, ErrorType.OUTPUT_INVALID)
    assert [settings.temperature for settings in tries] == sorted({settings.temperature for settings in tries})
    assert [settings.constrained for settings in tries] == [True, True, False, False]
    assert tries[2].render.max_pixels > tries[1].render.max_pixels == tries[0].render.max_pixels


def test_a_page_the_engine_cannot_take_is_sent_smaller() -> None:
    """More pixels would be refused again."""
    first, second, *_ = climb(LADDER, ErrorType.INPUT_REJECTED)
    assert second.render.max_pixels < first.render.max_pixels


@pytest.mark.parametrize("deterministic", [False, True])
def test_a_page_that_was_made_smaller_is_first_read_again_at_full_size(*, deterministic: bool) -> None:
    """The likeliest cause of a doubtful answer is then the size, and full size is what every page had before."""
    ladder = Ladder(LADDER.config, LADDER.max_pixels, deterministic, legible_px=11)
    first, second, third, *_ = (settings.render for settings in climb(ladder, ErrorType.OUTPUT_INVALID))
    assert first == RenderSpec(LADDER.max_pixels, legible_px=11)
    assert second == RenderSpec(LADDER.max_pixels)
    assert third.max_pixels > LADDER.max_pixels


def test_a_cut_off_output_of_a_page_that_was_made_smaller_comes_from_full_size_next() -> None:
    """A model that cannot read loops; twice the tokens for the same pixels would be twice the loop."""
    ladder = Ladder(LADDER.config, LADDER.max_pixels, deterministic=False, legible_px=11)
    second = climb(ladder, ErrorType.OUTPUT_CUT_OFF)[1]
    assert (second.render, second.max_tokens) == (RenderSpec(LADDER.max_pixels), 200)


def test_a_page_that_was_at_full_size_all_the_same_is_not_asked_twice_at_it() -> None:
    """A renderer says so in the spec, and a deterministic engine would answer the same."""
    ladder = Ladder(LADDER.config, LADDER.max_pixels, deterministic=True, legible_px=11)
    seen = replace(ladder.first(), render=RenderSpec(LADDER.max_pixels))
    following = ladder.next(failed(seen, ErrorType.OUTPUT_INVALID))
    assert following is not None
    assert following.render.max_pixels > LADDER.max_pixels


def test_a_page_the_engine_cannot_take_shrinks_below_its_legible_size() -> None:
    """A lower limit alone would leave a page as it is that is already below it."""
    ladder = Ladder(LADDER.config, LADDER.max_pixels, deterministic=False, legible_px=11)
    second = climb(ladder, ErrorType.ENGINE_CRASH)[1].render
    assert second.max_pixels < LADDER.max_pixels
    assert second.legible_px is not None
    assert second.legible_px < 11


@pytest.mark.parametrize("error_type", list(ErrorType))
def test_tries_end_and_a_deterministic_engine_is_never_asked_the_same_twice(error_type: ErrorType) -> None:
    """A page cannot go round for ever, and asking again what cannot change costs minutes of CPU."""
    assert len(climb(LADDER, error_type)) <= LADDER.config.max_tries
    asked = climb(Ladder(LADDER.config, LADDER.max_pixels, deterministic=True), error_type)
    assert len({settings.render for settings in asked}) == len(asked)


FULL, SMALL = ImageFacts(1000, 990), ImageFacts(600, 800)


@pytest.mark.parametrize("deterministic", [False, True])
@pytest.mark.parametrize(("legible_px", "expected"), [(11.0, (1_000_000, None)), (None, (1_500_000, None))])
def test_a_page_in_doubt_is_shown_larger_and_asked_as_before(
    legible_px: float | None, expected: tuple[int, None], *, deterministic: bool
) -> None:
    """Greedy answers are the best ones; what was too small to read is the likeliest cause."""
    ladder = replace(LADDER, deterministic=deterministic, legible_px=legible_px)
    accepted = replace(failed(ladder.first(), ErrorType.OUTPUT_INVALID), error=None)
    following = ladder.after_doubt(accepted, FULL)
    assert following is not None
    assert (following.render.max_pixels, following.render.legible_px) == expected
    assert (following.temperature, following.constrained, following.number) == (0.0, True, 2)


def test_a_page_in_doubt_that_has_no_more_pixels_is_asked_warmer_or_not_at_all() -> None:
    """The same greedy question about the same image has the same answer."""
    accepted = replace(failed(LADDER.first(), ErrorType.OUTPUT_INVALID), error=None)
    following = LADDER.after_doubt(accepted, SMALL)
    assert following is not None
    assert (following.render, following.temperature) == (LADDER.first().render, 0.2)
    sure = replace(LADDER, deterministic=True)
    assert sure.after_doubt(accepted, SMALL) is None
    assert sure.after_doubt(accepted, FULL, size_matters=False) is None
    last = replace(LADDER, config=TriesConfig(max_tries=1))
    assert last.after_doubt(accepted, FULL) is None
