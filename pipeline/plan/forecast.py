"""What reading an input, or so many pages, takes: from an answer."""

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


@dataclass(frozen=True, slots=True)
class Job:
    """Time and money of so many pages, read once on one card (or one group that shares the model)."""

    pages: int
    hours: float
    window_hours: float | None
    """Length of a night; None when the card reads day and night, and then there are no nights."""
    nights: int | None
    cards_for_one_night: int | None
    months: int | None
    """For which a card is rented that is paid by the month."""
    cost: Decimal | None
    """Of the hours; of a card that is paid by the month, of whole months."""


def forecast_job(answer: Answer) -> Job | None:
    """Return what reading `--pages` typical pages takes; None when none were asked about."""
    asked, price = answer.question, answer.price
    if asked.pages_once is None:
        return None
    hours = asked.pages_once / answer.pages_per_hour
    nights = math.ceil(hours / asked.window_hours) if asked.nightly else None
    cost = None if answer.per_hour is None else answer.per_hour * Decimal(hours)
    months = None
    if price and price.per_month is not None:
        months = math.ceil((nights * 24 if nights else hours) / asked.assume.hours_per_month)
        cost = price.per_month * answer.cards * months
    return Job(
        pages=asked.pages_once,
        hours=hours,
        window_hours=asked.window_hours if asked.nightly else None,
        nights=nights,
        cards_for_one_night=answer.cards_for(asked.pages_once, asked.window_hours) if asked.nightly else None,
        months=months,
        cost=cost,
    )
