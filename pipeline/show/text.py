"""Values from documents -> text that is safe and readable in a terminal."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any
from urllib.parse import unquote

from pipeline import log

_LONGEST = 400
"""Characters of a value that are looked at; no cell is wider."""


def printable(value: str) -> str:
    """Return `value` on one line, with every character that steers a terminal or reorders text made visible."""
    return log.printable(" ".join(value[:_LONGEST].split()))


def cell(value: Any) -> str:
    """Return one value of a record as a table shows it; items of a list are counted."""
    match value:
        case None:
            text = ""
        case bool():
            text = "yes" if value else "no"
        case Decimal():
            text = amount(value)
        case float():
            text = f"{value:.6g}"
        case dt.datetime():
            text = f"{value:%Y-%m-%d %H:%M}"
        case dict():
            text = ", ".join(f"{name}: {cell(item)}" for name, item in value.items() if item is not None)
        case list():
            text = str(len(value))
        case _:
            text = str(value)
    return printable(text)


def amount(value: Decimal) -> str:
    """Return a number with the places it needs, two at least."""
    places = -int(value.normalize().as_tuple().exponent)
    return f"{value:.{max(places, 2)}f}"


def labels(uris: list[str]) -> list[str]:
    """Return the names of files below the folder they have in common."""
    folders = [uri.rpartition("/")[0].split("/") for uri in uris]
    shared = 0
    for names in zip(*folders, strict=False):
        if len(set(names)) > 1:
            break
        shared += 1
    return [printable(unquote("/".join(uri.split("/")[shared:]))) for uri in uris]


def clipped_left(text: str, width: int) -> str:
    """Return the end of `text`, which tells file names apart better than their beginning."""
    return text if len(text) <= width else "…" + text[len(text) - width + 1 :]


def duration(seconds: float) -> str:
    """Return a time as a person says it."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def money(value: Decimal) -> str:
    """Return a price to the cent, or to the fourth place below one."""
    return f"{value:,.2f}" if value >= 1 else f"{value:.4f}"


def counted(count: int, noun: str, nouns: str = "") -> str:
    """Return "1 page", "2,000 pages"; `nouns` is the plural where it takes more than an s."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {nouns or f'{noun}s'}"
