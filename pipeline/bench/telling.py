"""What a measurement prints: results on standard output, all else on standard error; and tables."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from typing import TextIO

GAP = "  "


def put(text: str) -> None:
    """Print a result."""
    _write(sys.stdout, text)


def say(text: str) -> None:
    """Tell whoever waits."""
    _write(sys.stderr, text)


def room() -> int | None:
    """Return the columns that a table may take; None where nobody says, as in a file."""
    return shutil.get_terminal_size((0, 0)).columns or None


def folded(rows: Sequence[Sequence[str]], groups: Sequence[int], width: int | None) -> str:
    """Return rows as a table; groups of columns that find no room stand below, the first column before them again.

    Args:
        rows: the first one has the headers.
        groups: how many columns of each group stay together, the first column not counted.
        width: columns of a line; None: no limit.
    """
    columns = [_aligned(cells) for cells in zip(*rows, strict=True)]
    return "\n\n".join(
        "\n".join(GAP.join(cells).rstrip() for cells in zip(*block, strict=True))
        for block in _blocks(columns, groups, width)
    )


def _blocks(
    columns: Sequence[Sequence[str]], groups: Sequence[int], width: int | None
) -> Iterator[list[Sequence[str]]]:
    block, taken = [columns[0]], 1
    for count in groups:
        group = columns[taken : taken + count]
        taken += count
        if width is not None and len(block) > 1 and _width([*block, *group]) > width:
            yield block
            block = [columns[0]]
        block += group
    yield block


def _width(columns: Sequence[Sequence[str]]) -> int:
    return sum(len(cells[0]) for cells in columns) + len(GAP) * (len(columns) - 1)


def _aligned(cells: Sequence[str]) -> list[str]:
    width = max(map(len, cells))
    return [cell.ljust(width) for cell in cells]


def _write(stream: TextIO, text: str) -> None:
    stream.write(f"{text}\n")
    stream.flush()
