"""Reading Parquet files of which any may be damaged."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.storage import Storage

_BATCH_ROWS = 256
"""A page may have megabytes of lines and tokens."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong with an output."""

    key: str
    """Of the file it was found in."""
    message: str
    harmless: bool = False
    """Whether it is only what a dead run left behind: readers ignore it, and the next run removes it."""


class DamagedError(Exception):
    """A file cannot be read to its end."""

    def __init__(self, key: str, error: Exception) -> None:
        super().__init__(key)
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        self.problem = Problem(
            key,
            f"The file is damaged: {reason}. Restore it; or delete it and the part of the same name "
            "beside it in pages/ or documents/, and the next run reads its documents again.",
        )


def num_rows(storage: Storage, key: str) -> int:
    """Return how many rows a file says it has; raises DamagedError."""
    with _reading(storage, key) as file:
        return int(file.metadata.num_rows)


def read_rows(
    storage: Storage, key: str, columns: Sequence[str], *, newer: Sequence[str] = ()
) -> Iterator[dict[str, Any]]:
    """Yield these columns of each row; the others are decoded too, as only that shows damage.

    Args:
        newer: Columns that parts of older versions lack, and with them their rows here.

    Raises:
        DamagedError: the file cannot be read to its end, or lacks a column.
        StorageError: it cannot be reached.
    """
    with _reading(storage, key) as file:
        for batch in file.iter_batches(batch_size=_BATCH_ROWS):
            present = [name for name in newer if name in batch.schema.names]
            yield from batch.select([*columns, *present]).to_pylist()


@contextmanager
def _reading(storage: Storage, key: str) -> Iterator[pq.ParquetFile]:
    try:
        with storage.open(key) as file:
            yield pq.ParquetFile(file)
    except (pa.ArrowException, OSError, KeyError) as error:
        raise DamagedError(key, error) from error
