"""An answer in words and figures, in as many columns as the terminal has, 40 at least and 100 at most."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING

from pipeline.capacity import GIB, OVERHEAD_BYTES, held_against_measurements
from pipeline.plan.answer import PageTooLongError
from pipeline.plan.forecast import forecast_job
from pipeline.show.text import counted, duration, money, printable

if TYPE_CHECKING:
    from pipeline.capacity import Assumptions
    from pipeline.plan.answer import Answer, Comparison
    from pipeline.plan.forecast import InputForecast, Job
    from pipeline.plan.pages import Pages

LEAST_WIDTH, MOST_WIDTH = 40, 100


def width() -> int:
    """Return the columns to fill."""
    return min(MOST_WIDTH, max(LEAST_WIDTH, shutil.get_terminal_size().columns))


def wrapped(text: str, indent: str = "  ") -> Iterator[str]:
    """Yield a sentence in lines of the terminal's width."""
    yield from textwrap.wrap(printable(text), width(), initial_indent=indent, subsequent_indent=indent)


def title(answer: Answer) -> str:
    """Return what is planned, in one line."""
    gpu, weights = answer.gpu, answer.shape.weights
    cards = f"{answer.cards} x " if answer.cards > 1 else ""
    return f"{answer.model} ({weights.name}) on {cards}{gpu.name}, {gpu.memory_gib:g} GiB"


def summary_lines(answer: Answer) -> Iterator[str]:
    """Yield the answer that most people ask for."""
    if not isinstance(answer.outcome, Exception) and not answer.speed_known:
        yield from wrapped("It fits; how fast it is cannot be told.", "")
    elif isinstance(answer.outcome, PageTooLongError):
        yield from wrapped(str(answer.outcome), "")
    elif not answer.speed_known:
        yield from wrapped("It cannot start there.", "")
    else:
        cost = answer.per_thousand
        money_told = f", {money(cost)} {answer.question.book.currency} for 1,000 pages" if cost is not None else ""
        yield from wrapped(f"Expected: {answer.pages_per_hour:,.0f} pages an hour{money_told}.", "")
        if job := forecast_job(answer):
            yield from wrapped(_job_summary(answer, job), "")


def _job_summary(answer: Answer, job: Job) -> str:
    """Return what so many pages take once, in one sentence."""
    told = f"{counted(job.pages, 'page')}, once: {duration(job.hours * 3600)} on {counted(answer.cards, 'card')}"
    if job.nights is not None:
        told += f", {counted(job.nights, 'night')} of {job.window_hours:g} h"
    if job.nights and job.nights > 1:
        told += f" (or {job.cards_for_one_night:,} cards for one night)"
    if job.cost is not None:
        paid = f" for {counted(job.months, 'month')} of the card" if job.months else ""
        told += f"; {money(job.cost)} {answer.question.book.currency}{paid}"
    return f"{told}. The minutes in which the model loads come on top."


def memory_lines(answer: Answer) -> Iterator[str]:
    """Yield how one card's memory is used, and what that holds."""
    memory, shape = answer.memory, answer.shape
    kv = "FP8" if answer.kv_bytes == 1 else "16 bit"
    yield "Memory of one card, GiB" if answer.cards > 1 else "Memory, GiB"
    rows = (
        ("weights: text layers", memory.text_weights),
        ("         embeddings", memory.embeddings),
        ("         vision tower", memory.vision_weights),
        (f"KV cache, {kv}", memory.kv_cache),
        ("activations, vision", memory.activations),
        ("other overhead", memory.overhead),
        ("left free", memory.free),
        ("the card has", memory.total),
    )
    for name, size in rows:
        yield f"  {name:<22} {size / GIB:6.1f}{' missing' if size < 0 else ''}"
    yield from wrapped(
        f"A token takes {memory.kv_per_token:,} bytes of KV cache: 2 x {shape.layers} layers x {shape.kv_heads} KV "
        f"heads x {shape.head_dim} x {answer.kv_bytes} byte{'s' if answer.kv_bytes > 1 else ''}"
        + (f", over {answer.cards} cards" if answer.cards > 1 else "")
        + "."
        + _overstatement(shape.heads, memory.overstated)
    )
    if memory.kv_cache > 0:
        yield from wrapped(
            f"It holds {memory.kv_tokens:,} tokens: {counted(memory.fits_sequences, 'page')} at once, or one sequence "
            f"of {memory.longest_context:,}" + _model_limit(answer) + "."
        )


