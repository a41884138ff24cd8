"""Documents of which it is known what stands in them.

A folder of labelled documents has a `manifest.jsonl`, a line for each document:

    {"id": "a-17", "kind": "receipt", "file": "receipts/a-17.jpg", "ground_truth": "receipts/gt/a-17.json",
     "language": "de"}

The ground truth is the whole text (`.txt`, `.md`), or JSON with fields as the extraction's schema names them, amounts
as decimal strings, dates as 2018-01-31. In JSON, `text` is the whole text, `visible_on_page` says of which values it is
known whether they stand on the page, and `absent` names fields that the document has no value for; any other field
without a value is one that nobody labelled. docs/quality.md has all of it.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

from pipeline.errors import ConfigError
from pipeline.eval.texts import without_markup

MANIFEST = "manifest.jsonl"
EXTRACTIONS = {"receipt": "receipt", "invoice": "invoice", "fulltext": "transcript"}
"""What is read from documents of a kind, beside kinds that are named like an extraction."""
UNKNOWN = "unknown"
_NO_FIELDS = ("text", "visible_on_page", "absent")


@dataclass(frozen=True)
class Labelled:
    """A document and what stands in it."""

    name: str
    """Unique; safe as a file name."""
    kind: str
    path: Path
    text: str | None
    """None where only fields are known."""
    fields: dict[str, Any] = field(default_factory=dict)
    extraction: str = ""
    language: str = UNKNOWN
    visible: Mapping[str, Any] = field(default_factory=dict)
    """By field: whether its value stands on the page; `line_desc` and `line_total`: [how many do, of how many]."""
    absent: frozenset[str] = frozenset()
    """Fields of which it is known that the document has no value."""
    pages: tuple[int, int] | None = None
    """First and last page, where the label is of one record of several in the file."""

    @property
    def is_text(self) -> bool:
        """Whether the label is a text and nothing else: then case counts."""
        return not self.fields and not self.absent

    @cached_property
    def sha256(self) -> str:
        """Of the file's bytes, by which its row is found in an output."""
        with self.path.open("rb") as file:
            digest = sha256()
            while chunk := file.read(1 << 20):
                digest.update(chunk)
        return digest.hexdigest()


@dataclass(frozen=True)
class Dataset:
    """Labelled documents, and what of a manifest cannot be used."""

    documents: tuple[Labelled, ...]
    left_out: Mapping[str, int]
    """Reason -> documents of the manifest."""

    @cached_property
    def by_kind(self) -> dict[str, list[Labelled]]:
        """The documents of each kind, by name."""
        kinds: dict[str, list[Labelled]] = {}
        for document in self.documents:
            kinds.setdefault(document.kind, []).append(document)
        return kinds


def read_labels(
    folder: Path,
    *,
    limit: int | None = None,
    kinds: Collection[str] = (),
    extractions: Collection[str] = (),
) -> Dataset:
    """Return the labelled documents of a folder, at most `limit` of a kind, spread evenly over all of it.

    Args:
        kinds: only these; all when empty.
        extractions: names of extractions; documents of a kind of such a name are read with it.

    Raises:
        ConfigError: there is no manifest, a line of it cannot be read, or it names nothing that can be used.
    """
    found: dict[str, list[Labelled]] = {}
    left_out: Counter[str] = Counter()
    for document in _documents(folder, {name: name for name in extractions} | EXTRACTIONS, kinds):
        if isinstance(document, str):
            left_out[document] += 1
        else:
            found.setdefault(document.kind, []).append(document)
    if not found:
        wanted = ", ".join(kinds or EXTRACTIONS)
        raise ConfigError(f"{folder / MANIFEST} names no document of kind {wanted} with a text or JSON.")
    _refuse_equal_names(folder, found)
    chosen = [one for kind in found.values() for one in _spread(sorted(kind, key=lambda one: one.name), limit)]
    return Dataset(tuple(chosen), left_out)


def _documents(folder: Path, extractions: Mapping[str, str], kinds: Collection[str]) -> Iterator[Labelled | str]:
    """Yield each document of the chosen kinds, or why it cannot be used."""
    try:
        lines = (folder / MANIFEST).read_text("utf-8").splitlines()
    except OSError as error:
        raise ConfigError(f"{folder} has no {MANIFEST}: {error.strerror}.") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            if not kinds or entry["kind"] in kinds:
                yield _document(entry, folder, extractions)
        except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
            raise ConfigError(f"{folder / MANIFEST}, line {number}: {type(error).__name__}: {error}") from error


def _document(entry: dict[str, Any], folder: Path, extractions: Mapping[str, str]) -> Labelled | str:
    extraction = entry.get("extraction") or extractions.get(entry["kind"])
    truth = folder / (entry.get("ground_truth") or "")
    if not extraction:
        return f"of kind {entry['kind']}, for which there is no extraction"
    if truth.suffix not in {".txt", ".md", ".json"}:
        return f"of kind {entry['kind']} without a label"
    return _labelled(entry, folder, truth, extraction)


def _labelled(entry: dict[str, Any], folder: Path, truth: Path, extraction: str) -> Labelled:
    content = truth.read_text("utf-8")
    if truth.suffix == ".md":
        content = without_markup(content)
    label: dict[str, Any] = json.loads(content) if truth.suffix == ".json" else {"text": content}
    fields = {name: value for name, value in label.items() if name not in _NO_FIELDS}
    path = folder / entry["file"]
    if not path.is_file():
        raise FileNotFoundError(entry["file"])
    pages = (int(entry["first_page"]), int(entry["last_page"])) if entry.get("first_page") else None
    return Labelled(
        name=str(entry["id"]).replace("/", "-"),
        kind=entry["kind"],
        path=path,
        text=label.get("text"),
        fields=fields,
        extraction=extraction,
        language=_language(entry.get("language")),
        visible=label.get("visible_on_page") or {},
        absent=frozenset(label.get("absent") or ()),
        pages=pages,
    )


def _language(text: str | None) -> str:
    """Return codes as they stand before any remark: `en (Malaysia)` is en."""
    found = re.match(r"[A-Za-z]{2,3}(,[A-Za-z]{2,3})*", text or "")
    return found.group().lower() if found else UNKNOWN


def _refuse_equal_names(folder: Path, found: Mapping[str, Sequence[Labelled]]) -> None:
    counts = Counter(one.name for documents in found.values() for one in documents)
    if twice := [name for name, count in counts.items() if count > 1]:
        raise ConfigError(f"{folder / MANIFEST} has several documents with the id {twice[0]!r}; give each its own.")


def _spread(documents: Sequence[Labelled], limit: int | None) -> list[Labelled]:
    if limit is None or limit >= len(documents):
        return list(documents)
    return [documents[number * len(documents) // limit] for number in range(limit)]
