"""Pages that enter together: as many prompts as fill a step, and never a page that waits for nothing."""

from __future__ import annotations

import pytest

from pipeline.engines.vllm.bursts import burst_size


def burst(tokens: list[int], *, free: int = 100, slots: int = 256, more: bool = True) -> int:
    """Return how many pages enter where a step computes 8,000 tokens."""
    return burst_size(tokens, free=free, budget=8000, slots=slots, more=more)


@pytest.mark.parametrize(
    ("tokens", "size"),
    [([1300] * 20, 6), ([1300] * 6, 6), ([8000], 1), ([9000, 9000], 1), ([3000, 3000, 3000], 2), ([100] * 500, 80)],
)
def test_a_burst_fills_one_step(tokens: list[int], size: int) -> None:
    """More would be cut in two, and the rest of the last page be computed beside decoding."""
    assert burst(tokens) == size


def test_a_burst_waits_until_it_is_full_and_finds_room() -> None:
    """One page alone makes a mixed step of its own, which is what bursts avoid."""
    assert burst([1300] * 5) == 0
    assert burst([1300] * 20, free=5) == 0
    assert burst([1300] * 20, free=6) == 6


def test_pages_do_not_wait_for_others_that_are_not_on_their_way() -> None:
    """Slow rendering and the end of a run: what is there enters at once."""
    assert burst([1300], more=False) == 1
    assert burst([1300] * 5, more=False) == 5


@pytest.mark.parametrize("slots", [1, 2, 3, 8])
def test_an_idle_engine_always_gets_a_page(slots: int) -> None:
    """However few pages may run, a burst finds room once they have ended."""
    assert burst([10] * 50, free=slots, slots=slots) > 0
