"""Which of the texts around an item's amounts is its description."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pipeline.data import Box
from pipeline.engines.ocr.page import PageLayout
from pipeline.engines.ocr.tables.cells import Cell

WRAP_PITCH = 1.3
"""Distance of two lines of one wrapped text in units of the page's tight line spacing; notes stand farther."""

_NOTE = re.compile(r"^[^:]{2,40}[\w.]\s*:\s*\S|^\W*(?:incl|inkl|dont|davon)\b|\d[.,]\d{2}\b", re.IGNORECASE)
_CODE = re.compile(r"\W*(?=[A-Z-]*\d[\w-]*\d)[\w-]+\W*")


def is_wording(text: str) -> bool:
    """Whether a text has a word, and is no article number."""
    return re.search(r"[^\W\d_]{3}", text) is not None and not _CODE.fullmatch(text)


def wrap_distance_px(page: PageLayout) -> float:
    """How far lines of one wrapped text are apart at most, middle to middle, in pixels."""
    pitches = []
    for run in page.runs:
        below = next(page.below(run, max_gap=2), None)
        if below is not None:
            pitches.append((below.box.y0 + below.box.y1 - run.box.y0 - run.box.y1) / 2)
    tight = sorted(pitches)[len(pitches) // 4] if pitches else 0.0
    return max(WRAP_PITCH * tight, 1.1 * page.line_height_px)


def description_of(anchor: Cell, cells: Sequence[Cell], wrap_px: float) -> str:
    """The text at the head of an item; notes, codes and keys with values around it are left out.

    It stands on the anchor's row, else it is the nearest text, and goes on in the lines that are
    set like it: as close as wrapped lines are, beginning at the same margin.
    """
    lines = _joined_rows(sorted(cells, key=lambda c: (c.row, c.box.x0)))
    named = [line for line in lines if is_wording(line.text) and not _NOTE.search(line.text)]
    beside = [line for line in lines if abs(line.middle - anchor.middle) <= 0.4 * wrap_px and is_wording(line.text)]
    near = min(beside or named or lines, key=lambda line: abs(line.middle - anchor.middle), default=None)
    first = max(beside, key=lambda line: sum(map(str.isalpha, line.text)), default=near)
    if first is None:
        return ""
    at = lines.index(first)
    higher = [line for line in lines[at::-1] if line is first or not _CODE.fullmatch(line.text)]
    taken = [*_wrapped(higher, wrap_px)[::-1], *_wrapped(lines[at:], wrap_px)[1:]]
    return re.sub(r"^\[[\w-]+\]\s*", "", " ".join(line.text.strip() for line in taken))


def _joined_rows(cells: Sequence[Cell]) -> list[Cell]:
    """The cells with neighbours of one row joined; marks far to the right, as tax codes, stay apart."""
    lines: list[Cell] = []
    for cell in cells:
        last = lines[-1] if lines else None
        if last and last.row == cell.row and cell.box.x0 - last.box.x1 < 2 * (cell.box.y1 - cell.box.y0):
            box = Box(last.box.x0, min(last.box.y0, cell.box.y0), cell.box.x1, max(last.box.y1, cell.box.y1))
            lines[-1] = Cell(last.owner, f"{last.text} {cell.text}", box, last.row)
        else:
            lines.append(cell)
    return lines


def _wrapped(lines: Sequence[Cell], wrap_px: float) -> list[Cell]:
    """The first line and those after it (up or down the page) that are of the same text."""
    taken = [lines[0]]
    for line in lines[1:]:
        far = abs(line.middle - taken[-1].middle) > wrap_px
        if far or _NOTE.search(line.text):
            break
        if _same_margin(line.box, taken[0].box, 0.5 * wrap_px):
            taken.append(line)
    return taken


def _same_margin(a: Box, b: Box, slack_px: float) -> bool:
    """Whether two lines begin at one margin or are centred on one axis."""
    return abs(a.x0 - b.x0) <= slack_px or abs(a.x0 + a.x1 - b.x0 - b.x1) <= slack_px
