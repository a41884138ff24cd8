"""Ways to feed one engine: the pipeline as it is, a stream of prepared inputs, one list, fixed batches.

Each returns the timeline of the same pages. What a feed may take is bounded in time, so that a measurement of many
feeds ends; pages that are in the engine then have no answer.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from itertools import islice

from pipeline.bench.timeline import Answer, Timeline
from pipeline.bench.workload import Asking
from pipeline.books import RunReport
from pipeline.config import RunConfig
from pipeline.data import EngineMetrics, FinishReason, Generation, PageRequest
from pipeline.engines import EngineChoice
from pipeline.engines.base import Engine, Requests
from pipeline.engines.vllm import VllmEngine
from pipeline.engines.vllm.stream import Prepared
from pipeline.run import run


class Meter:
    """Writes down when pages are handed over and answered."""

    def __init__(self) -> None:
        """Begin now."""
        self.timeline = Timeline(time.monotonic())
        self._taken: dict[str, tuple[float, str]] = {}

    def took(self, request: PageRequest) -> None:
        """A page is handed over."""
        self._taken[request.request_id] = time.monotonic(), document_of(request)

    def answered(self, generation: Generation, *, taken_s: float | None = None, at_s: float | None = None) -> None:
        """Its answer came: now, or at a time that somebody else took."""
        took_s, document = self._taken.pop(generation.request_id)
        self.timeline.answers.append(
            Answer(
                document,
                took_s if taken_s is None else taken_s,
                time.monotonic() if at_s is None else at_s,
                generation.prompt_tokens or 0,
                generation.output_tokens or 0,
                generation.cached_tokens or 0,
                is_ok=generation.finish_reason is not FinishReason.ERROR,
            )
        )

    def end(self) -> Timeline:
        """All is done, or the time is over."""
        self.timeline.ended_s = time.monotonic()
        self.timeline.unanswered = [taken_s for taken_s, _ in self._taken.values()]
        return self.timeline


def document_of(request: PageRequest) -> str:
    """Return what all pages of a document have in common; feed.PageFeed makes these keys."""
    return request.image_key.partition(":")[0]


def read_pipeline(
    config: RunConfig, choice: EngineChoice, engine: Engine, asking: Asking, seconds: float
) -> tuple[Timeline, RunReport]:
    """Run the whole pipeline, documents to Parquet, on an engine that is loaded already.

    When the time is over no more pages are taken; those in the engine are read and committed.
    """
    stop = threading.Event()
    measured = _Measured(engine, asking, stop, seconds)
    report = run(config, engine=replace(choice, open=lambda: measured), stop=stop)
    return measured.meter.end(), report


def read_stream(engine: VllmEngine, requests: Sequence[PageRequest], asking: Asking, seconds: float) -> Timeline:
    """Stream inputs that are prepared before the time begins: what the engine alone can do."""
    asked = {request.request_id: asking(request) for request in requests}
    prepared = prepare(engine, asked.values())
    meter = Meter()
    until_s = time.monotonic() + seconds
    source = _Taken(_Listed(requests, until_s), lambda request: asked[request.request_id], meter)
    with closing(engine.generate(source, prepared)) as generations:
        for generation in generations:
            meter.answered(generation)
            if time.monotonic() >= until_s:
                break
    return meter.end()


def prepare(engine: VllmEngine, requests: Iterable[PageRequest]) -> Mapping[str, Prepared]:
    """Return the model inputs of pages by request, made on all cores; 6 to 11 MB for each megapixel."""
    pages = list(requests)
    with ThreadPoolExecutor() as threads:
        return dict(zip((page.request_id for page in pages), threads.map(engine.prepare, pages), strict=True))


def read_list(engine: VllmEngine, requests: Sequence[PageRequest], asking: Asking) -> Timeline:
    """Hand all pages to one call of vLLM's own `generate`."""
    meter = Meter()
    _generate(engine, requests, asking, meter)
    return meter.end()


def read_batches(
    engine: VllmEngine, requests: Sequence[PageRequest], asking: Asking, seconds: float, *, size: int
) -> Timeline:
    """Hand batch after batch to `generate`, each to its end, as scripts do; none begins when the time is over."""
    meter = Meter()
    for batch in batched(requests, size):
        if time.monotonic() - meter.timeline.started_s >= seconds:
            break
        _generate(engine, batch, asking, meter)
        meter.timeline.laps.append(time.monotonic())
    return meter.end()


def batched(requests: Iterable[PageRequest], size: int) -> Iterable[list[PageRequest]]:
    """Return lists of `size`; the last one may be shorter."""
    left = iter(requests)
    return iter(lambda: list(islice(left, size)), [])


def _generate(engine: VllmEngine, requests: Sequence[PageRequest], asking: Asking, meter: Meter) -> None:
    """Read a list; pages are handed over when the call begins and answered when the engine says so."""
    for request in requests:
        meter.took(request)
    for generation, _, finished_s in engine.generate_list([asking(request) for request in requests]):
        meter.answered(generation, at_s=finished_s)


class _Measured:
    """The engine of a run that is measured: one that is loaded already, and stays so."""

    def __init__(self, engine: Engine, asking: Asking, stop: threading.Event, seconds: float) -> None:
        self.info, self.capacity, self.slots = engine.info, engine.capacity, engine.slots
        self.meter = Meter()
        self._engine = engine
        self._asking = asking
        self._stop = stop
        self._seconds = seconds

    def generate(self, requests: Requests) -> Generator[Generation, None, None]:
        """Read as the engine does."""
        self.meter = Meter()
        source = _Taken(requests, self._asking, self.meter)
        with closing(self._engine.generate(source)) as generations:
            for generation in generations:
                self.meter.answered(generation)
                if time.monotonic() - self.meter.timeline.started_s >= self._seconds:
                    self._stop.set()
                yield self._asking.answer(generation)

    def metrics(self) -> EngineMetrics:
        """Return the engine's."""
        return self._engine.metrics()

    def close(self) -> None:
        """Leave the engine to the next feed."""


class _Taken:
    """Requests on their way to the engine: asked as the measurement wants it, and written down."""

    def __init__(self, requests: Requests, asking: Callable[[PageRequest], PageRequest], meter: Meter) -> None:
        self._requests, self._asking, self._meter = requests, asking, meter

    @property
    def exhausted(self) -> bool:
        return self._requests.exhausted

    def take(self, wait_s: float) -> PageRequest | None:
        request = self._requests.take(wait_s)
        if request is None:
            return None
        self._meter.took(request)
        return self._asking(request)


class _Listed:
    """Requests from a list, until their time is over."""

    def __init__(self, requests: Iterable[PageRequest], until_s: float) -> None:
        self._left = deque(requests)
        self._until_s = until_s

    @property
    def exhausted(self) -> bool:
        return not self._left or time.monotonic() >= self._until_s

    def take(self, wait_s: float) -> PageRequest | None:  # noqa: ARG002 - nothing to wait for
        return None if self.exhausted else self._left.popleft()
