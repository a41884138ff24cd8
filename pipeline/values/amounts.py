"""Printed amounts to decimals."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from functools import lru_cache

from pipeline.values.found import Found

_SPACES = re.compile(r"[\s\u00a0\u202f'’]")
_ONE_AMOUNT = re.compile(r"([^\d\-−(.,]*)([(\-−]?)[^\d.,]*([\d.,]+?)[.,]?([)\-−]?)[^\d]*")

_AMOUNT_IN_TEXT = re.compile(
    r"""
    (?<![\d.,:/])(?<![\d][-−])                # not the tail of a date, a time, a longer number
    (?P<sign>[-−(]\s?(?:[^\W\d_]{1,3}\.?|[€$£])?\s?)?
    (?P<digits>
        \d{1,3}(?:[\s\u00a0\u202f'’]\d{3}){1,5},\d{1,6}    # 2 076,76: a space groups only before a decimal comma
      | \d{1,3}(?:['’]\d{3}){1,5}(?:\.\d{1,6})?
      | \d{1,3}(?:\.\d{3}){1,5}(?:,\s?\d{1,6})?
      | \d{1,3}(?:,\d{3}){1,5}(?:\.\s?\d{1,6})?
      | \d{1,12}(?:\s?[.,]\s?\d{1,6}|[.,]-{1,2})?           # OCR puts spaces beside the mark; "5,-" is five
    )
    (?P<after>-(?![\w])|\))?
    (?![\d/:]|[.,]\d|-\d)                     # not the head of one
    """,
    re.VERBOSE,
)


_O_FOR_ZERO = re.compile(r"(?<=[\d.,])O(?=[\d.,\s]|$)|(?:(?<=RM)|(?<![^\W\d_]))O(?=[.,]\d\d)")
"""OCR reads "RM0.25" as "RMO.25"; only beside digits and separators, so that no word is touched."""


def parse_amount(text: str) -> Decimal:
    """Return the number that `text` prints.

    Rules: currency words and symbols, spaces and apostrophes are dropped. "(5)", "5-" and
    "-5" are negative; "5,-" is five. With both separators, the last one is the decimal one. A
    single comma followed by exactly three digits separates thousands, unless only a zero stands
    before it, otherwise decimals; a single dot always separates decimals; a separator that
    occurs more than once separates thousands.

    Raises:
        ValueError: no number, or more than one.
    """
    bare = re.sub(r"(?<=\d)([.,])[-–—]{1,2}(?=\D*$)", r"\g<1>00", _SPACES.sub("", text))
    match = _ONE_AMOUNT.fullmatch(bare)
    if not match:
        raise ValueError(f"{text!r} is not an amount")
    try:
        value = Decimal(_plain_digits(match[3]))
    except InvalidOperation:
        raise ValueError(f"{text!r} is not an amount") from None
    return -value if match[2] in {"-", "−", "("} or match[4] in {"-", "−"} else value


def _plain_digits(digits: str) -> str:
    """Digits with the separators of thousands dropped and a dot before the decimals."""
    if "," in digits and "." in digits:
        decimal_mark = max(",.", key=digits.rfind)
        return digits.replace("." if decimal_mark == "," else ",", "").replace(decimal_mark, ".")
    whole, comma, rest = digits.partition(",")
    if comma and "," not in rest and (len(rest) != 3 or not whole.strip("0")):
        return digits.replace(",", ".")
    if digits.count(".") > 1:
        return digits.replace(".", "")
    return digits.replace(",", "")


def find_amounts(text: str) -> list[Found[Decimal]]:
    """Numbers that may be amounts; not percentages, nor parts of dates, times and identifiers.

    A sign counts when it stands before the number or its currency, or right after it. A letter
    O in the place of a digit is a zero.
    """
    return list(_amounts_in(text))


@lru_cache(maxsize=4096)
def _amounts_in(text: str) -> tuple[Found[Decimal], ...]:
    """A page's texts are asked for again and again, by totals and by tables."""
    text = _O_FOR_ZERO.sub("0", text)
    found = []
    for match in _AMOUNT_IN_TEXT.finditer(text):
        digits, place = match["digits"], match.start("digits")
        if re.match(r"\s?[%‰]", text[match.end() :]) or re.match(r"0\d", digits) or _inside_word(text, place, digits):
            continue
        sign = (match["sign"] or "")[:1]
        negative = sign in {"-", "−"} or match["after"] == "-" or (sign == "(" and match["after"] == ")")
        value = parse_amount(digits)
        start = match.start() if negative else place
        found.append(Found(-value if negative else value, start, match.end()))
    return tuple(found)


def _inside_word(text: str, start: int, digits: str) -> bool:
    """Whether a number belongs to an identifier such as "C25" or "GST6": glued to letters, without decimals."""
    before, after = text[start - 1 : start], text[start + len(digits) : start + len(digits) + 1]
    has_decimals = re.search(r"[.,]\s?\d{2}$", digits) is not None
    return not has_decimals and (before.isalpha() or after.isalpha() or before in {"#", "_"})
