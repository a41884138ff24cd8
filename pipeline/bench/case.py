"""One case: a model with its settings, loaded once, and measured with one feed after the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import cast

from pipeline.bench import feeds
from pipeline.bench.figures import Figures, Gpu, Subject, figures_of
from pipeline.bench.host import bind_engines
from pipeline.bench.predicted import predicted_requests_per_s
from pipeline.bench.serve import Question, read_serve, serving
from pipeline.bench.telling import say
from pipeline.bench.timeline import Timeline, Window, fewest_pages
from pipeline.bench.workload import Asking, collect, measured_config, read_settings
from pipeline.capacity import Serving
from pipeline.config import RunConfig
from pipeline.data import PageRequest
from pipeline.engines.vllm import VllmEngine
from pipeline.engines.vllm.models import find_model
from pipeline.engines.vllm.start import plan_engine
from pipeline.errors import ConfigError
from pipeline.planning import Reading
from pipeline.stats import GpuSample, open_gpu_sampler

SERVE = "serve"
FEEDS = ("stream", "pipeline", "list", "batches", SERVE)
"""In the order in which they are measured: the others are held against the stream, and `serve` ends the engine."""
WARM_UP_PAGES = 32
WARM_UP_TOKENS = (16, 64)
SAMPLE_S = 0.5
SERVE_WARM_UP_S = 120
LIST_SHARE = 0.8
"""Of the pages that a stream reads in the time: one list cannot be cut off, and it is slower."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is to be measured."""

    model: str
    """As people call it."""
    config: RunConfig
    """Of the run that is measured; `vllm.model` is what is loaded."""
    pages: int
    tokens: tuple[int, int] | None
    """Range of exact output lengths; None: as long as the model writes."""
    device: str
    engine_cores: frozenset[int] = frozenset()
    """For the engine's process; none: wherever there is room."""
    settings: str = ""
    """What is particular to this case."""
    batch_size: int = 32
    concurrency: int | None = None
    """Requests at the server at once; None: as many as the engine of the other feeds holds."""


@contextmanager
def open_case(case: Case, scratch: Path) -> Iterator[OpenCase]:
    """Render the pages, load the engine, have it read some pages, and yield what measures; closes the engine.

    Args:
        scratch: an empty folder for outputs.

    Raises:
        ConfigError, EngineStartError: the settings cannot work here; the message says what to change.
    """
    config = measured_config(case.config, str(scratch / "out"), case.pages, is_exact=case.tokens is not None)
    reading = read_settings(config, case.tokens)
    requests = collect(config, reading.choice)
    if too_few := told_of_few(len(requests), plan_engine(config.vllm, None).settings.max_num_seqs):
        say(too_few)
    with ExitStack() as closes:
        engine = cast("VllmEngine", closes.enter_context(closing(reading.choice.open())))
        bind_engines(case.engine_cores)
        opened = OpenCase(replace(case, config=config), reading, engine, requests, scratch)
        if sampler := open_gpu_sampler(interval_s=SAMPLE_S):
            closes.callback(sampler.close)
            opened.drain_samples = sampler.drain
        opened.warm_up()
        yield opened


