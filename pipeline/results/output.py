"""An output and its extractions, as their readers see them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipeline.corrections import Corrections
from pipeline.errors import ConfigError
from pipeline.layout import is_part
from pipeline.results.conforming import conform, joined_type
from pipeline.results.tables import ExtractionTables
from pipeline.results.views import (
    DOCUMENT_COLUMNS,
    FIELDS,
    View,
    candidates,
    chosen,
    corrected,
    field_rows,
    records_of,
    rows_of,
    view_schema,
)
from pipeline.storage import Storage, open_storage

if TYPE_CHECKING:
    import duckdb
    from pydantic import BaseModel

    from pipeline.results.logical import Record
    from pipeline.rules import Rule

_DEPTH = 3
"""Parts of the key of a file with rows: extraction, table, file."""
_FIELD_ROWS = 10_000
"""Of a batch."""


def open_results(output: str, prompts: Iterable[str | Path] = ()) -> Results:
    """Return what stands in an output folder or bucket, as of now.

    Args:
        prompts: folders with extraction folders of your own; with the schema at hand, rules are held against
            corrected records, too.

    Raises:
        ConfigError: `output` is no folder or bucket URL.
        StorageError: it cannot be listed.
    """
    return Results(output, open_storage(output), [Path(folder) for folder in prompts])


class Results:
    """An output, extraction by extraction."""

    def __init__(self, location: str, storage: Storage, prompts: Sequence[Path] = ()) -> None:
        self.location = location.rstrip("/")
        keys: dict[str, list[str]] = {}
        for key in (file.key for file in storage.files(depth=_DEPTH)):
            if is_part(key) and key.count("/") == _DEPTH - 1:
                keys.setdefault(key.partition("/")[0], []).append(key)
        self.extractions = tuple(
            ExtractionResults(storage, name, sorted(keys[name]), prompts=prompts) for name in sorted(keys)
        )
        self.is_extraction = not keys and any(map(is_part, storage.keys("documents/")))
        """Whether the location is no output but an extraction's folder in one."""

    def __getitem__(self, extraction: str) -> ExtractionResults:
        """Return one extraction's results.

        Raises:
            ConfigError: there are none of that name; says which there are.
        """
        for found in self.extractions:
            if found.name == extraction:
                return found
        names = ", ".join(found.name for found in self.extractions) or "none"
        raise ConfigError(f"{self.location} holds no results of {extraction!r}; it holds: {names}.")

    def duckdb(self, views: Iterable[View | str] = tuple(View)) -> duckdb.DuckDBPyConnection:
        """Return a DuckDB connection in which each extraction is a schema with these views: `invoice.current`.

        They are as of now. Their rows are copied to TMPDIR once, also those of a bucket; leave out `fields`, which
        takes longest, where you do not need it.

        Raises:
            ConfigError: DuckDB is not installed, or there is no such view.
            StorageError: a file cannot be read.
        """
        from pipeline.results.duck import connect

        asked = {_view(view) for view in views}
        needed = asked if asked <= {View.FIELDS} else asked | {View.CURRENT}
        return connect(self.extractions, [view for view in View if view in needed])


class ExtractionResults(ExtractionTables):
    """What one extraction has left in an output, with what people corrected."""

    def __init__(
        self,
        storage: Storage,
        name: str,
        keys: Sequence[str],
        run_id: str | None = None,
        prompts: Sequence[Path] = (),
    ) -> None:
        super().__init__(storage, name, keys, run_id)
        self.storage = storage
        self._prompts = prompts

    def of_run(self, run_id: str) -> ExtractionResults:
        """Return a view of the current rows and the statistics of one run."""
        return ExtractionResults(self._storage, self.name, self._keys, run_id, self._prompts)

    def view(self, view: View | str = View.CURRENT) -> pa.RecordBatchReader:
        """Return a view's rows, with what people corrected, in no particular order; memory is bounded by a row group.

        Raises:
            ConfigError: there is no such view.
            StorageError: a file cannot be read; while rows are read, too.
        """
        view = _view(view)
        if view is View.FIELDS:
            return pa.RecordBatchReader.from_batches(FIELDS, self._field_batches())
        kind = joined_type(self.record_types())
        batches = (batch for table in self.tables(view) for batch in conform(table, kind).to_batches())
        return pa.RecordBatchReader.from_batches(view_schema(kind), batches)

    def records(self, view: View | str = View.CURRENT) -> Iterator[Record]:
        """Yield a view's records one by one, with what people corrected; memory is bounded by a row group.

        Raises:
            ConfigError: there is no such view, or it is none of records.
            StorageError: a file cannot be read.
        """
        view = _view(view)
        if view is View.FIELDS:
            raise ConfigError("The view 'fields' has no records; look at the fields() of those of another one.")
        for batch in self.document_batches(DOCUMENT_COLUMNS):
            table = candidates(rows_of(batch), view, self.corrections)
            for record in records_of(table, self.name, self.corrections, self.rules):
                if record.is_in(view):
                    yield record

    def tables(self, view: View) -> Iterator[pa.Table]:
        """Yield a view of records in pieces, each with `record` as its part has it."""
        for batch in self.document_batches(DOCUMENT_COLUMNS):
            table = chosen(corrected(rows_of(batch), self.name, self.corrections, self.rules), view)
            if table.num_rows:
                yield table

    def records_at(self, source_uri: str) -> list[Record]:
        """Return the records of one document, in page order; empty when there is no such document."""
        return list(self.records_in([source_uri]))

    def records_in(self, source_uris: Sequence[str]) -> Iterator[Record]:
        """Yield the records of some documents, those of one document together and in page order."""
        for batch in self.documents_at(source_uris, DOCUMENT_COLUMNS):
            yield from records_of(rows_of(batch), self.name, self.corrections, self.rules)

    @cached_property
    def corrections(self) -> Corrections:
        """What people said of values; call its `refresh` to see what they said since."""
        return Corrections.load(self._storage, self.name)

    @cached_property
    def model(self) -> type[BaseModel] | None:
        """The extraction's record model; None where its folder is not at hand or cannot be used."""
        from pipeline.extraction import load_extraction

        try:
            return load_extraction(self.name, self._prompts).model
        except ConfigError:
            return None

    @cached_property
    def rules(self) -> tuple[Rule, ...]:
        """The extraction's rules, as far as its schema is at hand."""
        from pipeline.rules import rules_of

        return rules_of(self.model) if self.model else ()

    def _field_batches(self) -> Iterator[pa.RecordBatch]:
        rows: list[dict[str, Any]] = []
        for record in self.records():
            rows += field_rows(record)
            if len(rows) >= _FIELD_ROWS:
                yield pa.RecordBatch.from_pylist(rows, schema=FIELDS)
                rows = []
        if rows:
            yield pa.RecordBatch.from_pylist(rows, schema=FIELDS)


def _view(name: View | str) -> View:
    try:
        return View(name)
    except ValueError:
        raise ConfigError(f"There is no view {name!r}, only {', '.join(View)}.") from None
