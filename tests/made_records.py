"""Records as a run makes them, for tests of what is written, counted and shown."""

from __future__ import annotations

import datetime as dt
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal

from pydantic import AwareDatetime, BaseModel, Field

from pipeline.data import (
    Attempt,
    Box,
    Breach,
    Conflict,
    Document,
    DocumentRecord,
    DocumentRef,
    FieldEvidence,
    FinishReason,
    PageRecord,
    RecordPart,
    RenderSpec,
    RunIdentity,
    Status,
    TextLine,
    TrySettings,
    Verdict,
    Word,
)
from pipeline.errors import DocumentError, ErrorType, GenerationInvalid
from pipeline.schema import Amount, Currency, Date
from pipeline.sink import ShardWriter

if TYPE_CHECKING:
    from pipeline.errors import PageError
    from pipeline.storage import Storage

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class Colour(Enum):
    """A choice that is not a string."""

    RED = "red"
    BLUE = "blue"


class Item(BaseModel):
    """A nested model."""

    description: str | None = None
    line_total: Amount | None = None


class Bill(BaseModel):
    """Every type a schema may use."""

    seller: str | None = None
    date: Date | None = None
    currency: Currency | None = None
    total: Amount | None = None
    line_items: list[Item] = Field(default_factory=list)
    count: int | None = None
    score: float | None = None
    paid: bool | None = None
    printed_at: dt.datetime | None = None
    sent_at: AwareDatetime | None = None
    kind: Literal["bill", "credit"] | None = None
    colour: Colour | None = None
    tags: tuple[str, ...] = ()
    rates: dict[str, Amount] = Field(default_factory=dict)
    extra: dict[str, Any] | None = None


def identity(**changes: str | None) -> RunIdentity:
    """Return the identity of a run of extraction "bill"."""
    values: dict[str, Any] = {
        "run_id": "run-1",
        "extraction": "bill",
        "prompt_sha256": "p" * 64,
        "schema_sha256": "s" * 64,
        "fingerprint": "f" * 16,
        "engine": "scripted",
        "model": "none",
        "revision": "1",
        "engine_version": "1.0",
        "quantisation": None,
        "kv_cache_dtype": None,
        "pagemill_version": "0.1.0",
        "limits_fingerprint": "l" * 16,
    }
    return RunIdentity(**(values | changes))


def document(name: str = "a.pdf", *, num_pages: int = 1, sha256: str = "a" * 64) -> Document:
    """Return an opened document."""
    ref = DocumentRef(f"file:///in/{name}", 1234, NOON - timedelta(days=1))
    return Document(ref, sha256, "application/pdf" if sha256 else "", num_pages, ("repaired",))


def attempt(number: int = 1, *, error: PageError | None = None, raw_text: str = "{}", **figures: Any) -> Attempt:
    """Return a finished try."""
    settings = TrySettings(number, 2048, 0.1 * number, constrained=True, render=RenderSpec(1_000_000, 90), seed=number)
    reason = FinishReason.STOP if error is None else FinishReason.LENGTH
    return Attempt(settings, reason, raw_text, error, **figures)


def evidence(page_number: int = 1) -> tuple[FieldEvidence, ...]:
    """Return what was found of the values of `ok_page`; its figures are such as 32 bits hold exactly."""
    seller = FieldEvidence("seller", page_number, Verdict.EXACT, "ACME", Box(1, 2, 3, 4), 1.0, 0.5, -0.25, 0.75)
    return seller, FieldEvidence("total", page_number, Verdict.NOT_FOUND, confidence=0.125)


BREACH = Breach(
    "total_is_sum", "The lines add up to 11.00, the total says 12.50.", ("total", "line_items[0].line_total")
)
REASONS = ("doubtful: total", "breach: total_is_sum")


