"""Hour rows <-> the stats table."""

from __future__ import annotations

import tempfile
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import StorageError
from pipeline.layout import FORMAT_VERSION, stats_key
from pipeline.stats.checks import FIELDS
from pipeline.stats.hours import HourRow
from pipeline.stats.times import OVERLAYS, PARTITION

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.data import RunIdentity
    from pipeline.storage import Storage

_TEXT, _LONG, _REAL, _MONEY = pa.string(), pa.int64(), pa.float64(), pa.decimal128(18, 6)
_IDENTITY = ("run_id", "extraction", "engine", "model", "revision", "fingerprint", "pagemill_version")
_BUCKETS = pa.list_(pa.struct([("upper_s", _REAL), ("pages", _LONG)]))
_RULES = pa.list_(pa.struct([("rule", _TEXT), ("breaches", _LONG)]))

STATS_SCHEMA = pa.schema(
    [
        ("hour", pa.timestamp("us", tz="UTC")),
        *((name, _LONG) for name in ("documents", "documents_ok", "documents_failed")),
        *((name, _LONG) for name in ("pages", "pages_ok", "pages_failed", "pages_retried", "pages_reused")),
        *((name, _LONG) for name in ("pages_blank", "pages_duplicate", "pages_text_layer")),
        *((name, _LONG) for name in ("pages_unchecked", *FIELDS, "fields_doubtful")),
        *((name, _LONG) for name in ("records", "records_to_review", "breaches")),
        ("breaches_by_rule", _RULES),
        *((name, _LONG) for name in ("prompt_tokens", "output_tokens", "cached_tokens")),
        *((name, _LONG) for name in ("pixels_sent", "pixels_full")),
        *((name, _REAL) for name in ("page_render_s", "page_queue_s", "page_prefill_s", "page_decode_s")),
        *((name, _LONG) for name in ("engine_restarts", "pages_resent")),
        *((name, _REAL) for name in ("wall_s", "busy_s", "busy_share", "pages_per_hour", "documents_per_hour")),
        *((name, _REAL) for name in (*PARTITION, *OVERLAYS)),
        *((name, _REAL) for name in ("success_rate", "latency_p50_s", "latency_p95_s", "latency_p99_s")),
        ("latency_histogram", _BUCKETS),
        *((name, _LONG) for name in ("prefix_cache_queries", "prefix_cache_hits")),
        *((name, _REAL) for name in ("prefix_cache_hit_rate", "kv_cache_usage", "kv_cache_usage_max")),
        ("gpu_name", _TEXT),
        ("gpu_utilisation", _REAL),
        *((name, _LONG) for name in ("gpu_memory_used_bytes", "gpu_memory_total_bytes")),
        *((name, _REAL) for name in ("gpu_power_w", "gpu_energy_wh")),
        ("price_per_hour", _MONEY),
        ("currency", _TEXT),
        *((name, _MONEY) for name in ("cost", "cost_per_1000_pages")),
        *((name, _TEXT) for name in _IDENTITY),
    ]
)
"""One row per clock hour and run; docs/output.md says what the columns mean."""


def write_stats(storage: Storage, identity: RunIdentity, hours: Sequence[HourRow]) -> None:
    """Replace the statistics of a run by `hours`, whole or not at all.

    Raises:
        StorageError: the statistics in the output stay as they were.
    """
    about_run = {name: getattr(identity, name) for name in _IDENTITY}
    rows = [table_row(row) | about_run for row in hours]
    metadata = {"pagemill.format": FORMAT_VERSION, "pagemill.table": "stats"}
    metadata |= {"pagemill.version": identity.pagemill_version, "pagemill.extraction": identity.extraction}
    table = pa.Table.from_pylist(rows, schema=STATS_SCHEMA.with_metadata(metadata))
    put_table(storage, stats_key(identity.extraction, identity.run_id), table)


def put_table(storage: Storage, key: str, table: pa.Table) -> None:
    """Put a small table, whole or not at all.

    Raises:
        StorageError: what stood there stays.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="pagemill-table-") as folder:
            finished = Path(folder) / "table.parquet"
            pq.write_table(table, finished, compression="zstd")
            storage.put(key, finished)
    except OSError as error:
        place = f"{tempfile.gettempdir()} (its place is TMPDIR's)"
        reason = error.strerror or str(error)
        raise StorageError(f"{key} cannot be written in {place}: {reason}; free some space there.") from error


def hour_rows(table: pa.Table) -> Iterator[HourRow]:
    """Yield the rows of a stats table, or of an empty one, as they were before they were written.

    Columns that an older version did not write count as 0.
    """
    if not table.num_rows:
        return
    names = [field.name for field in fields(HourRow) if field.name in table.column_names]
    for row in table.select(names).to_pylist():
        known = {name: value for name, value in row.items() if value is not None}
        buckets = tuple((bucket["upper_s"], bucket["pages"]) for bucket in row["latency_histogram"])
        rules = tuple((one["rule"], one["breaches"]) for one in row.get("breaches_by_rule") or ())
        yield HourRow(**{**known, "latency_histogram": buckets, "breaches_by_rule": rules})


def table_row(row: HourRow) -> dict[str, Any]:
    """Return the columns of `row` by name, those that say which run it was excepted."""
    values = {name: getattr(row, name) for name in STATS_SCHEMA.names if name not in _IDENTITY}
    buckets = [{"upper_s": upper_s, "pages": pages} for upper_s, pages in row.latency_histogram]
    rules = [{"rule": rule, "breaches": times} for rule, times in row.breaches_by_rule]
    return values | {"latency_histogram": buckets, "breaches_by_rule": rules}
