"""Prints results for a person."""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING, TextIO

import pyarrow.compute as pc
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.data import Status
from pipeline.results import Totals
from pipeline.show.records import conflict_lines, record_rows, record_table
from pipeline.show.statistics import hour_table, run_line, summary_lines
from pipeline.show.text import clipped_left, counted, labels, printable
from pipeline.stats import hour_rows, total

if TYPE_CHECKING:
    import pyarrow as pa

    from pipeline.data import Json
    from pipeline.results import ExtractionResults, Results

_NARROWEST, _WIDEST = 80, 120
_HOURS_SHOWN = 24
_EXAMPLES, _WIDEST_NAME = 3, 32
_CONFLICTS_SHOWN = 5
DOUBTFUL = {
    "truncated": "read as far as the file goes",
    "page_tree_mismatch": "with other pages than the file says",
    "merged_cut": "too long for one row: the pages have all of it",
}
"""Flags that say of a document that something may be missing, and what."""
_RECORD_COLUMNS = ("source_uri", "status", "pages_ok", "pages_failed", "record", "num_records", "conflicts")


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Leave it to the caller that the reader has gone; rich would exit with 1, as if pages had failed."""
        raise  # noqa: PLE0704 - rich calls this where it handles the BrokenPipeError


def print_results(
    results: Results,
    stream: TextIO,
    *,
    limit: int = 20,
    extraction: str | None = None,
    run_id: str | None = None,
) -> None:
    """Print records, failures, statistics and paths, extraction by extraction.

    Everything that comes from documents is escaped: it can neither style nor steer the terminal.

    Args:
        limit: records and failures shown of each extraction at most; the others are counted.
        extraction: only this one.
        run_id: only what this run did.

    Raises:
        StorageError: the output cannot be read.
    """
    console = _Console(file=stream, highlight=False, markup=False, emoji=False)
    known_width = console.is_terminal or "COLUMNS" in os.environ
    console.width = min(max(console.width, _NARROWEST), _WIDEST) if known_width else _WIDEST
    shown = [found for found in results.extractions if extraction in {None, found.name}]
    if not shown:
        console.print(f"No results in {printable(results.location)}.")
    for found in shown:
        _print_extraction(console, results.location, found.of_run(run_id) if run_id else found, limit)


def _print_extraction(console: Console, location: str, results: ExtractionResults, limit: int) -> None:
    _print_title(console, results)
    _print_last_run(console, results)
    if results.run_id is not None and results.totals() == Totals(0, 0, 0, 0):
        console.print(f"This run added nothing; `pagemill show {printable(location)}` prints what is there.\n")
    _print_records(console, results, limit)
    _print_doubtful(console, results)
    _print_failures(console, results.failures(), limit)
    _print_statistics(console, results.stats())
    _print_paths(console, location, results)


def _print_title(console: Console, results: ExtractionResults) -> None:
    counts = results.totals()
    documents, pages = counts.documents_ok + counts.documents_failed, counts.pages_ok + counts.pages_failed
    console.print(Text(printable(results.name), "bold"), end="")
    console.print(f": {counted(documents, 'document')} ({counts.documents_failed:,} failed), ", end="")
    console.print(f"{counted(pages, 'page')} ({counts.pages_failed:,} failed)\n")


def _print_last_run(console: Console, results: ExtractionResults) -> None:
    run = results.last_run()
    line = run_line(run) if run else None
    if line:
        console.print(Text(line, "bold"), end="\n\n")


def _print_records(console: Console, results: ExtractionResults, limit: int) -> None:
    documents = results.documents(_RECORD_COLUMNS, first=limit)
    if not documents.num_rows:
        return
    rows = record_rows(documents, _parts(results, documents))
    table, dropped = record_table(rows[:limit], documents["record"].type, console.width)
    console.print(table)
    counts = results.totals()
    _print_rest(console, len(rows) - limit, "record of these documents", "records of these documents")
    _print_rest(console, counts.documents_ok + counts.documents_failed - documents.num_rows, "document")
    if dropped:
        console.print(Text(f"No room for: {', '.join(map(printable, dropped))}; the files have them.", "dim"))
    console.print()
    _print_conflicts(console, list(conflict_lines(rows[:limit])))


def _parts(results: ExtractionResults, documents: pa.Table) -> dict[str, list[Json]]:
    """Return the records of those documents that have several; older ones have not."""
    if "num_records" not in documents.column_names:
        return {}
    several = pc.fill_null(pc.greater(documents["num_records"], 1), fill_value=False)
    wanted = documents.filter(several)["source_uri"].to_pylist()
    batches = results.documents_at(wanted, ("source_uri", "records")) if wanted else ()
    return {row["source_uri"]: row["records"] for batch in batches for row in batch.to_pylist()}


def _print_conflicts(console: Console, lines: list[str]) -> None:
    if not lines:
        return
    console.print(Text("Pages of one record that say different things", "bold"), end="\n\n")
    for line in lines[:_CONFLICTS_SHOWN]:
        console.print(Text(line, "yellow"), soft_wrap=True)
    _print_rest(console, len(lines) - _CONFLICTS_SHOWN, "conflict")
    console.print()


def _print_doubtful(console: Console, results: ExtractionResults) -> None:
    """Name the documents of which something may be missing although they are ok."""
    documents = results.documents(("source_uri", "status", "flags"))
    if not documents.num_rows:
        return
    documents = documents.filter(pc.equal(documents["status"], Status.OK.value))
    # Most documents have no flag: only the others become Python objects.
    documents = documents.filter(pc.greater(pc.list_value_length(documents["flags"]), 0))
    flagged = list(zip(documents["source_uri"].to_pylist(), documents["flags"].to_pylist(), strict=True))
    for flag, meaning in DOUBTFUL.items():
        if found := [uri for uri, flags in flagged if flag in flags]:
            names = ", ".join(clipped_left(label, _WIDEST_NAME) for label in labels(found[:_EXAMPLES]))
            more = ", …" if len(found) > _EXAMPLES else ""
            told = f"{counted(len(found), 'document')} {meaning} ({flag}): {names}{more}"
            console.print(Text(told, "yellow"), end="\n\n")


def _print_failures(console: Console, failures: pa.Table, limit: int) -> None:
    if not failures.num_rows:
        return
    reasons = Counter(failures["error_type"].to_pylist()).most_common()
    summary = ", ".join(f"{count:,} {printable(reason or 'unknown')}" for reason, count in reasons)
    console.print(Text.assemble(("Failures", "bold"), f": {summary}\n"))
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold", show_edge=False)
    table.add_column("document", no_wrap=True)
    table.add_column("page", justify="right", no_wrap=True)
    table.add_column("reason", no_wrap=True)
    table.add_column("message", overflow="fold")
    rows = failures.slice(0, limit).to_pylist()
    for label, row in zip(labels([row["source_uri"] for row in rows]), rows, strict=True):
        page = "" if row["page_number"] is None else str(row["page_number"])
        values = (clipped_left(label, 32), page, row["error_type"] or "", printable(row["error_message"] or ""))
        table.add_row(*(Text(value) for value in values))
    console.print(table)
    _print_rest(console, failures.num_rows - len(rows), "failure")
    console.print()


def _print_statistics(console: Console, stats: pa.Table) -> None:
    hours = list(hour_rows(stats)) if stats.num_rows else []
    if not hours:
        return
    whole = total(hours)
    console.print(Text("Statistics", "bold"), end="\n\n")
    console.print(hour_table(hours[-_HOURS_SHOWN:], whole))
    _print_rest(console, len(hours) - _HOURS_SHOWN, "earlier hour")
    for line in summary_lines(whole):
        console.print(line)
    console.print()


def _print_paths(console: Console, location: str, results: ExtractionResults) -> None:
    console.print(Text("Files", "bold"), end="\n\n")
    kinds = {"documents": results.document_parts, "pages": results.page_parts}
    kinds |= {"stats": results.stats_files, "runs": results.run_files}
    for kind, files in kinds.items():
        # Not wrapped: a path is there to be copied.
        path = f"{location}/{results.name}/{kind}/"
        console.print(Text(f"{printable(path)} ({counted(len(files), 'Parquet file')})"), soft_wrap=True)
    console.print()


def _print_rest(console: Console, count: int, what: str, whats: str = "") -> None:
    if count > 0:
        console.print(Text(f"… and {counted(count, f'more {what}', whats and f'more {whats}')}", "dim"))
