"""Printed dates to days."""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from enum import StrEnum
from functools import cache, lru_cache

from pipeline.values.found import Found


class DateOrder(StrEnum):
    """How 03/04/2026 is read when both numbers could be the month."""

    DAY_FIRST = "day-first"
    MONTH_FIRST = "month-first"


_MONTHS = """
january jan januar januari janvier janv enero ene gennaio gen janeiro jänner
february feb februar februari février févr fév febrero febbraio fevereiro fev
march mar märz mrz maart mrt mars marzo março
april apr avril avr abril abr aprile
may mai mei mayo maggio mag maio
june jun juni juin junio giugno giu junho
july jul juli juillet juil julio luglio lug julho
august aug augustus août aout agosto ago
september sep sept septembre septiembre settembre set setembro setiembre
october oct oktober okt octobre octubre ottobre ott outubro out
november nov novembre noviembre novembro
december dec dezember dez décembre déc diciembre dic dicembre dezembro
"""
"""Names and abbreviations, one line a month: en, de, nl, fr, es, it, pt."""

_THREE_DIGITS = re.compile(r"\d.*\d.*\d")
"""The fewest a date has ("3 May 18"); most texts have less, and the search is not cheap."""

_DAY = r"(?P<day>0?[1-9]|[12]\d|3[01])"
_YEAR4 = r"(?P<year>(?:19|20)\d\d)"
_LONG_YEAR = r"(?P<year>(?:19|20)\d\d(?!\d|:\d)|(?:19|20)\d\d(?=\d{1,2}:\d))"
_SHORT_YEAR = r"(?P<year>\d\d(?!\d|:\d)|\d\d(?=\d\d:\d))"
_YEAR = rf"{_LONG_YEAR[:-1]}|{_SHORT_YEAR[9:]}"
"""OCR glues the time of day to the year: "12/03/201814:22"."""

_SEP = r"\s?(?:(?P<dash>-)|(?P<slash>/)|[.,])\s?"
_SAME_SEP = r"\s?(?(dash)-|(?(slash)/|[.,]))\s?"
"""One separator throughout; OCR mistakes dots for commas."""

_TIGHT_SEP = r"(?:(?P<dash>-)|(?P<slash>/)|[.,]\s?)"
_SAME_TIGHT_SEP = r"(?(dash)-|(?(slash)/|[.,]\s?))"
"""Before short years, where article numbers look alike ("A11-22 - 30"); "3. 5. 18" is common, though."""


@cache
def _month_numbers() -> dict[str, int]:
    lines = enumerate(_MONTHS.strip().splitlines(), start=1)
    return {_plain(name): number for number, line in lines for name in line.split()}


@cache
def _date_patterns() -> tuple[re.Pattern[str], ...]:
    names = "|".join(sorted(_month_numbers(), key=len, reverse=True))
    month = rf"(?P<name>{names})(?![^\W\d_])\.?"
    edge = r"(?<![\d])(?<![\d][-/.,:])"
    end = r"(?!\d)(?![-/.,]\d)"
    return tuple(
        re.compile(edge + body, re.IGNORECASE)
        for body in (
            rf"{_YEAR4}{_SEP}(?P<b>\d\d?){_SAME_SEP}(?P<c>\d\d?)(?=T\d|\d\d:|(?![-/.,]?\d))",
            rf"{_YEAR4}\s?年\s?(?P<b>\d\d?)\s?月\s?(?P<c>\d\d?)",
            rf"(?P<a>\d\d?){_SEP}(?P<b>\d\d?){_SAME_SEP}{_LONG_YEAR}(?![-/.,]\d)",
            rf"(?<![^\W\d_])(?P<a>\d\d?){_TIGHT_SEP}(?P<b>\d\d?){_SAME_TIGHT_SEP}{_SHORT_YEAR}(?![-/.,]\d)",
            rf"{_DAY}(?:st|nd|rd|th|er|re|º|ª|°)?\.?[\s\-/.]{{0,2}}(?:de\s|of\s)?{month}[\s\-/.,']{{0,2}}(?:de\s|del\s)?{_YEAR}",
            rf"(?<![^\W\d_]){month}[\s\-.]{{0,2}}{_DAY}(?:st|nd|rd|th)?(?:\s?[,./-]\s?|\s){_YEAR}",
            rf"{_YEAR4}[\s\-/.]{{0,2}}{month}[\s\-/.]{{0,2}}{_DAY}{end}",
        )
    )


