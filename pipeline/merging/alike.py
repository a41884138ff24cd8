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

FEW_DIGITS = 0.3
"""Share up to which a text is a name or an address; beyond it is a number, in which no digit may differ."""

_TOKENS = re.compile(r"[^\W_]+")


class Likeness(StrEnum):
    """How alike two values are."""

    SAME = "same"
    NEAR = "near"
    """Numbers that differ by one digit: the next one in a series, or the same one misread."""
    OTHER = "other"


def likeness(one: Any, other: Any, *, most_words: float = 0.0) -> Likeness:
    """Compare two values of a field, neither of them None.

    Args:
        most_words: share of digits up to which a text is words, of which one may differ by a digit, too.
    """
    if not isinstance(one, str) or not isinstance(other, str):
        return Likeness.SAME if _plain(one) == _plain(other) else Likeness.OTHER
    key, other_key = key_of(one), key_of(other)
    if key == other_key or key.translate(LOOK_ALIKES) == other_key.translate(LOOK_ALIKES) or _holds(one, other):
        return Likeness.SAME
    if max(_digit_share(key), _digit_share(other_key)) <= most_words:
        return Likeness.SAME if fuzz.ratio(_folded(key), _folded(other_key)) >= SAME_TEXT else Likeness.OTHER
    return _of_numbers(key.translate(LOOK_ALIKES), other_key.translate(LOOK_ALIKES))


def are_same(one: Any, other: Any) -> bool:
    """Tell whether two values of a field say the same; names and addresses may be misread in a digit, too."""
    return likeness(one, other, most_words=FEW_DIGITS) is Likeness.SAME


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
    """Tell whether all words of the shorter text are words of the longer one, numbers among them in their order."""
    shorter, longer = sorted((words_of(one), words_of(other)), key=lambda words: sum(map(len, words)))
    numbers = (word for word in longer if _digits(word))
    in_order = all(word in numbers for word in shorter if _digits(word))  # takes from `numbers` as it goes
    return in_order and sum(map(len, shorter)) >= LEAST_PART and set(shorter) <= set(longer)


def words_of(text: str) -> list[str]:
    """Return the words of a text without case, accents and punctuation."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    without_accents = "".join(char for char in plain if not unicodedata.combining(char))
    return _TOKENS.findall(without_accents)


def _digits(key: str) -> str:
    return "".join(filter(str.isdigit, key))


def _digit_share(key: str) -> float:
    return sum(map(str.isdigit, key)) / max(len(key), 1)