def _overstatement(heads: int, overstated: float) -> str:
    return f" The common formula takes all {heads} heads, {overstated:g} times too much." if overstated > 1 else ""


def _model_limit(answer: Answer) -> str:
    most = answer.shape.max_positions
    return " (the model's own limit)" if most and answer.memory.kv_tokens > most else ""


def speed_lines(answer: Answer) -> Iterator[str]:
    """Yield the time of a page, at the roofline and as expected."""
    found, load = answer.prediction, answer.question.load
    prompt = load.prompt_tokens(answer.shape.vision)
    yield "Time of a page"
    yield from wrapped(
        f"{load.page_pixels:,} pixels = {load.page_pixels / answer.shape.vision.token_px**2:,.0f} image tokens; prompt "
        f"{prompt:,.0f} tokens, {load.shared_tokens:,} of them cached; {load.output_tokens:,} written"
    )
    step = found.step_s(found.sequences)
    yield f"  vision tower   {found.vision_s * 1000:8.1f} ms"
    yield f"  prefill        {found.prefill_s * 1000:8.1f} ms"
    yield f"  decode         {found.decode_s * 1000:8.1f} ms"
    yield from wrapped(
        f"its share of steps of {step * 1000:.1f} ms, with {counted(found.sequences, 'page')} in the model at once, "
        f"each for {duration(found.page_latency_s)}",
        "    ",
    )
    share = answer.question.utilisation
    used = f" at {share:.0%} of the time" if share < 1 else ""
    yield f"  pages an hour  {found.roofline_pages_per_s * 3600 * share:8,.0f} at the roofline{used}"
    yield f"                 {answer.pages_per_hour:8,.0f} expected{used}"
    if found.is_launch_bound:
        yield from wrapped("The card is faster than the host starts its work: layer_launch_s decides.")
    weights = answer.shape.weights
    if answer.gpu.peak(weights.arithmetic) is None:
        yield from wrapped(f"The card has no {weights.arithmetic.upper()} arithmetic: it computes at 16 bit.")
    if weights.remark:
        yield from wrapped(f"{weights.remark}.")


def money_lines(answer: Answer) -> Iterator[str]:
    """Yield what it costs, and what APIs would."""
    price, currency, asked = answer.price, answer.question.book.currency, answer.question
    yield f"Money, {currency}"
    if price is None or answer.per_thousand is None or answer.per_hour is None:
        yield from wrapped(f"The price book has no price for {answer.gpu.name}; --price names one.")
    else:
        yield from wrapped(
            f"{money(price.per_month)} a month" if price.per_month is not None else f"{money(answer.per_hour)} an hour"
        )
        yield from wrapped(
            f"from {price.seller}, seen {price.seen}: {price.source}" + ("" if price.verified else " (not verified)"),
            "    ",
        )
        busy = "kept busy" if asked.utilisation == 1 else f"busy {asked.utilisation:.0%} of the time"
        yield from _row(f"1,000 pages, {busy}", money(answer.per_thousand))
    if (job := forecast_job(answer)) and job.cost is not None and answer.per_hour is not None:
        told = money(job.cost)
        if job.months:
            share = money(answer.per_hour * Decimal(job.hours))
            told += f" for {counted(job.months, 'month')}; the hours of reading are {share} of it"
        yield from _row(f"{counted(job.pages, 'page')}, once", told)
    if asked.pages_per_month is not None:
        yield from _month_lines(answer, asked.pages_per_month)
    if asked.pages_per_night is not None:
        cards = answer.cards_for(asked.pages_per_night, asked.window_hours)
        yield from _row(
            f"{asked.pages_per_night:,} pages in {asked.window_hours:g} h", f"{counted(cards, 'card')} of this kind"
        )
    yield from _api_lines(answer)


