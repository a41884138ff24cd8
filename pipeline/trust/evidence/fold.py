"""Text as it is compared: letters and digits only, lower case, without accents.

"Müller GmbH & Co." and "MULLER GMBH &CO" fold to the same.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

_ATOM = re.compile(r"[⺀-鿿가-힯豈-﫿]|\d+|[^\W\d_]+")
"""An East Asian letter, which has no space beside it; digits; letters."""

_GLUED = re.compile(r"(?<=[a-zß-ÿ])(?=[A-ZÀ-Þ])")
"""Where a space was lost before a capital: "InvoiceNo"."""

_LOOK_ALIKE = str.maketrans("oqdcilzsgb", "0000112568")
"""Letters that recognisers take for digits, folded; used on both sides of a comparison."""


class Atom(NamedTuple):
    """A piece of a word that can be a word of its own."""

    folded: str
    start: int
    end: int
    """word[start:end] is the piece."""


@lru_cache(maxsize=32768)
def fold(text: str) -> str:
    """Return the letters and digits of `text`, comparable."""
    if text.isascii():
        return "".join(filter(str.isalnum, text.lower()))
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKD", text.casefold())))


@lru_cache(maxsize=32768)
def atoms(word: str) -> tuple[Atom, ...]:
    """Return the pieces of a word, left to right; "InvoiceNo:47b" has four."""
    if word.isalpha() and (word.islower() or word.isupper() or word.istitle()) and word.isascii():
        return (Atom(word.lower(), 0, len(word)),)
    found = []
    for match in _ATOM.finditer(word):
        start = match.start()
        for cut in [m.start() for m in _GLUED.finditer(word, match.start(), match.end())] + [match.end()]:
            folded = fold(word[start:cut])
            if folded:
                found.append(Atom(folded, start, cut))
            start = cut
    return tuple(found)


def look_alike(folded: str) -> str:
    """Return folded text with letters that look like digits as those digits."""
    return folded.translate(_LOOK_ALIKE)


def bare(text: str) -> str:
    """Return `text` without white space."""
    return "".join(text.split())
