"""The records that travel through the pipeline, in the order in which they travel.

DocumentRef -> Document -> PageImage -> PageRequest -> Generation -> (rows, see sink.py)

All but PageTask are frozen; all are picklable. Boxes are (x0, y0, x1, y1) in pixels of the page image they
belong to, origin at its top left. Page numbers are 1-based.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote_to_bytes

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from pipeline.errors import ErrorType, PageError


class Box(NamedTuple):
    """A rectangle in page-image pixels."""

    x0: float
    y0: float
    x1: float
    y1: float


class Word(NamedTuple):
    """One word or text run as it stands on a page."""

    text: str
    box: Box


def utc(seconds: float) -> datetime:
    """Return a file's time, from seconds since 1970; one that no calendar has (tmpfs takes any) as the nearest."""
    return datetime.fromtimestamp(min(max(seconds, _FIRST_S), _LAST_S), UTC)


_FIRST_S, _LAST_S = -62135596800, 253402300799
"""The years 1 to 9999."""


@dataclass(frozen=True, slots=True)
class DocumentRef:
    """A file that was found, not yet opened."""

    uri: str
    """file:///… or s3://…, percent-encoded by bytes, so that any name survives."""
    size_bytes: int
    modified_at: datetime | None

    @property
    def name(self) -> str:
        """What people call it: the path of a local file, else the URI. Not safe to print as it is."""
        return os.fsdecode(unquote_to_bytes(self.uri.removeprefix("file://")))


@dataclass(frozen=True, slots=True)
class Document:
    """A file that was opened: what it is and how many pages it has."""

    ref: DocumentRef
    sha256: str
    media_type: str
    num_pages: int
    flags: tuple[str, ...] = ()
    """What a reader should know: "repaired", "decrypted", "truncated"."""


@dataclass(frozen=True, slots=True)
class TextLine:
    """One line of text read from a page, by OCR or from the text layer."""

    text: str
    box: Box
    confidence: float | None = None
    """Mean recognition score 0..1; None when the source gives none (a text layer)."""
    words: tuple[Word, ...] = ()
    """The line's words left to right; empty when the source gives only lines."""

    def __reduce__(self) -> tuple[type[TextLine], tuple[object, ...]]:
        """Pickle without asking for the fields: pages have dozens of lines."""
        return TextLine, (self.text, self.box, self.confidence, self.words)


@dataclass(frozen=True, slots=True)
class TextLayer:
    """The text a born-digital page carries, and what is needed to decide whether to trust it."""

    lines: tuple[TextLine, ...]
    hidden_share: float
    """Share of characters drawn invisibly (render mode 3), as OCR software writes over scans."""
    unmapped_share: float
    """Share of characters that are U+FFFD, private use or control: fonts without a usable encoding."""
    image_share: float
    """Share of the page area covered by images, 0..1."""


@dataclass(frozen=True, slots=True)
class RenderSpec:
    """How a page is to be rasterised; part of a try."""

    max_pixels: int
    rotation_deg: int = 0
    """Extra clockwise turn of 0, 90, 180 or 270 degrees, after the page's own rotation."""
    legible_px: float | None = None
    """Em height that the page's small print keeps at least, if a smaller image has it; None: as large as allowed."""

    @property
    def key(self) -> str:
        """Name for these values; a page's images of equal keys are equal in one run."""
        return f"{self.max_pixels}:{self.rotation_deg}:{self.legible_px or 'full'}"


@dataclass(frozen=True, slots=True)
class PageFacts:
    """What is to be found out about a page besides its pixels; each costs time for every page."""

    text_layer: bool = True
    digest: bool = False
    is_blank: bool = False


@dataclass(frozen=True, slots=True)
class PageImage:
    """One rasterised page."""

    page_number: int
    pixels: npt.NDArray[np.uint8]
    """RGB, shape (height_px, width_px, 3), C-contiguous; both sides multiples of 28."""
    spec: RenderSpec
    """As it was done: `legible_px` is None where the image has full size, whatever was asked."""
    dpi: float | None
    """Effective resolution; None when the source states no physical size (most photographs)."""
    text_layer: TextLayer | None
    render_s: float
    glyph_px: float | None = None
    """Em height of the page's small print in this image; None when it was not measured."""
    full_pixels: int | None = None
    """Pixels that it has, or would have, at full size; None: made elsewhere than by a renderer."""
    digest: str | None = None
    """Of the pixels and their shape: equal ones mean equal images; None when it was not asked for."""
    is_blank: bool = False
    """Whether nothing is drawn or written on it, as far as that can be told."""

    @property
    def width_px(self) -> int:
        """Pixels per row."""
        return int(self.pixels.shape[1])

    @property
    def height_px(self) -> int:
        """Number of rows."""
        return int(self.pixels.shape[0])


