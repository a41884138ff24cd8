"""Rows of one shard -> two Parquet parts, committed all or none."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import StorageError
from pipeline.layout import part_key
from pipeline.sink.tables import RowTable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import BaseModel

    from pipeline.data import DocumentRecord, PageRecord, RunIdentity
    from pipeline.storage import Storage

_CHUNK_ROWS = 64
"""Records held as Python objects: a page's lines and words take a hundred times their size in Arrow."""
_ROW_GROUP_ROWS = 4096
_ROW_GROUP_BYTES = 32 * 2**20
"""Uncompressed; what an open part holds in memory at most, beside its chunk."""


class ShardWriter:
    """Writes a shard's rows to local temporary files as they come, and commits them at the end.

    The pages part is put first, the documents part last: a pages part counts only when the
    documents part of the same name exists, so that one file is the commit marker of both. A
    rerun overwrites both. Memory is bounded by the row group, never by the length of a document.
    """

    def __init__(self, storage: Storage, model: type[BaseModel], identity: RunIdentity) -> None:
        """Open nothing yet but a temporary folder.

        Raises:
            ConfigError: a field of `model` cannot become a column.
        """
        self._storage = storage
        self._extraction = identity.extraction
        pages, documents = RowTable.of_pages(model, identity), RowTable.of_documents(model, identity)
        self._folder = Path(tempfile.mkdtemp(prefix="pagemill-shard-"))
        self._pages = _Part(pages, self._folder / "pages.parquet")
        self._documents = _Part(documents, self._folder / "documents.parquet")

    def add_page(self, record: PageRecord) -> None:
        """Append a page row.

        Raises:
            StorageError: the temporary folder is full or gone.
        """
        self._pages.add(record)

    def add_document(self, record: DocumentRecord) -> None:
        """Append a document row; its pages were added before.

        Raises:
            StorageError: the temporary folder is full or gone.
        """
        self._documents.add(record)

    def commit(self, shard_id: str) -> None:
        """Make the rows part of the output under a name that stands for what they hold.

        Raises:
            StorageError: nothing counts as committed; the temporary files stay, so a second
                call tries again.
        """
        finished = [("pages", self._pages.finish()), ("documents", self._documents.finish())]
        for table, file in finished:
            self._storage.put(part_key(self._extraction, table, shard_id), file)
        self.discard()

    def discard(self) -> None:
        """Drop the temporary files; after a commit, or a second time, this changes nothing."""
        self._pages.close()
        self._documents.close()
        shutil.rmtree(self._folder, ignore_errors=True)


class _Part:
    """One temporary Parquet file: records -> Arrow in small chunks -> row groups."""

    def __init__(self, table: RowTable, path: Path) -> None:
        self._table = table
        self._path = path
        self._writer = pq.ParquetWriter(path, table.schema, compression="zstd", compression_level=3)
        self._records: list[PageRecord | DocumentRecord] = []
        self._batches: list[pa.RecordBatch] = []
        self._batch_bytes = 0

    def add(self, record: PageRecord | DocumentRecord) -> None:
        self._records.append(record)
        if len(self._records) >= _CHUNK_ROWS:
            self._convert()

    def finish(self) -> Path:
        """Write what is left and close the file."""
        if self._writer.is_open:
            self._convert()
            self._write_row_group()
            with _disk_errors(self._path.parent):
                self._writer.close()
        return self._path

    def close(self) -> None:
        """Close the file as it is; it is not for use then."""
        self._records.clear()
        self._batches.clear()
        with suppress(OSError):
            self._writer.close()

    def _convert(self) -> None:
        if not self._records:
            return
        self._batches.append(self._table.batch(self._records))
        self._batch_bytes += self._batches[-1].nbytes
        self._records = []
        if len(self._batches) * _CHUNK_ROWS >= _ROW_GROUP_ROWS or self._batch_bytes >= _ROW_GROUP_BYTES:
            self._write_row_group()

    def _write_row_group(self) -> None:
        if self._batches:
            table = pa.Table.from_batches(self._batches)
            with _disk_errors(self._path.parent):
                self._writer.write_table(table, row_group_size=table.num_rows)
            self._batches, self._batch_bytes = [], 0


@contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise StorageError(f"Rows cannot be written to {folder} (its place is TMPDIR's): {reason}.") from error
