"""Where the time of hours went, in shares and in words; and what would shorten it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.stats import PARTITION

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.stats import HourRow

_MATTERS = 0.1
"""Share of the time of reading from which on a loss is worth words."""
_HALF = 0.5
_SEEN = 0.005
"""Smaller shares are shown as 0 %."""
_MEGA = 1e6
_GPU_HELP = "`pagemill bench --sweep` looks for faster settings, a lower render.max_pixels makes pages smaller"


def shares(row: HourRow) -> dict[str, float]:
    """Return the share of each part of the time, 0..1, in their order; nothing where no version wrote them."""
    seconds = {name.removesuffix("_s"): getattr(row, name) or 0.0 for name in PARTITION}
    known_s = sum(seconds.values())
    return {name: part / known_s for name, part in seconds.items()} if known_s else {}


def has_read(row: HourRow) -> bool:
    """Return whether the engine had a page; files that could not be opened are no pages that it read."""
    return bool(row.pages_read and (row.busy_s or row.pixels_sent))


def verdict(row: HourRow) -> str | None:
    """Return what held the pages up, and what helps; None where that is not known or nothing was read."""
    known = shares(row)
    reading = sum(known.values()) - known["starting"] - known["ending"] if known else 0.0
    if not reading or not has_read(row):
        return None
    if reading < _HALF:
        return _around(known)
    reading_s = reading * sum(getattr(row, name) or 0.0 for name in PARTITION)
    losses = {
        "render": row.starved_render_s or 0.0,
        "prepare": max(row.starved_prepare_s or 0.0, row.waiting_prepare_s or 0.0),
        "tail": row.tail_s or 0.0,
    }
    worst = max(losses, key=losses.__getitem__)
    lost = losses[worst] / reading_s
    if lost < _MATTERS:
        return _engine(row, {name: share / reading for name, share in known.items()})
    return _loss(worst, f"{lost:.0%} of the time of reading", rendering=row.page_render_s / reading_s)


def time_line(row: HourRow) -> str | None:
    """Return the shares in words, small ones left out; None where they are not known."""
    if not (known := shares(row)):
        return None
    words = {"waiting_render": "waiting for rendered pages", "waiting_prepare": "waiting for prepared pages"}
    words["busy_other"] = "between steps" if known["prefill"] or known["decode"] else "reading"
    return ", ".join(f"{words.get(name, name)} {share:.0%}" for name, share in known.items() if share >= _SEEN)


def spent_lines(row: HourRow) -> Iterator[str]:
    """Yield where the time went and what held pages up, and how long a page took at each stage, as far as is known."""
    if spent := time_line(row):
        yield f"time: {spent}"
    if told := verdict(row):
        yield told
    seconds = {"rendering": row.page_render_s / (row.pages_read + row.pages_spared or 1)}
    reading = "decode" if row.page_prefill_s else "reading"
    stages = {"waiting in the engine": row.page_queue_s, "prefill": row.page_prefill_s, reading: row.page_decode_s}
    seconds |= {stage: of_all / (row.pages_read or 1) for stage, of_all in stages.items()}
    if any(seconds.values()):
        yield "a page on average: " + ", ".join(f"{stage} {mean:.2f} s" for stage, mean in seconds.items() if mean)


def image_words(row: HourRow) -> str | None:
    """Return how large the images were that the engine got, and what was saved; None without images."""
    if not row.pixels_sent:
        return None
    saved = 1 - row.pixels_sent / row.pixels_full
    less = f", {saved:.0%} less than at full size" if saved >= _SEEN else ""
    return f"images: {row.pixels_sent / _MEGA / row.pages_read:.2f} megapixels a page{less}"


def spared_line(row: HourRow) -> str | None:
    """Return how many pages the engine was spared, by why; None where there are none."""
    kinds = {
        "blank": row.pages_blank,
        "equal to another": row.pages_duplicate,
        "by their text": row.pages_text_layer,
    }
    told = ", ".join(f"{pages:,} {kind}" for kind, pages in kinds.items() if pages)
    return told or None


def _around(known: dict[str, float]) -> str:
    if known["starting"] >= known["ending"]:
        return f"start-bound: {known['starting']:.0%} of the time was over before reading; give a run more pages"
    return f"output-bound: {known['ending']:.0%} of the time came after reading; look at how fast the output is"


def _loss(which: str, how_long: str, *, rendering: float) -> str:
    """Say what kept the engine waiting.

    Args:
        rendering: render workers that were busy on average.
    """
    if which == "prepare":
        return f"preparation-bound: for {how_long} the model waited for its inputs; raise vllm.prepare_threads"
    if which == "tail":
        return f"tail-bound: for {how_long} fewer pages were left than are read at once; give a run more pages"
    if rendering < _HALF:  # not even one worker had enough to do
        return f"input-bound: for {how_long} no page was there, and rendering had little to do: fetching is slow"
    return f"render-bound: for {how_long} no page was ready, {rendering:.1f} workers busy; raise render.workers"


def _engine(row: HourRow, known: dict[str, float]) -> str:
    who = "GPU-bound" if row.gpu_name else "engine-bound"
    if not (known["prefill"] or known["decode"]):
        helps = _GPU_HELP if row.gpu_name else "more cores help, or `--engine vllm` on a GPU"
        return f"{who}: it takes the time, and pages were always there to read; {helps}"
    helps = "smaller pages" if known["prefill"] > known["decode"] else "shorter outputs"
    steps = f"prefill {known['prefill']:.0%}, decode {known['decode']:.0%}"
    further = _GPU_HELP if row.gpu_name else "more cores or a GPU help too"
    return f"{who}: {steps} of the time of reading; {helps} help most; {further}"
