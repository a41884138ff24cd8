"""Rows of one shard -> two Parquet parts, committed all or none."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.errors import StorageError
from pipeline.layout import is_part, part_key, table_prefix
from pipeline.sink.tables import RowTable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from pydantic import BaseModel

    from pipeline.data import DocumentRecord, PageRecord, RunIdentity
    from pipeline.storage import Storage

_CHUNK_ROWS = 64
"""Records held as Python objects: a page's lines and words take a hundred times their size in Arrow."""
_ROW_GROUP_ROWS = 4096
_ROW_GROUP_BYTES = 8 * 2**20
"""Uncompressed; what an open part holds in memory at most, beside its chunk."""


class Committed(NamedTuple):
    """What a commit made part of the output, counted in the finished files and not while rows came."""

    key: str
    """Of the documents part."""
    pages: int
    documents: int


class ShardWriter:
    """Writes a shard's rows to local temporary files as they come, and commits them at the end.

    The pages part is put first, the documents part last: a pages part counts only when the
    documents part of the same name exists, so that one file is the commit marker of both. A
    rerun overwrites both. Memory is bounded by the row group, never by the length of a document.
    """

    def __init__(
        self,
        storage: Storage,
        model: type[BaseModel],
        identity: RunIdentity,
        *,
        folder: Path | None = None,
        before_put: Callable[[], None] = lambda: None,
    ) -> None:
        """Open nothing yet but a temporary folder.

        Args:
            folder: where this folder is made; without one, where the system has temporary files.
            before_put: called before each of the two files of a commit is put; what it raises prevents that.

        Raises:
            ConfigError: a field of `model` cannot become a column.
            StorageError: there is no temporary folder, or it is full.
        """
        self._storage = storage
        self._before_put = before_put
        self._extraction = identity.extraction
        pages, documents = RowTable.of_pages(model, identity), RowTable.of_documents(model, identity)
        with _disk_errors(folder or Path(tempfile.gettempdir())):
            self._folder = Path(tempfile.mkdtemp(prefix="pagemill-shard-", dir=folder))
        # Also when nobody discards, because an error ended the run.
        self._remove_folder = weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
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

    def commit(self, shard_id: str, except_uris: Collection[str] = ()) -> Committed:
        """Make the rows part of the output under a name that stands for what they hold.

        Args:
            except_uris: Documents whose pages are left out: unfinished ones, which have no document row.

        Raises:
            StorageError: nothing counts as committed. When the storage failed, a second call tries
                again with the temporary files, as it does after a Ctrl-C; when these are at fault, it fails again.
        """
        pages, documents = self._pages.finish(), self._documents.finish()
        if except_uris:
            pages = self._without(pages, except_uris)
        key = part_key(self._extraction, "documents", shard_id)
        committed = Committed(key, self._num_rows(pages), self._num_rows(documents))
        self._before_put()
        self._storage.put(part_key(self._extraction, "pages", shard_id), pages)
        self._before_put()
        self._storage.put(key, documents)
        return committed

    def discard(self) -> None:
        """Drop the temporary files, whatever state they are in; a second time this changes nothing."""
        self._pages.close()
        self._documents.close()
        self._remove_folder()

    def _num_rows(self, part: Path) -> int:
        with _disk_errors(self._folder):
            return int(pq.read_metadata(part).num_rows)

    def _without(self, part: Path, uris: Collection[str]) -> Path:
        """Return a copy of a part that lacks the rows of these documents."""
        dropped = pa.array(uris, pa.string())
        with _disk_errors(self._folder), pq.ParquetFile(part) as file:
            with _open_parquet(self._folder / f"kept-{part.name}", file.schema_arrow) as kept:
                for number in range(file.num_row_groups):
                    rows = file.read_row_group(number)
                    kept.write_table(rows.filter(pc.invert(pc.is_in(rows["source_uri"], dropped))))
            return Path(kept.where)


class _Part:
    """One temporary Parquet file: records -> Arrow in small chunks -> row groups."""

    def __init__(self, table: RowTable, path: Path) -> None:
        self._table = table
        self._path = path
        with _disk_errors(path.parent):
            self._writer = _open_parquet(path, table.schema)
        self._failure: BaseException | None = None
        self._records: list[PageRecord | DocumentRecord] = []
        self._batches: list[pa.RecordBatch] = []
        self._batch_bytes = 0

    def add(self, record: PageRecord | DocumentRecord) -> None:
        with self._damage_kept():
            self._records.append(record)
            if len(self._records) >= _CHUNK_ROWS:
                self._convert()

    def finish(self) -> Path:
        """Write what is left and close the file."""
        if self._writer.is_open:
            with self._damage_kept():
                self._convert()
                self._write_row_group()
                with _disk_errors(self._path.parent):
                    self._writer.close()
        return self._path

    def close(self) -> None:
        """Close the file as it is; it is not for use then."""
        self._records.clear()
        self._batches.clear()
        with suppress(Exception):  # it is about to be deleted, and its disk may be full
            self._writer.close()
        self._writer.is_open = False  # or its destructor tries again

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
    def _damage_kept(self) -> Iterator[None]:
        """Remember a failure or a Ctrl-C: later, half a file would pass for a whole one, or rows be written twice."""
        if self._failure:
            raise self._failure
        try:
            yield
        except BaseException as error:
            self._failure = error
            raise


def delete_orphans(storage: Storage, extraction: str) -> int:
    """Delete the pages parts without a documents part, which a run left that died between the two; return how many.

    Only for who holds the extraction's lease: another run's shard looks the same while it is committed.

    Raises:
        StorageError: the output cannot be listed, or a part cannot be deleted.
    """
    pages, documents = (table_prefix(extraction, table) for table in ("pages", "documents"))
    counting = {key.removeprefix(documents) for key in storage.keys(documents)}
    orphans = [key for key in storage.keys(pages) if is_part(key) and key.removeprefix(pages) not in counting]
    for key in orphans:
        storage.delete(key)
    return len(orphans)


def _open_parquet(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    return pq.ParquetWriter(path, schema, compression="zstd", compression_level=3)


@contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, pa.ArrowInvalid) as error:  # the latter: what was written is not there any more
        reason = getattr(error, "strerror", None) or str(error)
        what = f"Rows cannot be written to {folder} (its place is TMPDIR's): {reason.rstrip('.')}"
        raise StorageError(f"{what}; free some space there and run the same command again.") from error
