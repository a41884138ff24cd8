"""Python values -> Arrow columns, such that no value can cost its row.

Nearly every column converts as it is, at Arrow's speed. Only when one does not (a lone
surrogate, a number too large, an Enum member) is that column made safe value by value.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
from collections.abc import Mapping, Sequence
from decimal import Context, Decimal, InvalidOperation
from enum import Enum
from typing import Any

import pyarrow as pa

_log = logging.getLogger(__name__)
_INT64_RANGE = range(-(2**63), 2**63)


def to_column(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Return one array of type `kind`, as long as `values`.

    Text keeps every character but lone surrogates, which become U+FFFD. A value that the type
    cannot hold at all becomes null, with a warning in the log; the raw output beside it keeps it.
    """
    try:
        return pa.array(values, type=kind)
    except (pa.ArrowException, ValueError, TypeError, OverflowError):
        return pa.array([safe_value(value, kind) for value in values], type=kind)


def safe_text(text: str) -> str:
    """Return `text` as valid Unicode: surrogate pairs joined, lone ones replaced by U+FFFD."""
    return str(text).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def safe_value(value: Any, kind: pa.DataType) -> Any:
    """Return what `pa.array` takes for `value` as `kind`; None when there is no such thing."""
    if isinstance(value, Enum):
        value = value.value
    if value is None:
        return None
    if pa.types.is_struct(kind):
        return {field.name: safe_value(value.get(field.name), field.type) for field in kind}
    if pa.types.is_map(kind):
        items = value.items() if isinstance(value, Mapping) else value
        return [(safe_text(key), safe_value(item, kind.item_type)) for key, item in items]
    if pa.types.is_list(kind):
        return [safe_value(item, kind.value_type) for item in value]
    if pa.types.is_string(kind):
        return safe_text(value) if isinstance(value, str) else json.dumps(value, default=str)
    return _safe_scalar(value, kind)


def _safe_scalar(value: Any, kind: pa.DataType) -> Any:
    if pa.types.is_integer(kind) and isinstance(value, int) and value in _INT64_RANGE:
        return int(value)
    if pa.types.is_decimal(kind):
        return _safe_decimal(value, kind)
    try:
        if pa.types.is_date(kind) and isinstance(value, str):
            value = dt.date.fromisoformat(value)
        return pa.scalar(value, type=kind).as_py()
    except (pa.ArrowException, ValueError, TypeError, OverflowError):
        _log.warning("a %s value does not fit its column; it is null there", kind)
        return None


def _safe_decimal(value: Any, kind: pa.Decimal128Type) -> Decimal | None:
    """Return `value` rounded half to even to the type's places; None for NaN, infinity or too many digits."""
    try:
        rounded = Decimal(str(value)).quantize(Decimal(1).scaleb(-kind.scale), context=Context(prec=kind.precision))
    except InvalidOperation:
        _log.warning("a %s value does not fit its column; it is null there", kind)
        return None
    return rounded if rounded.is_finite() else None
