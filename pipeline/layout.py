"""Where things stand in an output folder or bucket; docs/output.md is its public description.

<extraction>/pages/part-<shard id>.parquet
<extraction>/documents/part-<shard id>.parquet   the commit marker of the two
<extraction>/stats/<run id>.parquet
<extraction>/runs/<run id>.parquet
<extraction>/corrections/<session>-<number>.parquet   what people said of values; see pipeline/corrections
<extraction>/quarantine/<document>/...           for people; no table
<extraction>/_lease                              who writes here
<extraction>/_tagged-<input>                     until when the documents of an input are tagged
_report/                                         `pagemill report`: for people; no table
"""

from __future__ import annotations

import hashlib
import os
import re
from urllib.parse import unquote_to_bytes

FORMAT_VERSION = "1"
"""Raised when a column is renamed, retyped or removed; new columns do not raise it."""

_SUFFIX = ".parquet"
_LONGEST_SLUG = 60


def table_prefix(extraction: str, table: str) -> str:
    """Return the key under which the parts of `table` ("pages", "documents", "stats") stand, "/" at its end."""
    return f"{extraction}/{table}/"


def part_key(extraction: str, table: str, shard_id: str) -> str:
    """Return the key of a shard's part; pages and documents parts of one shard share the file name."""
    return f"{table_prefix(extraction, table)}part-{shard_id}{_SUFFIX}"


def pages_key(documents_key: str) -> str:
    """Return the key of the pages part that a documents part makes count."""
    extraction, _, name = documents_key.split("/")
    return table_prefix(extraction, "pages") + name


def name_of(key: str) -> str:
    """Return the name of a file, without the folders above it."""
    return key.rpartition("/")[2]


def stats_key(extraction: str, run_id: str) -> str:
    """Return the key of a run's statistics."""
    return f"{table_prefix(extraction, 'stats')}{run_id}{_SUFFIX}"


def run_key(extraction: str, run_id: str) -> str:
    """Return the key of what is known of a run."""
    return f"{table_prefix(extraction, 'runs')}{run_id}{_SUFFIX}"


def quarantine_prefix(extraction: str) -> str:
    """Return the key under which failed pages are laid out for people, "/" at its end."""
    return f"{extraction}/quarantine/"


def quarantine_folder(extraction: str, uri: str) -> str:
    """Return the key under which the failed pages of a document stand, "/" at its end.

    A hash of `uri` tells documents apart, what can be shown of its file name tells people which one it is.
    """
    name = os.fsdecode(unquote_to_bytes(uri.rpartition("/")[2]))
    slug = re.sub(r"[^A-Za-z0-9.]+", "-", name)[:_LONGEST_SLUG].strip("-.") or "document"
    digest = hashlib.sha256(uri.encode(errors="surrogatepass")).hexdigest()[:12]
    return f"{quarantine_prefix(extraction)}{slug}-{digest}/"


def quarantine_key(extraction: str, uri: str, page_number: int | None, suffix: str = ".json") -> str:
    """Return the key of a failed page, or of a document that could not be opened; an image is a ".png"."""
    name = "document" if page_number is None else f"page-{page_number:04}"
    return f"{quarantine_folder(extraction, uri)}{name}{suffix}"


def lease_key(extraction: str) -> str:
    """Return the key that says who writes to an extraction's folder."""
    return f"{extraction}/_lease"


def is_part(key: str) -> bool:
    """Tell whether `key` names a Parquet file."""
    return key.endswith(_SUFFIX)
