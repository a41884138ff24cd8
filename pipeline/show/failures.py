"""What failed and what helps, by reason; for people, and as JSON lines for programs."""

from __future__ import annotations

import json
from functools import cached_property
from typing import TYPE_CHECKING, Any, TextIO

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import log
from pipeline.data import DocumentRef
from pipeline.errors import WHAT_HELPS, ErrorType
from pipeline.layout import quarantine_key, quarantine_prefix
from pipeline.show.text import counted, printable
from pipeline.storage import open_storage

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from pipeline.results import ExtractionResults, Results

_EXAMPLES, _LISTED = 3, 20
"""Failures of a reason that are shown: of every reason, and of a reason that is asked for."""
_UNKNOWN = "unknown"


class Failures:
    """The current failures of one extraction."""

    def __init__(self, location: str, results: ExtractionResults, reasons: Collection[ErrorType] = ()) -> None:
        """Read them.

        Args:
            reasons: only these; none means all.

        Raises:
            StorageError: the output cannot be read.
        """
        self.extraction = results.name
        self._location = location
        rows = results.failures()
        self._rows = rows.set_column(
            rows.column_names.index("error_type"), "error_type", pc.fill_null(_text(rows["error_type"]), _UNKNOWN)
        )
        self.present = _counts(self._rows)
        """Failed pages by reason, most first, whichever are asked for."""
        if reasons:
            self._rows = self._rows.filter(pc.is_in(self._rows["error_type"], pa.array(list(reasons), pa.string())))
        self.counts = _counts(self._rows)
        """The same of those that are asked for."""

    def documents(self, reason: str) -> int:
        """Count the documents that failed for a reason, in whole or in part."""
        return int(pc.count_distinct(self._of(reason)["source_uri"]).as_py())

    def rows(self, reason: str, limit: int | None = None) -> Iterator[dict[str, Any]]:
        """Yield the failures of a reason by `source_uri` and page, each with the place of its entry in the quarantine.

        Args:
            limit: at most so many.
        """
        for batch in self._of(reason).slice(0, limit).to_batches(max_chunksize=1024):
            for row in batch.to_pylist():
                key = quarantine_key(self.extraction, row["source_uri"], row["page_number"])
                yield row | {"quarantine": f"{self._location}/{key}" if key in self._entries else None}

    def _of(self, reason: str) -> pa.Table:
        return self._rows.filter(pc.equal(self._rows["error_type"], reason))

    @cached_property
    def _entries(self) -> frozenset[str]:
        return frozenset(open_storage(self._location).keys(quarantine_prefix(self.extraction)))


def print_failures(
    results: Results,
    stream: TextIO,
    *,
    extraction: str | None = None,
    reasons: Collection[ErrorType] = (),
    limit: int | None = None,
) -> None:
    """Print the current failures by reason, most frequent first, with examples and what helps.

    Everything that comes from documents is escaped: it cannot steer the terminal.

    Args:
        extraction: only this one.
        reasons: only these, then with the places of their entries in the quarantine; none means all.
        limit: failures of each reason that are shown.

    Raises:
        StorageError: the output cannot be read.
    """
    for failures in _chosen(results, extraction, reasons):
        _print(failures, stream, limit, listed=bool(reasons))


def print_failures_json(
    results: Results,
    stream: TextIO,
    *,
    extraction: str | None = None,
    reasons: Collection[ErrorType] = (),
    limit: int | None = None,
) -> None:
    """Print one JSON object a line for each current failure; arguments and errors as of `print_failures`."""
    for failures in _chosen(results, extraction, reasons):
        for reason in failures.counts:
            about = {"extraction": failures.extraction, "what_helps": what_helps(reason)}
            for row in failures.rows(reason, limit):
                print(json.dumps(about | row, default=str), file=stream)


def _chosen(results: Results, extraction: str | None, reasons: Collection[ErrorType]) -> Iterator[Failures]:
    for found in results.extractions:
        if extraction in {None, found.name}:
            yield Failures(results.location, found, reasons)


def _print(failures: Failures, stream: TextIO, limit: int | None, *, listed: bool) -> None:
    name = log.printable(failures.extraction)
    if not failures.counts:
        others = f" that way, but {_told(failures.present)}" if failures.present else ""
        print(f"{name}: no page failed{others}.\n", file=stream)
        return
    print(f"{name}: {_told(failures.counts)}\n", file=stream)
    for reason, count in failures.counts.items():
        documents = counted(failures.documents(reason), "document")
        print(f"{printable(reason)}: {counted(count, 'page')} of {documents}", file=stream)
        if helps := what_helps(reason):
            print(f"  what helps: {helps}", file=stream)
        shown = limit if limit is not None else _LISTED if listed else _EXAMPLES
        for row in failures.rows(reason, shown):
            _print_row(row, stream, listed=listed)
        if count > shown:
            hint = "--limit" if listed else f"--reason {printable(reason)}"
            print(f"  … and {count - shown:,} more; {hint} shows more of them", file=stream)
        print(file=stream)


def _print_row(row: dict[str, Any], stream: TextIO, *, listed: bool) -> None:
    name = log.printable(DocumentRef(row["source_uri"], 0, None).name)
    page = "" if row["page_number"] is None else f" page {row['page_number']}"
    print(f"  {name}{page}: {printable(row['error_message'] or '')}", file=stream)
    if listed and row["quarantine"]:
        print(f"    {log.printable(row['quarantine'])}", file=stream)


def _told(counts: dict[str, int]) -> str:
    reasons = ", ".join(f"{count:,} {printable(reason)}" for reason, count in counts.items())
    return f"{counted(sum(counts.values()), 'failed page')}: {reasons}"


def what_helps(reason: str) -> str | None:
    """Return what to do about an error_type; None for one that this version does not know."""
    return WHAT_HELPS[ErrorType(reason)] if reason in set(ErrorType) else None


def _counts(rows: pa.Table) -> dict[str, int]:
    found = {item["values"]: item["counts"] for item in pc.value_counts(_text(rows["error_type"])).to_pylist()}
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def _text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column as text; that of an empty table has no type."""
    return column.cast(pa.string())
