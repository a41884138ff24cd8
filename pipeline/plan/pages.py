"""How many pages an input has and what they are like: all documents listed, some of them opened."""

from __future__ import annotations

import heapq
import math
import os
import random
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import variance
from typing import TYPE_CHECKING, NamedTuple

from pipeline.data import PageFacts, RenderSpec
from pipeline.documents import OpenDocuments
from pipeline.engines import legible_px
from pipeline.engines.ocr.text_layer import is_trustworthy, is_whole_page
from pipeline.engines.vllm import MAX_PIXELS
from pipeline.errors import DocumentError, RenderError
from pipeline.extraction import load_extraction
from pipeline.planning import list_places, select
from pipeline.ready import Readiness
from pipeline.render import Renderer
from pipeline.selection import draw_of

if TYPE_CHECKING:
    from pipeline.config import RunConfig
    from pipeline.data import DocumentRef, PageImage

    _Render = Callable[..., Future[PageImage]]

SHARE_OF_LARGEST = 3
"""One of so many documents that are opened is one of the largest files."""
PAGES_A_DOCUMENT = 2
"""Rasterised of each document that is opened."""
_NORMAL_95 = 1.96
MOST_WORKERS = 8


class Spares(NamedTuple):
    """Which pages a run reads without the GPU."""

    blank: bool
    text_layer: bool


@dataclass(frozen=True, slots=True)
class Seen:
    """A document of the sample."""

    num_pages: int
    pages: tuple[PageSeen, ...]


@dataclass(frozen=True, slots=True)
class PageSeen:
    """A page of the sample."""

    pixels: int
    born_digital: bool
    blank: bool
    spared: bool


@dataclass(frozen=True, slots=True)
class Pages:
    """An input's pages, estimated from a sample of its documents; exact when all were opened."""

    documents: int
    arriving: int
    opened: int
    unreadable: int
    """Of those opened: damaged, encrypted or no documents; each becomes a failed record and takes no GPU time."""
    pages: float
    margin: float | None
    """The number of pages is within this of `pages` with 95 % confidence; 0 when all were opened, None if unknown."""
    page_pixels: int | None
    """Mean size of the images that a run would send to the GPU; None when there are none."""
    born_digital: float
    """Share of pages with a text layer that can be trusted."""
    blank: float
    """Share of pages on which nothing is."""
    spared: float
    """Share of pages that a run with this configuration reads without the GPU: blank ones, text layers."""
    adaptive: bool = True
    """Whether pages with large print count as smaller ones, as they would be sent."""

    def limited_to(self, documents: int | None) -> Pages:
        """Return the pages of no more than so many of these documents."""
        if documents is None or documents >= self.documents:
            return self
        share = documents / self.documents
        margin = None if self.margin is None else self.margin * share
        return replace(self, documents=documents, pages=self.pages * share, margin=margin)


def count_pages(config: RunConfig, *, sample: int) -> Pages:
    """Return the pages of `config.input`.

    Listing streams; of all documents no more than `sample` are kept. The largest files are
    opened for certain, as a few of them may have most of the pages; the others are chosen by
    a hash of their names, so the same input gives the same answer.

    Raises:
        ConfigError: there is no such input, or nothing in it.
        StorageError: it cannot be listed or fetched.
    """
    readiness = Readiness(config.input_files.settle_s, config.input_files.ready)
    with tempfile.TemporaryDirectory(prefix="pagemill-plan-") as folder:
        scratch = Path(folder)
        # Results are no documents; without an output, a folder that holds none stands in for it.
        listed = config.model_copy(update={"output": config.output or str(scratch / "output")})
        documents, largest, drawn = choose(_documents(listed, readiness), sample)
        seen = list(_look_at([*largest, *drawn], config, scratch))
    found = estimate(documents, seen[: len(largest)], seen[len(largest) :])
    adaptive = legible_px(config.render, "vllm") is not None
    return replace(found, arriving=readiness.arriving, adaptive=adaptive).limited_to(config.limit)


def _documents(config: RunConfig, readiness: Readiness) -> Iterator[DocumentRef]:
    selection = select(config, datetime.now(UTC))
    return (ref for ref in list_places(config, readiness) if selection.takes(ref))


