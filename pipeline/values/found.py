"""A value and where it stands in a text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """A value in a text; text[start:end] prints it."""

    value: T
    start: int
    end: int
