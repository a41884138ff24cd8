"""vLLM's metrics under Pagemill's names."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.data import EngineMetrics

GAUGES = {
    "vllm:num_requests_running": "running",
    "vllm:num_requests_waiting": "waiting",
    "vllm:kv_cache_usage_perc": "kv_cache_usage",
}
"""`kv_cache_usage` is a share, 0 to 1, whatever vLLM's name for it says."""
COUNTERS = {
    "vllm:prompt_tokens": "prompt_tokens",
    "vllm:generation_tokens": "output_tokens",
    "vllm:prefix_cache_queries": "prefix_cache_queries",
    "vllm:prefix_cache_hits": "prefix_cache_hits",
    "vllm:num_preemptions": "preemptions",
}
"""All in tokens but the last. vLLM starts them at 0 with each engine."""


NAMES = frozenset(GAUGES | COUNTERS)
"""All of these."""


def read_metrics(values: Mapping[str, float]) -> EngineMetrics:
    """Return the metrics named above, and `prefix_cache_hit_rate` over the engine's life."""
    gauges = {name: values[key] for key, name in GAUGES.items() if key in values}
    counters = {name: values[key] for key, name in COUNTERS.items() if key in values}
    if counters.get("prefix_cache_queries"):
        gauges["prefix_cache_hit_rate"] = counters["prefix_cache_hits"] / counters["prefix_cache_queries"]
    return EngineMetrics(gauges, counters)
