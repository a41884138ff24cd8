"""Rows of a document and its pages -> its view."""

from __future__ import annotations

from collections import defaultdict
from itertools import chain
from typing import TYPE_CHECKING

from pipeline.data import AnsweredBy, Box, Breach, Conflict, FieldEvidence, RecordPart, Status, Verdict
from pipeline.report.images import Shot
from pipeline.report.records import record_view
from pipeline.report.views import DocumentView, FieldView, ImageView, NoImage, PageView, RecordView
from pipeline.show import what_helps

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.data import Json

LONGEST_TEXT = 20_000
"""Characters of a page's text, and of an output, that are shown."""
NO_IMAGE = NoImage("No picture of this page was made.")


def document_view(
    extraction: str,
    document: Json,
    pages: Sequence[Json],
    images: Mapping[int, ImageView | NoImage],
    *,
    notes: Mapping[int, Mapping[str, str]] | None = None,
) -> DocumentView:
    """Return what is shown of a document.

    Args:
        document: its row, with the columns of rows.DOCUMENT_COLUMNS that its part has.
        pages: its pages' rows by number, likewise.
        images: by page number.
        notes: what to say beside values, by record number and path.
    """
    records = tuple(record_views(document, pages, notes or {}))
    boxes: defaultdict[int | None, list[FieldView]] = defaultdict(list)
    for field in chain.from_iterable(record.all_fields for record in records):
        if field.box:
            boxes[field.page_number].append(field)
    return DocumentView(
        extraction=extraction,
        uri=document["source_uri"],
        status=Status(document["status"]),
        num_pages=document["num_pages"] or 0,
        pages=tuple(
            _page(page, boxes[page["page_number"]], images) for page in pages if page["page_number"] is not None
        ),
        records=records,
        **{name: document.get(name) for name in ("finished_at", "sha256", "run_id", "engine", "model")},
        flags=tuple(document.get("flags") or ()),
        error_type=document.get("error_type"),
        error_message=document.get("error_message"),
        what_helps=what_helps(document["error_type"]) if document.get("error_type") else None,
        pages_ok=document.get("pages_ok") or 0,
        pages_failed=document.get("pages_failed") or 0,
    )


def record_views(document: Json, pages: Sequence[Json], notes: Mapping[int, Mapping[str, str]]) -> list[RecordView]:
    """Return a document's records; of one that failed as a whole what its pages gave."""
    shots = {page["page_number"]: Shot.of(page) for page in pages if page["page_number"] is not None}
    parts = document.get("records") or []
    if not parts and document.get("record") is not None:
        single = pages[0] if len(pages) == 1 else {}
        parts = [single | document | {"first_page": 1, "last_page": document["num_pages"] or 1}]
    if parts:
        return [record_view(_part(part, shots), number, notes=notes.get(number)) for number, part in enumerate(parts)]
    found = [page for page in pages if page.get("record") is not None]
    return [
        record_view(
            _part(page | {"first_page": page["page_number"], "last_page": page["page_number"]}, shots),
            number,
            is_partial=bool(page["partial"]),
        )
        for number, page in enumerate(found)
    ]


def _part(row: Json, shots: Mapping[int, Shot]) -> RecordPart:
    """Return the record of a documents row, of one of its `records`, or of a page."""
    return RecordPart(
        first_page=row["first_page"] or 1,
        last_page=row["last_page"] or 1,
        record=row["record"],
        evidence=tuple(_evidence(found, shots.get(found["page_number"])) for found in row.get("evidence") or ()),
        breaches=tuple(
            Breach(found["rule"], found["message"], tuple(found["paths"] or ())) for found in row.get("breaches") or ()
        ),
        conflicts=tuple(
            Conflict(found["path"], tuple((value["page_number"], value["value"]) for value in found["values"]))
            for found in row.get("conflicts") or ()
        ),
        review_reasons=tuple(row.get("review_reasons") or ()),
    )


def _evidence(found: Json, shot: Shot | None) -> FieldEvidence:
    sides = [found[side] for side in ("x0", "y0", "x1", "y1")]
    box = Box(*sides) if None not in sides else None
    return FieldEvidence(
        path=found["path"],
        page_number=found["page_number"],
        verdict=Verdict(found["verdict"]) if found["verdict"] else None,
        box=shot.upright(box) if box and shot else box,
        **{name: found[name] for name in ("text", "similarity", "score", "logprob", "confidence")},
    )


def _page(page: Json, boxes: Sequence[FieldView], images: Mapping[int, ImageView | NoImage]) -> PageView:
    number = page["page_number"]
    return PageView(
        page_number=number,
        status=Status(page["status"]),
        image=images.get(number, NO_IMAGE),
        boxes=tuple(boxes),
        error_type=page.get("error_type"),
        error_message=page.get("error_message"),
        what_helps=what_helps(page["error_type"]) if page.get("error_type") else None,
        page_text=_clipped(page.get("page_text")),
        raw_text=_clipped(page.get("raw_text")),
        remark=_remark(page),
        num_tries=page.get("num_tries"),
    )


def _remark(page: Json) -> str | None:
    match page.get("answered_by"):
        case AnsweredBy.BLANK:
            return "Nothing is on this page."
        case AnsweredBy.DUPLICATE:
            return "This page looks exactly like another, whose reading it has."
        case AnsweredBy.TEXT_LAYER:
            return "Read by the text that the file carries."
    first, *others = page.get("read_with") or (page["page_number"],)
    if others and first != page["page_number"]:
        return f"Read together with page {first}, which has the record."
    if others:
        return f"Read together with the pages up to {others[-1]}, in one request."
    return None


def _clipped(text: str | None) -> str | None:
    if text is None or len(text) <= LONGEST_TEXT:
        return text
    return f"{text[:LONGEST_TEXT]}\n… and {len(text) - LONGEST_TEXT:,} more characters, which are in the pages table"