def ok_page(of: Document, page_number: int | None = 1, **changes: Any) -> PageRecord:
    """Return the row of a page that was read, with two lines of text."""
    values: dict[str, Any] = {
        "record": Bill(seller="ACME", total=Decimal("12.5")).model_dump(),
        "status": Status.OK,
        "partial": False,
        "raw_text": '{"seller": "ACME"}',
        "lines": (
            TextLine("ACME", Box(1, 2, 3, 4), 0.5, (Word("ACME", Box(1, 2, 3, 4)),)),
            TextLine("12.50", Box(5, 6, 7, 8)),
        ),
        "evidence": evidence(page_number or 1),
        "breaches": (BREACH,),
        "review_reasons": REASONS,
        "attempts": (attempt(prompt_tokens=100, output_tokens=20, cached_tokens=64, queue_s=0.5, decode_s=2.0),),
        "error": None,
        "width_px": 840,
        "height_px": 1120,
        "full_pixels": 987_840,
        "dpi": 96.5,
        "rotation_deg": 0,
        "render_s": 0.25,
        "started_at": NOON,
        "finished_at": NOON + timedelta(seconds=3),
    }
    return PageRecord(document=of, page_number=page_number, **(values | changes))


def failed_page(of: Document, page_number: int = 1, message: str = "The output was cut off.") -> PageRecord:
    """Return the row of a page none of whose two tries was accepted."""
    error = GenerationInvalid(ErrorType.OUTPUT_CUT_OFF, message)
    tries = (attempt(1, error=error, raw_text="first", prompt_tokens=10), attempt(2, error=error, prompt_tokens=10))
    nothing: dict[str, Any] = {"record": None, "evidence": (), "breaches": (), "review_reasons": ()}
    return ok_page(of, page_number, status=Status.FAILED, error=error, attempts=tries, **nothing)


def unopened(name: str, message: str = "The file is encrypted.") -> PageRecord:
    """Return the one row of a document that could not be opened."""
    sizes = ("width_px", "height_px", "full_pixels", "dpi", "rotation_deg")
    nothing: dict[str, Any] = dict.fromkeys(("raw_text", *sizes, "render_s", "record"))
    nothing |= dict.fromkeys(("evidence", "breaches", "review_reasons"), ())
    error = DocumentError(ErrorType.ENCRYPTED, message)
    of = document(name, num_pages=0, sha256="")
    return ok_page(of, None, status=Status.FAILED, error=error, attempts=(), lines=(), **nothing)


def document_of(*pages: PageRecord, finished_at: datetime = NOON + timedelta(seconds=4)) -> DocumentRecord:
    """Return the document row of these pages: each with a record is one of the document's records."""
    failed = [page for page in pages if page.status is Status.FAILED]
    return DocumentRecord(
        document=pages[0].document,
        status=Status.FAILED if failed else Status.OK,
        record=pages[0].record,
        pages_ok=len(pages) - len(failed),
        pages_failed=len(failed),
        error=failed[0].error if failed else None,
        started_at=NOON,
        finished_at=finished_at,
        parts=tuple(map(_part, (page for page in pages if page.record))),
    )


def _part(page: PageRecord) -> RecordPart:
    number = page.page_number or 1
    conflict = Conflict("seller", ((number, "ACME"), (number + 1, "ACNE")))
    reasons = (*page.review_reasons, "conflict: seller") if page.review_reasons else ()
    return RecordPart(number, number, page.record, page.evidence, page.breaches, (conflict,), reasons)


def commit(
    storage: Storage,
    shard_id: str,
    *documents: tuple[PageRecord, ...],
    run: RunIdentity | None = None,
    finished_at: datetime = NOON + timedelta(seconds=4),
    model: type[BaseModel] = Bill,
) -> None:
    """Commit a shard that holds these documents, each given by its pages."""
    writer = ShardWriter(storage, model, run or identity())
    for pages in documents:
        for page in pages:
            writer.add_page(page)
        writer.add_document(document_of(*pages, finished_at=finished_at))
    writer.commit(shard_id)
