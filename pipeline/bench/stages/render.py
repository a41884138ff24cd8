"""Rendering alone: documents to page images, against PyMuPDF drawing the same pages at the same scale."""

# mypy: disable-error-code="no-untyped-call"
# pymupdf has no types.

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.bench.stages.measuring import Work
from pipeline.config import RenderConfig
from pipeline.data import Document, DocumentRef, PageFacts, RenderSpec
from pipeline.errors import ConfigError, PageError
from pipeline.render import Renderer
from pipeline.source import path_of
from pipeline.workers import WorkerPool

if TYPE_CHECKING:
    from pipeline.data import PageImage

AHEAD = 3
"""Pages asked for at once, for each process; more change nothing."""
POINTS_PER_INCH = 72
CHUNK_PAGES = 4
"""Pages of one document that a process of the reference is asked for at once: asking costs it nothing then."""
OPEN_DOCUMENTS = 4


class PdfPage(NamedTuple):
    """One page of an opened document."""

    document: Document
    path: Path
    number: int


@dataclass(frozen=True, slots=True)
class BareChunk:
    """Pages that PyMuPDF is to draw."""

    path: str
    pages: tuple[tuple[int, float], ...]
    """Index from 0, and pixels a point."""


class RenderStage:
    """Renders pages at full size; only PDFs, as PyMuPDF is no reference for photographs."""

    reference = "PyMuPDF"

    def __init__(
        self,
        documents: Sequence[DocumentRef],
        *,
        pages: int,
        processes: int,
        spec: RenderSpec,
        config: RenderConfig,
        facts: PageFacts,
    ) -> None:
        """Open the documents and render each page once.

        Args:
            pages: done in a round; those there are come again and again.

        Raises:
            ConfigError: no page of a PDF can be rendered.
        """
        self.name = "render and examine" if facts.digest or facts.is_blank or facts.text_layer else "render"
        self.processes = processes
        self._spec = spec
        self._renderer = Renderer(config, num_workers=processes, facts=facts)
        try:
            scales = self._scales(list(_pages_of(self._renderer, documents, limit=pages)))
        except BaseException:
            self._renderer.close()
            raise
        self._pages = _repeated(list(scales), pages)
        self._chunks = list(_chunks(self._pages, scales))
        self._bare: WorkerPool[BareChunk, int] = WorkerPool(
            start_pymupdf, num_workers=processes, timeout_s=300, name="pymupdf"
        )

    def work(self) -> Work:
        """Render every page, as a run does."""
        sizes = [image.pixels.nbytes for image in self._images(self._pages)]
        return Work(len(sizes), sum(sizes))

    def reference_work(self) -> Work:
        """Have PyMuPDF draw every page and drop the pixels."""
        sizes = _windowed(self._bare.submit, self._chunks, AHEAD * self.processes)
        return Work(len(self._pages), sum(sizes))

    def close(self) -> None:
        """End the processes."""
        self._renderer.close()
        self._bare.close()

    def _images(self, pages: Iterable[PdfPage]) -> Iterator[PageImage]:
        ask = partial(_ask, self._renderer, self._spec)
        return _windowed(ask, pages, AHEAD * self.processes)

    def _scales(self, pages: Sequence[PdfPage]) -> dict[PdfPage, float]:
        """Return how many pixels a point has become, of each page that can be rendered."""
        asked = {page: _ask(self._renderer, self._spec, page) for page in pages}
        scales = {
            page: (image.result().dpi or 0) / POINTS_PER_INCH for page, image in asked.items() if not image.exception()
        }
        if not scales:
            raise ConfigError("The documents have no page of a PDF that can be rendered.")
        return scales


def start_pymupdf() -> Callable[[BareChunk], int]:
    """Return PyMuPDF as it comes; each call draws pages and returns the bytes of their pixels."""
    import pymupdf

    pymupdf.TOOLS.mupdf_display_errors(False)
    pymupdf.TOOLS.mupdf_display_warnings(False)
    opened: OrderedDict[str, Any] = OrderedDict()

    def draw(chunk: BareChunk) -> int:
        if chunk.path not in opened:
            opened[chunk.path] = pymupdf.open(chunk.path)
            if len(opened) > OPEN_DOCUMENTS:
                opened.popitem(last=False)[1].close()
        document, size_bytes = opened[chunk.path], 0
        for index, scale in chunk.pages:
            pixmap = document[index].get_pixmap(matrix=pymupdf.Matrix(scale, scale), alpha=False)
            size_bytes += len(pixmap.samples_mv)
        return size_bytes

    return draw


def _ask(renderer: Renderer, spec: RenderSpec, page: PdfPage) -> Future[PageImage]:
    return renderer.render(page.document, page.path, page.number, spec)


def _pages_of(renderer: Renderer, documents: Sequence[DocumentRef], *, limit: int) -> Iterator[PdfPage]:
    found = 0
    for ref in documents:
        path = path_of(ref.uri)
        try:
            document = renderer.open(ref, path).result()
        except PageError:
            continue
        if document.media_type != "application/pdf" or "decrypted" in document.flags:
            continue
        for number in range(1, min(document.num_pages, limit - found) + 1):
            found += 1
            yield PdfPage(document, path, number)


def _repeated(pages: Sequence[PdfPage], count: int) -> list[PdfPage]:
    return [pages[number % len(pages)] for number in range(count)]


def _chunks(pages: Sequence[PdfPage], scales: dict[PdfPage, float]) -> Iterator[BareChunk]:
    for path, of_one in groupby(pages, key=lambda page: page.path):
        asked = [(page.number - 1, scales[page]) for page in of_one]
        for start in range(0, len(asked), CHUNK_PAGES):
            yield BareChunk(str(path), tuple(asked[start : start + CHUNK_PAGES]))


def _windowed(ask: Callable[[Any], Future[Any]], items: Iterable[Any], window: int) -> Iterator[Any]:
    """Yield results in order, with at most `window` of them asked for: nothing piles up."""
    asked: deque[Future[Any]] = deque()
    for item in items:
        asked.append(ask(item))
        if len(asked) >= window:
            yield asked.popleft().result()
    while asked:
        yield asked.popleft().result()
