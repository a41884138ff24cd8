"""What `pagemill plan` says of a case that was measured, by the same formulas."""

from __future__ import annotations

from pipeline.bench.figures import Figures
from pipeline.capacity import Assumptions, ModelShape, Serving, Workload, load_price_book, predict


def predicted_requests_per_s(figures: Figures, shape: ModelShape, serving: Serving, *, batch_size: int) -> float | None:
    """Return what is expected of pages and outputs of this size; None for a card that no price book has.

    None also of a feed that no formula is about.
    """
    gpu = load_price_book().recognise(figures.subject.device)
    if gpu is None or figures.feed not in {"stream", "pipeline", "list", "batches"}:
        return None
    shared = round(figures.cached_share * figures.prompt_tokens_mean)
    image = figures.subject.page_px / shape.vision.token_px**2
    load = Workload(
        page_pixels=figures.subject.page_px,
        shared_tokens=shared,
        own_tokens=max(0, round(figures.prompt_tokens_mean - shared - image)),
        output_tokens=round(figures.completion_tokens_mean),
    )
    found = predict(shape, gpu, load, serving, Assumptions())
    if figures.feed == "list":
        return found.whole_list(figures.pages)
    return found.batches(batch_size) if figures.feed == "batches" else found.pages_per_s
