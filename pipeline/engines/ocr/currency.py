"""The currency of a page's amounts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from pipeline.engines.ocr.candidates import Claims, labelled
from pipeline.engines.ocr.page import PageLayout
from pipeline.schema import Role
from pipeline.values import Found, find_currencies


def find_currency(page: PageLayout, claims: Claims) -> str | None:
    """The labelled currency, else the one most often printed beside an amount or in brackets.

    Names of countries are no evidence: they say where someone lives, not what is paid in.
    """
    best = labelled(claims, Role.CURRENCY, lambda zone: find_currencies(zone.text))
    if best:
        return best[0].value
    rows = (" ".join(run.text for run in row) for row in page.rows)
    votes = Counter(code for row in rows for code in _beside_amounts(row))
    return votes.most_common(1)[0][0] if votes else None


def _beside_amounts(text: str) -> Iterator[str]:
    """Symbols, and codes beside digits or alone: elsewhere a code may be a word ("ALL", "TOP")."""
    for found in find_currencies(text):
        if not text[found.start].isalpha() or _touches_digits(text, found) or _alone(text, found):
            yield found.value


def _touches_digits(text: str, found: Found[str]) -> bool:
    before, after = text[: found.start], text[found.end :]
    return bool(re.search(r"\d[.,\-]?\s?$", before) or re.match(r"[.:]?\s?[-−(]?\s?\d", after))


def _alone(text: str, found: Found[str]) -> bool:
    printed = text[found.start : found.end]
    return text.strip() == printed or f"({printed})" in text.replace(" ", "")
