"""A record of a document: as it was read, as people corrected it, and what there is to say of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from pipeline.corrections import (
    WHOLE,
    Applied,
    Correction,
    Review,
    ReviewAction,
    apply,
    as_text,
    get_value,
    is_covered,
    leaves,
    open_reasons,
    plain,
)
from pipeline.data import Breach, Conflict, DocumentRef, FieldEvidence, Json, Status
from pipeline.sink.checked import read_checks

if TYPE_CHECKING:
    import pyarrow as pa
    from pydantic import BaseModel

    from pipeline.rules import Rule

M = TypeVar("M", bound="BaseModel")

SURE = 1.0
"""Confidence of what a person has confirmed."""
IN_DOUBT = ("doubtful: ", "not found: ")
"""How reasons for review begin that are about one value of which it is not known whether it is right."""


class RecordKey(NamedTuple):
    """Which record, however often its document is read again or moved."""

    sha256: str
    """Of the document's bytes."""
    first_page: int


@dataclass(frozen=True, slots=True)
class Field:
    """One value of a record."""

    path: str
    """As in the record that was read: items that were taken out still count."""
    value: Any
    """As it stands now."""
    read_value: Any
    """As it was read."""
    evidence: FieldEvidence | None = None
    """Of the value as it was read; None where nothing was checked, or nothing was read."""
    is_doubtful: bool = False
    """Whether it is a reason to look at the record, and nobody has."""
    review: Review | None = None
    """What somebody said of it, or of what it is part of."""

    @property
    def text(self) -> str | None:
        """The value as people read it; None for none."""
        return as_text(self.value)


@dataclass(frozen=True, slots=True)
class Record:
    """One record: that of a document, or one of several in it. A document that failed has one without values."""

    extraction: str
    source_uri: str
    sha256: str | None
    """Of the document's bytes; None when it could not be opened."""
    media_type: str | None
    record_number: int
    """1-based, in page order."""
    num_records: int
    first_page: int | None
    last_page: int | None
    num_pages: int
    """Of the document."""
    status: Status
    """Of the document."""
    error_type: str | None
    error_message: str | None
    read: Json | None
    """Its values as they were read, None when there are none; decimals, dates and times are Python's."""
    evidence: tuple[FieldEvidence, ...]
    """Of the values as they were read."""
    breaches: tuple[Breach, ...]
    """Of rules, by the values as they stand now where the schema is at hand, else as they were read."""
    conflicts: tuple[Conflict, ...]
    review_reasons: tuple[str, ...]
    """Why somebody should look at it, without what people have dealt with."""
    confidence: float | None
    """The least of its fields'; fields that somebody confirmed count as 1."""
    run_id: str
    finished_at: datetime
    applied: Applied | None
    kind: pa.StructType = field(repr=False, compare=False)
    """Of the column that `read` comes from."""

    @property
    def key(self) -> RecordKey:
        """What corrections of it are kept under."""
        return RecordKey(self.sha256 or "", self.first_page or 1)

    @property
    def name(self) -> str:
        """What people call the document."""
        return DocumentRef(self.source_uri, 0, None).name

    @property
    def record(self) -> Json | None:
        """Its values, with what people corrected."""
        return self.applied.record if self.applied else self.read

    @property
    def reviews(self) -> Mapping[str, Review]:
        """What people said of its values, by path; that of the whole record under ""."""
        return self.applied.reviews if self.applied else {}

    @property
    def needs_review(self) -> bool:
        """Whether somebody should look at it."""
        return bool(self.review_reasons)

    @property
    def is_doubtful(self) -> bool:
        """Whether it has a value of which it is not known whether it is right."""
        return any(reason.startswith(IN_DOUBT) for reason in self.review_reasons)

    def is_in(self, view: str) -> bool:
        """Tell whether a view of records shows it."""
        return {"needs_review": self.needs_review, "doubtful": self.is_doubtful}.get(view, True)

    @property
    def corrected(self) -> tuple[str, ...]:
        """Paths of values that people changed."""
        return tuple(path for path, one in self.reviews.items() if one.action is ReviewAction.CORRECTED)

    @property
    def reviewed(self) -> tuple[str, ...]:
        """Paths of which people said something that holds; "" for the whole record."""
        return tuple(path for path, one in self.reviews.items() if one.action is not ReviewAction.OUTDATED)

    def as_model(self, model: type[M]) -> M:
        """Return its values as a pydantic model, such as the extraction's.

        Raises:
            pydantic.ValidationError: the model does not take them, or there are none.
        """
        return model.model_validate(self.record)

    def fields(self) -> Iterator[Field]:
        """Yield its single values in the schema's order, those that are None too."""
        if self.read is None:
            return
        evidence = {one.path: one for one in self.evidence}
        doubted = {reason.partition(": ")[2] for reason in self.review_reasons if reason.startswith(IN_DOUBT)}
        for path, value in leaves(self.applied.laid if self.applied else self.read):
            read = get_value(self.read, path) if self.applied else value
            found = evidence.get(path)
            yield Field(path, value, read, found, path in doubted, self.review_of(path))

    def review_of(self, path: str) -> Review | None:
        """Return what somebody said of a value, or of the nearest thing that it is part of."""
        about = [one for one in self.reviews if is_covered(path, (one,))]
        return self.reviews[max(about, key=len)] if about else None


