"""The search for the fastest settings, with made-up engines: which points it tries, and what it believes."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from pipeline.bench.sweep import Axis, Measured, Search, Sweep
from pipeline.errors import EngineStartError

SEQS = Axis("max_num_seqs", (64, 128, 192, 256, 384, 512), 256)
TOKENS = Axis("max_num_batched_tokens", (2048, 4096, 8192, 16384), 8192)
TOWER = Axis("vision", ("compiled", "graphs"), "plain", is_ordered=False)
AXES = (TOKENS, SEQS, TOWER)
START_S = 100.0
Speed = Callable[[Mapping[str, Any]], float]


class Bench:
    """An engine whose speed is a function of its settings; each start takes 100 s of a clock that it moves on."""

    def __init__(self, speed: Speed, *, error: float = 0.05) -> None:
        self.now = 0.0
        self.tried: list[dict[str, Any]] = []
        self._speed, self._error = speed, error

    def measure(self, settings: Mapping[str, Any]) -> Measured:
        """Take the time that a start takes, and return the speed."""
        self.now += START_S
        self.tried.append(dict(settings))
        return Measured(self._speed(settings), self._error)

    def sweep(self, *, budget_s: float = 1e6, on_change: Callable[[Sweep], None] = lambda _: None) -> Sweep:
        """Search with this engine."""
        clock = lambda: self.now  # noqa: E731
        return Search(AXES, self.measure, budget_s=budget_s, on_change=on_change, clock=clock).run()


def hill(settings: Mapping[str, Any]) -> float:
    """Fastest at 128 sequences and 4,096 tokens, where 14 pages a second are read."""
    seqs: int = settings.get("max_num_seqs", 256)
    tokens: int = settings.get("max_num_batched_tokens", 8192)
    return 14 - abs(seqs - 128) / 64 - abs(tokens - 4096) / 4096


def test_it_climbs_to_the_best_point() -> None:
    """One setting after the other, each from its neighbours."""
    found = Bench(hill).sweep()
    assert found.best.settings == {"max_num_batched_tokens": 4096, "max_num_seqs": 128}
    assert (found.is_confirmed, found.is_complete) == (True, True)
    assert found.gain == pytest.approx(14 / 11 - 1)


def test_no_point_is_measured_twice_but_to_confirm() -> None:
    """Each costs minutes of a GPU."""
    bench = Bench(hill)
    bench.sweep()
    searched = bench.tried[:-2]
    assert bench.tried[-2:] == [{"max_num_batched_tokens": 4096, "max_num_seqs": 128}, {}]
    assert len({str(settings) for settings in searched}) == len(searched)


def test_it_stops_climbing_where_it_gets_slower() -> None:
    """Values beyond a slower neighbour are not tried."""
    bench = Bench(hill)
    bench.sweep()
    assert not any(settings.get("max_num_seqs") == 512 for settings in bench.tried)


def test_what_is_within_the_noise_is_no_gain() -> None:
    """A profile that changes settings for nothing hides what they are."""
    found = Bench(lambda settings: 10 + 0.4 * bool(settings), error=0.2).sweep()
    assert (found.best.settings, found.gain) == ({}, 0.0)


def test_a_gain_that_does_not_come_again_is_dropped() -> None:
    """The best of many noisy figures looks better than it is."""
    seen: list[Mapping[str, Any]] = []

    def speed(settings: Mapping[str, Any]) -> float:
        is_first = settings not in seen
        seen.append(settings)
        return 12 if settings == {"vision": "graphs"} and is_first else 10

    found = Bench(speed).sweep()
    assert (found.best.settings, found.is_confirmed) == ({}, False)


def test_a_setting_that_crashes_is_refused_and_the_search_goes_on() -> None:
    """Some settings vLLM refuses on some cards, and it runs out of memory with others."""

    def speed(settings: Mapping[str, Any]) -> float:
        if settings.get("vision") == "compiled":
            raise EngineStartError("vLLM could not start: out of memory")
        return 12 if settings.get("vision") == "graphs" else 10

    found = Bench(speed).sweep()
    refused = next(point for point in found.points if point.measured is None)
    assert (refused.settings, refused.refusal) == ({"vision": "compiled"}, "vLLM could not start: out of memory")
    assert found.best.settings == {"vision": "graphs"}


def test_defaults_that_cannot_be_measured_end_it() -> None:
    """There is nothing to compare with."""

    def speed(_: Mapping[str, Any]) -> float:
        raise EngineStartError("no GPU")

    with pytest.raises(EngineStartError, match="defaults cannot be measured: no GPU"):
        Bench(speed).sweep()


def test_the_budget_holds_and_leaves_time_to_confirm() -> None:
    """Whoever gives it forty minutes has the card for forty minutes."""
    bench = Bench(hill)
    found = bench.sweep(budget_s=6 * START_S)
    assert bench.now <= 6 * START_S
    assert (found.is_complete, found.is_confirmed) == (False, True)
    assert bench.tried[-2:] == [dict(found.best.settings), {}]


def test_a_budget_for_one_point_measures_the_defaults() -> None:
    """It is a figure, at least."""
    found = Bench(hill).sweep(budget_s=START_S)
    assert (found.best.settings, len(found.points), found.is_complete) == ({}, 1, False)


def test_what_a_short_budget_finds_is_told_as_unconfirmed() -> None:
    """Few minutes are no reason to try nothing."""
    found = Bench(hill).sweep(budget_s=3 * START_S)
    assert (found.best.settings, found.is_confirmed) == ({"max_num_batched_tokens": 4096}, False)


def test_the_best_so_far_is_told_after_each_point() -> None:
    """A search that is interrupted has found something."""
    told: list[float] = []
    Bench(hill).sweep(
        on_change=lambda sweep: told.append(sweep.best.measured.pages_per_s if sweep.best.measured else 0)
    )
    assert told[0] == 11
    assert max(told) == told[-1] == 14
