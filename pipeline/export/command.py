"""`pagemill export`."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

from pipeline.errors import ConfigError
from pipeline.export.sheets import Sheet, evidence_sheet, item_sheets, record_sheet
from pipeline.export.target import Target, standard_output
from pipeline.export.text_files import write_csv, write_lines, write_rows
from pipeline.log import printable
from pipeline.results import ExtractionResults, Record, Results, View, open_results
from pipeline.results.conforming import joined_type
from pipeline.show.text import counted

OK = 0


def export(arguments: argparse.Namespace, results: Results) -> int:
    """Write records in another form; return the exit code.

    Raises:
        ConfigError: the arguments do not go together, or there is no such extraction.
        StorageError: something cannot be read or written.
    """
    if arguments.prompts:
        results = open_results(arguments.output, arguments.prompts)
    extraction = the_extraction(results, arguments.only)
    if arguments.to is None and arguments.format in {"xlsx", "labelled"}:
        raise ConfigError(f"--format {arguments.format} needs a place: --to NAME.")
    if arguments.items is not None and arguments.format != "csv":
        raise ConfigError("--items is for --format csv; the other formats have items and records together.")
    view = View(arguments.view)
    match arguments.format:
        case "labelled":
            return _labelled(extraction, view, arguments.to)
        case "xlsx":
            return _workbook(extraction, view, arguments.to)
        case "jsonl":
            return _json_lines(extraction, view, arguments.to)
        case _:
            return _csv(extraction, view, arguments)


def the_extraction(results: Results, name: str | None) -> ExtractionResults:
    """Return the extraction of that name, or the only one.

    Raises:
        ConfigError: there is none of that name, or there are several and none was named.
    """
    if name is not None:
        return results[name]
    if len(results.extractions) != 1:
        names = ", ".join(found.name for found in results.extractions)
        raise ConfigError(f"{results.location} holds several extractions; choose one with --extraction: {names}.")
    return results.extractions[0]


def _csv(extraction: ExtractionResults, view: View, arguments: argparse.Namespace) -> int:
    sheets = _sheets_of(extraction, view)
    records = _records(extraction, view)
    if arguments.items is not None:
        sheets = [_of_items(sheets[1:], arguments.items)]
    defused = not arguments.raw
    if arguments.to is None:
        with standard_output() as stream:
            count = write_csv([(sheets[0], stream)], records, defused=defused)
        return _told(count, extraction, view, [])
    with Target(arguments.to) as target, contextlib.ExitStack() as streams:
        named = [(sheet, streams.enter_context(target.stream(_name(target.name, sheet, sheets)))) for sheet in sheets]
        count = write_csv(named, records, defused=defused)
        streams.close()
        return _told(count, extraction, view, target.finish())


def _sheets_of(extraction: ExtractionResults, view: View) -> list[Sheet]:
    if view is View.FIELDS:
        return [evidence_sheet()]
    kind = joined_type(extraction.record_types())
    return [record_sheet(kind), *item_sheets(kind)]


def _of_items(sheets: Iterable[Sheet], name: str) -> Sheet:
    known = {sheet.name: sheet for sheet in sheets}
    if name not in known:
        raise ConfigError(f"--items {name}: there is no such list of items; there is: {', '.join(known) or 'none'}.")
    return known[name]


def _name(name: str, sheet: Sheet, sheets: list[Sheet]) -> str:
    """Return the file of a table: the first one's is as asked, out.csv; that of items out-line_items.csv."""
    path = Path(name)
    return name if sheet is sheets[0] else f"{path.stem}-{sheet.name}{path.suffix}"


def _json_lines(extraction: ExtractionResults, view: View, to: str | None) -> int:
    def write(stream: TextIO) -> int:
        if view is View.FIELDS:
            return write_rows(stream, _field_rows(extraction))
        return write_lines(stream, extraction.records(view))

    unit = "value" if view is View.FIELDS else "record"
    if to is None:
        with standard_output() as stream:
            return _told(write(stream), extraction, view, [], unit)
    with Target(to) as target:
        with target.stream(target.name) as stream:
            count = write(stream)
        return _told(count, extraction, view, target.finish(), unit)


def _workbook(extraction: ExtractionResults, view: View, to: str) -> int:
    from pipeline.export.excel import write_workbook

    sheets = _sheets_of(extraction, view)
    with Target(to) as target:
        if not target.name.endswith(".xlsx"):
            raise ConfigError(f"--to {to}: Excel opens only files whose name ends in .xlsx.")
        extra = [] if view is View.FIELDS else [evidence_sheet(empty=False)]
        count = write_workbook(target.path(target.name), [*sheets, *extra], _records(extraction, view))
        return _told(count, extraction, view, target.finish())


def _labelled(extraction: ExtractionResults, view: View, to: str) -> int:
    from pipeline.export.labelled import write_labelled

    if view is not View.CURRENT:
        raise ConfigError("--format labelled takes what people have reviewed; leave --view out.")
    found = write_labelled(extraction, to)
    told = counted(found.count, "labelled document")
    sys.stderr.write(f"{told} of {printable(extraction.name)} in {printable(to)}\n")
    if not found.count:
        sys.stderr.write("  nobody has accepted or corrected a value yet: `pagemill review` is for that\n")
    for reason, count in found.left_out.items():
        sys.stderr.write(f"  left out: {count:,} {reason}\n")
    return OK


def _records(extraction: ExtractionResults, view: View) -> Iterator[Record]:
    return extraction.records(View.CURRENT if view is View.FIELDS else view)


def _field_rows(extraction: ExtractionResults) -> Iterator[dict[str, Any]]:
    for batch in extraction.view(View.FIELDS):
        yield from batch.to_pylist()


def _told(count: int, extraction: ExtractionResults, view: View, files: list[str], unit: str = "record") -> int:
    where = f" in {', '.join(map(printable, files))}" if files else ""
    sys.stderr.write(f"{counted(count, unit)} of {printable(extraction.name)} ({view}){where}\n")
    return OK
