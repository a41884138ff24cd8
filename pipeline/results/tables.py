"""Reads an output back: one current row per page and document, failures, runs, statistics.

A pages part counts only when the documents part of the same name exists (see sink). Of a
document that was extracted several times, the row that finished last is the current one, and
its pages are those of the same part.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.data import Status
from pipeline.errors import StorageError
from pipeline.layout import pages_key, table_prefix
from pipeline.storage import Storage

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_INDEX_COLUMNS = ("source_uri", "finished_at", "status", "pages_ok", "pages_failed", "run_id")
_RUN_COLUMNS = ("run_id", "engine", "model", "revision", "fingerprint", "pagemill_version")
_RUN_FOLDS = {"started_at": "min", "finished_at": "max", "pages_ok": "sum", "pages_failed": "sum", "documents": "sum"}
_ROWS = 1024
"""Of a batch of documents: a record may hold a document's whole text."""
_FAILURE_COLUMNS = ("source_uri", "page_number", "error_type", "error_message", "num_tries", "run_id", "finished_at")


@dataclass(frozen=True, slots=True)
class Totals:
    """Current documents and pages by status."""

    documents_ok: int
    documents_failed: int
    pages_ok: int
    pages_failed: int


class ExtractionTables:
    """The rows that one extraction has left in an output, as they were written; pruned to the columns asked for."""

    def __init__(self, storage: Storage, name: str, keys: Sequence[str], run_id: str | None = None) -> None:
        self.name = name
        self.run_id = run_id
        """Set when only the rows of one run are looked at."""
        self._storage = storage
        self._keys = keys
        self.document_parts = tuple(key for key in keys if key.startswith(table_prefix(name, "documents")))
        wanted = {pages_key(key) for key in self.document_parts}
        self.page_parts = tuple(key for key in keys if key in wanted)
        self.stats_files = tuple(key for key in keys if key.startswith(table_prefix(name, "stats")))
        self.run_files = tuple(key for key in keys if key.startswith(table_prefix(name, "runs")))

    def totals(self) -> Totals:
        """Count the current rows."""
        index = self._current
        ok = pc.sum(pc.equal(index["status"], Status.OK.value)).as_py() or 0
        return Totals(
            documents_ok=ok,
            documents_failed=index.num_rows - ok,
            pages_ok=pc.sum(index["pages_ok"]).as_py() or 0,
            pages_failed=pc.sum(index["pages_failed"]).as_py() or 0,
        )

    def documents(self, columns: Sequence[str] | None = None, *, first: int | None = None) -> pa.Table:
        """Return the current document rows by `source_uri`, at most `first` of them."""
        chosen = self._current if first is None else self._current.slice(0, first)
        tables = []
        for key, rows in self._by_part(chosen):
            table = self._read(key, columns).take(rows["row"])
            tables.append(table.append_column("order", rows["order"]))
        if not tables:
            return pa.table({})
        return _concat(tables).sort_by("order").drop_columns("order")

    def document_batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Yield the current document rows, part by part; memory is bounded by a row group.

        Parts written under different schemas differ in the type of `record`, and older ones lack columns.
        """
        for key, rows in self._by_part(self._current):
            wanted = np.sort(rows["row"].to_numpy())
            with self._parquet(key) as parquet:
                start = 0
                for batch in parquet.iter_batches(_ROWS, columns=_present(parquet, columns)):
                    here = wanted[(wanted >= start) & (wanted < start + batch.num_rows)] - start
                    start += batch.num_rows
                    if len(here):
                        yield batch if len(here) == batch.num_rows else batch.take(pa.array(here))

    def documents_at(
        self, source_uris: Sequence[str], columns: Sequence[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Yield the current rows of these documents, part by part, without the rest of the parts."""
        found = self._current.filter(
            pc.is_in(self._current["source_uri"], value_set=pa.array(source_uris, pa.string()))
        )
        for key, rows in self._by_part(found):
            yield from self._read(key, columns).take(rows["row"]).combine_chunks().to_batches()

    def pages_of(self, source_uri: str, columns: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """Return the current page rows of one document, in page order."""
        row = self._current.filter(pc.equal(self._current["source_uri"], source_uri))
        found: list[dict[str, Any]] = []
        wanted = None if columns is None else [*columns, "page_number"]
        for key, rows in self._by_part(row):
            for batch in self._pages_of(pages_key(key), rows["source_uri"], wanted):
                found += batch.to_pylist(maps_as_pydicts="lossy")
        return sorted(found, key=lambda page: page["page_number"] or 0)

    def record_types(self) -> list[pa.DataType]:
        """Return the types of `record` in the parts that hold current rows, each once."""
        types: list[pa.DataType] = []
        for key, _ in self._by_part(self._current):
            with self._parquet(key) as parquet:
                kind = parquet.schema_arrow.field("record").type
            if kind not in types:
                types.append(kind)
        return types

    def page_batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Yield the current page rows, part by part; memory is bounded by a row group.

        Parts written under different schemas differ in the type of `record`.
        """
        for key, rows in self._by_part(self._current):
            yield from self._pages_of(pages_key(key), rows["source_uri"], columns)

    def pages(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Return the current page rows in no particular order; name columns where the output is large."""
        return _concat([pa.Table.from_batches([batch]) for batch in self.page_batches(columns)])

    def failures(self) -> pa.Table:
        """Return one row per failed current page, and per document that failed although its pages are ok.

        Columns: source_uri, page_number, error_type, error_message, num_tries, run_id, finished_at.
        """
        failed = self._current.filter(pc.equal(self._current["status"], Status.FAILED.value))
        tables = [
            pa.Table.from_batches([batch.filter(pc.equal(batch["status"], Status.FAILED.value))])
            for key, rows in self._by_part(failed.filter(pc.greater(failed["pages_failed"], 0)))
            for batch in self._pages_of(pages_key(key), rows["source_uri"], (*_FAILURE_COLUMNS, "status"))
        ]
        tables += [
            self._read(key, _FAILURE_COLUMNS).take(rows["row"])
            for key, rows in self._by_part(failed.filter(pc.equal(failed["pages_failed"], 0)))
        ]
        if not tables:
            return pa.table({name: pa.array([], pa.null()) for name in _FAILURE_COLUMNS})
        return (
            _concat(tables)
            .select(_FAILURE_COLUMNS)
            .sort_by([("source_uri", "ascending"), ("page_number", "ascending")])
        )

    def runs(self) -> pa.Table:
        """Return one row per run that committed documents, oldest first, superseded documents counted too."""
        columns = (*_RUN_COLUMNS, *_RUN_FOLDS)
        # Part by part: rows of a million documents say little more than their sums.
        tables = [_folded(_with_ones(self._read(key, columns))) for key in self.document_parts]
        return _folded(_concat(tables)).sort_by("started_at") if tables else pa.table({})

    def last_run(self) -> dict[str, Any] | None:
        """Return the row of the run that began last, or of the one that is looked at; None when there is none."""
        # Names begin with the time.
        files = [key for key in self.run_files if self.run_id in {None, _stem(key)}]
        return self._read(files[-1], None).to_pylist()[0] if files else None

    def stats(self) -> pa.Table:
        """Return the rows of the statistics, one per run and clock hour, oldest first."""
        tables = [self._read(key, None) for key in self.stats_files if self.run_id in {None, _stem(key)}]
        return _concat(tables).sort_by("hour") if tables else pa.table({})

    @cached_property
    def _current(self) -> pa.Table:
        """One row per current document by `source_uri`: _INDEX_COLUMNS, `part`, `row` in it, `order` here."""
        tables = []
        for part, key in enumerate(self.document_parts):
            table = self._read(key, _INDEX_COLUMNS, repeated=("status", "run_id"))
            count = table.num_rows
            table = table.append_column("part", pa.repeat(pa.scalar(part, pa.int32()), count))
            tables.append(table.append_column("row", pa.array(np.arange(count, dtype=np.int32))))
        if not tables:
            return _empty_index()
        current = _latest(pa.concat_tables(tables, promote_options="default").unify_dictionaries())
        if self.run_id is not None:
            current = current.filter(pc.equal(current["run_id"], self.run_id))
        return current.append_column("order", pa.array(np.arange(current.num_rows)))

    def _by_part(self, index: pa.Table) -> Iterator[tuple[str, pa.Table]]:
        """Yield (key of the documents part, its rows of `index`)."""
        for part in sorted(pc.unique(index["part"]).to_pylist()):
            yield self.document_parts[part], index.filter(pc.equal(index["part"], part))

    def _read(self, key: str, columns: Sequence[str] | None, *, repeated: Sequence[str] = ()) -> pa.Table:
        """Return a part's rows; the columns `repeated` hold each value once, as dictionaries."""
        with self._parquet(key, repeated) as parquet:
            return parquet.read(columns=_present(parquet, columns)).replace_schema_metadata(None)

    def _pages_of(self, key: str, uris: pa.ChunkedArray, columns: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
        asked = None if columns is None else {name.partition(".")[0] for name in columns}
        with self._parquet(key) as parquet:
            wanted = None if columns is None else list(dict.fromkeys((*columns, "source_uri")))
            for batch in parquet.iter_batches(columns=_present(parquet, wanted)):
                kept = batch.filter(pc.is_in(batch["source_uri"], value_set=uris.combine_chunks()))
                if kept.num_rows:
                    yield kept.select([name for name in kept.schema.names if asked is None or name in asked])

    @contextlib.contextmanager
    def _parquet(self, key: str, repeated: Sequence[str] = ()) -> Iterator[pq.ParquetFile]:
        try:
            with self._storage.open(key) as file:
                yield pq.ParquetFile(file, read_dictionary=list(repeated))
        except (pa.ArrowException, OSError) as error:
            raise StorageError(f"The file {key} cannot be read: {error}.") from error


def _latest(rows: pa.Table) -> pa.Table:
    """Return of each document the row that finished last, in the last part where several did, by `source_uri`.

    Memory: two copies of the URIs beside `rows`; a hash table of a million of them would take more.
    """
    keys = [(name, "ascending") for name in ("source_uri", "finished_at", "part")]
    rows = rows.take(pc.sort_indices(rows, sort_keys=keys))
    uris = rows["source_uri"].combine_chunks()
    is_last = np.ones(len(uris), dtype=bool)
    is_last[:-1] = pc.not_equal(uris[:-1], uris[1:])
    return rows if is_last.all() else rows.filter(pa.array(is_last))


def _with_ones(documents: pa.Table) -> pa.Table:
    return documents.append_column("documents", pa.array(np.ones(documents.num_rows, dtype=np.int64)))


def _folded(rows: pa.Table) -> pa.Table:
    """Return one row per run; folding what is folded again changes nothing."""
    names = [name for name in _RUN_COLUMNS if name in rows.column_names]
    folds = [(name, fold) for name, fold in _RUN_FOLDS.items() if name in rows.column_names]
    folded = rows.group_by(names).aggregate(folds).select([*names, *map("_".join, folds)])
    return folded.rename_columns([*names, *(name for name, _ in folds)])


def _stem(key: str) -> str:
    return key.rpartition("/")[2].removesuffix(".parquet")


def _present(parquet: pq.ParquetFile, columns: Sequence[str] | None) -> list[str] | None:
    """Drop the names a part does not have: it may be older than a column."""
    if columns is None:
        return None
    return [name for name in columns if name.partition(".")[0] in parquet.schema_arrow.names]


def _empty_index() -> pa.Table:
    types: dict[str, Any] = {"finished_at": pa.timestamp("us", tz="UTC"), "source_uri": pa.string()}
    types |= {"status": pa.string(), "run_id": pa.string()}
    names = (*_INDEX_COLUMNS, "part", "row", "order")
    return pa.schema([(name, types.get(name, pa.int64())) for name in names]).empty_table()


def _concat(tables: Sequence[pa.Table]) -> pa.Table:
    """Put tables under each other; columns that some lack are null there.

    Where an extraction's schema has changed so much that its types cannot be joined, `record`
    becomes JSON text in all rows.
    """
    if not tables:
        return pa.table({})
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.concat_tables([_with_json_record(table) for table in tables], promote_options="permissive")


def _with_json_record(table: pa.Table) -> pa.Table:
    if "record" in table.column_names:
        place = table.column_names.index("record")
        table = table.set_column(place, "record", pa.array(map(_json, table["record"].to_pylist()), pa.string()))
    if "records" in table.column_names:
        place = table.column_names.index("records")
        kind = table.schema.field(place).type.value_type
        fields = [field.with_type(pa.string()) if field.name == "record" else field for field in kind]
        rows = [[{**one, "record": _json(one["record"])} for one in row or ()] for row in table["records"].to_pylist()]
        table = table.set_column(place, "records", pa.array(rows, pa.list_(pa.struct(fields))))
    return table


def _json(value: Any) -> str | None:
    return json.dumps(value, default=str) if value is not None else None
