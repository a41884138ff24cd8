"""A document's view for people who may change what it says: empty fields have a place, too."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipeline.corrections import Review, ReviewAction, as_text, canonical, get_value
from pipeline.export.sheets import flat_fields, item_lists
from pipeline.report.documents import document_view
from pipeline.report.pages import Editing
from pipeline.report.reviewed import parts_of
from pipeline.report.views import DocumentView, FieldView, ItemsView, RecordView
from pipeline.report.words import label_of

if TYPE_CHECKING:
    from pipeline.data import Json
    from pipeline.report.views import ImageView, NoImage
    from pipeline.results import Record

_SHOWN_CHARACTERS = 60


@dataclass(frozen=True, slots=True)
class Spot:
    """What the controls beside a value are to know."""

    seen: str
    """Digest of the value as it was read; what is said holds for this one only."""
    since: str
    """Id of what was last said of it; empty when nothing was."""
    is_settled: bool
    row: str | None = None
    """Path of the item that it begins, where that was read; it can be taken out."""


@dataclass(frozen=True, slots=True)
class Desk(Editing):
    """What the templates need beyond a report's."""

    records: Mapping[int, Record] = field(default_factory=dict)
    """By their number in the view."""

    def spot(self, number: int, path: str) -> Spot | None:
        """Return what is known of a value; None where there is no record of which something could be said."""
        record = self.records.get(number)
        if record is None or record.read is None:
            return None
        review = record.reviews.get(path)
        first = path.endswith("]") or path.partition("].")[2] == _first_field(record.kind, path)
        row = path.rpartition("]")[0] + "]" if "]" in path and first else None
        return Spot(
            seen=seen_digest(record, path),
            since=review.correction_id if review else "",
            is_settled=review is not None and review.action is not ReviewAction.OUTDATED,
            row=row if row and get_value(record.read, row) is not None else None,
        )


def seen_digest(record: Record, path: str) -> str:
    """Return what tells values that were read apart, however long they are."""
    return hashlib.sha256(canonical(get_value(record.read, path)).encode(errors="surrogatepass")).hexdigest()[:16]


def review_view(
    extraction: str,
    document: Json,
    pages: Sequence[Json],
    records: Sequence[Record],
    images: Mapping[int, ImageView | NoImage],
) -> DocumentView:
    """Return the view of a document with what people corrected, and a place for what is empty."""
    by_number = {record.record_number - 1: record for record in records if record.read is not None}
    if not by_number:
        return document_view(extraction, document, pages, images)
    shown = [_part(part, record) for part, record in zip(parts_of(document), records, strict=False)]
    view = document_view(extraction, {**document, "records": shown}, pages, images)
    return replace(
        view,
        records=tuple(
            _with_empty(one, by_number[one.number]) if one.number in by_number else one for one in view.records
        ),
    )


def _part(part: Json, record: Record) -> Json:
    """Return a record's row as people corrected it; evidence is of the reading."""
    laid = record.applied.laid if record.applied else record.read
    return {
        **part,
        "record": None if laid is None else {name: _present(value) for name, value in laid.items()},
        "review_reasons": list(record.review_reasons),
        "breaches": [{"rule": one.rule, "message": one.message, "paths": list(one.paths)} for one in record.breaches],
    }


def _present(value: Any) -> Any:
    """Keep the place of items that were taken out."""
    return [{} if item is None else item for item in value] if isinstance(value, list) else value


def _with_empty(view: RecordView, record: Record) -> RecordView:
    known = {one.path: one for one in view.all_fields}
    make = _Maker(view.number, record, known)
    return replace(
        view,
        fields=tuple(make.fields(record.kind)),
        items=tuple(make.table(path, of.value_type) for path, of in item_lists(record.kind)),
    )


class _Maker:
    """Makes the fields of a record by its schema."""

    def __init__(self, number: int, record: Record, known: Mapping[str, FieldView]) -> None:
        self._number = number
        self._record = record
        self._known = known
        self._keys = itertools.count()

    def fields(self, kind: pa.StructType) -> Iterator[FieldView]:
        """Yield the fields outside of lists of items, several for one that is nested.

        A list of single values shows those that were taken out, too, and a place for one more.
        """
        for path, of in flat_fields(kind):
            if pa.types.is_list(of) and not pa.types.is_nested(of.value_type) and (values := self._value(path)):
                yield from (self.field(f"{path}[{number}]") for number in range(len(values) + 1))
                continue
            below = [one for name, one in self._known.items() if name.startswith((f"{path}[", f"{path}."))]
            if path in self._known or not below:
                yield self.field(path)
            else:
                yield from (self._noted(one) for one in below)

    def table(self, path: str, kind: pa.StructType) -> ItemsView:
        """Return a list of items with an empty row below, for what was not read."""
        names = [name for name, _ in flat_fields(kind)]
        rows = tuple(
            tuple(self.field(f"{path}[{row}].{name}", label_of(name)) for name in names)
            for row in range(len(self._value(path) or ()) + 1)
        )
        return ItemsView(path, label_of(path), tuple(map(label_of, names)), rows)

    def _value(self, path: str) -> Any:
        return get_value(self._record.applied.laid if self._record.applied else self._record.read, path)

    def field(self, path: str, label: str | None = None) -> FieldView:
        """Return a field, an empty one where there is no value."""
        empty = FieldView(f"r{self._number}-e{next(self._keys)}", path, label or label_of(path), "", "")
        return self._noted(self._known.get(path, empty))

    def _noted(self, one: FieldView) -> FieldView:
        review = self._record.review_of(one.path)
        return replace(one, note=note_of(review)) if review else one


def note_of(review: Review) -> str:
    """Return what somebody said, in words."""
    match review.action:
        case ReviewAction.ACCEPTED:
            return f"accepted by {review.reviewer}"
        case ReviewAction.CORRECTED:
            if review.value is None:
                return f"taken out by {review.reviewer}"
            return f"corrected by {review.reviewer}, read: {_short(review.seen)}"
    return f"{review.reviewer} said {_short(review.value)}, when {_short(review.seen)} was read"


def _short(value: Any) -> str:
    text = as_text(value)
    if text is None:
        return "nothing"
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"


def _first_field(kind: pa.StructType, path: str) -> str | None:
    """Return the first field of the items of a list that a path leads into."""
    of = dict(item_lists(kind)).get(path.partition("[")[0])
    return next((name for name, _ in flat_fields(of.value_type)), None) if of is not None else None
