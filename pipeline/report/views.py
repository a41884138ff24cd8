"""What a document view shows: plain values, not escaped. Templates escape; the review server shows the same views."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from pipeline.data import Conflict, FieldEvidence, Status, Verdict

if TYPE_CHECKING:
    from datetime import datetime

    from pipeline.data import Box


@dataclass(frozen=True, slots=True)
class FieldView:
    """One value of a record, where it stands and what is to be said of it."""

    key: str
    """Unique in a document view, and safe in any attribute: "r0-3"."""
    path: str
    label: str
    value: str
    """As it is shown: "1,234.50"."""
    raw: str
    """As a person would type it: "1234.50", ISO dates, JSON for lists."""
    evidence: FieldEvidence | None = None
    is_doubtful: bool = False
    is_conflicting: bool = False
    breaches: tuple[str, ...] = ()
    """Names of the rules that it breaks."""
    note: str | None = None
    """What a person has done about it."""

    @property
    def box(self) -> Box | None:
        """Where it stands, in pixels of its page's frame."""
        return self.evidence.box if self.evidence else None

    @property
    def page_number(self) -> int | None:
        """The page that it is from."""
        return self.evidence.page_number if self.evidence else None

    @property
    def verdict(self) -> Verdict | None:
        """How far the page shows it."""
        return self.evidence.verdict if self.evidence else None

    @property
    def confidence(self) -> float | None:
        """Probability that it is right."""
        return self.evidence.confidence if self.evidence else None

    @property
    def printed(self) -> str | None:
        """What the page has in its place, where that reads otherwise."""
        text = self.evidence.text if self.evidence else None
        return text if text is not None and " ".join(text.split()) not in {self.value, self.raw} else None

    @property
    def is_long(self) -> bool:
        """Whether it is a text rather than a value."""
        return len(self.value) > LONG_VALUE or "\n" in self.value

    @property
    def state(self) -> str:
        """The one word that decides how it looks."""
        if self.breaches:
            return "breach"
        if self.verdict is Verdict.NOT_FOUND:
            return "missing"
        return "doubtful" if self.is_doubtful or self.is_conflicting else "plain"


LONG_VALUE = 160
"""Characters from which on a value is a text."""


@dataclass(frozen=True, slots=True)
class ItemsView:
    """A list of objects, as a table."""

    path: str
    label: str
    columns: tuple[str, ...]
    """Labels."""
    rows: tuple[tuple[FieldView | None, ...], ...]


@dataclass(frozen=True, slots=True)
class BreachView:
    """A broken rule and the fields that it is about."""

    rule: str
    message: str
    paths: tuple[str, ...]
    keys: tuple[str, ...]
    """Of those of the fields that are shown, one for each path."""


@dataclass(frozen=True, slots=True)
class RecordView:
    """One record of a document."""

    number: int
    """Its place in the documents row's `records`."""
    first_page: int
    last_page: int
    fields: tuple[FieldView, ...]
    items: tuple[ItemsView, ...] = ()
    breaches: tuple[BreachView, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    review_reasons: tuple[str, ...] = ()
    is_partial: bool = False
    """Whether it is what could be saved of an output that was not accepted."""

    @property
    def all_fields(self) -> tuple[FieldView, ...]:
        """Every value, those of tables behind the others."""
        return (*self.fields, *(cell for table in self.items for row in table.rows for cell in row if cell))


@dataclass(frozen=True, slots=True)
class ImageView:
    """A picture of a page."""

    href: str
    width_px: int
    height_px: int
    """Of the page image that boxes count in; the file may be smaller."""


@dataclass(frozen=True, slots=True)
class NoImage:
    """Why a page has no picture."""

    reason: str


@dataclass(frozen=True, slots=True)
class PageView:
    """One page: its picture, its text and what became of it. A document that could not be opened has none."""

    page_number: int
    status: Status
    image: ImageView | NoImage
    boxes: tuple[FieldView, ...] = ()
    """Fields that stand on it, with a box."""
    error_type: str | None = None
    error_message: str | None = None
    what_helps: str | None = None
    page_text: str | None = None
    raw_text: str | None = None
    remark: str | None = None
    """Blank, equal to another, read by its text."""
    num_tries: int | None = None


@dataclass(frozen=True, slots=True)
class DocumentView:
    """A document with its pages and records."""

    extraction: str
    uri: str
    status: Status
    num_pages: int
    pages: tuple[PageView, ...]
    records: tuple[RecordView, ...]
    finished_at: datetime | None = None
    sha256: str | None = None
    run_id: str | None = None
    engine: str | None = None
    model: str | None = None
    flags: tuple[str, ...] = ()
    error_type: str | None = None
    error_message: str | None = None
    what_helps: str | None = None
    pages_ok: int = 0
    pages_failed: int = 0

    @property
    def name(self) -> str:
        """File name, as people know it; may hold any character."""
        return name_of(self.uri)

    def image_of(self, page_number: int | None) -> ImageView | None:
        """Return the picture of a page, if there is one."""
        at = (page_number or 0) - 1
        page = self.pages[at] if 0 <= at < len(self.pages) else None
        return page.image if page and page.page_number == page_number and isinstance(page.image, ImageView) else None

    @property
    def needs_review(self) -> bool:
        """Whether somebody should look at one of its records."""
        return any(record.review_reasons for record in self.records)


def name_of(uri: str) -> str:
    """Return the last part of a URI, with what is no UTF-8 replaced."""
    return unquote_to_bytes(uri.rpartition("/")[2]).decode("utf-8", "replace")


def plain(value: Any) -> bool:
    """Return whether a value is neither absent nor empty."""
    return value not in (None, "", [], {})
