"""Where things stand in an output folder or bucket; docs/output.md is its public description.

<extraction>/pages/part-<shard id>.parquet
<extraction>/documents/part-<shard id>.parquet   the commit marker of the two
<extraction>/stats/<run id>.parquet
"""

from __future__ import annotations

FORMAT_VERSION = "1"
"""Raised when a column is renamed, retyped or removed; new columns do not raise it."""

_SUFFIX = ".parquet"


def table_prefix(extraction: str, table: str) -> str:
    """Return the key under which the parts of `table` ("pages", "documents", "stats") stand, "/" at its end."""
    return f"{extraction}/{table}/"


def part_key(extraction: str, table: str, shard_id: str) -> str:
    """Return the key of a shard's part; pages and documents parts of one shard share the file name."""
    return f"{table_prefix(extraction, table)}part-{shard_id}{_SUFFIX}"


def stats_key(extraction: str, run_id: str) -> str:
    """Return the key of a run's statistics."""
    return f"{table_prefix(extraction, 'stats')}{run_id}{_SUFFIX}"


def is_part(key: str) -> bool:
    """Tell whether `key` names a Parquet file."""
    return key.endswith(_SUFFIX)
