"""What reading an input takes, from its pages and an answer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.plan.answer import Answer
    from pipeline.plan.pages import Pages


@dataclass(frozen=True, slots=True)
class InputForecast:
    """Time and money of an input on one card (or one group that shares the model)."""

    gpu_pages: float
    """Pages that reach the GPU."""
    hours: float
    hours_margin: float | None
    nights: int
    window_hours: float
    cards_for_one_night: int
    cost: Decimal | None
    """Of the hours; of a card that is paid by the month, their share of it."""


def forecast_input(answer: Answer, pages: Pages) -> InputForecast:
    """Return what reading these pages takes."""
    share = 1 - pages.spared
    gpu_pages = pages.pages * share
    hours = gpu_pages / answer.pages_per_hour
    window = answer.question.window_hours
    return InputForecast(
        gpu_pages=gpu_pages,
        hours=hours,
        hours_margin=None if pages.margin is None else pages.margin * share / answer.pages_per_hour,
        nights=math.ceil(hours / window),
        window_hours=window,
        cards_for_one_night=answer.cards_for(gpu_pages, window),
        cost=None if answer.per_hour is None else answer.per_hour * Decimal(hours),
    )
