"""Values of records in JSON and back: amounts as decimal strings, dates by ISO 8601."""

from __future__ import annotations

import datetime as dt
import json
import math
import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Any

import pyarrow as pa

from pipeline.values import parse_amount, parse_date


def json_form(value: Any) -> Any:
    """Return a value as JSON has it; decimals lose no digit, and zeros behind the point only."""
    form: Any
    match value:
        case float() if not math.isfinite(value):
            form = str(value)  # JSON has no word for it
        case None | bool() | int() | float() | str():
            form = value
        case Decimal():
            form = decimal_text(value)
        case dt.date() | dt.time():
            form = value.isoformat()
        case Enum():
            form = json_form(value.value)
        case dict():
            form = {str(name): json_form(child) for name, child in value.items()}
        case list() | tuple():
            form = [json_form(child) for child in value]
        case _:
            form = str(value)
    return form


def decimal_text(value: Decimal) -> str:
    """Return a decimal without an exponent and without zeros that say nothing: 12.50 as "12.5", 100 as "100"."""
    if not value.is_finite():
        return str(value)
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def canonical(value: Any) -> str:
    """Return text that is equal for equal values, whatever column type they come from."""
    return json.dumps(json_form(value), ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def as_text(value: Any) -> str | None:
    """Return a value as people read it: text as it is, the rest in JSON; None for none."""
    form = json_form(value)
    if form is None or isinstance(form, str):
        return form
    return json.dumps(form, ensure_ascii=False)


def plain(value: Any, kind: pa.DataType) -> Any:
    """Return what Arrow gave for a value of `kind` with its maps as dicts."""
    if value is None:
        return None
    if pa.types.is_struct(kind):
        return {field.name: plain(value.get(field.name), field.type) for field in kind}
    if pa.types.is_map(kind):
        return {key: plain(item, kind.item_type) for key, item in value}
    if pa.types.is_list(kind):
        return [plain(item, kind.value_type) for item in value]
    return value


def complete(value: Any, kind: pa.DataType) -> Any:
    """Return a value with None for all fields that it lacks, and in places of a list that nobody filled."""
    if isinstance(value, dict) and pa.types.is_struct(kind):
        return {field.name: complete(value.get(field.name), field.type) for field in kind}
    if isinstance(value, list) and pa.types.is_list(kind):
        return [complete(item, kind.value_type) for item in value]
    return None if value == {} and not pa.types.is_nested(kind) else value


def from_json(value: Any, kind: pa.DataType) -> Any:
    """Return the value of a column of `kind` that a JSON value stands for, amounts and dates as people write them too.

    Raises:
        ValueError: it is none of that kind; says what is expected.
    """
    if value is None:
        return None
    if pa.types.is_struct(kind):
        names = {field.name: field.type for field in kind}
        if not isinstance(value, dict) or value.keys() - names.keys():
            raise ValueError(f"expected the fields {', '.join(names)}")
        return {name: from_json(value.get(name), of) for name, of in names.items()}
    if pa.types.is_map(kind):
        if not isinstance(value, dict):
            raise ValueError("expected names with values")
        return {name: from_json(item, kind.item_type) for name, item in value.items()}
    if pa.types.is_list(kind):
        if not isinstance(value, list):
            raise ValueError("expected a list")
        return [from_json(item, kind.value_type) for item in value]
    return _scalar(value, kind)


def _scalar(value: Any, kind: pa.DataType) -> Any:
    if pa.types.is_string(kind):
        return value if isinstance(value, str) else json.dumps(value)
    text = str(value).strip()
    parse = next((parse for is_of, parse in _PARSERS if is_of(kind)), dt.datetime.fromisoformat)
    try:
        return _decimal(text, kind) if pa.types.is_decimal(kind) else parse(text)
    except (ValueError, ArithmeticError, TypeError, OverflowError, pa.ArrowException):
        raise ValueError(f"expected {_expected(kind)}, not {text[:80]!r}") from None


def from_input(text: str, kind: pa.DataType) -> Any:
    """Return the value that somebody typed, None for nothing.

    Raises:
        ValueError: as `from_json`; or it can mean two things.
    """
    text = text.strip()
    if not text:
        return None
    if pa.types.is_decimal(kind) or pa.types.is_floating(kind):
        _check_digits(text, kind)
    return _nested(text, kind) if pa.types.is_nested(kind) else from_json(text, kind)


def _check_digits(text: str, kind: pa.DataType) -> None:
    """Refuse a number that can be read in two ways, or that has separators where nobody writes them."""
    digits = "".join(re.findall(r"\d.*\d|\d", text))
    if found := _AMBIGUOUS.fullmatch(digits):
        raise ValueError(f"{text} can mean {found[1]}{found[2]} or {found[1]}.{found[2]}0; write one of these")
    if not _WRITTEN.fullmatch(digits):
        raise ValueError(f"expected {_expected(kind)}, such as 1234.50, not {text[:80]!r}")


_AMBIGUOUS = re.compile(r"([1-9]\d{0,2})[.,](\d{3})")
"""One separator before three digits: thousands in one country, a fraction in another."""
_WRITTEN = re.compile(
    r"\d+([.,]\d+)?|\d{1,3}(?P<mark>[.,'’\s])\d{3}((?P=mark)\d{3})*((?!(?P=mark))[.,]\d+)?"
    r"|\d{1,2}(,\d{2})*,\d{3}(\.\d+)?"  # 12,34,567 in India
)


def _nested(text: str, kind: pa.DataType) -> Any:
    """Return what was typed for a list or a struct: JSON, or single values with semicolons between, as in exports."""
    if pa.types.is_list(kind) and not pa.types.is_nested(kind.value_type) and not text.startswith("["):
        return [value for one in text.split(";") if (value := from_input(one, kind.value_type)) is not None]
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError(f"expected JSON, not {text[:80]!r}") from None
    return from_json(value, kind)


def _boolean(text: str) -> bool:
    known = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if text.lower() not in known:
        raise ValueError
    return known[text.lower()]


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float(parse_amount(text))


def _integer(text: str) -> int:
    return int(pa.scalar(int(text), pa.int64()).as_py())


_PARSERS: tuple[tuple[Callable[[pa.DataType], bool], Callable[[str], Any]], ...] = (
    (pa.types.is_boolean, _boolean),
    (pa.types.is_integer, _integer),
    (pa.types.is_floating, _float),
    (pa.types.is_date, parse_date),
    (pa.types.is_time, dt.time.fromisoformat),
)


def _decimal(text: str, kind: pa.Decimal128Type) -> Decimal:
    try:
        found = Decimal(text)
    except InvalidOperation:
        found = parse_amount(text)
    pa.scalar(found, kind)  # refuses what has too many digits
    return found


def _expected(kind: pa.DataType) -> str:
    if pa.types.is_decimal(kind):
        return f"a number with at most {kind.scale} decimal places"
    if pa.types.is_integer(kind):
        return "a whole number"
    if pa.types.is_floating(kind):
        return "a number"
    if pa.types.is_boolean(kind):
        return "true or false"
    return "a date such as 2026-03-01" if pa.types.is_date(kind) else "a time by ISO 8601"
