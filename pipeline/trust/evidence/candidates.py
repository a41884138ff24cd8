"""Where a value may stand on a page, before it is asked which of the places is its own."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import assert_never

from pipeline.data import Verdict
from pipeline.schema import Role
from pipeline.trust.evidence.fold import bare, fold
from pipeline.trust.evidence.leaves import Kind, Leaf
from pipeline.trust.evidence.place import Place
from pipeline.trust.evidence.text import PageText

DOLLARS = frozenset("AUD BBD BMD BND BSD BZD CAD FJD GYD HKD JMD KYD LRD MXN NAD NZD SBD SGD SRD TTD TWD XCD".split())
"""Currencies that print a bare "$" as the United States do (ISO 4217)."""

NO_CENTS = 1.5
"""What speaks against a whole number where an amount with cents has the same value."""

_CENTS = re.compile(r"[.,]\s?\d")
CROWNS = {"DKK", "ISK", "NOK", "SEK"}
_CROWN = re.compile(r"kr\.?", re.IGNORECASE)


def places_of(text: PageText, leaf: Leaf) -> list[Place]:
    """Return where a value stands, in any notation; nothing that is only similar."""
    match leaf.kind:
        case Kind.NUMBER:
            return _amounts(text, leaf)
        case Kind.DATE:
            return [_as_printed(place, leaf.value.isoformat()) for place in text.dates(leaf.value)]
        case Kind.CURRENCY:
            return _currencies(text, str(leaf.value))
        case Kind.CHOICE | Kind.TIME:
            return text.texts(str(leaf.value).replace("_", " "))
        case Kind.TEXT:
            return text.texts(leaf.value)
        case Kind.YES_OR_NO | Kind.PLAIN_TEXT:
            return []
        case _:
            assert_never(leaf.kind)


def similar_places(text: PageText, leaf: Leaf) -> list[Place]:
    """Return where something stands that recognisers may have made of a value."""
    if leaf.kind is Kind.NUMBER:
        return text.numbers.similar(leaf.number)
    return text.similar(leaf.value) if leaf.kind is Kind.TEXT else []


def _amounts(text: PageText, leaf: Leaf) -> list[Place]:
    """Return where a number stands; where money is meant, whole numbers and percentages are doubted beside cents."""
    places = text.numbers.places(leaf.number)
    if isinstance(leaf.value, int) or leaf.spec.role in {Role.QUANTITY, Role.TAX_RATE} or len(places) < 2:
        return places
    if not any(_CENTS.search(place.text) for place in places):
        return places
    return [place if _CENTS.search(place.text) else replace(place, doubt=place.doubt + NO_CENTS) for place in places]


def _as_printed(place: Place, plain: str) -> Place:
    """Return a place with the verdict that these characters deserve."""
    return replace(place, verdict=Verdict.EXACT) if bare(place.text) == plain else place


def _currencies(text: PageText, code: str) -> list[Place]:
    found = [_as_printed(place, code) for place in text.currencies.get(code, ())]
    if found:
        return found
    if code in DOLLARS:
        implied = [place for place in text.currencies.get("USD", ()) if fold(place.text) == ""]
    elif code in CROWNS:
        implied = [place for place in text.texts("kr") if _CROWN.fullmatch(place.text)]
    else:
        implied = []
    return [replace(place, verdict=Verdict.COMPUTED) for place in implied]
