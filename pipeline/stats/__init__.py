"""Statistics per clock hour: counted while a run runs, written beside its rows, added up again."""

from pipeline.stats.fold import RunStats
from pipeline.stats.gpu import GpuSample, GpuSampler, open_gpu_sampler
from pipeline.stats.hours import HourRow, total
from pipeline.stats.table import STATS_SCHEMA, hour_rows, table_row, write_stats

__all__ = [
    "STATS_SCHEMA",
    "GpuSample",
    "GpuSampler",
    "HourRow",
    "RunStats",
    "hour_rows",
    "open_gpu_sampler",
    "table_row",
    "total",
    "write_stats",
]
