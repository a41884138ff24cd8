"""The search for the fastest settings: one setting after another, from the best point known, within a budget.

Pure: what a point is and how it is measured is the caller's. Each point costs minutes, so a setting whose values are
ordered is climbed from its neighbours instead of tried out whole, no point is measured twice before the end, and
what is found is measured again there, beside the defaults: the best of many noisy figures looks better than it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import hypot
from typing import Any

from pipeline.errors import EngineStartError, PipelineError

Settings = Mapping[str, Any]

MIN_GAIN = 0.01
"""What two starts of an engine with the same settings differ by is not known at first; less than this is nothing."""
NOISE_MARGIN = 2.0
"""How many standard errors a difference must have."""
TO_CONFIRM = 2
"""Points that confirm what was found, for which time is kept once something was."""


@dataclass(frozen=True, slots=True)
class Axis:
    """One setting and the values to try."""

    name: str
    values: tuple[Any, ...]
    """In their order, where they have one; else in that in which they are tried. The default one may be among them."""
    default: Any
    """The value that holds where a point says nothing."""
    is_ordered: bool = True


@dataclass(frozen=True, slots=True)
class Measured:
    """How fast a point is."""

    pages_per_s: float
    error: float
    """Standard error of it, in pages a second."""


@dataclass(frozen=True, slots=True)
class Point:
    """Settings that were tried."""

    settings: Settings
    """Those that differ from the defaults."""
    measured: Measured | None
    """None: refused."""
    refusal: str | None = None
    seconds: float = 0.0
    """What trying it took."""


@dataclass(slots=True)
class Sweep:
    """What came of a search, kept up to date while it runs."""

    default: Point
    best: Point
    points: list[Point]
    is_confirmed: bool = False
    """Whether the best point and the defaults were measured again, and the best one was faster again."""
    is_complete: bool = False
    """Whether all was tried that the search would have tried; else the budget ended it."""

    @property
    def gain(self) -> float:
        """Pages a second of the best point over those of the defaults, less one."""
        if self.default.measured is None or self.best.measured is None:
            return 0.0
        return self.best.measured.pages_per_s / self.default.measured.pages_per_s - 1


Measure = Callable[[Settings], Measured]


class Search:
    """Looks for the fastest point."""

    def __init__(
        self,
        axes: Sequence[Axis],
        measure: Measure,
        *,
        budget_s: float,
        on_change: Callable[[Sweep], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Measure nothing yet.

        Args:
            measure: may raise any PipelineError: the point is then refused and the search goes on.
            budget_s: no point is begun that would end later, as far as the last one tells.
            on_change: called after each point and at the end.
        """
        self._axes = axes
        self._measure = measure
        self._on_change = on_change
        self._clock = clock
        self._deadline = clock() + budget_s
        self._usual_s = 0.0
        """What the last point took that was not refused; the first one takes longest, as nothing is cached then."""
        self._known: set[Hashable] = set()

    def run(self) -> Sweep:
        """Search and return what was found.

        Raises:
            EngineStartError: the defaults themselves cannot be measured.
        """
        default = self._tried({})
        if default.measured is None:
            raise EngineStartError(f"The defaults cannot be measured: {default.refusal}")
        self._sweep = Sweep(default, default, [default])
        self._on_change(self._sweep)
        self._sweep.is_complete = self._descend()
        self._confirm()
        self._on_change(self._sweep)
        return self._sweep

    def _descend(self) -> bool:
        """Take one axis after another until none brings anything; False when the budget ends before."""
        before = None
        while self._sweep.best is not before:
            before = self._sweep.best
            if not all(self._take(axis) for axis in self._axes):
                return False
        return True

    def _take(self, axis: Axis) -> bool:
        """Try the values of one axis; False when the budget ends before."""
        for values in _directions(axis, self._sweep.best.settings.get(axis.name, axis.default)):
            before = self._sweep.best
            for value in values:
                if not self._affords(1 + (TO_CONFIRM if self._sweep.best.settings else 0)):
                    return False
                if not self._try(axis, value) and axis.is_ordered:
                    break
            if self._sweep.best is not before:
                break  # what lies on the other side is slower still
        return True

    def _try(self, axis: Axis, value: Any) -> bool:
        """Measure the best point with another value; return whether that is the best one now."""
        settings = {name: kept for name, kept in self._sweep.best.settings.items() if name != axis.name}
        if value != axis.default:
            settings[axis.name] = value
        if _key(settings) in self._known:
            return False
        point = self._tried(settings)
        self._sweep.points.append(point)
        is_better = is_faster(point.measured, self._sweep.best.measured)
        if is_better:
            self._sweep.best = point
        self._on_change(self._sweep)
        return is_better

    def _confirm(self) -> None:
        """Measure the best point and the defaults once more; what does not win twice is not taken."""
        sweep = self._sweep
        if sweep.best is sweep.default or not self._affords(TO_CONFIRM):
            return
        best, default = (self._tried(point.settings) for point in (sweep.best, sweep.default))
        sweep.points += [best, default]
        sweep.is_confirmed = is_faster(best.measured, default.measured)
        first = sweep.default
        sweep.default = Point({}, _mean(first.measured, default.measured))
        sweep.best = (
            Point(best.settings, _mean(sweep.best.measured, best.measured)) if sweep.is_confirmed else sweep.default
        )

    def _tried(self, settings: Settings) -> Point:
        began = self._clock()
        try:
            measured, refusal = self._measure(settings), None
        except PipelineError as error:
            measured, refusal = None, str(error)
        seconds = self._clock() - began
        self._usual_s = seconds if measured else self._usual_s
        point = Point(settings, measured, refusal, seconds)
        self._known.add(_key(settings))
        return point

    def _affords(self, num_points: int) -> bool:
        """Tell whether as many points still fit in the budget."""
        return self._clock() + num_points * self._usual_s <= self._deadline


def is_faster(new: Measured | None, old: Measured | None) -> bool:
    """Tell whether the first is faster than the second by more than what is measured twice differs by."""
    if new is None or old is None:
        return new is not None
    noise = max(NOISE_MARGIN * hypot(new.error, old.error), MIN_GAIN * old.pages_per_s)
    return new.pages_per_s - old.pages_per_s > noise


def _directions(axis: Axis, current: Any) -> Iterator[Sequence[Any]]:
    """Yield the values to try: of ordered ones those above the current one, then those below, nearest first."""
    if not axis.is_ordered:
        yield [value for value in axis.values if value != current]
        return
    yield sorted(value for value in axis.values if value > current)
    yield sorted((value for value in axis.values if value < current), reverse=True)


def _mean(one: Measured | None, other: Measured | None) -> Measured | None:
    if one is None or other is None:
        return one or other
    spread = abs(one.pages_per_s - other.pages_per_s) / 2
    return Measured((one.pages_per_s + other.pages_per_s) / 2, max(hypot(one.error, other.error) / 2, spread))


def _key(settings: Settings) -> Hashable:
    return tuple(sorted((name, repr(value)) for name, value in settings.items()))
