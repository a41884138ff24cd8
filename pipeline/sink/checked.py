"""What was checked about a record -> values of its columns, and back."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipeline.data import Box, Breach, FieldEvidence, Verdict
from pipeline.sink.nested import BREACH, EVIDENCE, evidence_values

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pipeline.data import DocumentRecord, Json, RecordPart

CONFLICT = pa.struct(
    [
        ("path", pa.string()),
        ("values", pa.list_(pa.struct([("page_number", pa.int32()), ("value", pa.string())]))),
    ]
)
REASONS = pa.list_(pa.string())
REAL = pa.float32()
_EVIDENCE_NAMES = tuple(field.name for field in EVIDENCE)


def part_type(record: pa.DataType) -> pa.StructType:
    """Return the type of one record of a document."""
    return pa.struct(
        [
            *(("first_page", pa.int32()), ("last_page", pa.int32()), ("record", record)),
            *(("evidence", pa.list_(EVIDENCE)), ("breaches", pa.list_(BREACH)), ("conflicts", pa.list_(CONFLICT))),
            *(("review_reasons", REASONS), ("confidence", REAL), ("needs_review", pa.bool_())),
        ]
    )


def least_confidence(evidence: Iterable[FieldEvidence]) -> float | None:
    """Return the confidence of the field that is least sure; None when no field has one."""
    return min((one.confidence for one in evidence if one.confidence is not None), default=None)


def first_part(document: DocumentRecord, name: str) -> Any:
    """Return an attribute of a document's first record, a tuple; empty where it has none."""
    return getattr(document.parts[0], name) if document.parts else ()


def conflict_values(part: RecordPart) -> list[Json]:
    """Return a record's conflicts."""
    return [
        {"path": one.path, "values": [{"page_number": page, "value": value} for page, value in one.values]}
        for one in part.conflicts
    ]


def several_parts(parts: Sequence[RecordPart]) -> list[Json]:
    """Return the records of a document that has several; the only one's values, maybe megabytes, are the row's own."""
    return [_part_values(part) for part in parts] if len(parts) > 1 else []


def _part_values(part: RecordPart) -> Json:
    return {
        "first_page": part.first_page,
        "last_page": part.last_page,
        "record": part.record,
        "evidence": [dict(zip(_EVIDENCE_NAMES, evidence_values(one), strict=True)) for one in part.evidence],
        "breaches": [asdict(one) for one in part.breaches],
        "conflicts": conflict_values(part),
        "review_reasons": part.review_reasons,
        "confidence": least_confidence(part.evidence),
        "needs_review": bool(part.review_reasons),
    }


def read_checks(row: Json) -> Json:
    """Return fields of PageRecord from a row; rows of an older version have none of them."""
    return {
        "evidence": tuple(map(_evidence, row.get("evidence") or ())),
        "breaches": tuple(_breach(one) for one in row.get("breaches") or ()),
        "review_reasons": tuple(row.get("review_reasons") or ()),
    }


def _evidence(value: Json) -> FieldEvidence:
    sides = [value.pop(side) for side in Box._fields]
    verdict = value.pop("verdict")
    return FieldEvidence(
        **value, verdict=Verdict(verdict) if verdict else None, box=None if sides[0] is None else Box(*sides)
    )


def _breach(value: Json) -> Breach:
    return Breach(value["rule"], value["message"], tuple(value["paths"]))
