"""Statistics per clock hour: counted while a run runs, written beside its rows, added up again; and the runs."""

from pipeline.stats.checks import page_checks, record_checks, records_of, was_checked
from pipeline.stats.counts import DOCUMENT_COLUMNS, PAGE_COLUMNS, Counts
from pipeline.stats.fold import RunStats
from pipeline.stats.gpu import GpuSample, GpuSampler, open_gpu_sampler
from pipeline.stats.hours import COUNTED, HourRow, total
from pipeline.stats.runs import (
    RUNS_SCHEMA,
    RunRow,
    RunState,
    job_so_far,
    read_runs,
    settings_text,
    without_userinfo,
    write_run,
)
from pipeline.stats.table import STATS_SCHEMA, hour_rows, table_row, write_stats
from pipeline.stats.times import OVERLAYS, PARTITION, STATES, STEPS, Times

__all__ = [
    "COUNTED",
    "DOCUMENT_COLUMNS",
    "OVERLAYS",
    "PAGE_COLUMNS",
    "PARTITION",
    "RUNS_SCHEMA",
    "STATES",
    "STATS_SCHEMA",
    "STEPS",
    "Counts",
    "GpuSample",
    "GpuSampler",
    "HourRow",
    "RunRow",
    "RunState",
    "RunStats",
    "Times",
    "hour_rows",
    "job_so_far",
    "open_gpu_sampler",
    "page_checks",
    "read_runs",
    "record_checks",
    "records_of",
    "settings_text",
    "table_row",
    "total",
    "was_checked",
    "without_userinfo",
    "write_run",
    "write_stats",
]
