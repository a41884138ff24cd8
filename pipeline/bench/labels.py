"""Documents of which it is known what stands in them.

A folder of labelled documents has a `manifest.jsonl`, a line for each document:

    {"id": "a-17", "kind": "receipt", "file": "receipts/a-17.jpg", "ground_truth": "receipts/gt/a-17.json"}

The ground truth is text (`.txt`), or JSON with fields, and with the document's whole text as `text` if that is known.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.errors import ConfigError

MANIFEST = "manifest.jsonl"
EXTRACTIONS = {"receipt": "receipt", "invoice": "invoice", "fulltext": "transcript"}
"""What is read from documents of a kind; those of other kinds are left out."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """A document and what stands in it."""

    name: str
    """Unique; safe as a file name."""
    kind: str
    path: Path
    text: str | None
    """None where only fields are known."""
    fields: dict[str, Any] = field(default_factory=dict)


def read_labels(folder: Path, *, limit: int | None = None) -> dict[str, list[Labelled]]:
    """Return the documents of each kind, at most `limit` of one, spread evenly over all of them.

    Raises:
        ConfigError: there is no manifest, a line of it cannot be read, or it names nothing that can be used.
    """
    kinds: dict[str, list[Labelled]] = {}
    for document in _documents(folder):
        kinds.setdefault(document.kind, []).append(document)
    if not kinds:
        raise ConfigError(
            f"{folder / MANIFEST} names no document of kind {', '.join(EXTRACTIONS)} with a text or JSON."
        )
    return {kind: _spread(sorted(found, key=lambda one: one.name), limit) for kind, found in kinds.items()}


def _documents(folder: Path) -> Iterator[Labelled]:
    try:
        lines = (folder / MANIFEST).read_text("utf-8").splitlines()
    except OSError as error:
        raise ConfigError(f"{folder} has no {MANIFEST}: {error.strerror}.") from error
    for number, line in enumerate(lines, start=1):
        try:
            entry = json.loads(line)
            truth = folder / (entry.get("ground_truth") or "")
            if entry["kind"] in EXTRACTIONS and truth.suffix in {".txt", ".json"}:
                yield _labelled(entry, folder, truth)
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise ConfigError(f"{folder / MANIFEST}, line {number}: {type(error).__name__}: {error}") from error


def _labelled(entry: dict[str, Any], folder: Path, truth: Path) -> Labelled:
    content = truth.read_text("utf-8")
    fields = json.loads(content) if truth.suffix == ".json" else {"text": content}
    name = str(entry["id"]).replace("/", "-")
    return Labelled(name, entry["kind"], folder / entry["file"], fields.pop("text", None), fields)


def _spread(documents: Sequence[Labelled], limit: int | None) -> list[Labelled]:
    if limit is None or limit >= len(documents):
        return list(documents)
    return [documents[number * len(documents) // limit] for number in range(limit)]
