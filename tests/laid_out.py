"""Lines of text as a reader returns them, laid out on a grid of letters: two spaces or more make a gap."""

import re

from pipeline.data import Box, TextLine, Word

LETTER_PX, LINE_PX, HEIGHT_PX = 10, 30, 20


def laid_out(page: str, *, score: float | None = None, words: bool = True) -> tuple[TextLine, ...]:
    """Return the lines of `page`, one letter wide a column; a word's place is that of its letters."""
    rows = enumerate(page.strip("\n").splitlines())
    return tuple(_line(row, text, score, words=words) for row, text in rows if text.strip())


def box_of(page: str, text: str, number: int = 0) -> Box:
    """Return where the `number`-th occurrence of `text` stands on a page that is laid out so."""
    found = [
        (row, match.start())
        for row, line in enumerate(page.strip("\n").splitlines())
        for match in re.finditer(re.escape(text), line)
    ]
    row, column = found[number]
    return _box(row, column, column + len(text))


def _line(row: int, text: str, score: float | None, *, words: bool) -> TextLine:
    found = tuple(Word(match[0], _box(row, match.start(), match.end())) for match in re.finditer(r"\S+", text))
    start, end = len(text) - len(text.lstrip()), len(text.rstrip())
    return TextLine(text.strip(), _box(row, start, end), score, found if words else ())


def _box(row: int, start: int, end: int) -> Box:
    top = row * LINE_PX
    return Box(start * LETTER_PX, top, end * LETTER_PX, top + HEIGHT_PX)
