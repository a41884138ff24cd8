"""What a reviewer says of a value -> a correction, or why it cannot be one."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from pipeline.corrections import (
    WHOLE,
    Action,
    Correction,
    ReviewAction,
    apply,
    canonical,
    digest_of,
    from_input,
    get_value,
    is_covered,
    json_form,
    kind_at,
    parse_path,
)
from pipeline.review.sheet import seen_digest
from pipeline.values import DateOrder

if TYPE_CHECKING:
    import pyarrow as pa
    from pydantic import BaseModel

    from pipeline.results import ExtractionResults, Record

LONGEST_VALUE = 20_000
"""Characters of what somebody types."""


class Refused(Exception):
    """What somebody says cannot be taken; the text is for them."""

    status = 422


class Overtaken(Refused):
    """Somebody else has said something meanwhile, or the document was read again."""

    status = 409


@dataclass(frozen=True, slots=True)
class Said:
    """What came from the browser."""

    number: int
    """Of the record in its document, from 0."""
    path: str
    action: str
    """accept, correct, remove or undo."""
    value: str | None
    """As it was typed."""
    seen: str
    """Digest of the reading that was shown."""
    since: str
    """Id of what was said last, as it was shown."""
    is_forced: bool = False
    """Whether to overrule what somebody else said meanwhile."""

    @classmethod
    def of(cls, body: Any) -> Said:
        """Return what a request says.

        Raises:
            Refused: it is not formed as our page does.
        """
        try:
            value = body.get("value")
            said = cls(
                number=int(body["record"]),
                path=str(body["path"]),
                action=str(body["action"]),
                value=None if value is None else str(value).encode(errors="replace").decode(),
                seen=str(body.get("seen") or ""),
                since=str(body.get("since") or ""),
                is_forced=body.get("force") is True,
            )
            said.path.encode()  # a lone surrogate is no text that could be kept
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise Refused("This is not what our page sends; load it again.") from error
        if len(said.value or "") > LONGEST_VALUE or len(said.path) > LONGEST_VALUE:
            raise Refused(f"This is longer than {LONGEST_VALUE:,} characters.")
        return said


def correction_of(said: Said, record: Record, extraction: ExtractionResults, reviewer: str) -> Correction:
    """Return the correction that follows.

    Raises:
        Refused: the value does not fit its field; says what would.
        Overtaken: see there.
    """
    if record.read is None or not record.sha256:
        raise Refused("There is no record of which something could be said.")
    if _kind(said, record) is None:
        raise Refused(f"The record has no field {said.path}.")
    if said.path != WHOLE and said.seen != seen_digest(record, said.path):
        raise Overtaken("The document was read again meanwhile. Load the page to see what it says now.")
    known = extraction.corrections.of(*record.key).get(said.path)
    if known and known.id != said.since and known.reviewer != reviewer and not said.is_forced:
        raise Overtaken(_what_was_said(known))
    if any(is_covered(said.path, [row]) and said.path != row for row in _rows_out(record)):
        raise Refused("Not saved: this row was taken out; take that back first.")
    read = get_value(record.read, said.path)
    action, value = _meant(said, record, extraction, read)
    evidence = next((one for one in record.evidence if one.path == said.path), None)
    return Correction(
        sha256=record.sha256,
        first_page=record.key.first_page,
        path=said.path,
        action=action,
        reviewer=reviewer,
        source_uri=record.source_uri,
        seen=canonical(digest_of(record.read) if said.path == WHOLE else read),
        value=canonical(value),
        page_number=evidence.page_number if evidence else None,
        box=evidence.box if evidence else None,
        verdict=evidence.verdict.value if evidence and evidence.verdict else None,
        confidence=evidence.confidence if evidence else None,
        run_id=record.run_id,
    )


def _rows_out(record: Record) -> list[str]:
    """Return the items that somebody took out."""
    return [path for path in record.corrected if path.endswith("]") and record.reviews[path].value is None]


def _kind(said: Said, record: Record) -> pa.DataType | None:
    """Return the column type of what it is said of; None where there can be nothing."""
    try:
        return kind_at(record.kind, said.path, record.read)
    except ValueError:
        return None


def _meant(said: Said, record: Record, extraction: ExtractionResults, read: Any) -> tuple[Action, Any]:
    """Return what is to be done and the value that is to stand; to type what was read is to accept it."""
    match said.action:
        case "undo":
            return Action.UNDO, None
        case "accept":
            return Action.ACCEPT, read if said.path != WHOLE else None
        case "remove" if said.path.endswith("]") and read is not None:
            return Action.CORRECT, None
        case "correct" if said.path != WHOLE:
            value = _typed(said, record, extraction)
            return (Action.ACCEPT if canonical(value) == canonical(read) else Action.CORRECT), value
    raise Refused("This is not what our page sends; load it again.")


def _typed(said: Said, record: Record, extraction: ExtractionResults) -> Any:
    """Return what was typed as a value of the field's column and, where the schema is at hand, of its type there."""
    try:
        value = from_input(said.value or "", _kind(said, record))
    except (ValueError, IndexError) as error:
        raise Refused(f"Not saved: {error}.") from error
    return _validated(said, value, record, extraction.model)


def _validated(said: Said, value: Any, record: Record, model: type[BaseModel] | None) -> Any:
    """Return the value as the schema's validators make it; what they say of other fields is not this one's fault."""
    said_now = Correction(
        *record.key, said.path, Action.CORRECT, "", seen=canonical(get_value(record.read, said.path)),
        value=canonical(value),
    )  # fmt: skip
    applied = apply(record.read or {}, {said.path: said_now}, record.kind)
    if applied.reviews[said.path].action is ReviewAction.OUTDATED:
        raise Refused("Not saved: there is no place for it; the items before it come first.")
    if model is None:
        return value
    try:
        made = model.model_validate(json_form(applied.laid), context={"date_order": DateOrder.DAY_FIRST})
    except ValidationError as error:
        steps = parse_path(said.path, applied.laid)
        for problem in error.errors():
            if tuple(problem["loc"])[: len(steps)] == steps:
                raise Refused(f"Not saved: {problem['msg']}.") from error
        return value
    return get_value(made.model_dump(), said.path)


def _what_was_said(known: Correction) -> str:
    what = {Action.ACCEPT: "accepted this value", Action.UNDO: "took back what was said of it"}
    value = json.loads(known.value) if known.value else None
    told = what.get(known.action, f"corrected it to {json.dumps(value, ensure_ascii=False)[:200]}")
    return f"{known.reviewer} {told} at {known.at:%H:%M} UTC on {known.at:%d %b}."
