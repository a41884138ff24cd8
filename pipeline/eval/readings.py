"""What an output says of documents, found by their content: a run may have read them under any name."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from pipeline.data import Box, FieldEvidence, Status, Verdict
from pipeline.errors import ConfigError
from pipeline.results import open_results

if TYPE_CHECKING:
    from pipeline.data import Json
    from pipeline.eval.labels import Labelled
    from pipeline.extraction import Extraction
    from pipeline.results import ExtractionResults

_DOCUMENTS = (
    *("source_uri", "sha256", "status", "num_pages", "pages_ok", "pages_failed", "error_type", "error_message"),
    *("record", "evidence", "breaches", "needs_review", "records", "run_id", "engine", "model"),
)
_PAGES = ("source_uri", "page_number", "page_text")


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read of a document; the defaults are those of one that an output lacks."""

    uri: str | None = None
    status: Status | None = None
    record: Json = field(default_factory=dict)
    text: str | None = None
    """None: its reader tells no text."""
    evidence: Mapping[str, FieldEvidence] = field(default_factory=dict)
    breaches: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Names of broken rules, and the values that each is about."""
    needs_review: bool = False
    pages: int = 0
    pages_failed: int = 0
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Readings:
    """What one extraction left in an output."""

    by_content: Mapping[str, Json]
    """SHA-256 -> the document's row."""
    by_name: Mapping[str, Json]
    """File name, without its suffix, of documents that could not be opened; their content is not known."""
    texts: Mapping[str, str]
    """URI -> the document's text."""
    has_texts: bool
    """Whether its reader tells texts at all."""

    def of(self, label: Labelled) -> Reading:
        """Return what was read of a document, or of one record of several in it."""
        row = self.by_content.get(label.sha256)
        row = row or self.by_name.get(label.name) or self.by_name.get(label.path.stem)
        if row is None:
            return Reading(text="" if self.has_texts else None)
        return self._reading(row, _part(row, label.pages))

    def _reading(self, row: Json, part: Json) -> Reading:
        text = self.texts.get(row["source_uri"], "") if self.has_texts else None
        return Reading(
            uri=row["source_uri"],
            status=Status(row["status"]),
            record=_values(part.get("record")),
            text=text,
            evidence={one["path"]: evidence_of(one) for one in part.get("evidence") or ()},
            breaches=tuple((one["rule"], tuple(one["paths"])) for one in part.get("breaches") or ()),
            needs_review=bool(part.get("needs_review")),
            pages=row["pages_ok"] + row["pages_failed"],
            pages_failed=row["pages_failed"],
            error=f"{row['error_type']}: {row['error_message']}" if row.get("error_type") else None,
        )


def read_output(output: str, extraction: Extraction) -> Readings:
    """Return what an extraction left in an output; nothing where it left nothing.

    Raises:
        ConfigError: it is no output.
        StorageError: it cannot be read.
    """
    results = open_results(output)
    if not results.extractions:
        raise ConfigError(f"{output} holds no results; give the folder that a run wrote to.")
    found = next((one for one in results.extractions if one.name == extraction.name), None)
    if found is None:
        return Readings({}, {}, {}, has_texts=False)
    rows = found.documents(_DOCUMENTS).to_pylist()
    field_name = extraction.plain_text_field
    if field_name:
        texts = {row["source_uri"]: _values(row["record"]).get(field_name) or "" for row in rows}
    else:
        texts = _page_texts(found) if all(row["engine"] == "ocr" for row in rows) else {}
    return Readings(
        by_content={row["sha256"]: row for row in rows if row["sha256"]},
        by_name={Path(unquote(row["source_uri"])).stem: row for row in rows if not row["sha256"]},
        texts=texts,
        has_texts=bool(texts),
    )


def _page_texts(found: ExtractionResults) -> dict[str, str]:
    """Return each document's lines as the engine read them."""
    pages: dict[str, dict[int, str]] = {}
    for batch in found.page_batches(_PAGES):
        for row in batch.to_pylist():
            pages.setdefault(row["source_uri"], {})[row["page_number"] or 0] = row["page_text"] or ""
    return {uri: "\n".join(texts[number] for number in sorted(texts)) for uri, texts in pages.items()}


def _part(row: Json, pages: tuple[int, int] | None) -> Json:
    """Return the record of a document that shares most pages with the label; without any pages the first one."""
    parts: Sequence[Json] = row.get("records") or ()
    if pages is None or not parts:
        return row
    return max(parts, key=lambda part: _shared(pages, (part["first_page"], part["last_page"])))


def _values(record: Json | str | None) -> Json:
    """Return a record's values; it is JSON text where schemas of an output contradict each other."""
    values: Json = json.loads(record) if isinstance(record, str) else record or {}
    return values


def _shared(ours: tuple[int, int], theirs: tuple[int, int]) -> int:
    return min(ours[1], theirs[1]) - max(ours[0], theirs[0])


def evidence_of(row: Mapping[str, Any]) -> FieldEvidence:
    """Return evidence as it stands in a row."""
    corners = [row.get(name) for name in ("x0", "y0", "x1", "y1")]
    return FieldEvidence(
        path=row["path"],
        page_number=row["page_number"],
        verdict=Verdict(row["verdict"]) if row.get("verdict") else None,
        text=row.get("text"),
        box=Box(*corners) if None not in corners else None,  # type: ignore[arg-type]
        similarity=row.get("similarity"),
        score=row.get("score"),
        logprob=row.get("logprob"),
        confidence=row.get("confidence"),
    )


def page_rows(output: str, extraction: str, uris: set[str], columns: Sequence[str]) -> Iterator[Json]:
    """Yield the page rows of some documents."""
    found = next((one for one in open_results(output).extractions if one.name == extraction), None)
    for batch in found.page_batches((*columns, "source_uri")) if found else ():
        for row in batch.to_pylist():
            if row["source_uri"] in uris:
                yield row