def parse_date(text: str, order: DateOrder = DateOrder.DAY_FIRST) -> dt.date:
    """Return the day that `text` prints; a weekday or a time of day beside it is ignored.

    Rules: a four-digit year in front means year-month-day, whatever the order. Of 03/04/2026
    `order` tells which number is the day; a number above 12 decides by itself. Two-digit
    years from 69 on are of the last century (POSIX strptime), and one above 31 in front is a
    year. Month names and their abbreviations are read in English, German, Dutch, French,
    Spanish, Italian and Portuguese. Eight digits are year-month-day, else day-month-year
    by `order`. A time glued to the year is cut off.

    Raises:
        ValueError: no date, or more than one.
    """
    days = {found.value for found in find_dates(text, order)}
    digits = re.fullmatch(r"\D*(\d{8})\D*", text.replace(" ", ""))
    day = _eight_digits(digits[1], order) if digits else days.pop() if len(days) == 1 else None
    if day is None:
        raise ValueError(f"{text!r} is not a date")
    return day


def find_dates(text: str, order: DateOrder = DateOrder.DAY_FIRST) -> list[Found[dt.date]]:
    """Dates that stand in `text`, written with separators or with a month's name."""
    return list(_dates_in(text, order)) if _THREE_DIGITS.search(text) else []


@lru_cache(maxsize=4096)
def _dates_in(text: str, order: DateOrder) -> tuple[Found[dt.date], ...]:
    """The same texts of a page are asked for by each field that has a day, and the search is not cheap."""
    plain = "".join(_plain(char)[:1] or " " for char in text)
    found: list[Found[dt.date]] = []
    for pattern in _date_patterns():
        for match in pattern.finditer(plain):
            day = _day(match.groupdict(), order)
            if day and not any(f.start < match.end() and match.start() < f.end for f in found):
                found.append(Found(day, match.start(), match.end()))
    return tuple(sorted(found, key=lambda f: f.start))


def _day(parts: dict[str, str | None], order: DateOrder) -> dt.date | None:
    name, year = parts.get("name"), _year(parts["year"] or "")
    if name:
        return _date_or_none(year, _month_numbers()[name.lower()], int(parts["day"] or 0))
    a, b, c = parts.get("a"), int(parts["b"] or 0), parts.get("c")
    if c is not None:
        return _date_or_none(year, b, int(c))
    first, last = int(a or 0), parts["year"] or ""
    if first > 31 and len(last) == 2:
        return _date_or_none(_year(a or ""), b, int(last))
    day, month = (first, b) if order is DateOrder.DAY_FIRST else (b, first)
    return _date_or_none(year, month, day) or _date_or_none(year, day, month)


def _year(digits: str) -> int:
    return int(digits) + (0 if len(digits) == 4 else 1900 if int(digits) >= 69 else 2000)


def _eight_digits(digits: str, order: DateOrder) -> dt.date | None:
    year_first = _date_or_none(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    if year_first and 1900 <= year_first.year < 2100:
        return year_first
    return _day({"a": digits[:2], "b": digits[2:4], "year": digits[4:]}, order)


def _date_or_none(year: int, month: int, day: int) -> dt.date | None:
    try:
        return dt.date(year, month, day)
    except ValueError:
        return None


@cache
def _plain(text: str) -> str:
    """Lower case without accents."""
    return "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))
