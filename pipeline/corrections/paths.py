"""Paths of values in a record: `total`, `seller.name`, `line_items[0].quantity`, `rates.19.5`.

Names are written as they are. Those of a dict may hold dots and brackets; the record tells where they end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import reduce
from typing import Any

Step = str | int

_ITEM = re.compile(r"\[(\d{1,6})\]")
_NAME = re.compile(r"[^.\[\]]+")


def parse_path(path: str, record: Any = None) -> tuple[Step, ...]:
    """Return the names and item numbers of a path; empty for the path of the whole record.

    Args:
        record: where it leads into; its own names are known whatever they hold.

    Raises:
        ValueError: it is no path.
    """
    steps: list[Step] = []
    rest, value = f".{path}" if path else "", record
    while rest:
        step: Step
        if item := _ITEM.match(rest):
            step, rest = int(item[1]), rest[item.end() :]
        elif rest[0] == "." and (name := _name(rest[1:], value)) is not None:
            step, rest = name, rest[1 + len(name) :]
        else:
            raise ValueError(f"{path!r} is no path of a value")
        steps.append(step)
        value = _child(value, step)
    return tuple(steps)


def _name(rest: str, value: Any) -> str | None:
    """Return the name with which a path goes on: the longest that is there, else up to the next dot or bracket."""
    known = [name for name in value if _begins(rest, str(name))] if isinstance(value, dict) else []
    found = _NAME.match(rest)
    return max(known, key=len) if known else found and found[0]


def _begins(rest: str, name: str) -> bool:
    return rest.startswith(name) and rest[len(name) : len(name) + 1] in {"", ".", "["}


def _child(value: Any, step: Step) -> Any:
    if isinstance(step, int):
        is_list = isinstance(value, Sequence) and not isinstance(value, str)
        return value[step] if is_list and step < len(value) else None
    return value.get(step) if isinstance(value, dict) else None


def path_text(steps: Sequence[Step]) -> str:
    """Return a path as it is written."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    return text.removeprefix(".")


def plain_path(path: str) -> str:
    """Return a path without item numbers: `line_items.quantity`."""
    return re.sub(r"\[\d+\]", "", path)


def get_value(record: Any, path: str) -> Any:
    """Return the value at a path; None where there is none."""
    return reduce(_child, parse_path(path, record), record)


def leaves(value: Any, steps: tuple[Step, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Yield (path, value) of all single values in a record, depth first, those that are None too."""
    if isinstance(value, dict):
        for name, child in value.items():
            yield from leaves(child, (*steps, name))
    elif isinstance(value, list | tuple):
        for number, child in enumerate(value):
            yield from leaves(child, (*steps, number))
    else:
        yield path_text(steps), value
