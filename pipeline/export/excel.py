"""Excel workbooks with typed cells: numbers that add up, dates that sort, and text that is never a formula."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.export.sheets import Column, Kind, Sheet
from pipeline.results import Record

if TYPE_CHECKING:
    from xlsxwriter import Workbook  # type: ignore[import-untyped]
    from xlsxwriter.worksheet import Worksheet  # type: ignore[import-untyped]

MAX_ROWS = 1_048_576
"""Of a worksheet, its header included; what is left goes on in a further one."""
MAX_CHARACTERS = 32_767
"""Of a cell. Source of both: Microsoft, "Excel specifications and limits"."""
EXACT_DIGITS = 15
"""A number in Excel is a double; what has more digits is written as text, so that none is lost."""
_CUT = " [cut]"
_WIDTHS = {Kind.TEXT: 28, Kind.NUMBER: 13, Kind.BOOLEAN: 10, Kind.DATE: 12, Kind.TIME: 19}
_FIRST_YEAR = 1900
"""Excel has no days before it; they are text."""
_FORBIDDEN = re.compile(r"[\[\]:*?/\\']")
_MAX_NAME = 31


def write_workbook(path: Path, sheets: Sequence[Sheet], records: Iterable[Record]) -> int:
    """Write a workbook with these tables, and return how many records there were; memory is bounded by a row.

    Raises:
        OSError: it cannot be written.
    """
    from xlsxwriter import Workbook

    options = {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    count = 0
    with Workbook(str(path), options) as workbook:
        formats = _Formats(workbook)
        taken: set[str] = set()
        pages = [_Pages(workbook, formats, sheet, taken) for sheet in sheets]
        for count, record in enumerate(records, start=1):  # noqa: B007 - the last one is the count
            for page in pages:
                for row in page.sheet.rows(record):
                    page.add(row)
        for page in pages:
            page.close()
    return count


class _Formats:
    """How cells look."""

    def __init__(self, workbook: Workbook) -> None:
        self.header = workbook.add_format({"bold": True, "bottom": 1, "text_wrap": False})
        self.money = workbook.add_format({"num_format": "#,##0.00"})
        self.fine = workbook.add_format({"num_format": "#,##0.00####"})
        self.date = workbook.add_format({"num_format": "yyyy-mm-dd"})
        self.time = workbook.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"})


class _Pages:
    """The worksheets of one table: one, or as many as it has millions of rows."""

    def __init__(self, workbook: Workbook, formats: _Formats, sheet: Sheet, taken: set[str]) -> None:
        self.sheet = sheet
        self._workbook = workbook
        self._formats = formats
        self._taken = taken
        self._number = 0
        self._begin()

    def add(self, row: Sequence[Any]) -> None:
        """Write a row below the last one."""
        if self._row == MAX_ROWS:
            self.close()
            self._begin()
        for place, (value, column) in enumerate(zip(row, self.sheet.columns, strict=True)):
            if value is not None:
                self._write(place, value, column)
        self._row += 1

    def close(self) -> None:
        """Let rows be filtered by what stands in them."""
        self._worksheet.autofilter(0, 0, max(self._row - 1, 1), len(self.sheet.columns) - 1)

    def _begin(self) -> None:
        self._number += 1
        self._row = 1
        self._worksheet: Worksheet = self._workbook.add_worksheet(self._name())
        self._worksheet.freeze_panes(1, 1)
        for place, column in enumerate(self.sheet.columns):
            self._worksheet.set_column(place, place, max(_WIDTHS[column.kind], min(len(column.name) + 3, 40)))
            self._worksheet.write_string(0, place, column.name[:255], self._formats.header)

    def _name(self) -> str:
        """Return a name that Excel takes and that no other sheet has, whatever a field is called."""
        plain = _FORBIDDEN.sub("-", self.sheet.name).strip() or "sheet"
        for number in range(self._number, MAX_ROWS):
            suffix = f" ({number})" if number > 1 else ""
            name = plain[: _MAX_NAME - len(suffix)] + suffix
            if name.casefold() not in self._taken and name.casefold() != "history":
                break
        self._taken.add(name.casefold())
        return name

    def _write(self, place: int, value: Any, column: Column) -> None:
        sheet, row, formats = self._worksheet, self._row, self._formats
        match value:
            case bool():
                sheet.write_boolean(row, place, value)
            case dt.datetime() if value.year >= _FIRST_YEAR:
                utc = value.astimezone(dt.UTC).replace(tzinfo=None) if value.tzinfo else value
                sheet.write_datetime(row, place, utc, formats.time)
            case dt.date() if value.year >= _FIRST_YEAR:
                sheet.write_datetime(row, place, value, formats.date)
            case Decimal() if _is_exact(value):
                cents = int(value.normalize().as_tuple().exponent) >= -2  # it is finite
                sheet.write_number(row, place, float(value), formats.money if cents else formats.fine)
            case int() if abs(value) < 10**EXACT_DIGITS:
                sheet.write_number(row, place, value)
            case float() if column.kind is Kind.NUMBER and abs(value) < 1e300:
                sheet.write_number(row, place, value)
            case _:
                sheet.write_string(row, place, _shortened(str(value)))


def _is_exact(value: Decimal) -> bool:
    return value.is_finite() and len(value.normalize().as_tuple().digits) <= EXACT_DIGITS


def _shortened(text: str) -> str:
    """Return a text that a cell can hold; Excel counts characters as UTF-16 does, an emoji as two."""
    if len(text) <= MAX_CHARACTERS // 2:
        return text
    units = text.encode("utf-16-le", "surrogatepass")
    if len(units) <= 2 * MAX_CHARACTERS:
        return text
    return units[: 2 * (MAX_CHARACTERS - len(_CUT))].decode("utf-16-le", "ignore") + _CUT
