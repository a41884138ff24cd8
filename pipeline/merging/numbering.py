"""Page numbers as they are printed: "Page 2 of 3", "Seite 1", "2/3" in a margin."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pipeline.data import TextLine

MARGIN = 0.1
"""Share of the printed height, at the top and at the bottom, in which a bare "2/3" is a page number."""

LONGEST_LABEL = 30
"""Characters of a line that says a page number without the number of pages; longer ones are prose."""

_WORD = "(?:page|pag|seite|página|pagina|pág|blatt|sheet|folio|feuillet|feuille|bladzijde|blz|strona|sida|side|sivu)"
_OF = r"[^\S\n]*(?:/|\||\b(?:of|von|de|di|da|van|sur|z|av|af|out of)\b)[^\S\n]*"
_NUMBER = r"(\d{1,4})(?![\d.,]*\d)"
# Begins with letters, without a look behind: that is found six times faster. Page text is lower case, a line a line.
_LABELLED = re.compile(rf"{_WORD}\b\.?[^\S\n]*(?:n[ro°º]?\.?)?[^\S\n]*[:#-]?[^\S\n]*{_NUMBER}(?:{_OF}{_NUMBER})?")
# "Continued on page 2" stands on page 1.
_OF_ANOTHER = re.compile(
    r"\b(?:on|to|from|see|auf|von|aus|zu|nach|siehe|sur|de la|à la|voir|op|van|naar|zie|en la|a la|alla|dalla|vedi)\s*$"
)
_BARE = re.compile(rf"^\W*{_NUMBER}{_OF}{_NUMBER}\W*$")


class SheetNumber(NamedTuple):
    """A printed page number."""

    number: int
    of: int | None = None
    """How many pages there are, where that is printed too."""

    @property
    def is_last(self) -> bool:
        """Whether no page follows, as far as it says."""
        return self.number == self.of


def sheet_number(lines: Sequence[TextLine]) -> SheetNumber | None:
    """Return the page number that stands on a page; None where none does, or several that differ."""
    found = set(_numbers(lines))
    with_total = {one for one in found if one.of}
    candidates = with_total or found
    return candidates.pop() if len(candidates) == 1 else None


def _numbers(lines: Sequence[TextLine]) -> Iterator[SheetNumber]:
    text = "\n".join(line.text for line in lines).lower()
    for match in _LABELLED.finditer(text):
        start, end = text.rfind("\n", 0, match.start()) + 1, text.find("\n", match.end()) % (len(text) + 1)
        is_word = match.start() == start or not text[match.start() - 1].isalnum()
        is_short = end - start <= LONGEST_LABEL or not text[match.end() : end].strip()
        if is_word and (match[2] or (is_short and not _OF_ANOTHER.search(text, start, match.start()))):
            yield from _checked(match[1], match[2])
    top = min((line.box.y0 for line in lines), default=0.0)
    bottom = max((line.box.y1 for line in lines), default=0.0)
    margin = MARGIN * (bottom - top)
    for line in lines:
        is_marginal = line.box.y1 <= top + margin or line.box.y0 >= bottom - margin
        if is_marginal and (bare := _BARE.match(line.text.lower())):
            yield from _checked(bare[1], bare[2])


def _checked(number: str, of: str | None) -> Iterator[SheetNumber]:
    sheet = SheetNumber(int(number), int(of) if of else None)
    if 1 <= sheet.number <= (sheet.of or sheet.number):
        yield sheet
