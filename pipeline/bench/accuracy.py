"""How much of a labelled document was read: characters, words, fields. Pure.

The rules are those that readers of receipts and invoices are usually scored by, so that figures can be compared:
case and white space count for nothing; amounts, dates and identifiers must be equal, names nearly.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Mapping
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

from rapidfuzz import fuzz
from rapidfuzz.distance import Levenshtein

MIN_LIKENESS = 90
"""Of names and addresses, in per cent (2 x common characters / all characters), as in SROIE's usual scoring."""
LONGEST_IDENTIFIER = 24
_WORD = re.compile(r"[^\W_]+")


class Found(NamedTuple):
    """How many of the labelled fields were read."""

    correct: int
    labelled: int


def character_errors(read: str, truth: str) -> tuple[int, int]:
    """Return the edit distance of two texts, and the length of the true one, white space and case made alike."""
    ours, theirs = _folded(read), _folded(truth)
    return Levenshtein.distance(ours, theirs), len(theirs)


def words_read(read: str, truth: str) -> float:
    """Return the F1 score of the words that are in both texts, whatever their order: 0..1."""
    ours, theirs = (Counter(_WORD.findall(_folded(text))) for text in (read, truth))
    return 2 * (ours & theirs).total() / max(1, ours.total() + theirs.total())


def fields_read(record: Mapping[str, Any], truth: Mapping[str, Any], names: Collection[str]) -> Found:
    """Return how many fields came out right.

    Args:
        record: as the output holds it: Decimals, dates, texts; empty when there is none.
        truth: what is labelled, as JSON; of it count texts, unless its `visible_on_page` says that they do not
            stand on the page.
        names: of the fields that are asked for.
    """
    visible = truth.get("visible_on_page") or {}
    labelled = [
        name for name in names if truth.get(name) and isinstance(truth[name], str) and visible.get(name) is not False
    ]
    return Found(sum(_is_same(record.get(name), truth[name]) for name in labelled), len(labelled))


def _is_same(value: object, truth: str) -> bool:
    match value:
        case None:
            return False
        case Decimal():
            return value == _decimal(truth)
        case date():
            return value.isoformat()[:10] == truth[:10]
    ours, theirs = _folded(str(value)), _folded(truth)
    if len(theirs) <= LONGEST_IDENTIFIER and any(map(str.isdigit, theirs)):
        return ours.replace(" ", "") == theirs.replace(" ", "")
    return fuzz.ratio(ours, theirs) >= MIN_LIKENESS


def _decimal(text: str) -> Decimal | None:
    try:
        return Decimal(text)
    except InvalidOperation:
        return None


def _folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())
