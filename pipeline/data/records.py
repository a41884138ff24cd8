"""What is known of pages and documents in the end: their rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from pipeline.data.documents import Box, Document, TextLine
from pipeline.data.pages import Attempt

if TYPE_CHECKING:
    from pipeline.errors import PageError


Json = dict[str, Any]


class Status(StrEnum):
    """The terminal state of a page or document."""

    OK = "ok"
    FAILED = "failed"


class AnsweredBy(StrEnum):
    """Who read a page."""

    ENGINE = "engine"
    BLANK = "blank"
    """Nobody: nothing is on it."""
    DUPLICATE = "duplicate"
    """Nobody: another page with the same pixels was read."""
    TEXT_LAYER = "text_layer"
    """The CPU, from the text that the file carries."""


class Verdict(StrEnum):
    """How far a page shows a value that was read from it."""

    EXACT = "exact"
    """These very characters stand there, white space aside."""
    NORMALISED = "normalised"
    """The same value stands there, written otherwise: 1.234,50 for 1234.50, 5. März 2018 for 2018-03-05."""
    FUZZY = "fuzzy"
    """Nearly the same text stands there."""
    COMPUTED = "computed"
    """It does not stand there, but follows from values that do."""
    NOT_FOUND = "not_found"


@dataclass(frozen=True, slots=True)
class FieldEvidence:
    """Where one value of a record stands, and how sure it is. Fields without a value have none."""

    path: str
    """`total`, `line_items[0].quantity`; items are counted from 0."""
    page_number: int
    verdict: Verdict | None = None
    """None: there was no text to hold it against."""
    text: str | None = None
    """What stands there, as it is printed; None when nothing was found."""
    box: Box | None = None
    """Around it, in pixels of the page's image."""
    similarity: float | None = None
    """Of `text` to the value, 0..1; 1 unless fuzzy."""
    score: float | None = None
    """Recognition score of the text, 0..1; None for a text layer."""
    logprob: float | None = None
    """Least log-probability among the output's tokens that spell the value; None when the engine gives none."""
    confidence: float | None = None
    """Probability that the value is right, as calibrated on labelled documents."""


@dataclass(frozen=True, slots=True)
class Breach:
    """A rule of the schema that a record breaks."""

    rule: str
    message: str
    paths: tuple[str, ...] = ()
    """Of the values that it is about."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """A field of which pages of one record say different things."""

    path: str
    values: tuple[tuple[int, str], ...]
    """(page number, value as text), in page order; the record's own is one of them."""


@dataclass(frozen=True, slots=True)
class RecordPart:
    """One record of a document and the pages that it is of. A file of several invoices has several."""

    first_page: int
    last_page: int
    record: Json | None
    evidence: tuple[FieldEvidence, ...] = ()
    breaches: tuple[Breach, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    review_reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PageRecord:
    """The terminal row of one page. A document that cannot be opened has one, with page_number None."""

    document: Document
    page_number: int | None
    status: Status
    started_at: datetime
    """UTC; when the page (or the document that failed to open) was taken."""
    finished_at: datetime
    record: Json | None = None
    """Validated values by field name; None unless ok or partial."""
    partial: bool = False
    """True when `record` was salvaged from an output that never passed validation; status is then failed."""
    raw_text: str | None = None
    """Output of the last try verbatim."""
    lines: tuple[TextLine, ...] = ()
    token_logprobs: tuple[tuple[str, float], ...] = ()
    """(token text, log-probability) of the last try's output; empty when the engine gives none."""
    attempts: tuple[Attempt, ...] = ()
    error: PageError | None = None
    width_px: int | None = None
    """Of the image of the last try, as are the next four; None when there was none."""
    height_px: int | None = None
    dpi: float | None = None
    rotation_deg: int | None = None
    """What the try asked for and what the engine turned itself, clockwise."""
    render_s: float | None = None
    full_pixels: int | None = None
    """Pixels that its image would have had at full size; see PageImage."""
    reused_from: str | None = None
    """URI of the document whose reading this row repeats, since it has the same bytes; None: read in this run."""
    answered_by: AnsweredBy = AnsweredBy.ENGINE
    duplicate_of: str | None = None
    """The page whose reading this row repeats, since it has the same pixels: `<uri>#page=<number>`."""
    read_with: tuple[int, ...] = ()
    """Numbers of the pages that were read together, its own among them; empty: it was read by itself. The record,
    and all that there is to say about it, stands in the row of the first one; the others have none."""
    read_by: RunIdentity | None = None
    """Who read it, when that was another run; its engine and model stand in the row."""
    evidence: tuple[FieldEvidence, ...] = ()
    """Of each value of `record`, in its order."""
    breaches: tuple[Breach, ...] = ()
    """Of rules that one page is enough for; the others are held against the document."""
    review_reasons: tuple[str, ...] = ()
    """Why somebody should look at it: "doubtful: total", "breach: lines_add_up"; empty when nobody need."""


@dataclass(frozen=True, slots=True)
class DocumentRecord:
    """The terminal row of one document: its pages' records merged into one."""

    document: Document
    status: Status
    """Ok when every page is ok and the merged record is valid."""
    record: Json | None
    pages_ok: int
    pages_failed: int
    error: PageError | None
    started_at: datetime
    finished_at: datetime
    parts: tuple[RecordPart, ...] = ()
    """Its records in page order; `record` is the first one's."""


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """What is the same for every row of a run."""

    run_id: str
    extraction: str
    prompt_sha256: str
    schema_sha256: str
    fingerprint: str
    engine: str
    model: str
    revision: str
    engine_version: str
    quantisation: str | None
    kv_cache_dtype: str | None
    pagemill_version: str
    limits_fingerprint: str = ""
    """Hash of the settings that can only turn a failure into a success (tries, limits)."""
