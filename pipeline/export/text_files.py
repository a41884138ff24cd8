"""CSV and JSON lines."""

from __future__ import annotations

import csv
import datetime as dt
import json
import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, TextIO

from pipeline.corrections import as_text
from pipeline.export.sheets import Kind, Sheet, as_object
from pipeline.results import Record

_FORMULA = re.compile(r"[\t\r\n]|\s*[=+\-@＝＋－＠]")
"""How cells begin that spreadsheet programs take for formulas, in East Asian versions also in full width.
Source: OWASP, "CSV Injection"."""


def write_csv(sheets: Iterable[tuple[Sheet, TextIO]], records: Iterable[Record], *, defused: bool = True) -> int:
    """Write each table to its stream, with a header, and return how many records there were.

    Args:
        defused: put an apostrophe before text that a spreadsheet program would run as a formula. Numbers, dates and
            the like stay as they are, negative ones too.
    """
    # Told of both, the writer quotes text with either: a bare carriage return would be the end of a line, too.
    writers = [(sheet, csv.writer(_Lines(stream), lineterminator="\r\n")) for sheet, stream in sheets]
    for sheet, writer in writers:
        writer.writerow([_text(column.name, Kind.TEXT, defused=defused) for column in sheet.columns])
    count = 0
    for count, record in enumerate(records, start=1):  # noqa: B007 - the last one is the count
        for sheet, writer in writers:
            kinds = [column.kind for column in sheet.columns]
            for row in sheet.rows(record):
                writer.writerow([_text(value, kind, defused=defused) for value, kind in zip(row, kinds, strict=True)])
    return count


class _Lines:
    """Writes the lines of a CSV file with the ends that text files have."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, line: str) -> None:
        self._stream.write(line.removesuffix("\r\n") + "\n")


def write_lines(stream: TextIO, records: Iterable[Record]) -> int:
    """Write each record as a JSON object on a line, and return how many there were."""
    count = 0
    for count, record in enumerate(records, start=1):  # noqa: B007 - the last one is the count
        stream.write(json.dumps(as_object(record), ensure_ascii=False, allow_nan=False, default=str) + "\n")
    return count


def write_rows(stream: TextIO, rows: Iterable[dict[str, Any]]) -> int:
    """Write each row as a JSON object on a line, and return how many there were."""
    count = 0
    for count, row in enumerate(rows, start=1):  # noqa: B007 - the last one is the count
        stream.write(json.dumps(row, ensure_ascii=False, default=_plain) + "\n")
    return count


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, dt.date | dt.time) else as_text(value)


def _text(value: Any, kind: Kind, *, defused: bool) -> str:
    if value is None:
        return ""
    text = as_text(value) or ""
    is_text = kind is Kind.TEXT and not isinstance(value, Decimal | int)
    return f"'{text}" if defused and is_text and _FORMULA.match(text) else text
