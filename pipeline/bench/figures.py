"""One row of the table: what was measured of a model, its settings and a way to feed it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean, quantiles

from pipeline.bench.timeline import Answer, Timeline, Window
from pipeline.stats import GpuSample

STAND_IN = "tiny, for "
"""Before the name of a model for which a tiny one stands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is measured; the columns that stand first."""

    model: str
    quantisation: str
    kv_cache_dtype: str
    weights: str
    """"random" or "real"."""
    settings: str
    """What the case has of its own: `vllm.max_num_seqs=128`."""
    device: str
    """The GPU's name as its driver says it, or the cores of a CPU."""
    vllm_version: str
    page_px: int
    """Mean pixels of a page image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """What the card did in the measured window; None where it does not say, or there is none."""

    busy: float | None = None
    """Share of the time with a kernel running."""
    power_w: float | None = None
    memory_gib: float | None = None
    energy_wh: float | None = None

    @classmethod
    def of(cls, samples: Sequence[GpuSample]) -> Gpu:
        """Return the means of a window's samples, and their energy."""
        if not samples:
            return cls()
        energies = [one.energy_wh for one in samples if one.energy_wh is not None]
        return cls(
            busy=fmean(one.utilisation for one in samples),
            power_w=_mean([one.power_w for one in samples if one.power_w is not None]),
            memory_gib=max(one.memory_used_bytes for one in samples) / (1 << 30),
            energy_wh=sum(energies) if energies else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """A row; docs/bench.md says how each figure is taken."""

    subject: Subject
    feed: str
    pages: int
    """Answers that came."""
    success_rate: float
    is_steady: bool
    """Whether figures are of the steady state; else there was none, and they are of all of the time."""
    window_s: float
    window_pages: int
    ramp_s: float
    tail_s: float
    requests_per_s: float
    """In the window."""
    requests_per_s_parts: tuple[float, ...]
    """The same in equal parts of it."""
    requests_per_s_whole: float
    """Of all of the time, from an idle engine to the last answer; with the pipeline to the last commit."""
    latency_mean_s: float
    latency_p50_s: float
    latency_p95_s: float
    document_latency_mean_s: float | None
    document_latency_p95_s: float | None
    prompt_tokens_mean: float
    completion_tokens_mean: float
    tokens_per_s: float
    cached_share: float
    """Of the prompt tokens."""
    gpu: Gpu = Gpu()
    engine: dict[str, float] = field(default_factory=dict)
    """Growth of the engine's own counters during the feed."""
    price_per_hour: float | None = None
    predicted_requests_per_s: float | None = None
    """What `pagemill plan` says of a stream of such pages."""
    of_stream: float | None = None
    """Rate as a share of the `stream` feed's in the same case."""
    of_stream_whole: float | None = None
    """The same of the whole times."""
    remark: str = ""

    @property
    def pages_per_hour(self) -> float:
        """At the window's rate."""
        return 3600 * self.requests_per_s

    @property
    def cost_per_1000(self) -> float | None:
        """Of the machine, for 1,000 pages."""
        if self.price_per_hour is None or not self.requests_per_s:
            return None
        return 1000 * self.price_per_hour / self.pages_per_hour

    @property
    def energy_wh_per_1000(self) -> float | None:
        """Of the card, for 1,000 pages."""
        if self.gpu.energy_wh is None or not self.window_pages:
            return None
        return 1000 * self.gpu.energy_wh / self.window_pages

    @property
    def prediction_error(self) -> float | None:
        """How far the prediction is off: 0.1 when it is a tenth too high."""
        if self.predicted_requests_per_s is None or not self.requests_per_s:
            return None
        return self.predicted_requests_per_s / self.requests_per_s - 1


def figures_of(
    timeline: Timeline, window: Window | None, *, subject: Subject, feed: str, success_rate: float | None = None
) -> Figures:
    """Return the figures of a feed that has at least one answer.

    Args:
        window: its steady state, if it had one.
        success_rate: where somebody knows better than the engine, which only knows its errors.
    """
    shown = window or timeline.whole
    answers = [answer for answer in timeline.answers if shown.holds(answer.finished_s)]
    latencies = sorted(answer.latency_s for answer in answers)
    documents = sorted(timeline.document_latencies(shown))
    prompt_tokens = sum(answer.prompt_tokens for answer in answers)
    return Figures(
        subject=subject,
        feed=feed,
        pages=len(timeline.answers),
        success_rate=_success(timeline.answers) if success_rate is None else success_rate,
        is_steady=window is not None,
        window_s=shown.seconds,
        window_pages=len(answers),
        ramp_s=shown.start_s - timeline.started_s,
        tail_s=timeline.ended_s - shown.end_s,
        requests_per_s=len(answers) / shown.seconds,
        requests_per_s_parts=tuple(timeline.rates(shown)),
        requests_per_s_whole=len(timeline.answers) / timeline.whole.seconds,
        latency_mean_s=fmean(latencies),
        latency_p50_s=percentile(latencies, 50),
        latency_p95_s=percentile(latencies, 95),
        document_latency_mean_s=_mean(documents),
        document_latency_p95_s=percentile(documents, 95) if documents else None,
        prompt_tokens_mean=prompt_tokens / len(answers),
        completion_tokens_mean=fmean(answer.output_tokens for answer in answers),
        tokens_per_s=sum(answer.output_tokens for answer in answers) / shown.seconds,
        cached_share=sum(answer.cached_tokens for answer in answers) / prompt_tokens if prompt_tokens else 0.0,
    )


def percentile(values: Sequence[float], percent: int) -> float:
    """Return a percentile of sorted values, of which there is at least one."""
    return values[0] if len(values) == 1 else quantiles(values, n=100, method="inclusive")[percent - 1]


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None


def _success(answers: Sequence[Answer]) -> float:
    return sum(answer.is_ok for answer in answers) / len(answers)
