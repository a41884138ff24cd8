"""The currency of a page's amounts."""

from __future__ import annotations

import re
from collections import defaultdict

from pipeline.engines.ocr.candidates import Claims, labelled
from pipeline.engines.ocr.page import PageLayout
from pipeline.schema import Role
from pipeline.values import Found, find_currencies

IN_TOTAL = 3.0
"""The votes of a row that is labelled as a total."""

UNSURE = 0.1
"""The vote of a symbol or a well-known code anywhere else, and of any code beside a number in a total's row. Elsewhere
letters are no evidence: "DOP 5" may be a cheese."""

_WELL_KNOWN = frozenset({"EUR", "USD", "GBP", "CHF"})
_CENTS_BEFORE = re.compile(r"\d[.,](?:\d\d|[-–—]{1,2})[-−)]?\s?$")
_CENTS_AFTER = re.compile(r"[.:]?\s?[-−(]?\s?\d[\d.,'’]*(?:[.,](?:\d\d|[-–—]{1,2})|['’.,]\d{3})(?!\d)")
_COMPANY_BEFORE = re.compile(r"\bsdn\.?\s*$", re.IGNORECASE)
"""Sendirian Berhad, "Sdn Bhd": the end of a Malaysian company's name, and no dinars of Bahrain."""
_DIGIT_BEFORE, _DIGIT_AFTER = re.compile(r"\d\s?$"), re.compile(r"[.:]?\s?[-−(]?\s?\d")


def find_currency(page: PageLayout, claims: Claims) -> str | None:
    """The labelled currency, else the one most often printed beside an amount, in a label, in brackets or alone.

    Names of countries are no evidence: they say where someone lives, not what is paid in.
    """
    best = labelled(claims, Role.CURRENCY, lambda zone: find_currencies(zone.text))
    if best:
        return best[0].value
    totals = {claim.run.row for role in (Role.TOTAL, Role.DUE) for claim in claims.of(role)}
    votes: dict[str, float] = defaultdict(float)
    for row, runs in enumerate(page.rows):
        text = " ".join(run.text for run in runs)
        apart = {found.value for run in runs for found in _currencies(run.text) if _is_apart(run.text, found)}
        for found in _currencies(text):
            if found.value in apart or _is_beside_cents(text, found):
                votes[found.value] += IN_TOTAL if row in totals else 1
            elif _is_unmistakable(text, found) or (row in totals and _is_beside_digit(text, found)):
                votes[found.value] += UNSURE
    return max(votes, key=lambda code: votes[code], default=None)


def _currencies(text: str) -> list[Found[str]]:
    return [found for found in find_currencies(text) if not _COMPANY_BEFORE.search(text[: found.start])]


def _is_beside_cents(text: str, found: Found[str]) -> bool:
    """Whether an amount with cents or thousands stands beside; digits glued before letters are an article's."""
    before, after = text[: found.start], text[found.end :]
    if _CENTS_BEFORE.search(before):
        return True
    return _CENTS_AFTER.match(after) is not None and not (text[found.start].isalpha() and before[-1:].isdigit())


def _is_unmistakable(text: str, found: Found[str]) -> bool:
    return not text[found.start].isalpha() or text[found.start : found.end] in _WELL_KNOWN


def _is_beside_digit(text: str, found: Found[str]) -> bool:
    return bool(_DIGIT_BEFORE.search(text[: found.start]) or _DIGIT_AFTER.match(text[found.end :]))


def _is_apart(text: str, found: Found[str]) -> bool:
    """Whether a currency stands alone, in brackets, or as a code last in a label: "Amount EUR"."""
    printed = text[found.start : found.end]
    ends_label = len(printed) == 3 and found.end == len(text) and re.search(r"[^\W\d_] $", text[: found.start])
    return text.strip() == printed or f"({printed})" in text.replace(" ", "") or bool(ends_label)
