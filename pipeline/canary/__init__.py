"""Known pages that an engine must read before a run trusts it.

A model loaded with a broken kernel or an overflowing KV cache starts, answers and even fits the
schema; only a page whose text is known shows that it reads nothing. The pages are in pages.pdf, a
PDF that any editor opens: a letter, and an invoice with small print. Their own text layer is the
answer; the engine is sent the pixels alone.
"""

from __future__ import annotations

import re
import time
import unicodedata
from collections import Counter, deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from pipeline.config import CanaryConfig, RunConfig
from pipeline.data import (
    Document,
    DocumentRef,
    FinishReason,
    Generation,
    PageFacts,
    PageImage,
    PageRequest,
    RenderSpec,
    TrySettings,
)
from pipeline.engines.base import Engine, EngineInfo
from pipeline.errors import CanaryError

PAGES = Path(__file__).with_name("pages.pdf")
MAX_TOKENS = 1024
"""About twice what the longer page takes."""
SAMPLE_CHARS = 80

_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class CanaryResult:
    """How well an engine read the known pages."""

    score: float
    """Share of their words that came back, 0..1."""
    threshold: float
    pages: int
    seconds: float
    sample: str
    """How its answer to the first page begins, or why there is none."""

    @property
    def passed(self) -> bool:
        """Whether a run may trust the engine."""
        return self.score >= self.threshold

    def refusal(self) -> CanaryError:
        """Return the error with which a run ends that may not trust it."""
        return CanaryError(
            f"The engine read {self.score:.0%} of the words on {self.pages} known pages, and {self.threshold:.0%} are "
            f"wanted (canary.threshold). The first page's answer begins {self.sample!r}. Likely causes: an FP8 KV "
            "cache on a model whose keys overflow it (try `--set vllm.kv_cache_dtype=auto`), a wrong quantisation "
            "kernel, dummy weights, a model that was not made to read pages, or page images too small to read "
            "(render.max_pixels). `--set canary.mode=off` reads with it all the same."
        )


class Renders(Protocol):
    """Opens and rasterises documents; see render.Renderer."""

    def open(self, ref: DocumentRef, path: Path) -> Future[Document]:
        """Return what the file at `path` is."""
        ...

    def render(
        self, document: Document, path: Path, page_number: int, spec: RenderSpec, facts: PageFacts
    ) -> Future[PageImage]:
        """Return one page as an image."""
        ...


def should_run(config: CanaryConfig, info: EngineInfo) -> bool:
    """Return whether the known pages are read first; by default where model and settings come from outside."""
    return config.mode == "on" or (config.mode == "auto" and info.engine == "vllm")


def fallback_config(config: RunConfig, info: EngineInfo) -> RunConfig | None:
    """Return the settings to try when the canary failed: a 16-bit KV cache; None where it has one, or may not."""
    uses_fp8 = info.engine == "vllm" and (info.kv_cache_dtype or "").startswith("fp8")
    if not (uses_fp8 and config.canary.fallback):
        return None
    return config.model_copy(update={"vllm": config.vllm.model_copy(update={"kv_cache_dtype": "auto"})})


def canary_pages(renderer: Renders, spec: RenderSpec) -> list[PageImage]:
    """Return the known pages, their text layers with them; seconds when the renderer has yet to start."""
    document = renderer.open(DocumentRef(PAGES.as_uri(), 0, None), PAGES).result()
    numbers = range(1, document.num_pages + 1)
    pages = [renderer.render(document, PAGES, number, spec, PageFacts()) for number in numbers]
    return [page.result() for page in pages]


def run_canary(engine: Engine, images: Sequence[PageImage], threshold: float) -> CanaryResult:
    """Return how many of the words in the images' text layers the engine reads from their pixels.

    Raises:
        EngineError: the engine died of them.
    """
    started = time.perf_counter()
    requests = _KnownPages(images)
    answers = {answer.request_id: answer for answer in engine.generate(requests)}
    num_known = num_read = 0
    for request_id, image in requests.known.items():
        known = _words("\n".join(line.text for line in image.text_layer.lines) if image.text_layer else "")
        num_known += known.total()
        num_read += (known & _words(_text(answers[request_id]))).total()
    first = answers[next(iter(requests.known))]
    return CanaryResult(
        score=num_read / max(num_known, 1),
        threshold=threshold,
        pages=len(images),
        seconds=time.perf_counter() - started,
        sample=(str(first.error) if first.finish_reason is FinishReason.ERROR else _text(first))[:SAMPLE_CHARS],
    )


class _KnownPages:
    """Requests for known pages."""

    def __init__(self, images: Sequence[PageImage]) -> None:
        self.known = {f"canary-{number}": image for number, image in enumerate(images, start=1)}
        self._left = deque(self.known.items())

    @property
    def exhausted(self) -> bool:
        """Whether all were taken."""
        return not self._left

    def take(self, wait_s: float) -> PageRequest | None:  # noqa: ARG002 - the pages are there already
        """Return the next page without its text layer, to be read as plain text."""
        if not self._left:
            return None
        request_id, image = self._left.popleft()
        settings = TrySettings(1, MAX_TOKENS, temperature=0, constrained=False, render=image.spec)
        key = f"{request_id}:{image.spec.key}"
        return PageRequest(request_id, key, replace(image, text_layer=None), settings, plain_text=True)


def _text(answer: Generation) -> str:
    """Return what was read: the lines, where the engine reads lines and makes its text of them."""
    return "\n".join(line.text for line in answer.lines) or answer.text


def _words(text: str) -> Counter[str]:
    return Counter(_WORD.findall(unicodedata.normalize("NFKC", text).casefold()))
