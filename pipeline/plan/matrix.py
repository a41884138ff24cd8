"""Cards against models: two tables, of speed and of money."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from pipeline.plan.forecast import forecast_job
from pipeline.plan.told import error_lines, width, wrapped
from pipeline.show.text import counted, money, printable

if TYPE_CHECKING:
    from pipeline.capacity import Price
    from pipeline.plan.answer import Answer
    from pipeline.plan.question import Question

CARD_WIDTH, PRICE_WIDTH, COLUMN_WIDTH = 18, 10, 12
DOES_NOT_FIT, UNKNOWN = "—", "?"


def matrix_lines(rows: Sequence[Sequence[Answer]]) -> Iterator[str]:
    """Yield the tables; each row holds one card's answers, one for each model."""
    per_line = max(1, (width() - CARD_WIDTH - PRICE_WIDTH) // COLUMN_WIDTH)
    for title, cell in _tables(rows[0][0].question):
        for start in range(0, len(rows[0]), per_line):
            yield from wrapped(title, "")
            yield from _table([row[start : start + per_line] for row in rows], cell)
            yield ""
    yield from wrapped(
        f"{DOES_NOT_FIT} does not fit or cannot start there; {UNKNOWN} not known. h: an hour, m: a month (its share); "
        "* a price not verified.",
        "",
    )
    for one in rows[0][0].question.given:
        yield from wrapped(f"{one.name} {one.value}: {one.source}", "")
    yield from error_lines(rows[0][0].question.assume)


def _tables(asked: Question) -> Iterator[tuple[str, Callable[[Answer], str]]]:
    """Yield what each table shows."""
    currency = asked.book.currency
    yield "Expected pages an hour", _speed
    if asked.pages_once is None:
        busy = "kept busy" if asked.utilisation == 1 else f"busy {asked.utilisation:.0%} of the time"
        yield f"{currency} for 1,000 pages, card {busy}", _cost
        return
    what = f"for {counted(asked.pages_once, 'page')}, once, on one card"
    yield f"Nights of {asked.window_hours:g} h {what}" if asked.nightly else f"Hours {what}", _job_time
    yield f"{currency} {what}: hours of reading, or whole months", _job_cost


def _table(rows: Sequence[Sequence[Answer]], cell: Callable[[Answer], str]) -> Iterator[str]:
    names = [_short(answer) for answer in rows[0]]
    head = "".join(f"{name:>{COLUMN_WIDTH}}" for name in names)
    yield f"{'':<{CARD_WIDTH}}{'price':>{PRICE_WIDTH}}{head}"
    for row in rows:
        cells = "".join(f"{cell(answer):>{COLUMN_WIDTH}}" for answer in row)
        name = printable(row[0].gpu.name)[: CARD_WIDTH - 1]
        yield f"{name:<{CARD_WIDTH}}{_price(row[0].price):>{PRICE_WIDTH}}{cells}"


def _short(answer: Answer) -> str:
    """Return the end of the model's name, which tells it apart."""
    name = printable(answer.model.rstrip("/").rpartition("/")[2].lower().removeprefix("qwen2.5-vl-"))
    return name[-(COLUMN_WIDTH - 1) :]


def _price(price: Price | None) -> str:
    if price is None:
        return UNKNOWN
    amount = f"{price.per_hour}/h" if price.per_hour is not None else f"{price.per_month}/m"
    return amount + ("" if price.verified else "*")


def _speed(answer: Answer) -> str:
    if answer.speed_known:
        return f"{answer.pages_per_hour:,.0f}"
    return UNKNOWN if not answer.shape.weights.speed_known else DOES_NOT_FIT


def _job_time(answer: Answer) -> str:
    job = forecast_job(answer) if answer.speed_known else None
    if job is None:
        return _speed(answer)
    return f"{job.nights:,}" if job.nights is not None else f"{job.hours:,.1f}"


def _job_cost(answer: Answer) -> str:
    job = forecast_job(answer) if answer.speed_known else None
    if job is None:
        return _speed(answer)
    return money(job.cost) if job.cost is not None else UNKNOWN


def _cost(answer: Answer) -> str:
    if not answer.speed_known:
        return _speed(answer)
    return money(answer.per_thousand) if answer.per_thousand is not None else UNKNOWN