def choose(refs: Iterable[DocumentRef], count: int) -> tuple[int, list[DocumentRef], list[DocumentRef]]:
    """Return how many there are, the largest, and of the others those with the lowest draws; `count` in all."""
    largest: list[tuple[int, str, DocumentRef]] = []
    drawn: list[tuple[int, str, DocumentRef]] = []
    documents = 0
    for documents, ref in enumerate(refs, start=1):  # noqa: B007 - the last one is their number
        entry = ref.size_bytes, ref.uri, ref
        other = _keep(largest, entry, count // SHARE_OF_LARGEST)
        if other:
            _keep(drawn, (-draw_of(other[1]), *other[1:]), count - count // SHARE_OF_LARGEST)
    return documents, [ref for *_, ref in largest], [ref for *_, ref in drawn]


def _keep(
    heap: list[tuple[int, str, DocumentRef]], entry: tuple[int, str, DocumentRef], most: int
) -> tuple[int, str, DocumentRef] | None:
    """Add an entry to the `most` greatest; return the one that is none of them, if any."""
    if len(heap) < most:
        heapq.heappush(heap, entry)
        return None
    return heapq.heappushpop(heap, entry) if heap else entry


def _look_at(refs: Sequence[DocumentRef], config: RunConfig, scratch: Path) -> Iterator[Seen | None]:
    """Yield what each document is, None for those that cannot be opened; a few are open at once."""
    workers = min(MOST_WORKERS, len(refs) or 1, config.render.workers or len(os.sched_getaffinity(0)))
    by_layer = config.skip.text_layer
    if by_layer is None:
        by_layer = load_extraction(config.extraction, config.prompts).text_layer_suffices
    spares = Spares(blank=config.skip.blank, text_layer=by_layer)
    spec = RenderSpec(config.render.max_pixels or MAX_PIXELS, legible_px=legible_px(config.render, "vllm"))
    threads = ThreadPoolExecutor(workers)
    renderer = Renderer(config.render, num_workers=workers, facts=PageFacts(is_blank=True))
    with closing(OpenDocuments(renderer, scratch, as_listed=False)) as opened, threads:
        try:
            yield from threads.map(lambda ref: _look(ref, opened, partial(renderer.render, spec=spec), spares), refs)
        finally:  # after Ctrl-C, what is being rendered ends with its worker, and the threads with it
            threads.shutdown(wait=False, cancel_futures=True)
            renderer.close()


def _look(ref: DocumentRef, opened: OpenDocuments, render: _Render, spares: Spares) -> Seen | None:
    try:
        document, path = opened.open(ref)
    except DocumentError:
        return None
    try:
        pages = []
        for number in _drawn_pages(ref.uri, document.num_pages):
            try:
                pages.append(_page(render(document, path, number).result(), spares))
            except RenderError:
                continue
        return Seen(document.num_pages, tuple(pages))
    finally:
        opened.release(ref.uri)


def _drawn_pages(uri: str, num_pages: int) -> list[int]:
    """Return page numbers, always the same ones for a document."""
    return random.Random(uri).sample(range(1, num_pages + 1), min(PAGES_A_DOCUMENT, num_pages))


def _page(image: PageImage, spares: Spares) -> PageSeen:
    layer = image.text_layer
    blank = image.is_blank and not (layer and layer.lines)
    whole = layer is not None and is_whole_page(layer)
    return PageSeen(
        pixels=image.width_px * image.height_px,
        born_digital=layer is not None and is_trustworthy(layer),
        blank=blank,
        spared=(spares.blank and blank) or (spares.text_layer and whole),
    )


def estimate(documents: int, certain: Sequence[Seen | None], drawn: Sequence[Seen | None]) -> Pages:
    """Return what is known of all `documents`, of which `certain` count for themselves and `drawn` for all others.

    A page looked at stands for its document's pages.
    """
    others = documents - len(certain)
    counts = [one.num_pages if one else 0 for one in drawn]
    each = others / len(drawn) if drawn else 0.0
    weighted = [
        (page, weight * one.num_pages / len(one.pages))
        for seen, weight in ((certain, 1.0), (drawn, each))
        for one in seen
        if one
        for page in one.pages
    ]
    sent = [(page, weight) for page, weight in weighted if not page.spared]
    return Pages(
        documents=documents,
        arriving=0,
        opened=len(certain) + len(drawn),
        unreadable=sum(one is None for one in (*certain, *drawn)),
        pages=sum(one.num_pages for one in certain if one) + each * sum(counts),
        margin=_margin(others, counts),
        page_pixels=round(_mean((page.pixels, weight) for page, weight in sent)) if sent else None,
        born_digital=_mean((page.born_digital, weight) for page, weight in weighted),
        blank=_mean((page.blank, weight) for page, weight in weighted),
        spared=_mean((page.spared, weight) for page, weight in weighted),
    )


def _mean(weighted: Iterable[tuple[float, float]]) -> float:
    """Return the weighted mean, 0 of nothing."""
    values = list(weighted)
    return sum(value * weight for value, weight in values) / (sum(weight for _, weight in values) or 1)


def _margin(documents: int, counts: Sequence[int]) -> float | None:
    """Return half the 95 % interval of the number of pages.

    Source: simple random sampling without replacement (Cochran, Sampling Techniques, 2.5) with
    Student's t, whose quantile is larger for few documents (Abramowitz and Stegun, 26.7.5).
    """
    if len(counts) >= documents:
        return 0.0
    if len(counts) < 2:
        return None
    freedom = len(counts) - 1
    quantile = _NORMAL_95 + 2.37 / freedom + 2.82 / freedom**2 + 2.56 / freedom**3
    return quantile * documents * math.sqrt(variance(counts) / len(counts) * (1 - len(counts) / documents))
