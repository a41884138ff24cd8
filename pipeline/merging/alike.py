"""Whether two values that were read are the same one, printed or read a little differently."""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from typing import Any

from rapidfuzz import fuzz
from rapidfuzz.distance import OSA

LOOK_ALIKES = str.maketrans("oqilzsbg", "00112586")
"""Letters that recognisers take for digits, and digits for letters, without case."""

LOOK_ALIKE_PAIRS = (("rn", "m"), ("vv", "w"))
"""Letters that they take for one."""

SAME_TEXT = 90.0
"""Of 100: how similar two names are that differ by what recognisers get wrong."""

LEAST_PART = 4
"""Characters of a text that stands for a longer one which holds it: "1001" for "RE-1001", not "1"."""

LEAST_PER_LETTER = 5
"""Characters of a number for each letter of it that may be wrong."""

MANY_DIGITS = 0.3
"""Share from which a text is a number, in which no character may differ."""

_TOKENS = re.compile(r"[^\W_]+")


class Likeness(StrEnum):
    """How alike two values are."""

    SAME = "same"
    NEAR = "near"
    """Numbers that differ by one digit: the next one in a series, or the same one misread."""
    OTHER = "other"


def likeness(one: Any, other: Any) -> Likeness:
    """Compare two values of a field, neither of them None."""
    if not isinstance(one, str) or not isinstance(other, str):
        return Likeness.SAME if _plain(one) == _plain(other) else Likeness.OTHER
    key, other_key = key_of(one), key_of(other)
    if key == other_key or key.translate(LOOK_ALIKES) == other_key.translate(LOOK_ALIKES) or _holds(one, other):
        return Likeness.SAME
    if max(_digit_share(key), _digit_share(other_key)) < MANY_DIGITS:
        return Likeness.SAME if fuzz.ratio(_folded(key), _folded(other_key)) >= SAME_TEXT else Likeness.OTHER
    return _of_numbers(key.translate(LOOK_ALIKES), other_key.translate(LOOK_ALIKES))


def are_same(one: Any, other: Any) -> bool:
    """Tell whether two values of a field say the same."""
    return likeness(one, other) is Likeness.SAME


@lru_cache(maxsize=256)
def key_of(text: str) -> str:
    """Return a text without case, accents, spaces and punctuation."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    return "".join(char for char in plain if char.isalnum())


def _of_numbers(one: str, other: str) -> Likeness:
    """Compare texts of many digits: a wrong letter is a misreading, a wrong digit may be the next number's."""
    length = min(len(one), len(other))
    wrong = OSA.distance(one, other)
    if _digits(one) == _digits(other) and wrong <= length // LEAST_PER_LETTER:
        return Likeness.SAME
    return Likeness.NEAR if wrong == 1 and length >= LEAST_PART else Likeness.OTHER


def _folded(key: str) -> str:
    for pair, letter in LOOK_ALIKE_PAIRS:
        key = key.replace(pair, letter)
    return key


def _plain(value: Any) -> Any:
    return Decimal(str(value)) if isinstance(value, float) else value


def _holds(one: str, other: str) -> bool:
    """Tell whether all words of the shorter text are words of the longer one."""
    shorter, longer = sorted((_words(one), _words(other)), key=lambda words: sum(map(len, words)))
    return sum(map(len, shorter)) >= LEAST_PART and shorter <= longer


def _words(text: str) -> frozenset[str]:
    plain = unicodedata.normalize("NFKD", text.casefold())
    without_accents = "".join(char for char in plain if not unicodedata.combining(char))
    return frozenset(_TOKENS.findall(without_accents))


def _digits(key: str) -> str:
    return "".join(filter(str.isdigit, key))


def _digit_share(key: str) -> float:
    return sum(map(str.isdigit, key)) / max(len(key), 1)
