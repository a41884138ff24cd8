"""A live run -> metric families. docs/metrics.md lists them; a test compares.

Counters go on where the file of the run before them ended, so that a run of a minute, which may
begin and end between two scrapes, is not lost; gauges are this run's.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from pipeline.data import AnsweredBy, Verdict
from pipeline.errors import ErrorType
from pipeline.metrics.live import BUCKETS_S, LiveRun
from pipeline.stats import OVERLAYS, STATES, STEPS, GpuSample, RunState

if TYPE_CHECKING:
    from prometheus_client import Metric

    from pipeline.metrics.live import Counted
    from pipeline.tally import Progress

Earlier = Mapping[tuple[str, frozenset[tuple[str, str]]], float]
"""Values of the file that the run before left, by name and labels."""

JOULES_PER_WH = 3600.0
HOUR_S = 3600.0
PHASES = ("listing", "loading_the_engine", "checking_the_engine", "reading", "committing")
INFO = ("run_id", "engine", "model", "revision", "engine_version", "quantisation", "kv_cache_dtype", "fingerprint")
LAST_END = "pagemill_last_run_end_timestamp_seconds"
LAST_SUCCESS = "pagemill_last_success_timestamp_seconds"
FIRST_SEEN = "pagemill_first_run_start_timestamp_seconds"


class RunCollector(Collector):
    """Looks at a run each time somebody asks; for any thread."""

    def __init__(self, run: LiveRun, earlier: Earlier) -> None:
        self._run = run
        self._earlier = earlier
        self._names = list(run.labels)
        self._values = list(run.labels.values())

    def collect(self) -> Iterable[Metric]:
        """Yield every family that this run has figures for."""
        run = self._run
        counted, progress = run.counted(), run.tally.progress()
        yield from self._about_run(progress)
        if spent := run.spent:
            yield from self._time(spent)
        yield from self._pages(counted)
        yield from self._documents(counted, progress)
        yield from self._checks(counted)
        yield from self._engine(counted)
        yield from self._money()
        if run.gpu and run.gpu.latest:
            yield from self._gpu(run.gpu.name, run.gpu.latest, run.gpu.energy_wh)

    def _about_run(self, progress: Progress) -> Iterator[Metric]:
        run = self._run
        about = {name: getattr(run.identity, name) or "" for name in INFO}
        about["version"] = run.identity.pagemill_version
        yield self._gauge("pagemill_run_info", "What reads, of the run that began last.", 1, about)
        yield self._one_of(
            "pagemill_run_state", "How it stands.", "state", {state: state is run.state for state in RunState}
        )
        phase = progress.phase.replace(" ", "_") if run.state is RunState.RUNNING else ""
        phases = {name: name == phase for name in dict.fromkeys((*PHASES, *([phase] if phase else [])))}
        yield self._one_of("pagemill_run_phase", "What it does; nothing once it has ended.", "phase", phases)
        words = "When these figures were looked at; old in the file of a run that runs no more: it was killed."
        yield self._gauge("pagemill_figures_timestamp_seconds", words, time.time())
        yield self._gauge("pagemill_run_start_timestamp_seconds", "When it began.", run.started_at_s)
        yield self._gauge("pagemill_run_duration_seconds", "How long it has run, or ran.", run.elapsed_s)
        if run.deadline_at:
            at_s = run.deadline_at.timestamp()
            yield self._gauge("pagemill_run_deadline_timestamp_seconds", "When it must be done.", at_s)
        if run.state is RunState.RUNNING and progress.eta_s is not None:
            yield self._gauge("pagemill_run_eta_seconds", "Time it still needs, as it estimates.", progress.eta_s)
        yield self._counter("pagemill_run_seconds", "Time in which a run ran.", run.elapsed_s)
        states = {state.value: float(state is run.state) for state in RunState if state is not RunState.RUNNING}
        yield self._counters("pagemill_runs", "Runs that ended.", "state", states)
        yield from self._of_all_runs()

    def _of_all_runs(self) -> Iterator[Metric]:
        run = self._run
        yield self._gauge(
            FIRST_SEEN,
            "When the first run began that this file knows of.",
            self._before(FIRST_SEEN) or run.started_at_s,
        )
        ended_s = run.ended_at_s or self._before(LAST_END)
        if ended_s:
            yield self._gauge(LAST_END, "When a run ended last, however it did.", ended_s)
        succeeded_s = run.ended_at_s if run.succeeded else self._before(LAST_SUCCESS)
        if succeeded_s:
            words = "When a run ended last that read all it was to read, or stopped at its deadline or page budget."
            yield self._gauge(LAST_SUCCESS, words, succeeded_s)

    def _time(self, spent: Mapping[str, float]) -> Iterator[Metric]:
        families = {
            "pagemill_time_seconds": (
                "Time in which runs ran, by what it went into; the parts do not overlap.",
                STATES,
            ),
            "pagemill_engine_time_seconds": ("Of the part `busy`, what the engine says it went into.", STEPS),
            "pagemill_engine_underfull_seconds": ("Time in which a part of the engine had no page.", OVERLAYS),
        }
        for name, (words, parts) in families.items():
            yield self._counters(name, words, "part", {part.removesuffix("_s"): spent[part] for part in parts})

    def _pages(self, counted: Counted) -> Iterator[Metric]:
        numbers = counted.numbers
        pages = {"ok": numbers["pages_ok"], "failed": numbers["pages_failed"]}
        yield self._counters("pagemill_pages", "Pages read to their end, ok or failed.", "status", pages)
        words = "Pages that need no reading, since a document with the same bytes was read."
        yield self._counter("pagemill_pages_reused", words, numbers["pages_reused"])
        words = "Pages that were answered without the engine."
        kinds = {kind.value: numbers[f"pages_{kind}"] for kind in AnsweredBy if kind is not AnsweredBy.ENGINE}
        yield self._counters("pagemill_pages_spared", words, "answered_by", kinds)
        yield self._counter("pagemill_pages_retried", "Pages that took more than one try.", numbers["pages_retried"])
        failures = {error_type.value: counted.failures[error_type] for error_type in ErrorType}
        yield self._counters("pagemill_page_failures", "Failed pages by reason.", "error_type", failures)
        for name in ("prompt", "output"):
            yield self._counter(f"pagemill_{name}_tokens", f"Tokens of all tries: {name}.", numbers[f"{name}_tokens"])
        words = "Prompt tokens that were found in the prefix cache."
        yield self._counter("pagemill_cached_tokens", words, numbers["cached_tokens"])
        words = "Pixels of the images of the pages read."
        yield self._counter("pagemill_image_pixels", words, numbers["pixels_sent"])
        words = "Pixels that these would have at full size."
        yield self._counter("pagemill_image_full_size_pixels", words, numbers["pixels_full"])
        yield self._durations(counted)

    def _durations(self, counted: Counted) -> Metric:
        name = "pagemill_page_duration_seconds"
        bounds = [*(f"{bound:g}" for bound in BUCKETS_S), "+Inf"]  # as node_exporter writes them: 1, not 1.0
        buckets = [
            (bound, pages + self._before(f"{name}_bucket", {"le": bound}))
            for bound, pages in zip(bounds, accumulate(counted.buckets), strict=True)
        ]
        words = "Time from taking a page to its end, its wait for the engine and all tries included."
        family = HistogramMetricFamily(name, words, labels=self._names)
        family.add_metric(self._values, buckets, counted.seconds + self._before(f"{name}_sum"))
        return family

    def _documents(self, counted: Counted, progress: Progress) -> Iterator[Metric]:
        numbers = counted.numbers
        documents = {"ok": numbers["documents_ok"], "failed": numbers["documents_failed"]}
        yield self._counters("pagemill_documents", "Documents read to their end.", "status", documents)
        gauges = {
            "planned": ("Documents to be read, as the listing says.", progress.documents_total),
            "done": ("Of these, documents with their last page read.", progress.documents_done),
            "skipped": ("Documents that earlier runs read.", progress.documents_skipped),
            "arriving": (
                "Files left for a later run: they may still be on their way.",
                self._run.tally.documents_arriving,
            ),
            "carried_over": ("Documents left to the next run.", self._run.documents_carried_over),
        }
        for name, (words, number) in gauges.items():
            if number is not None:
                yield self._gauge(f"pagemill_run_documents_{name}", words, number)
        yield self._gauge("pagemill_run_pages_found", "Pages of the documents opened so far.", progress.pages_found)
        if feed := self._run.feed:
            yield self._gauge("pagemill_pages_in_engine", "Pages that the engine holds.", feed.num_in_flight)
            words = "Page images that wait for the engine; 0 for long: rendering holds it up."
            yield self._gauge("pagemill_pages_ready", words, feed.num_ready)

    def _checks(self, counted: Counted) -> Iterator[Metric]:
        numbers, rule = counted.numbers, "rule"
        verdicts = {verdict: float(numbers[f"fields_{verdict}"]) for verdict in (*Verdict, "unchecked")}
        words = "Values of the pages read, by what their pages show of them."
        yield self._counters("pagemill_fields", words, "verdict", verdicts)
        singles = {
            "fields_doubtful": "Values whose confidence is too low.",
            "pages_unchecked": "Pages whose values could not be held against a text.",
            "records": "Records of the documents.",
            "records_to_review": "Records that somebody should look at.",
        }
        for name, words in singles.items():
            yield self._counter(f"pagemill_{name}", words, numbers[name])
        rules = dict.fromkeys(sorted(self._known("pagemill_rule_breaches_total", rule)), 0.0)
        rules |= {name: float(times) for name, times in sorted(counted.breaches.items())}
        yield self._counters("pagemill_rule_breaches", "Times that a record broke a rule.", rule, rules)

    def _engine(self, counted: Counted) -> Iterator[Metric]:
        numbers, gauges = counted.numbers, self._run.engine.gauges
        words = "Engines that took the place of one that died, stood still or grew."
        yield self._counter("pagemill_engine_restarts", words, numbers["engine_restarts"])
        yield self._counter("pagemill_pages_resent", "Pages sent to another engine.", numbers["pages_resent"])
        counters = {
            "prefix_cache_queries": ("prefix_cache_query_tokens", "Prompt tokens looked up in the prefix cache."),
            "prefix_cache_hits": ("prefix_cache_hit_tokens", "Prompt tokens found there."),
            "preemptions": ("engine_preemptions", "Requests put back because the KV cache was full."),
        }
        for source, (name, words) in counters.items():
            if source in numbers or self._before(f"pagemill_{name}_total"):
                yield self._counter(f"pagemill_{name}", words, numbers[source])
        names = {
            "running": ("engine_requests_running", "Requests that the engine works on."),
            "waiting": ("engine_requests_waiting", "Requests that wait in the engine."),
            "kv_cache_usage": ("kv_cache_usage_ratio", "Share of the KV cache in use, 0 to 1."),
            "host_memory_bytes": ("engine_host_memory_bytes", "Host memory of the engine's processes."),
            "host_memory_limit_bytes": ("engine_host_memory_limit_bytes", "Where the engine is replaced."),
        }
        for source, (name, words) in names.items():
            if (value := gauges.get(source)) is not None:
                yield self._gauge(f"pagemill_{name}", words, value)

    def _money(self) -> Iterator[Metric]:
        run, name = self._run, "pagemill_cost"
        price = run.price_per_hour
        costs = dict.fromkeys(sorted(self._known(f"{name}_total", "currency")), 0.0)
        if price is not None:
            costs[run.currency] = run.elapsed_s * float(price) / HOUR_S
            words = "What an hour of this machine costs."
            yield self._gauge("pagemill_price_per_hour", words, float(price), {"currency": run.currency})
        if costs:
            yield self._counters(name, "Money for the time in which runs ran.", "currency", costs)

    def _gpu(self, name: str, sample: GpuSample, energy_wh: float | None) -> Iterator[Metric]:
        yield self._gauge("pagemill_gpu_info", "The GPUs of the run; their figures are sums.", 1, {"name": name})
        is_running = self._run.state is RunState.RUNNING
        figures = {
            "utilisation_ratio": ("Share of time with a kernel running, 0 to 1, mean over GPUs.", sample.utilisation),
            "memory_used_bytes": ("GPU memory in use, by everyone.", sample.memory_used_bytes),
            "memory_total_bytes": ("GPU memory there is.", sample.memory_total_bytes),
            "power_watts": ("Power that the GPUs draw.", sample.power_w),
            "temperature_celsius": ("Of the hottest GPU.", sample.temperature_c),
        }
        for figure, (words, value) in figures.items():
            if is_running and value is not None:
                yield self._gauge(f"pagemill_gpu_{figure}", words, value)
        if energy_wh is not None:
            words = "Energy that the GPUs used while runs ran."
            yield self._counter("pagemill_gpu_energy_joules", words, energy_wh * JOULES_PER_WH)

    def _gauge(self, name: str, words: str, value: float, also: Mapping[str, str] | None = None) -> Metric:
        family = GaugeMetricFamily(name, words, labels=[*self._names, *(also or {})])
        family.add_metric([*self._values, *(also or {}).values()], value)
        return family

    def _one_of(self, name: str, words: str, label: str, values: Mapping[str, bool]) -> Metric:
        family = GaugeMetricFamily(name, words, labels=[*self._names, label])
        for value, is_set in values.items():
            family.add_metric([*self._values, value], is_set)
        return family

    def _counter(self, name: str, words: str, value: float) -> Metric:
        family = CounterMetricFamily(name, words, labels=self._names)
        family.add_metric(self._values, value + self._before(f"{name}_total"))
        return family

    def _counters(self, name: str, words: str, label: str, values: Mapping[str, float]) -> Metric:
        family = CounterMetricFamily(name, words, labels=[*self._names, label])
        for value, number in values.items():
            family.add_metric([*self._values, value], number + self._before(f"{name}_total", {label: value}))
        return family

    def _before(self, name: str, also: Mapping[str, str] | None = None) -> float:
        labels = self._run.labels | dict(also or {})
        return self._earlier.get((name, frozenset(labels.items())), 0.0)

    def _known(self, name: str, label: str) -> set[str]:
        """Return the values that a label had in earlier runs."""
        ours = self._run.labels.items()
        samples = (dict(labels) for known, labels in self._earlier if known == name and ours <= labels)
        return {labels[label] for labels in samples}
