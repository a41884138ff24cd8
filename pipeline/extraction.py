"""Extractions: load prompt and schema, validate outputs, decide the next try, merge pages.

An extraction is a folder `<name>/` with `prompt.md` (instructions for the model) and
`schema.py` (one pydantic model). No engine, no storage, no rendering here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel


@dataclass(frozen=True)
class Extraction:
    """One loaded extraction folder."""

    name: str
    folder: Path
    prompt: str
    model: type[BaseModel]
    prompt_sha256: str
    schema_sha256: str

    @cached_property
    def plain_text_field(self) -> str | None:
        """The field that takes the whole output as plain text, when the model's class variable names one."""
        name = getattr(self.model, "plain_text_field", None)
        return name if isinstance(name, str) else None

    @cached_property
    def json_schema(self) -> dict[str, Any]:
        """JSON schema for constrained output: closed objects, every property required."""
        raise NotImplementedError
