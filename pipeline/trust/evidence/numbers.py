"""The numbers that a page prints, by value, in every way in which they can be read."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from functools import cached_property

from pipeline.data import Verdict
from pipeline.trust.evidence.page import Page, Piece, Run
from pipeline.trust.evidence.place import Place, Span, spans_in
from pipeline.values import parse_amount

_MISREAD_BEFORE, _MISREAD_BEHIND = re.compile(r"[OoQDC][.,]$"), re.compile(r"[.,][OoQDCIl|](?![^\W\d_]{2})")
"""Digits that were read as letters: the 15 of "15.O0" is no number."""

MAX_UNITS = 4
"""Letters that may be glued to a whole number: a currency, a unit. More make it part of an identifier."""

MAX_COLUMN_DOUBT, ROWS_APART, COLUMNS_IN_REACH = 0.1, 3, 12
"""What stands in one column: numbers that are beyond doubt, few rows apart; and how many columns are open at once."""

_CENTS = re.compile(r"[.,]\d\d$")
_NUMBER = re.compile(r"\d+(?:[.,'’]\d+)*")
_SPACED = re.compile(
    r"(?<![\d.,])\d{1,3}(?:[ '’]\d{3})+(?:\s?[.,]\s?\d{1,6})?(?![\d.,]*\d)"
    r"|(?<![\d.,])\d+(?:[.,]\d{3})*(?:\s[.,]\s?|[.,]\s)\d{2}(?!\d)"
)
"""Numbers with spaces in them: "2 076,76", and "112. 45" as recognisers write it."""

_GROUPED = re.compile(r"\d{1,3}(?:\.\d{3})+")
_ONE_COMMA = re.compile(r"\d{1,3},\d{3}")
_MISREAD = re.compile(
    r"(?<![^\W\d_])[\dOoQDCIl|SBZG.,]*\d[\dOoQDCIl|SBZG.,]*(?![^\W\d_])|(?<=RM)[\dOlIS]+[.,][\dOoDlI]{2}"
)
_AS_DIGITS = str.maketrans("OoQDCIl|SBZG", "000001115826")


class Numbers:
    """Every number on the page, by its size: the sign is looked at where a value is compared."""

    def __init__(self, page: Page) -> None:
        self._page = page

    @cached_property
    def _by_size(self) -> dict[Decimal, list[Place]]:
        found: dict[Decimal, list[Place]] = defaultdict(list)
        for run in self._page.runs:
            for size, place in _numbers_in(run):
                found[size].append(place)
        return found

    @cached_property
    def _misread(self) -> dict[Decimal, list[Place]]:
        """Numbers that are some once letters are taken for the digits they look like."""
        found: dict[Decimal, list[Place]] = defaultdict(list)
        for run in self._page.runs:
            for piece in run.pieces:
                for size, place in _misread_in(piece):
                    found[size].append(place)
        return found

    def places(self, value: Decimal) -> list[Place]:
        """Return where a number stands, top to bottom; other signs are doubted."""
        return [_judged(place, value) for place in self._by_size.get(abs(value), ())]

    def percentages(self, value: Decimal) -> Iterator[Place]:
        """Yield where a number stands with a per cent sign behind it."""
        for place in self.places(value):
            last = place.spans[-1]
            row = self._page.row_pieces[last.piece.row]
            following = row[last.piece.place + 1].text if last.piece.place + 1 < len(row) else ""
            if (last.piece.text[last.end :] + following)[:1] in {"%", "‰"}:
                yield place

    @cached_property
    def columns(self) -> list[list[tuple[Decimal, Place]]]:
        """Amounts with cents that stand right below each other, flush right, top to bottom."""
        found: list[list[tuple[Decimal, Place]]] = []
        amounts = [
            (size, place)
            for size, places in self._by_size.items()
            for place in places
            if len(place.spans) == 1 and place.doubt < MAX_COLUMN_DOUBT and _CENTS.search(place.text)
        ]
        for size, place in sorted(amounts, key=lambda one: one[1].row):
            right, height = place.flat.x1, place.flat.y1 - place.flat.y0
            for column in reversed(found[-COLUMNS_IN_REACH:]):
                above = column[-1][1]
                if 0 < place.row - above.row <= ROWS_APART and abs(above.flat.x1 - right) < height / 2:
                    column.append((size, place))
                    break
            else:
                found.append([(size, place)])
        return found

    def similar(self, value: Decimal) -> list[Place]:
        """Return where it stands once misread digits are forgiven."""
        return self._misread.get(abs(value), [])


def _judged(place: Place, value: Decimal) -> Place:
    text = place.text.lstrip("-−– ")
    exact = re.fullmatch(r"\d+(?:\.\d+)?", text) is not None and Decimal(text) == abs(value)
    printed_negative = _is_negative(place)
    verdict = Verdict.EXACT if exact else Verdict.NORMALISED
    if _is_in_brackets(place):  # a negative amount, or a remark
        return Place(place.spans, Verdict.NORMALISED, doubt=place.doubt + 0.1)
    if (value < 0) != printed_negative and value:
        return Place(place.spans, Verdict.FUZZY, 0.9, place.doubt + 0.5)
    return Place(place.spans, verdict, doubt=place.doubt)


def _is_negative(place: Place) -> bool:
    """Whether a sign stands right before, or before a currency before, or behind it."""
    first, last = place.spans[0], place.spans[-1]
    if first.text[:1] in {"-", "−", "–"} or re.search(r"[-−–]\D{0,4}$", first.piece.text[: first.start]):
        return True
    return re.match(r"\D{0,3}[-−](?!\w)", last.piece.text[last.end :]) is not None


def _is_in_brackets(place: Place) -> bool:
    first, last = place.spans[0], place.spans[-1]
    rest = last.piece.text[last.end :]
    return "(" in first.piece.text[: first.start] and (not rest or ")" in rest)


def _numbers_in(run: Run) -> Iterator[tuple[Decimal, Place]]:
    pieces = run.pieces
    for number, piece in enumerate(pieces):
        if not any(map(str.isdigit, piece.text)):
            continue
        signed = number > 0 and pieces[number - 1].text in {"-", "−", "–"}
        for match in _NUMBER.finditer(piece.text):
            start = match.start() - _has_sign(piece.text, match.start())
            doubt = _doubt(piece.text, match.start(), match.end())
            if doubt is None:
                continue
            for extra, size in _readings(match[0]):
                span = Span(piece, start, match.end())
                spans = (Span(pieces[number - 1], 0, 1), span) if signed else (span,)
                yield size, Place(spans, Verdict.NORMALISED, doubt=doubt + extra)
    yield from _spaced_in(run)


def _has_sign(text: str, start: int) -> bool:
    """Whether a minus belongs to the number behind it, and is no dash of an identifier."""
    return text[start - 1 : start] in {"-", "−"} and not text[start - 2 : start - 1].isalnum()


def _readings(text: str) -> Iterator[tuple[float, Decimal]]:
    """Yield the doubt and the size of each number that `text` may be."""
    try:
        yield 0.0, parse_amount(text)
    except ValueError:  # separators in an order that no number has
        return
    if _GROUPED.fullmatch(text):
        yield 0.1, Decimal(text.replace(".", ""))
    elif _ONE_COMMA.fullmatch(text):
        yield 0.1, Decimal(text.replace(",", "."))


def _doubt(text: str, start: int, end: int) -> float | None:
    """Return what speaks against a number in a word; None where it is part of a date, a time or an identifier."""
    before, after = text[:start], text[end:]
    if (before[-1:] in set("/:-–") and before[-2:-1].isdigit()) or (after[:1] in set("/:-–") and after[1:2].isdigit()):
        return None
    if _MISREAD_BEFORE.search(before) or _MISREAD_BEHIND.match(after):
        return None
    letters = max(_letters_behind(before[::-1]), _letters_behind(after))
    if not letters:
        return 0.0
    if letters <= MAX_UNITS or re.search(r"[.,]\d\d$", text[start:end]):
        return 0.2 if letters <= 2 else 0.4
    return None


def _letters_behind(text: str) -> int:
    """Return the number of letters right at the beginning of a text."""
    return next((number for number, char in enumerate(text) if not char.isalpha()), len(text))


def _spaced_in(run: Run) -> Iterator[tuple[Decimal, Place]]:
    if len(run.pieces) < 2:
        return
    for match in _SPACED.finditer(" ".join(piece.text for piece in run.pieces)):
        if " " in match[0]:
            place = Place(spans_in(run, match.start(), match.end()), Verdict.NORMALISED, doubt=0.2)
            yield from ((size, place) for _, size in _readings(match[0]))


def _misread_in(piece: Piece) -> Iterator[tuple[Decimal, Place]]:
    for match in _MISREAD.finditer(piece.text):
        text = match[0].strip(".,|")
        letters = sum(not char.isdigit() and char not in ".," for char in text)
        digits = sum(map(str.isdigit, text))
        if letters and digits > max(letters, 1) and _NUMBER.fullmatch(plain := text.translate(_AS_DIGITS)):
            start = match.start() + match[0].index(text)
            span = Span(piece, start, start + len(text))
            place = Place((span,), Verdict.FUZZY, round(1 - letters / len(text), 4), 0.3)
            yield from ((size, place) for _, size in _readings(plain))
