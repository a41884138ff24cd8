"""Bars over an axis: where they stand in an SVG. Knows nothing of what they mean."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH, HEIGHT = 720, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 8, 12, 26
_WIDEST_BAR, _GAP_SHARE = 44, 0.22
_LABEL_WIDTH = 62
"""A label of the x axis needs so much."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar, and what it says when pointed at."""

    x: float
    y: float
    width: float
    height: float
    bad_height: float
    """Of the part at its foot that failed."""
    title: str


@dataclass(frozen=True, slots=True)
class Tick:
    """A place on an axis."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Plot:
    """Bars in a frame of WIDTH x HEIGHT."""

    bars: tuple[Bar, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    unit: str
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    base: int = HEIGHT - _BOTTOM
    """y of the x axis."""


@dataclass(frozen=True, slots=True)
class Value:
    """What one bar stands for."""

    label: str
    value: float
    title: str
    bad_share: float = 0.0


def bars(values: Sequence[Value], unit: str) -> Plot:
    """Return a plot of values that are not negative, in their order."""
    top, step = _scale(max((value.value for value in values), default=0.0))
    height = HEIGHT - _TOP - _BOTTOM
    slot = min((WIDTH - _LEFT - _RIGHT) / max(len(values), 1), _WIDEST_BAR)
    every = max(1, math.ceil(_LABEL_WIDTH / slot)) if values else 1
    drawn = tuple(_bar(value, _LEFT + index * slot, slot, height / top) for index, value in enumerate(values))
    x_ticks = tuple(
        Tick(round(_LEFT + (index + 0.5) * slot, 1), value.label)
        for index, value in enumerate(values)
        if index % every == 0
    )
    count = round(top / step)
    y_ticks = tuple(
        Tick(round(HEIGHT - _BOTTOM - index * step * height / top, 1), f"{index * step:,.6g}")
        for index in range(count + 1)
    )
    return Plot(drawn, x_ticks, y_ticks, unit)


def _bar(value: Value, left: float, slot: float, per_unit: float) -> Bar:
    height = max(value.value * per_unit, 1.0 if value.value else 0.0)
    width = slot * (1 - _GAP_SHARE)
    x, y = left + slot * _GAP_SHARE / 2, HEIGHT - _BOTTOM - height
    bad_height = height * value.bad_share
    return Bar(round(x, 1), round(y, 1), round(width, 1), round(height, 1), round(bad_height, 1), value.title)


def _scale(highest: float) -> tuple[float, float]:
    """Return the top of the axis and the step between its ticks: 1, 2 or 5 times a power of ten."""
    if highest <= 0:
        return 1.0, 1.0
    rough = highest / 4
    power = 10 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    return math.ceil(highest / step - 1e-9) * step, step
