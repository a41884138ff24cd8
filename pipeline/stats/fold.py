"""A running run -> its hours. Does not know what an engine or a page is beyond their records."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pipeline.data import EngineMetrics, RunIdentity
from pipeline.stats.counts import Counts, HourCounts
from pipeline.stats.gpu import GpuSample, GpuSampler, open_gpu_sampler
from pipeline.stats.hours import HourRow, micros, run_cost, total
from pipeline.stats.table import write_stats
from pipeline.stats.times import Times, hour_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pipeline.config import CostConfig
    from pipeline.storage import Storage

KV_CACHE_USAGE = "kv_cache_usage"
"""Gauge an engine may report: share of its KV cache in use, 0..1."""
PREFIX_CACHE_QUERIES = "prefix_cache_queries"
"""Counter, and the field of HourRow: prompt tokens looked up in the prefix cache."""
PREFIX_CACHE_HITS = "prefix_cache_hits"
"""The same: prompt tokens found there."""


class RunStats:
    """Counts what a run does, by clock hour (UTC). Memory grows by the hour, not by the page."""

    def __init__(
        self,
        identity: RunIdentity,
        cost: CostConfig,
        *,
        clock: Callable[[], float] = time.time,
        gpu: GpuSampler | None = None,
    ) -> None:
        """Start the run's time.

        Args:
            clock: seconds since 1970.
            gpu: closed by `close`; without one, the machine's GPUs are sampled when the engine is vLLM.
        """
        self._identity = identity
        self._price_per_hour = micros(cost.price_per_hour) if cost.price_per_hour is not None else None
        self._currency = cost.currency
        self.times = Times(clock)
        self._gpu = gpu or (open_gpu_sampler() if identity.engine == "vllm" else None)
        self._hours: defaultdict[int, _Hour] = defaultdict(_Hour)
        self._counters: dict[str, float] = {}

    @property
    def gpu(self) -> GpuSampler | None:
        """What samples the GPUs; None without any."""
        return self._gpu

    def commit(self, counts: Counts) -> None:
        """Count pages and documents that are part of the output now, in the hours in which they finished."""
        for hour, counted in counts.hours():
            (self._this_hour() if hour is None else self._hours[hour]).counts.add(counted)

    def engine_restarted(self) -> None:
        """Count an engine that takes the place of a dead one."""
        self._this_hour().counts.numbers["engine_restarts"] += 1

    def pages_resent(self, pages: int) -> None:
        """Count pages that a dead engine held and another one gets."""
        self._this_hour().counts.numbers["pages_resent"] += pages

    def sample(self, metrics: EngineMetrics) -> None:
        """Take an engine's figures of this moment; counters that fell belong to a new engine."""
        self.times.engine_did(metrics.counters)
        self._drain_gpu()
        hour = self._this_hour()
        if (usage := metrics.gauges.get(KV_CACHE_USAGE)) is not None:
            hour.kv_cache.add(usage)
        for name in (PREFIX_CACHE_QUERIES, PREFIX_CACHE_HITS):
            if (value := metrics.counters.get(name)) is not None:
                before = self._counters.get(name, 0.0)
                hour.engine_counts[name] += value - before if value >= before else value
                self._counters[name] = value

    def hours(self) -> list[HourRow]:
        """Return one row per clock hour in which the run ran or a page finished, oldest first."""
        self._drain_gpu()
        times = self.times.hours()
        return [self._row(start, times.get(start, {})) for start in sorted(self._hours.keys() | times)]

    def total(self) -> HourRow:
        """Return the whole run as one row."""
        return total(self.hours())

    def put(self, storage: Storage) -> None:
        """Replace this run's statistics in the output by those of now.

        Raises:
            StorageError: the ones put before stay.
        """
        write_stats(storage, self._identity, self.hours())

    def close(self) -> None:
        """Stop the run's time and the GPU sampler; figures stay readable. A second call does nothing."""
        if self._gpu:
            self._gpu.close()
        self._drain_gpu()
        self.times.close()

    def _this_hour(self) -> _Hour:
        return self._hours[hour_of(self.times.now())]

    def _drain_gpu(self) -> None:
        for sample in self._gpu.drain() if self._gpu else ():
            self._hours[hour_of(sample.at)].add_gpu(sample)

    def _row(self, start: int, times: Mapping[str, Any]) -> HourRow:
        hour = self._hours.get(start, _Hour())
        return HourRow(
            hour=datetime.fromtimestamp(start, UTC),
            **hour.figures(),
            **times,
            gpu_name=self._gpu.name if self._gpu else None,
            price_per_hour=self._price_per_hour,
            currency=self._currency if self._price_per_hour is not None else None,
            cost=run_cost(times.get("wall_s", 0.0), self._price_per_hour),
        )


@dataclass(slots=True)
class _Gauge:
    """Mean and maximum of what was seen."""

    count: int = 0
    sum: float = 0.0
    largest: float | None = None

    def add(self, value: float) -> None:
        self.count += 1
        self.sum += value
        self.largest = value if self.largest is None else max(self.largest, value)

    @property
    def mean(self) -> float | None:
        return self.sum / self.count if self.count else None


@dataclass(slots=True)
class _Hour:
    counts: HourCounts = field(default_factory=HourCounts)
    engine_counts: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    kv_cache: _Gauge = field(default_factory=_Gauge)
    gpu_utilisation: _Gauge = field(default_factory=_Gauge)
    gpu_power_w: _Gauge = field(default_factory=_Gauge)
    gpu_memory_used_bytes: int | None = None
    gpu_memory_total_bytes: int | None = None
    gpu_energy_wh: float | None = None

    def figures(self) -> dict[str, Any]:
        """Return the fields of HourRow that are known here."""
        return {
            **self.counts.numbers,
            "latency_histogram": self.counts.latencies.buckets(),
            "breaches_by_rule": tuple(sorted(self.counts.breaches.items())),
            **{name: int(count) for name, count in self.engine_counts.items()},
            "kv_cache_usage": self.kv_cache.mean,
            "kv_cache_usage_max": self.kv_cache.largest,
            "gpu_utilisation": self.gpu_utilisation.mean,
            "gpu_power_w": self.gpu_power_w.mean,
            "gpu_memory_used_bytes": self.gpu_memory_used_bytes,
            "gpu_memory_total_bytes": self.gpu_memory_total_bytes,
            "gpu_energy_wh": self.gpu_energy_wh,
        }

    def add_gpu(self, sample: GpuSample) -> None:
        self.gpu_utilisation.add(sample.utilisation)
        self.gpu_memory_used_bytes = max(self.gpu_memory_used_bytes or 0, sample.memory_used_bytes)
        self.gpu_memory_total_bytes = sample.memory_total_bytes
        if sample.power_w is not None:
            self.gpu_power_w.add(sample.power_w)
        if sample.energy_wh is not None:
            self.gpu_energy_wh = (self.gpu_energy_wh or 0.0) + sample.energy_wh