def _month_lines(answer: Answer, pages: int) -> Iterator[str]:
    cost = answer.cost_of_month(pages)
    cards = answer.cards_for(pages, answer.question.assume.hours_per_month)
    hours = pages / answer.pages_per_hour
    told = f"{money(cost)}, " if cost is not None else ""
    per = f"; {money(cost / pages * 1000)} for 1,000" if cost is not None else ""
    yield from _row(f"{pages:,} pages a month", f"{told}{hours:,.0f} h on {counted(cards, 'card')}{per}")


def _row(name: str, value: str) -> Iterator[str]:
    yield from wrapped(f"{name}: {value}")


def _api_lines(answer: Answer) -> Iterator[str]:
    found = answer.comparisons()
    if not found:
        return
    job, hourly = forecast_job(answer), answer.price is not None and answer.price.per_month is None
    heads = {"for 1,000": 9, "for all": 12, "dearer by": 12, "break-even, pages": 20}
    if job is None:
        del heads["for all"]
    elif hourly:
        del heads["break-even, pages"]
    else:
        heads = {"for 1,000": 9, "for all": 12, "dearer by": 11, "break-even": 13}
    if answer.price is None:
        heads = {head: size for head, size in heads.items() if head.startswith("for")}
    while 31 + sum(heads.values()) > width() - 2 and len(heads) > 1:
        heads.popitem()
    yield f"{'  instead, by API':<31}" + "".join(f"{head:>{size}}" for head, size in heads.items())
    for one in found:
        cells = _api_cells(one, job)
        name = f"    {printable(one.api.name)}{'' if one.api.verified else ' *'}"
        yield f"{name:<31}" + "".join(f"{cells[head]:>{size}}" for head, size in heads.items())
    yield from wrapped(f"{_break_even(answer, job, hourly=hourly)}* not verified")


def _api_cells(one: Comparison, job: Job | None) -> dict[str, str]:
    """Return what the columns of an API's row may show, by their heads."""
    total = one.cost_of(job.pages) if job else None
    even = f"{one.break_even_pages:,}" if one.break_even_pages else "none" if one.times_dearer else ""
    dearer = float(total / job.cost) if job and total is not None and job.cost else one.times_dearer
    return {
        "for 1,000": money(one.per_thousand),
        "for all": money(total) if total is not None else "",
        "dearer by": f"{dearer:.1f} x" if dearer is not None else "",
        "break-even": even,
        "break-even, pages": even,
    }


def _break_even(answer: Answer, job: Job | None, *, hourly: bool) -> str:
    """Return how break-even is meant; hours of reading break even at once or never."""
    if answer.price is None:
        return ""
    at_once = "Paid only for the hours of reading, a card costs less from the first page on if the API is dearer. "
    if job and hourly:
        return at_once
    if job:
        return "Break-even: from so many pages on, the card's month costs less than the API. "
    paid = f" ({money(answer.per_month)})" if hourly and answer.per_month is not None else ""
    month = f"from so many pages a month on, a card paid for all month{paid} costs less than the API. "
    return f"Break-even: {month}{at_once if hourly else ''}"