@dataclass(frozen=True, slots=True)
class TrySettings:
    """What one try asks of render and engine; the ladder in tries.py makes them."""

    number: int
    """1-based."""
    max_tokens: int
    temperature: float
    constrained: bool
    """Whether the output is held to the JSON schema while it is generated."""
    render: RenderSpec
    """As asked; once the page is rendered, as it was done."""
    find_upright: bool = False
    """Whether to find out which way up the page stands and to turn it, beyond what `render` says."""
    seed: int = 0
    exact_tokens: bool = False
    """Write `max_tokens` tokens whatever the text; for measuring."""
    window_pages: int = 1
    """Consecutive pages of a document that are shown together, at most."""


class ShownImage(NamedTuple):
    """A page image and its identity; see PageRequest."""

    image_key: str
    image: PageImage


@dataclass(frozen=True, slots=True)
class PageRequest:
    """One page for one try, ready for an engine; or several that are read together."""

    request_id: str
    """Unique in a run, and new for each try."""
    image_key: str
    """Identity of the pixels: equal keys mean equal pixels (content, page, size, rotation)."""
    image: PageImage
    settings: TrySettings
    plain_text: bool = False
    """Read all text, whatever the engine's task is; see canary."""
    others: tuple[ShownImage, ...] = ()
    """Pages of the same document that are shown behind it, in their order."""

    @property
    def shown(self) -> tuple[ShownImage, ...]:
        """All pages, in their order."""
        return ShownImage(self.image_key, self.image), *self.others


class FinishReason(StrEnum):
    """Why a generation ended."""

    STOP = "stop"
    LENGTH = "length"
    REPETITION = "repetition"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Generation:
    """What an engine made of one request."""

    request_id: str
    text: str
    """The output verbatim: JSON for the schema, or plain text for a plain-text extraction."""
    finish_reason: FinishReason
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    queue_s: float | None = None
    prefill_s: float | None = None
    decode_s: float | None = None
    lines: tuple[TextLine, ...] = ()
    """The page's lines in reading order, when the engine reads lines."""
    rotation_deg: int | None = None
    """Clockwise turn that makes the page upright, when the engine found that out."""
    token_logprobs: tuple[tuple[str, float], ...] = ()
    """(token text, log-probability) in output order, when kept."""
    error: PageError | None = None
    """Set exactly when finish_reason is ERROR: this try failed, the engine lives."""


@dataclass(frozen=True, slots=True)
class EngineMetrics:
    """Live figures of an engine; counters grow over its life, gauges are of this moment."""

    gauges: dict[str, float] = field(default_factory=dict)
    counters: dict[str, float] = field(default_factory=dict)


class Supply(StrEnum):
    """How an engine fares that asks for a page."""

    READY = "ready"
    """It got all that it asked for."""
    LATE = "late"
    """Pages are to come, and none is rendered."""
    NONE = "none"
    """None is to come, or none may be taken."""


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


@dataclass(frozen=True, slots=True)
class Attempt:
    """One finished try of a page: what was asked, what came, why it was not accepted."""

    settings: TrySettings
    finish_reason: FinishReason
    raw_text: str
    error: PageError | None
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    queue_s: float | None = None
    prefill_s: float | None = None
    decode_s: float | None = None

    @property
    def error_type(self) -> ErrorType | None:
        """Why it was not accepted; None when it was."""
        return self.error.error_type if self.error else None


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """A page image without its pixels, which nobody keeps once the engine has them; None: never rendered.

    PageRecord has fields of the same names.
    """

    width_px: int | None = None
    height_px: int | None = None
    dpi: float | None = None
    rotation_deg: int | None = None
    render_s: float | None = None
    full_pixels: int | None = None


@dataclass(slots=True)
class PageTask:
    """One page on its way: the only record here that changes, by the feed and the judge of its tries.

    Pages that are shown together travel as the first of them, whose tries are those of all.
    """

    document: Document
    path: Path
    """Where its bytes lie on this machine."""
    page_number: int
    settings: TrySettings
    attempts: list[Attempt] = field(default_factory=list)
    suspected: bool = False
    """Whether an engine died while it held this page, and the page has not been read since."""
    layer_refused: bool = False
    """Whether its text layer was read, and was not enough."""
    shown: ImageFacts = ImageFacts()
    """What the last try was shown."""
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    others: list[PageTask] = field(default_factory=list)
    """Pages that are shown behind it, in their order."""

    @property
    def window(self) -> tuple[PageTask, ...]:
        """It, and the pages that are shown behind it."""
        return self, *self.others


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
