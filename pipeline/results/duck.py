"""The views of an output in DuckDB, a schema for each extraction: `SELECT * FROM invoice.current`.

The rows are copied once to a local Parquet file, piece by piece, as DuckDB can read neither what people corrected
nor, without a download, a bucket. What is written to the output later is not seen.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import ConfigError
from pipeline.results.logical import IN_DOUBT
from pipeline.results.views import View

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import duckdb

    from pipeline.results.output import ExtractionResults

_DOUBTFUL = " OR ".join(f"starts_with(reason, '{beginning}')" for beginning in IN_DOUBT)
_FILTERS = {
    View.NEEDS_REVIEW: "needs_review",
    View.DOUBTFUL: f"len(list_filter(review_reasons, lambda reason: {_DOUBTFUL})) > 0",
}


def connect(extractions: Sequence[ExtractionResults], views: Collection[View]) -> duckdb.DuckDBPyConnection:
    """Return a connection with these views; the copies are deleted once it is closed and forgotten.

    Raises:
        ConfigError: DuckDB is not installed.
        StorageError: a file cannot be read.
    """
    try:
        import duckdb
    except ImportError:
        raise ConfigError("DuckDB is not installed: `pip install duckdb`, or use view(), which gives Arrow.") from None
    connection = duckdb.connect()
    folder = tempfile.mkdtemp(prefix="pagemill-duckdb-")
    weakref.finalize(connection, shutil.rmtree, folder, ignore_errors=True)
    for number, extraction in enumerate(extractions):
        schema = _quoted(extraction.name)
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        for view in views:
            if view in _FILTERS:
                query = f"SELECT * FROM {schema}.current WHERE {_FILTERS[view]}"  # noqa: S608 - our own words
            else:
                path = Path(folder, f"{number}-{view}.parquet")
                _copy(extraction.view(view), path)
                query = f"SELECT * FROM read_parquet({_text(str(path))})"  # noqa: S608 - quoted
            connection.execute(f"CREATE VIEW {schema}.{_quoted(view)} AS {query}")
    return connection


def _copy(rows: pa.RecordBatchReader, path: Path) -> None:
    with pq.ParquetWriter(path, rows.schema, compression="zstd") as writer:
        for batch in rows:
            writer.write_batch(batch)


def _quoted(name: str) -> str:
    doubled = name.replace('"', '""')
    return f'"{doubled}"'


def _text(value: str) -> str:
    doubled = value.replace("'", "''")
    return f"'{doubled}'"
