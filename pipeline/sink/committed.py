"""Which documents an output already holds; what a resumed run need not read again."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pyarrow.parquet as pq

from pipeline.layout import is_part, table_prefix

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from pipeline.storage import Storage

_COLUMNS = (
    "source_uri",
    "source_size_bytes",
    "source_modified_at",
    "sha256",
    "fingerprint",
    "finished_at",
    "status",
    "error_type",
)


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


def committed_documents(storage: Storage, extraction: str) -> Iterator[CommittedDocument]:
    """Yield the documents of every committed shard; memory is bounded by one row group.

    Raises:
        StorageError: the output cannot be read.
    """
    for key in storage.keys(table_prefix(extraction, "documents")):
        if is_part(key):
            with storage.open(key) as file:
                for batch in pq.ParquetFile(file).iter_batches(columns=list(_COLUMNS)):
                    columns = (batch.column(name).to_pylist() for name in _COLUMNS)
                    yield from map(CommittedDocument._make, zip(*columns, strict=True))
