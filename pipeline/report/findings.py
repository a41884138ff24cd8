"""What is worth a person's look, gathered while documents stream by; only the most urgent are kept."""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from pipeline.data import Status, Verdict
from pipeline.report.views import ImageView, NoImage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.report.views import BreachView, DocumentView, FieldView, PageView, RecordView

MOST_KEPT = 1_000
"""Of each list; the others are counted."""
_GIST_CHARACTERS = 90

Item = TypeVar("Item")


class Urgent(Generic[Item]):
    """The `MOST_KEPT` most urgent of any number of items."""

    def __init__(self) -> None:
        self.count = 0
        self._heap: list[tuple[float, int, Item]] = []
        self._order = itertools.count(0, -1)

    def add(self, urgency: float, item: Item) -> None:
        """Take note of an item; of equally urgent ones the first count."""
        self.count += 1
        entry = (urgency, next(self._order), item)
        if len(self._heap) < MOST_KEPT:
            heapq.heappush(self._heap, entry)
        else:
            heapq.heappushpop(self._heap, entry)

    def __iter__(self) -> Iterator[Item]:
        return (item for _, _, item in sorted(self._heap, key=lambda entry: entry[:2], reverse=True))

    def __len__(self) -> int:
        return len(self._heap)


@dataclass(frozen=True, slots=True)
class FoundField:
    """A doubtful value and where to look at it."""

    field: FieldView
    document: str
    """Name."""
    href: str
    image: ImageView | NoImage


@dataclass(frozen=True, slots=True)
class FoundBreach:
    """A broken rule."""

    breach: BreachView
    document: str
    href: str
    pages: str


@dataclass(frozen=True, slots=True)
class FoundRecord:
    """A record to review."""

    document: str
    href: str
    pages: str
    reasons: tuple[str, ...]
    confidence: float | None
    """Of its least certain value."""

    @property
    def is_doubtful(self) -> bool:
        """Whether one of its values is."""
        return any(reason.startswith("doubtful") for reason in self.reasons)


@dataclass(frozen=True, slots=True)
class FoundFailure:
    """A failed page, or a document that could not be opened."""

    document: str
    href: str
    page_number: int | None
    message: str
    image: ImageView | NoImage


@dataclass(slots=True)
class Listed:
    """A document as the list has it."""

    name: str
    href: str
    status: str
    pages: int
    failed: int
    records: int
    doubts: int
    breaches: int
    confidence: float | None
    review: bool
    gist: str
    """Its first values, to find it by."""


@dataclass(slots=True)
class Findings:
    """All of them of one extraction."""

    doubtful: Urgent[FoundField] = field(default_factory=Urgent)
    review: Urgent[FoundRecord] = field(default_factory=Urgent)
    breaches: dict[str, Urgent[FoundBreach]] = field(default_factory=dict)
    failures: dict[str, Urgent[FoundFailure]] = field(default_factory=dict)
    conflicts: int = 0
    records: int = 0
    fields: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)

    def add(self, view: DocumentView, name: str, href: str) -> Listed:
        """Take note of a document; return its entry in the list."""
        images = {page.page_number: page.image for page in view.pages}
        for record in view.records:
            self._add_record(record, view, name, href, images)
        self._add_failures(view, name, href)
        return _listed(view, name, href)

    def _add_record(
        self, record: RecordView, view: DocumentView, name: str, href: str, images: dict[int, ImageView | NoImage]
    ) -> None:
        fields = record.all_fields
        self.records += 1
        self.fields += len(fields)
        self.conflicts += len(record.conflicts)
        self.verdicts.update(one.verdict.value if one.verdict else "unchecked" for one in fields)
        for one in fields:
            if one.is_doubtful:
                image = images.get(one.page_number or 0) or NoImage("")
                self.doubtful.add(_urgency(one), FoundField(one, name, f"{href}#f-{one.key}", image))
        for breach in record.breaches:
            found = FoundBreach(breach, name, href, pages_told(record, view.num_pages))
            self.breaches.setdefault(breach.rule, Urgent()).add(0.0, found)
        if record.review_reasons:
            least = least_confidence(record)
            found_record = FoundRecord(name, href, pages_told(record, view.num_pages), record.review_reasons, least)
            self.review.add(len(record.review_reasons) - (1.0 if least is None else least), found_record)

    def _add_failures(self, view: DocumentView, name: str, href: str) -> None:
        failed = [page for page in view.pages if page.status is Status.FAILED]
        for page in failed:
            self._failures(page.error_type).add(0.0, _failure(page, name, href))
        if not failed and view.status is Status.FAILED:
            image = view.pages[0].image if view.pages else NoImage("It could not be opened.")
            failure = FoundFailure(name, href, None, view.error_message or "", image)
            self._failures(view.error_type).add(0.0, failure)

    def _failures(self, reason: str | None) -> Urgent[FoundFailure]:
        return self.failures.setdefault(reason or "unknown", Urgent())


def least_confidence(record: RecordView) -> float | None:
    """Return the confidence of a record's least certain value."""
    return min((one.confidence for one in record.all_fields if one.confidence is not None), default=None)


def pages_told(record: RecordView, num_pages: int) -> str:
    """Return which pages a record is of; nothing where there is only one."""
    if num_pages <= 1:
        return ""
    if record.first_page == record.last_page:
        return f"page {record.first_page}"
    return f"pages {record.first_page}–{record.last_page}"


def _failure(page: PageView, name: str, href: str) -> FoundFailure:
    return FoundFailure(name, f"{href}#p-{page.page_number}", page.page_number, page.error_message or "", page.image)


def _urgency(one: FieldView) -> float:
    """Return how doubtful a value is; what the page does not show comes before what it shows unclearly."""
    if one.confidence is not None:
        return 1.0 - one.confidence
    return 1.0 if one.verdict is Verdict.NOT_FOUND else 0.0


def _listed(view: DocumentView, name: str, href: str) -> Listed:
    fields = [one for record in view.records for one in record.all_fields]
    known = [one.confidence for one in fields if one.confidence is not None]
    gist = " · ".join(one.value for record in view.records[:1] for one in record.fields if not one.is_long)
    if not gist:
        gist = next((" ".join(one.value[:200].split()) for one in fields), view.error_message or "")
    return Listed(
        name=name,
        href=href,
        status=view.status.value,
        pages=view.num_pages,
        failed=view.pages_failed,
        records=len(view.records),
        doubts=sum(one.is_doubtful for one in fields),
        breaches=sum(len(record.breaches) for record in view.records),
        confidence=min(known, default=None),
        review=view.needs_review,
        gist=gist if len(gist) <= _GIST_CHARACTERS else f"{gist[: _GIST_CHARACTERS - 1]}…",
    )
