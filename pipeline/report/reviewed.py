"""What people said of a document's values, laid over its row: the report shows what counts now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.corrections import ReviewAction, get_value
from pipeline.report.records import shown
from pipeline.report.views import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.corrections import Review
    from pipeline.data import Json
    from pipeline.results import Record

Notes = dict[int, dict[str, str]]
"""What is to be said of values beside them: by record number, from 0, and path."""


def parts_of(document: Json) -> Sequence[Json]:
    """Return the records of a documents row; the row itself where it has one."""
    return document.get("records") or [{**document, "first_page": 1, "last_page": document["num_pages"] or 1}]


def with_reviews(document: Json, records: Sequence[Record]) -> tuple[Json, Notes]:
    """Return a documents row with the corrected records and what is still to review, and notes on who said what."""
    parts = parts_of(document)
    if len(parts) != len(records) or all(record.read is None for record in records):
        return document, {}
    changed = [
        part if record.record is None else part | _as_it_counts(record)
        for part, record in zip(parts, records, strict=True)
    ]
    notes = {
        number: {path: _told(review, _read(record, path)) for path, review in record.reviews.items()}
        for number, record in enumerate(records)
    }
    return document | {"records": changed}, notes


def _as_it_counts(record: Record) -> Json:
    breaches = [{"rule": one.rule, "message": one.message, "paths": one.paths} for one in record.breaches]
    return {"record": record.record, "review_reasons": record.review_reasons, "breaches": breaches}


def _read(record: Record, path: str) -> str:
    value = get_value(record.read, path)
    return shown(value)[:60] if plain(value) else "nothing"


def _told(review: Review, read: str) -> str:
    who = f"by {review.reviewer}, {review.reviewed_at:%d %b %H:%M} UTC"
    match review.action:
        case ReviewAction.ACCEPTED:
            return f"accepted {who}"
        case ReviewAction.CORRECTED:
            return f"corrected from {read} {who}"
        case ReviewAction.OUTDATED:
            return f"read otherwise since it was reviewed {who}"
