"""What was checked of pages and records, counted; what it means stands in docs/output.md."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from pipeline.data import AnsweredBy, Verdict
from pipeline.reasons import DOUBTFUL

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pipeline.data import RecordPart

FIELDS = tuple(f"fields_{verdict}" for verdict in (*Verdict, "unchecked"))
CHECKED = (*FIELDS, "fields_doubtful", "pages_unchecked", "records", "records_to_review")
"""Fields of HourRow."""
PAGE_PATHS = ("evidence.list.element.verdict", "review_reasons")
_OF_RECORD = ("review_reasons", "breaches.list.element.rule")
RECORD_PATHS = ("num_records", *_OF_RECORD, *(f"records.list.element.{path}" for path in _OF_RECORD))
"""Columns of rows, and what of them is looked at."""


def page_checks(verdicts: Sequence[str | None], reasons: Iterable[str]) -> Counter[str]:
    """Count the values of one page, by what was found of each."""
    counts = Counter(f"fields_{verdict or 'unchecked'}" for verdict in verdicts)
    counts["fields_doubtful"] = sum(reason.startswith(DOUBTFUL) for reason in reasons)
    counts["pages_unchecked"] = int(bool(verdicts) and not any(verdicts))
    return counts


def row_checks(row: Mapping[str, Any]) -> Counter[str]:
    """Count the values of a row of the pages table; rows of an older version have none."""
    return page_checks([one["verdict"] for one in row.get("evidence") or ()], row.get("review_reasons") or ())


def was_checked(answered_by: str) -> bool:
    """Return whether the values of a page are its own: not another page's, and not of a blank one."""
    return answered_by in {AnsweredBy.ENGINE, AnsweredBy.TEXT_LAYER}


def records_of(parts: Iterable[RecordPart]) -> list[dict[str, Any]]:
    """Return a document's records as their column has them, as far as they are looked at."""
    return [
        {"review_reasons": part.review_reasons, "breaches": [{"rule": one.rule} for one in part.breaches]}
        for part in parts
    ]


def records_in(row: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Return the records of a row of the documents table; the only one is the row. Older rows have none."""
    return row.get("records") or ([row] if row.get("num_records") == 1 else ())


def record_checks(records: Sequence[Mapping[str, Any]]) -> tuple[Counter[str], Counter[str]]:
    """Count the records of one document, and the rules that they break by name."""
    to_review = sum(bool(record["review_reasons"]) for record in records)
    rules = Counter(breach["rule"] for record in records for breach in record["breaches"])
    return Counter(records=len(records), records_to_review=to_review), rules