class OpenCase:
    """A loaded engine and the pages it is measured with."""

    def __init__(
        self, case: Case, reading: Reading, engine: VllmEngine, requests: Sequence[PageRequest], scratch: Path
    ) -> None:
        self.case = case
        self.engine = engine
        self.requests = requests
        self.drain_samples: Callable[[], list[GpuSample]] = list
        self._reading = reading
        self._scratch = scratch
        self._stream: Figures | None = None
        self._feeds = 0

    @property
    def subject(self) -> Subject:
        """What is measured."""
        info, config = self.engine.info, self.case.config.vllm
        return Subject(
            model=self.case.model,
            quantisation=info.quantisation or "16 bit",
            kv_cache_dtype=info.kv_cache_dtype or "auto",
            weights="random" if config.load_format == "dummy" else "real",
            settings=self.case.settings,
            device=self.case.device,
            vllm_version=info.version,
            page_px=round(fmean(each.image.width_px * each.image.height_px for each in self.requests)),
        )

    def warm_up(self) -> None:
        """Read a few pages: kernels that are made at first use are made, and the prefix cache has the instructions."""
        pages = self.requests[:WARM_UP_PAGES]
        feeds.read_stream(self.engine, pages, Asking("warm-up", WARM_UP_TOKENS), float("inf"))

    def measure(self, feed: str, seconds: float) -> Figures:
        """Feed all pages, or as many as the time allows, and return the figures.

        After `serve`, which ends the engine, nothing else can be measured.

        Raises:
            ConfigError: not a page was answered in the time.
            EngineError: the engine or the server died.
        """
        self._feeds += 1
        asking = Asking(f"{feed}-{self._feeds}", self.case.tokens)
        self.drain_samples()
        before = self._counters(feed)
        timeline, success_rate = self._read(feed, asking, seconds)
        if not timeline.answers:
            raise ConfigError(f"The {feed} feed had no answer within {seconds:g} s: raise --seconds.")
        window = timeline.steady(self._width(feed))
        figures = figures_of(timeline, window, subject=self.subject, feed=feed, success_rate=success_rate)
        price = self.case.config.cost.price_per_hour
        figures = replace(
            figures,
            gpu=Gpu.of(_within(self.drain_samples(), window or timeline.whole)),
            engine={str(name): value - before.get(name, 0.0) for name, value in self._counters(feed).items()},
            price_per_hour=None if price is None else float(price),
            predicted_requests_per_s=self._predicted(figures),
            remark="" if window else self._remark(feed, len(timeline.answers)),
        )
        if feed == "stream":
            self._stream = figures
        return self._of_stream(figures)

    def _remark(self, feed: str, answers: int) -> str:
        fewest = self.case.batch_size + 1 if feed == "batches" else fewest_pages(self._width(feed))
        if answers < len(self.requests):
            return f"no steady state within --seconds: it takes at least {fewest} pages"
        return f"no steady state: it takes at least {fewest} pages, better twice as many"

    def _of_stream(self, figures: Figures) -> Figures:
        if self._stream is None:
            return figures
        return replace(
            figures,
            of_stream=figures.requests_per_s / self._stream.requests_per_s,
            of_stream_whole=figures.requests_per_s_whole / self._stream.requests_per_s_whole,
        )

    def _read(self, feed: str, asking: Asking, seconds: float) -> tuple[Timeline, float | None]:
        """Return the timeline, and the success rate where somebody knows better than the engine."""
        match feed:
            case "pipeline":
                return self._read_pipeline(asking, seconds)
            case "stream":
                return feeds.read_stream(self.engine, self.requests, asking, seconds), None
            case "list":
                return feeds.read_list(self.engine, self.requests[: self._list_pages(seconds)], asking), None
            case "batches":
                size = self.case.batch_size
                return feeds.read_batches(self.engine, self.requests, asking, seconds, size=size), None
            case _ if feed == SERVE:
                return self._read_serve(asking, seconds), None
            case _:
                raise ConfigError(f"There is no feed {feed!r}, only {', '.join(FEEDS)}.")

    def _read_pipeline(self, asking: Asking, seconds: float) -> tuple[Timeline, float | None]:
        output = str(self._scratch / f"out-{self._feeds}")
        config = self.case.config.model_copy(update={"output": output})
        timeline, report = feeds.read_pipeline(config, self._reading.choice, self.engine, asking, seconds)
        committed = report.pages_ok + report.pages_failed
        return timeline, report.pages_ok / committed if committed else None

    def _read_serve(self, asking: Asking, seconds: float) -> Timeline:
        self.engine.close()
        extraction, width = self._reading.extraction, self._concurrency
        schema = None if extraction.plain_text_field else extraction.json_schema
        question = Question(self.engine.instructions, schema)
        with serving(self.engine.arguments, self._scratch / "serve.log") as port:
            bind_engines(self.case.engine_cores)
            others = [_inverted(request) for request in self.requests[:WARM_UP_PAGES]]
            read_serve(port, question, others, Asking("", WARM_UP_TOKENS), SERVE_WARM_UP_S, concurrency=width)
            self.drain_samples()
            return read_serve(port, question, self.requests, asking, seconds, concurrency=width)

    def _counters(self, feed: str) -> dict[str, float]:
        return {} if feed == SERVE else self.engine.metrics().counters

    @property
    def _concurrency(self) -> int:
        return self.case.concurrency or self.engine.capacity

    def _width(self, feed: str) -> int:
        return min(self.engine.slots, self._concurrency) if feed == SERVE else self.engine.slots

    def _list_pages(self, seconds: float) -> int | None:
        return int(LIST_SHARE * seconds * self._stream.requests_per_s) if self._stream else None

    def _predicted(self, figures: Figures) -> float | None:
        config, engine = self.case.config.vllm, self.engine
        shape = find_model(config.model, config.revision).shape
        kv_bytes = 1 if (engine.info.kv_cache_dtype or "").startswith("fp8") else 2
        serving = Serving(engine.slots, kv_bytes, config.tensor_parallel_size)
        return predicted_requests_per_s(figures, shape, serving, batch_size=self.case.batch_size)


def told_of_few(pages: int, slots: int) -> str | None:
    """Return what to say before pages are measured that are too few; None where there are enough.

    Args:
        slots: pages that the engine works on at once.
    """
    fewest = fewest_pages(slots)
    if pages >= fewest:
        return None
    counted = "1 page is" if pages == 1 else f"{pages:,} pages are"
    return (
        f"{counted} fewer than the steady state needs: at least {fewest:,}, as {slots:,} are read at once; "
        "figures will be of all of the time"
    )


def _inverted(request: PageRequest) -> PageRequest:
    """Return a page of other pixels: a server knows images by these, and would find the page in its cache later."""
    return replace(request, image=replace(request.image, pixels=255 - request.image.pixels))


def _within(samples: Sequence[GpuSample], window: Window) -> list[GpuSample]:
    """Return the samples of a window; they have the time of day."""
    offset_s = time.time() - time.monotonic()
    return [sample for sample in samples if window.holds(sample.at - offset_s)]
