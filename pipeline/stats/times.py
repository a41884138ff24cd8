"""Where the time of a run goes: every second under exactly one state, hour by hour.

Knows what a run does by its phase, and by how many pages the engine holds and how it fares when it
asks for more. What the engine does with the pages it holds only the engine can say.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from typing import TYPE_CHECKING

from pipeline.data import Supply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

HOUR_S = 3600
BUSY_S = "busy_s"
STATES = ("starting_s", "waiting_render_s", BUSY_S, "ending_s")
"""Exclusive; together they are the time that the run ran."""
STEPS = ("waiting_prepare_s", "prefill_s", "decode_s")
"""Parts of `busy_s`, by the names of an engine's counters; what none of them tells is OTHER_S."""
OTHER_S = "busy_other_s"
PARTITION = ("starting_s", "waiting_render_s", *STEPS, OTHER_S, "ending_s")
OVERLAYS = ("starved_render_s", "starved_prepare_s", "tail_s")
"""Time that is in the partition too: a part of the engine had nothing to do."""
_COUNTERS = (*STEPS, "starved_prepare_s")
_READING, _ENDING = "reading", ("committing", "done")


def hour_of(seconds: float) -> int:
    """Return the beginning of the clock hour of a moment; both in seconds since 1970."""
    return int(seconds // HOUR_S * HOUR_S)


class Times:
    """A run's clock. Memory grows by the hour; any thread may call it."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Start the run's time.

        Args:
            clock: seconds since 1970.
        """
        self.slots = 1
        """Pages that the engine works on at once."""
        self._clock = clock
        self._now = clock()
        self._hours: defaultdict[int, defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))
        self._hours[hour_of(self._now)]["starting_s"] = 0.0
        self._phase = ""
        self._pages, self._supply = 0, Supply.LATE
        self._engine_before: dict[str, float] = {}
        self._closed = False
        self._lock = threading.Lock()

    def enter(self, phase: str) -> None:
        """Say what the run does from now on; see tally.Progress."""
        with self._lock:
            self._advance()
            self._phase = phase

    def in_engine(self, pages: int, supply: Supply) -> None:
        """Say how many pages the engine holds from now on, and how it fares when it asks for more."""
        with self._lock:
            self._advance()
            self._pages, self._supply = pages, supply

    def engine_did(self, counters: Mapping[str, float]) -> None:
        """Take what the engine says of its time since it began; what it did before the run read is not told apart."""
        with self._lock:
            self._advance()
            for name in counters.keys() & set(_COUNTERS):
                value, before = counters[name], self._engine_before.get(name, 0.0)
                self._engine_before[name] = value
                if self._phase == _READING:
                    self._hours[hour_of(self._now)][name] += value - before if value >= before else value

    def now(self) -> float:
        """Return until when the time is booked, which never goes back."""
        with self._lock:
            self._advance()
            return self._now

    def close(self) -> None:
        """Stop the time."""
        self.now()
        self._closed = True

    def hours(self) -> dict[int, dict[str, float]]:
        """Return `wall_s`, `busy_s`, PARTITION and OVERLAYS by the hour's beginning, all in seconds."""
        with self._lock:
            self._advance()
            return {start: _divided(booked) for start, booked in self._hours.items()}

    def sums(self) -> dict[str, float]:
        """Return the seconds of each of STATES, STEPS and OVERLAYS so far; as the engine told them, they only grow."""
        with self._lock:
            self._advance()
            return {name: sum(booked[name] for booked in self._hours.values()) for name in (*STATES, *STEPS, *OVERLAYS)}

    def _advance(self) -> None:
        """Book the time since the last call."""
        if self._closed:
            return
        now = max(self._clock(), self._now)
        state, overlay = self._state(), self._overlay()
        for moment, seconds in _by_hour(self._now, now):
            booked = self._hours[hour_of(moment)]
            booked[state] += seconds
            if overlay:
                booked[overlay] += seconds
        self._now = now

    def _state(self) -> str:
        if self._phase != _READING:
            return "ending_s" if self._phase in _ENDING else "starting_s"
        if self._pages:
            return BUSY_S
        return "ending_s" if self._supply is Supply.NONE else "waiting_render_s"

    def _overlay(self) -> str | None:
        if self._phase != _READING or self._pages >= self.slots or self._supply is Supply.READY:
            return None
        if self._supply is Supply.LATE:
            return "starved_render_s"
        return "tail_s" if self._pages else None


def _divided(booked: defaultdict[str, float]) -> dict[str, float]:
    """Return an hour's figures; what an engine tells is made to fit into the time in which it held pages.

    It tells of its time some moments late, so that an hour may get a little of the one before it.
    """
    busy_s = booked[BUSY_S]
    told_s = sum(booked[name] for name in STEPS)
    fits = min(1.0, busy_s / told_s) if told_s else 1.0
    return {
        **{name: booked[name] for name in (*STATES, *OVERLAYS)},
        **{name: booked[name] * fits for name in STEPS},
        OTHER_S: max(0.0, busy_s - told_s),
        "wall_s": sum(booked[name] for name in STATES),
        "starved_prepare_s": min(booked["starved_prepare_s"], busy_s),
    }


def _by_hour(start: float, end: float) -> Iterator[tuple[float, float]]:
    """Yield (a moment within a clock hour, seconds) for each clock hour between two moments."""
    while start < end:
        stop = min((start // HOUR_S + 1) * HOUR_S, end)
        yield start, stop - start
        start = stop
