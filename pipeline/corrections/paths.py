"""Paths of values in a record: `total`, `seller.name`, `line_items[0].quantity`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

Step = str | int

_STEP = re.compile(r"\[(\d{1,6})\]|([^.\[\]]+)")


def parse_path(path: str) -> tuple[Step, ...]:
    """Return the names and item numbers of a path; empty for the path of the whole record.

    Raises:
        ValueError: it is no path.
    """
    steps: list[Step] = []
    position = 0
    while position < len(path):
        is_name = position == 0 or path[position] == "."
        found = _STEP.match(path, position + (is_name and position > 0))
        if found is None or (found.group(2) is not None) != is_name:
            raise ValueError(f"{path!r} is no path of a value")
        steps.append(found.group(2) if found.group(1) is None else int(found.group(1)))
        position = found.end()
    return tuple(steps)


def path_text(steps: Sequence[Step]) -> str:
    """Return a path as it is written."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    return text.removeprefix(".")


def plain_path(path: str) -> str:
    """Return a path without item numbers: `line_items.quantity`."""
    return re.sub(r"\[\d+\]", "", path)


def get_value(record: Any, path: str) -> Any:
    """Return the value at a path; None where there is none."""
    value = record
    for step in parse_path(path):
        if isinstance(step, int):
            value = (
                value[step]
                if isinstance(value, Sequence) and not isinstance(value, str) and step < len(value)
                else None
            )
        else:
            value = value.get(step) if isinstance(value, dict) else None
    return value


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
