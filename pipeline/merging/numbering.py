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

_WORD = (
    r"\b(?:page|pag|seite|p[aá]gina|p[aá]g|blatt|sheet|folio|feuille|feuillet|bladzijde|blz|strona|str|sida|side|sivu)"
)
_OF = r"\s*(?:/|\||\b(?:of|von|de|di|da|van|sur|z|av|af|out of)\b)\s*"
_NUMBER = r"(\d{1,4})(?![\d.,]*\d)"
_LABELLED = re.compile(rf"{_WORD}\.?\s*(?:n[ro°º]?\.?)?\s*[:#-]?\s*{_NUMBER}(?:{_OF}{_NUMBER})?", re.IGNORECASE)
_BARE = re.compile(rf"^\W*{_NUMBER}{_OF}{_NUMBER}\W*$", re.IGNORECASE)


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
    top = min((line.box.y0 for line in lines), default=0.0)
    bottom = max((line.box.y1 for line in lines), default=0.0)
    margin = MARGIN * (bottom - top)
    for line in lines:
        text = line.text
        if not any(map(str.isdigit, text)):
            continue
        if match := _LABELLED.search(text):
            if match[2] or len(text) <= LONGEST_LABEL or match.end() == len(text.rstrip()):
                yield from _checked(match[1], match[2])
        elif (line.box.y1 <= top + margin or line.box.y0 >= bottom - margin) and (match := _BARE.match(text)):
            yield from _checked(match[1], match[2])


def _checked(number: str, of: str | None) -> Iterator[SheetNumber]:
    sheet = SheetNumber(int(number), int(of) if of else None)
    if 1 <= sheet.number <= (sheet.of or sheet.number):
        yield sheet
