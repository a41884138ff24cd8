"""The text of a page, indexed once for all records that are held against it."""

from __future__ import annotations

import datetime as dt
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TypeVar

from pipeline.data import TextLine, Verdict
from pipeline.trust.evidence.fold import fold
from pipeline.trust.evidence.labels import Labels, Vocabulary
from pipeline.trust.evidence.numbers import Numbers
from pipeline.trust.evidence.page import Page, around
from pipeline.trust.evidence.place import Place, Span, spans_in
from pipeline.trust.evidence.stream import Stream
from pipeline.values import DateOrder, Found, find_currencies, find_dates

T = TypeVar("T")

MIN_BLOCK = 3
"""Letters of the shortest part in which a value may stand apart from the rest of it."""

MAX_BLOCKS = 8
"""Into how many parts a value may be broken."""

BLOCK_REACH = 3.0
"""Line heights between two parts of a value."""

_MAYBE_DATE = re.compile(
    r"\d{1,4}\s?[-/.,]\s?\d{1,2}\s?[-/.,]\s?\d{2}|\d.{0,6}[^\W\d_]{3}.{0,12}\d\d|[^\W\d_]{3}.{0,4}\d{1,2}.{1,6}\d\d|年|\d{8}"
)
_COMPACT = re.compile(r"(?<!\d)(?:19|20)\d{6}(?!\d)")


class PageText:
    """A page's text as it is searched. Not for several threads at once; costs are paid when first asked for."""

    def __init__(self, lines: Sequence[TextLine]) -> None:
        self.page = Page(lines)
        self.numbers = Numbers(self.page)
        self._vocabularies: dict[int, tuple[Vocabulary, Labels]] = {}

    @property
    def is_empty(self) -> bool:
        """Whether there is no text to hold anything against."""
        return not self.page.runs

    def labels(self, vocabulary: Vocabulary) -> Labels:
        """Return the labels of a schema on the page."""
        known = self._vocabularies.setdefault(id(vocabulary), (vocabulary, Labels(self.page, vocabulary)))
        return known[1]

    @cached_property
    def by_line(self) -> Stream:
        """The text as the lines came."""
        return Stream(self.page.in_line_order)

    @cached_property
    def by_column(self) -> Stream:
        """The text down the columns."""
        return Stream(self.page.in_column_order)

    def texts(self, value: str) -> list[Place]:
        """Return where a text stands, whole, as runs of words or broken over lines."""
        if not fold(value):
            return self._signs(value)
        found = self.by_line.places(value)
        known = {place.start for place in found}
        found += [place for place in self.by_column.places(value) if place.start not in known]
        return found or self._in_blocks(value)

    def similar(self, value: str) -> list[Place]:
        """Return the place of the text that is most like a value, if any is."""
        found = [place for stream in (self.by_line, self.by_column) if (place := stream.similar(value))]
        return [max(found, key=lambda place: place.similarity)] if found else []

    def dates(self, value: dt.date) -> list[Place]:
        """Return where a day stands, in any notation, read day first or month first."""
        return self._by_day(DateOrder.DAY_FIRST).get(value) or self._by_day(DateOrder.MONTH_FIRST).get(value) or []

    @cached_property
    def currencies(self) -> dict[str, list[Place]]:
        """Where codes and symbols stand, by code."""
        return self._read(find_currencies)

    @cached_property
    def _days(self) -> dict[DateOrder, dict[dt.date, list[Place]]]:
        return {}

    def _by_day(self, order: DateOrder) -> dict[dt.date, list[Place]]:
        if order not in self._days:
            self._days[order] = self._read(lambda text: _dates_in(text, order))
        return self._days[order]

    def _read(self, find: Callable[[str], Sequence[Found[T]]]) -> dict[T, list[Place]]:
        places: dict[T, list[Place]] = defaultdict(list)
        for run in self.page.runs:
            text = " ".join(piece.text for piece in run.pieces)
            for found in find(text):
                if text[found.start - 1 : found.start].isdigit() and text[found.start].isdigit():
                    continue  # a number goes on before it
                places[found.value].append(Place(spans_in(run, found.start, found.end), Verdict.NORMALISED))
        return places

    def _signs(self, value: str) -> list[Place]:
        """Return where a text without letters stands as a word of its own."""
        wanted = "".join(value.split())
        pieces = self.page.in_line_order if wanted else ()
        return [Place((Span(piece, 0, len(piece.text)),), Verdict.EXACT) for piece in pieces if piece.text == wanted]

    def _in_blocks(self, value: str) -> list[Place]:
        """Return where a text stands in parts near each other, each of whole words, in its order."""
        for stream in (self.by_column, self.by_line):
            spans: list[Span] = []
            rest, near = fold(value), None
            for _ in range(MAX_BLOCKS):
                found = stream.prefix(rest, near)
                if found is None or (found[0] < MIN_BLOCK and found[0] < len(rest)):
                    break
                block = stream.spans(found[1], found[2])
                if spans and not self._are_near(spans, block):
                    break
                spans += block
                rest, near = rest[found[0] :], found[2]
                if not rest:
                    return [Place(tuple(spans), Verdict.NORMALISED, doubt=0.1)]
        return []

    def _are_near(self, spans: Sequence[Span], block: Sequence[Span]) -> bool:
        a, b = around(span.flat for span in spans), around(span.flat for span in block)
        reach = BLOCK_REACH * self.page.line_height
        return b.y0 - a.y1 <= reach and a.y0 - b.y1 <= reach


def _dates_in(text: str, order: DateOrder) -> list[Found[dt.date]]:
    if not _MAYBE_DATE.search(text):
        return []
    found = find_dates(text, order)
    for match in _COMPACT.finditer(text):
        try:
            day = dt.datetime.strptime(match[0], "%Y%m%d").date()  # noqa: DTZ007 - a day has no zone
        except ValueError:
            continue
        found.append(Found(day, match.start(), match.end()))
    return found