def assumption_lines(answer: Answer) -> Iterator[str]:
    """Yield everything the figures rest on, and how far they were off where something was measured."""
    gpu, asked = answer.gpu, answer.question
    yield "Assumptions"
    for one in asked.given:
        yield from _told(one.name, one.value, one.source)
    fp8 = f", {gpu.fp8_tflops:g} FP8" if gpu.fp8_tflops else ", no FP8"
    card = f"{gpu.fp16_tflops:g} TFLOPS FP16{fp8}, sustained {gpu.sustained:g}, {gpu.bandwidth_gb_s:g} GB/s"
    yield from _told(gpu.key, "", f"{card}, {gpu.power_w:g} W; price book of {asked.book.edited}")
    if answer.speed_known:
        settings = answer.settings
        steps = f"{settings.max_num_seqs} sequences, {settings.max_num_batched_tokens:,} tokens a step"
        memory = f"KV cache {settings.kv_cache_dtype}, {settings.gpu_memory_utilization:.0%} of the memory"
        yield from _told("engine", "", f"{steps}, {memory}, as `pagemill run` starts it")
    weights = answer.shape.weights
    yield from _told(
        "weights",
        "",
        f"{weights.bytes_per_param:.3g} bytes a parameter of the text layers, 16 bit for embeddings and vision tower",
    )
    yield from _told(
        "overhead",
        f"{OVERHEAD_BYTES / GIB:.1f} GiB",
        "activations included; measured once, 7B on an H100; as a run reckons",
    )
    for number in asked.assume.described():
        yield from _told(number.name, f"{number.value:g}", f"{number.meaning}; {number.source}")
    yield from wrapped(
        "Change them: --assume NAME=NUMBER, --gpu, --price, --page-size, --output-tokens, --sequences ..."
    )
    yield from error_lines(asked.assume)


def _told(name: str, value: str, rest: str) -> Iterator[str]:
    head = f"{name} {value}".rstrip()
    yield from textwrap.wrap(printable(f"{head}: {rest}"), width(), initial_indent="  ", subsequent_indent="    ")


def error_lines(assume: Assumptions) -> Iterator[str]:
    """Yield how far expectations are from what was measured."""
    found = list(held_against_measurements(assume))
    errors = [one.error for one in found if one.fitted is None]
    yield from wrapped(
        f"Held against {len(found)} figures measured on one H100: {len(found) - len(errors)} were used to fit these "
        f"numbers, the other {len(errors)} are off by {min(errors):+.0%} to {max(errors):+.0%}. No other card was "
        "measured (docs/plan.md)."
    )


def input_lines(pages: Pages, found: InputForecast | None, currency: str) -> Iterator[str]:
    """Yield what an input is and what reading it takes."""
    yield "Input"
    arriving = f", and {pages.arriving:,} still arriving" if pages.arriving else ""
    yield from wrapped(f"{counted(pages.documents, 'document')}{arriving}; {counted(pages.opened, 'document')} opened")
    if pages.unreadable:
        yield from wrapped(f"{pages.unreadable:,} of them cannot be read: damaged, encrypted or no documents")
    yield from wrapped(f"{_with_margin(pages.pages, pages.margin)} pages{_confidence(pages)}")
    if pages.page_pixels:
        yield from wrapped(
            f"of {pages.page_pixels:,} pixels on average as they would be sent; {pages.born_digital:.0%} with a text "
            f"layer that can be trusted, {pages.blank:.0%} blank; {pages.spared:.0%} need no GPU"
        )
        if pages.adaptive:
            yield from wrapped("Adaptive page sizes are part of this; --set render.adaptive=off plans without.")
    if found is None or not found.gpu_pages:
        return
    nights = (
        f"{found.nights:,} nights of {found.window_hours:g} h, or {counted(found.cards_for_one_night, 'card')} for one"
    )
    yield from wrapped(
        f"{_hours(found)} on this card, and the minutes in which the model loads"
        + (f": {nights}" if found.nights > 1 else "")
    )
    if found.cost is not None:
        yield from wrapped(f"{money(found.cost)} {currency} of card time")


def _with_margin(value: float, margin: float | None) -> str:
    return f"{value:,.0f}" + (f" ± {margin:,.0f}" if margin else "")


def _confidence(pages: Pages) -> str:
    if pages.margin is None:
        return ", if the one that was opened is like the others"
    return " (95 % confidence)" if pages.margin else ", counted"


def _hours(found: InputForecast) -> str:
    margin = f" ± {duration(found.hours_margin * 3600)}" if found.hours_margin else ""
    return f"{duration(found.hours * 3600)}{margin}"
