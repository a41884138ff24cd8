"""Printed values to typed ones: amounts, dates, currencies, IBANs. Pure functions, no state."""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal, InvalidOperation
from enum import StrEnum


class DateOrder(StrEnum):
    """How 03/04/2026 is read when both numbers could be the month."""

    DAY_FIRST = "day-first"
    MONTH_FIRST = "month-first"


def parse_amount(text: str) -> Decimal:
    """Return the number that `text` prints.

    Rules: currency words and symbols, spaces and apostrophes are dropped. "(5)", "5-" and
    "-5" are negative. With both separators, the last one is the decimal one. A single
    comma followed by exactly three digits separates thousands, otherwise decimals; a single
    dot always separates decimals; a separator that occurs more than once separates thousands.

    Raises:
        ValueError: no number, or more than one.
    """
    bare = re.sub(r"[\s\u00a0\u202f'’]", "", text)
    match = re.fullmatch(r"([^\d\-−(.,]*)([(\-−]?)[^\d.,]*([\d.,]+?)[.,]?([)\-−]?)[^\d]*", bare)
    if not match:
        raise ValueError(f"{text!r} is not an amount")
    digits = match[3]
    if "," in digits and "." in digits:
        decimal_mark = max(",.", key=digits.rfind)
        digits = digits.replace("." if decimal_mark == "," else ",", "").replace(decimal_mark, ".")
    elif digits.count(",") == 1 and len(digits.split(",")[1]) != 3:
        digits = digits.replace(",", ".")
    elif digits.count(".") > 1:
        digits = digits.replace(".", "")
    else:
        digits = digits.replace(",", "")
    try:
        value = Decimal(digits)
    except InvalidOperation:
        raise ValueError(f"{text!r} is not an amount") from None
    return -value if match[2] in {"-", "−", "("} or match[4] in {"-", "−"} else value


def parse_date(text: str, order: DateOrder = DateOrder.DAY_FIRST) -> dt.date:
    """Return the day that `text` prints."""
    raise NotImplementedError


def parse_currency(text: str) -> str:
    """Return the ISO 4217 code of a code or symbol."""
    raise NotImplementedError


def parse_iban(text: str) -> str:
    """Return the IBAN without spaces, check digits verified."""
    raise NotImplementedError