def make_record(
    row: Mapping[str, Any],
    extraction: str,
    kind: pa.StructType,
    corrections: Mapping[str, Correction],
    rules: Sequence[Rule] = (),
    *,
    strays: Sequence[int] = (),
) -> Record:
    """Return the record of a row of the view, with its corrections.

    Args:
        row: as it was read, with Python's values.
        kind: of its `record`.
        rules: held against the record as it was corrected; those of a schema that is not at hand are none.
        strays: pages of it with which another record began when somebody spoke of that.
    """
    checks = read_checks(dict(row))
    names = set(_columns()) - checks.keys() - {"read", "status", "conflicts", "applied", "kind", "extraction"}
    made = Record(
        extraction=extraction,
        read=plain(row["record"], kind),
        status=Status(row["status"]),
        conflicts=tuple(
            Conflict(one["path"], tuple((value["page_number"], value["value"]) for value in one["values"]))
            for one in row["conflicts"]
        ),
        applied=None,
        kind=kind,
        **checks,
        **{name: row[name] for name in names},
    )
    if corrections and made.read is not None:
        made = with_corrections(made, corrections, rules)
    if WHOLE in made.reviewed:
        return made
    lost = (f"outdated: record from page {page}" for page in strays)
    return replace(made, review_reasons=(*made.review_reasons, *lost))


def with_corrections(record: Record, corrections: Mapping[str, Correction], rules: Sequence[Rule] = ()) -> Record:
    """Return a record that nobody corrected yet with these corrections."""
    if record.read is None:
        return record
    applied = apply(record.read, corrections, record.kind)
    settled = applied.settled
    breaches, reasons = record.breaches, record.review_reasons
    if rules and any(one.action is ReviewAction.CORRECTED for one in applied.reviews.values()):
        breaches = _breaches(rules, applied.record)
        reasons = (
            *(reason for reason in reasons if not reason.startswith("breach: ")),
            *dict.fromkeys(f"breach: {breach.rule}" for breach in breaches),
        )
    known = [
        SURE if is_covered(one.path, settled) else one.confidence
        for one in record.evidence
        if one.confidence is not None
    ]
    return replace(
        record,
        applied=applied,
        breaches=breaches,
        review_reasons=open_reasons(reasons, breaches, applied),
        confidence=min(known, default=SURE if WHOLE in settled else None),
    )


def _breaches(rules: Sequence[Rule], record: Json) -> tuple[Breach, ...]:
    from pipeline.rules import check_rules

    found = check_rules(tuple(rules), record, whole=True)
    return tuple(Breach(one.rule, one.message, one.paths) for one in found if one.message is not None)


@cache
def _columns() -> tuple[str, ...]:
    from dataclasses import fields

    return tuple(one.name for one in fields(Record))
