"""How many pages are prepared ahead of an engine: controlled by what it reports, in a simulation of an H100."""

from __future__ import annotations

from statistics import mean

import pytest
from simulated_engine import SimulatedEngine

from pipeline.engines.vllm.depth import BYTES_PER_PIXEL, Depth

SLOTS, MOST, PLENTY = 256, 128, 1 << 40


def simulate(
    *, threads: int = 12, slots: int = SLOTS, max_bytes: int = PLENTY, prepare_s: float = 0.2
) -> SimulatedEngine:
    """Return an engine that is about to begin."""
    return SimulatedEngine(Depth(slots, threads, most=MOST, max_bytes=max_bytes), threads, prepare_s)


def test_sequences_never_lack_and_few_prepared_pages_wait() -> None:
    """A page that waits takes 11 MiB; one that is missing takes the GPU's time."""
    engine = simulate()
    engine.run(60)
    begun, engine.starved_s = len(engine.depths), 0.0
    engine.run(120)
    assert engine.num_running > SLOTS - 12
    assert engine.starved_s < 0.02 * 120
    assert mean(engine.waiting_after_step[begun:]) < MOST / 6
    assert max(engine.depths) <= MOST


@pytest.mark.parametrize("factor", [0.2, 1.5])
def test_the_depth_follows_preparation_that_becomes_slower_or_faster(factor: float) -> None:
    """Other pages, a busy machine: no constant is right for a whole night."""
    engine = simulate()
    engine.run(60)
    engine.prepare_s *= factor
    engine.run(30)
    engine.starved_s = 0.0
    engine.run(60)
    assert engine.starved_s < 0.03 * 60


def test_preparation_that_is_too_slow_does_not_make_the_queue_long() -> None:
    """What waits for a thread is no nearer to the engine, and its image takes memory."""
    engine = simulate(threads=2, prepare_s=0.5)
    engine.run(120)
    assert max(engine.depths) < 10


def test_prepared_pages_fit_into_the_memory_that_is_given() -> None:
    """Small hosts have little of it, and pages of a later try are larger."""
    engine = simulate(max_bytes=20 * BYTES_PER_PIXEL * 1_000_000)
    engine.run(60)
    assert max(engine.depths[10:]) <= 20
    engine.depth.took(4_000_000)
    assert engine.depth.depth < 20


def test_fewer_pages_are_let_run_when_their_cache_does_not_hold_them() -> None:
    """Else each step preempts a page, whose prompt is then computed again."""
    engine = simulate()
    engine.cache_tokens = SLOTS * 120
    engine.run(120)
    early, engine.preempted = engine.preempted, 0
    engine.run(120)
    assert engine.depth.limit < 0.8 * SLOTS
    assert engine.preempted < 0.1 * engine.finished
    assert early
    engine.cache_tokens = None
    engine.run(400)
    assert engine.depth.limit > 0.9 * SLOTS, "one bad hour must not slow the night"


def test_commits_do_not_drain_the_engine() -> None:
    """Recording stops the stream for a tenth of a second locally, and longer where the output is a bucket."""
    steady, committing = simulate(), simulate()
    committing.commit_s = 0.5
    for engine in (steady, committing):
        engine.run(150)
    assert committing.finished > 0.99 * steady.finished


def test_the_finish_rate_is_told() -> None:
    """It is part of what decides, and shows whether the rest can be trusted."""
    engine = simulate()
    engine.run(60)
    finished, begun = engine.finished, engine.now
    engine.run(30)
    assert engine.depth.pages_per_s == pytest.approx((engine.finished - finished) / (engine.now - begun), rel=0.3)
