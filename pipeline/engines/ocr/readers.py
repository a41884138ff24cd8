"""Typed values in the place where a label lets expect one."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from pipeline.engines.ocr.labels import label_key
from pipeline.engines.ocr.specs import FieldSpec, Kind
from pipeline.schema import Role
from pipeline.values import DateOrder, Found, find_amounts, find_currencies, find_dates, find_ibans

_NUMBER_WORD = re.compile(
    r"(?:\b(?:nr|no|nos|num|number|nummer|numero|numéro|número|id)\b|\bn[°º]?|[№#])[\W_]*$", re.IGNORECASE
)
_TOKEN = re.compile(
    r"(?:(?<!\w)(?i:nr|no|num|n)[.°º]\s?(?=\w*\d))?"  # "Nr.2024-55", glued by OCR
    r"(?:(?<!\w)(?P<prefix>[A-Z]{1,4})\s(?=\d))?"
    r"(?P<digits>[^\W_][\w./\\\-–]*(?:(?<=[-/])\s[\w./\-]+)?)"
)
_DIGIT_GROUPS = re.compile(r"\W*((?:[A-Z]{1,4} )?\d+(?: \d+)+)\W*")
_AMOUNT_HEAD, _AMOUNT_TAIL = re.compile(r"\d,$"), re.compile(r"\s?%|,\d\d(?!\d)")
"""What makes a number a percentage or part of an amount."""

_BEFORE = 12
"""Characters in which the "No." before a number stands."""

_NO_PREFIX = frozenset(
    "n no nr nos num numero id du de le au del el il dal al di da do em en of on to vom am von bis der tel fax van op"
    " page seite pagina eur usd gbp chf".split()
)
"""Words in capitals before a number that are no part of it."""

_WORD = re.compile(r"[^\W\d_]{2,}")
_YES = frozenset("yes y ja j oui o si sí sì s sim true x ✓ ☑ ☒ ✔ 1".split())
_NO = frozenset("no n nein nee non não false - ☐ 0".split())


def read_number(text: str) -> list[Found[str]]:
    """Document numbers: words with a digit that are no date, first those after "No."; digits in groups are one.

    A short word in capitals before the digits belongs to them: "SR 2023-09-04" is no date.
    """
    groups = _DIGIT_GROUPS.fullmatch(text)
    if groups and groups[1].split()[0].casefold() not in _NO_PREFIX:
        return [Found(groups[1], groups.start(1), groups.end(1))]
    dates = find_dates(text)
    ranked = []
    for match in _TOKEN.finditer(text):
        prefixed = match["prefix"] is not None and match["prefix"].casefold() not in _NO_PREFIX
        start = match.start("prefix" if prefixed else "digits")
        number = text[start : match.end()].rstrip(".-/–")
        before = text[max(0, start - _BEFORE) : start]
        is_date = not prefixed and any(d.start < match.end() and start < d.end for d in dates)
        is_amount = _AMOUNT_TAIL.match(text, match.end()) or _AMOUNT_HEAD.search(before)
        if is_date or is_amount or not re.search(r"\d", number):
            continue
        rank = 0 if _NUMBER_WORD.search(before) else 2 if before.endswith("(") else 1
        ranked.append((rank, Found(number, start, start + len(number))))
    return [found for _, found in sorted(ranked, key=lambda pair: pair[0])]


def is_number_cell(text: str) -> bool:
    """Whether a text holds numbers and dates only, as a cell below a label does, and a line of an address does not."""
    places = [(f.start, f.end) for f in find_dates(text)] + [(f.start, f.end) for f in read_number(text)]
    for start, end in places:
        text = text[:start] + " " * (end - start) + text[end:]
    return all(word.casefold() in _NO_PREFIX for word in _WORD.findall(text))


def read_text(text: str) -> list[Found[str]]:
    """All of it, without the punctuation that parts label and value."""
    value = text.strip().lstrip(":;.=#|>·•*-–— \t").rstrip(" |:")
    return [Found(value, 0, len(text))] if any(char.isalnum() for char in value) else []


def read_boolean(text: str) -> list[Found[bool]]:
    """Yes or no in seven languages, or a ticked box."""
    word = text.strip(" :.[]()").casefold()
    return [Found(word in _YES, 0, len(text))] if word in _YES | _NO else []


def read_integer(text: str) -> list[Found[int]]:
    """Whole amounts."""
    return [Found(int(f.value), f.start, f.end) for f in find_amounts(text) if f.value == f.value.to_integral_value()]


def read_choice(text: str, choices: tuple[Any, ...]) -> list[Found[Any]]:
    """The choice the text starts with, else one that stands in it; the longest first."""
    key = label_key(text)
    keys = sorted(((label_key(str(choice)), choice) for choice in choices), key=lambda pair: -len(pair[0]))
    standing = [pair for pair in keys if pair[0] and pair[0] in key]
    return [Found(choice, 0, len(text)) for _, choice in sorted(standing, key=lambda pair: not key.startswith(pair[0]))]


def reader_of(spec: FieldSpec, order: DateOrder) -> Callable[[str], list[Found[Any]]]:
    """How the values of a field are read from a text; what its constraints forbid is no value."""
    readers: dict[Kind, Callable[[str], list[Found[Any]]]] = {
        Kind.TEXT: read_text,
        Kind.AMOUNT: find_amounts,
        Kind.INTEGER: read_integer,
        Kind.DATE: lambda text: find_dates(text, order),
        Kind.CURRENCY: find_currencies,
        Kind.IBAN: find_ibans,
        Kind.BOOLEAN: read_boolean,
        Kind.CHOICE: lambda text: read_choice(text, spec.choices),
        Kind.UNSUPPORTED: lambda _: [],
    }
    read = readers[spec.kind] if spec.role is not Role.DOCUMENT_NUMBER else read_number
    return lambda text: [found for found in read(text) if spec.accepts(found.value)]
