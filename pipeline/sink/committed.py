"""Which documents an output already holds; what a resumed run need not read again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import StorageError
from pipeline.layout import is_part, table_prefix

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.storage import Storage

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_COLUMNS = (
    "source_uri",
    "source_size_bytes",
    "source_modified_at",
    "sha256",
    "fingerprint",
    "finished_at",
    "status",
    "error_type",
    "limits_fingerprint",
)
"""In the order of CommittedDocument's fields."""


class CommittedDocument(NamedTuple):
    """One committed document row; a document that was extracted several times has several."""

    uri: str
    size_bytes: int
    modified_at: datetime | None
    sha256: str | None
    """None when the file could not be read."""
    fingerprint: str
    finished_at: datetime
    """The row with the latest one is the document's current row."""
    status: str
    error_type: str | None
    limits_fingerprint: str | None = None
    """None in parts older than this column."""


def committed_parts(storage: Storage, extraction: str) -> Iterator[str]:
    """Yield the key of the documents part of every committed shard.

    Raises:
        StorageError: the output cannot be listed.
    """
    return (key for key in storage.keys(table_prefix(extraction, "documents")) if is_part(key))


def read_committed(storage: Storage, part: str) -> Iterator[CommittedDocument]:
    """Yield the documents of one part; memory is bounded by one row group.

    Raises:
        StorageError: the part cannot be read, or is no whole Parquet file.
    """
    try:
        with storage.open(part) as file:
            parquet = pq.ParquetFile(file)
            known = set(parquet.schema_arrow.names)
            present = [name for name in _COLUMNS if name in known]
            for batch in parquet.iter_batches(columns=present):
                missing = [None] * batch.num_rows
                columns = (_values(batch[name]) if name in present else missing for name in _COLUMNS)
                yield from map(CommittedDocument._make, zip(*columns, strict=True))
    except (pa.ArrowException, OSError) as error:
        raise StorageError(
            f"The part {part} cannot be read ({error}). Where it is damaged, delete it: its documents are read again."
        ) from error


def _values(column: pa.Array) -> list[Any]:
    """Return a column as Python objects; times at a fifth of what Arrow takes for those with a time zone."""
    if column.type != pa.timestamp("us", tz="UTC"):
        values: list[Any] = column.to_pylist()
        return values
    times = column.cast(pa.int64()).to_pylist()
    return [None if time is None else _EPOCH + timedelta(microseconds=time) for time in times]
