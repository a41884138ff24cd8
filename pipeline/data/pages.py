"""Pages on their way: drawn, asked for, read, tried again."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pipeline.data.documents import Document, TextLayer, TextLine

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from pipeline.errors import ErrorType, PageError


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


PageKey = tuple[str, int]
"""URI of the document, page number."""


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
    def key(self) -> PageKey:
        """What the page is known by."""
        return self.document.ref.uri, self.page_number

    @property
    def window(self) -> tuple[PageTask, ...]:
        """It, and the pages that are shown behind it."""
        return self, *self.others
