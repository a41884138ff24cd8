"""Answers as JSON values; sizes in bytes, times in seconds, money in the price book's currency."""

from __future__ import annotations

from dataclasses import asdict
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from pipeline.capacity import held_against_measurements
from pipeline.plan.forecast import forecast_job

if TYPE_CHECKING:
    from pipeline.plan.answer import Answer


def answer_values(answer: Answer, *, brief: bool = False) -> dict[str, Any]:
    """Return one answer.

    Args:
        brief: without what is the same for all answers: assumptions, APIs, errors.
    """
    values: dict[str, Any] = {
        "model": answer.model,
        "quantisation": answer.shape.weights.name,
        "gpu": answer.gpu.key,
        "cards": answer.cards,
        "memory": asdict(answer.memory),
        "problem": None if not isinstance(answer.outcome, Exception) else str(answer.outcome),
        "remark": answer.shape.weights.remark,
        "engine": None,
        "speed": None,
        "cost": None,
        "job": None,
    }
    if not isinstance(answer.outcome, Exception):
        values["engine"] = answer.outcome.arguments()
    if answer.speed_known:
        values |= {"speed": _speed(answer), "cost": _cost(answer), "job": _job(answer)}
    return values if brief else values | common_values(answer) | {"apis": _apis(answer)}


def common_values(answer: Answer) -> dict[str, Any]:
    """Return what holds for all answers to one question."""
    asked = answer.question
    return {
        "load": asdict(asked.load),
        "utilisation": asked.utilisation,
        "given": [one._asdict() for one in asked.given],
        "assumptions": [asdict(one) for one in asked.assume.described()],
        "price_book": {"edited": asked.book.edited.isoformat(), "currency": asked.book.currency},
        "held_against_measurements": [
            asdict(one) | {"error": one.error} for one in held_against_measurements(asked.assume)
        ],
    }


def _speed(answer: Answer) -> dict[str, Any]:
    found = answer.prediction
    return {
        "vision_s": found.vision_s,
        "prefill_s": found.prefill_s,
        "decode_s": found.decode_s,
        "step_s": found.step_s(found.sequences),
        "sequences": found.sequences,
        "page_latency_s": found.page_latency_s,
        "roofline_pages_per_hour": found.roofline_pages_per_s * 3600,
        "pages_per_hour": answer.pages_per_hour,
        "launch_bound": found.is_launch_bound,
    }


def _cost(answer: Answer) -> dict[str, Any] | None:
    if answer.price is None:
        return None
    asked = answer.question
    values: dict[str, Any] = {
        "price": answer.price.model_dump(),
        "per_hour": answer.per_hour,
        "per_month": answer.per_month,
        "per_1000_pages": answer.per_thousand,
    }
    if asked.pages_per_month is not None:
        values["month"] = {
            "pages": asked.pages_per_month,
            "cost": answer.cost_of_month(asked.pages_per_month),
            "cards": answer.cards_for(asked.pages_per_month, asked.assume.hours_per_month),
        }
    if asked.pages_per_night is not None:
        cards = answer.cards_for(asked.pages_per_night, asked.window_hours)
        values["night"] = {"pages": asked.pages_per_night, "window_hours": asked.window_hours, "cards": cards}
    return values


def _job(answer: Answer) -> dict[str, Any] | None:
    job = forecast_job(answer)
    return asdict(job) if job else None


def _apis(answer: Answer) -> list[dict[str, Any]]:
    if not answer.speed_known:
        return []
    pages = answer.question.pages_once
    return [
        {
            "api": one.api.key,
            "per_1000_pages": one.per_thousand,
            "times_dearer": one.times_dearer,
            "break_even_pages_per_month": one.break_even_pages,
            "job": None if pages is None else one.cost_of(pages),
        }
        for one in answer.comparisons()
    ]


def as_number(value: object) -> float | str:
    """Return what JSON has no type for: money as a number, everything else as text."""
    return float(value) if isinstance(value, Decimal) else str(value)
