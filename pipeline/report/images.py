"""Pictures of pages: rendered again in worker processes from the sources, or from what the quarantine holds.

Rendering is deterministic: asked for the size and the turn that a row states, the renderer draws the image that
boxes were measured on.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from pipeline.config import RenderConfig
from pipeline.data import Box, DocumentRef, RenderSpec, Status
from pipeline.errors import PipelineError, StorageError
from pipeline.layout import quarantine_key
from pipeline.render import PIXELS_ONLY, Renderer
from pipeline.render.drawing import turn_box
from pipeline.render.jobs import RenderPage
from pipeline.report.views import ImageView, NoImage
from pipeline.source import Fetcher

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pipeline.data import Document, Json
    from pipeline.report.rows import DocumentRows
    from pipeline.report.target import Target
    from pipeline.storage import Storage

LONGEST_PX = 1300
"""Of the longer side of a picture: at A4, 110 dpi."""
_PAGES_WORTH_A_PROCESS = 16
_DEFAULT_PIXELS = 1_600_000
"""Of a page whose row does not say how large its image was."""
IMAGE_FOLDER = "images"
_GONE = "The document is no longer where it was read."


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """How many pictures a report has, and how large they are together."""

    max_images: int = 2_000
    max_bytes: int = 250_000_000
    workers: int | None = None
    """Processes; default half of the cores."""


@dataclass(frozen=True, slots=True)
class Shot:
    """A page as it is to be drawn."""

    page_number: int
    spec: RenderSpec
    turn_deg: int
    """Beyond what the image had that the engine was sent."""
    width_px: int | None
    height_px: int | None
    """Of the image that the engine was sent."""
    is_failed: bool

    @classmethod
    def of(cls, page: Json) -> Shot:
        """Return how the page of a row is drawn."""
        width_px, height_px = page.get("width_px"), page.get("height_px")
        pixels = width_px * height_px if width_px and height_px else _DEFAULT_PIXELS
        tries = page.get("tries") or [{}]
        sent_deg = tries[-1].get("rotation_deg") or 0
        is_full_size = page.get("full_pixels") in {None, pixels}
        # A photograph that was padded has more pixels than the size it was allowed says.
        allowed = (tries[-1].get("max_pixels") if is_full_size else None) or pixels
        turn_deg = ((page.get("rotation_deg") or 0) - sent_deg) % 360
        number, is_failed = page["page_number"], page["status"] == Status.FAILED
        return cls(number, RenderSpec(allowed, sent_deg), turn_deg, width_px, height_px, is_failed)

    def name(self, sha256: str) -> str:
        """Return a file name that equal pictures share."""
        identity = f"{sha256}:{self.page_number}:{self.spec.key}:{self.turn_deg}:{LONGEST_PX}"
        return f"{hashlib.sha256(identity.encode()).hexdigest()[:20]}.webp"

    def upright(self, box: Box) -> Box:
        """Return a box of the image that was sent as one of the picture, which stands upright."""
        return turn_box(box, self.turn_deg // 90, self.width_px or 0, self.height_px or 0)


class Drawers:
    """The processes that draw pages; they start with the first one, as that takes a second for each."""

    def __init__(self, num_pages: int, workers: int | None = None) -> None:
        """Take note.

        Args:
            num_pages: that may have to be drawn; few pages are drawn sooner than processes start.
            workers: default half of the cores.
        """
        most = workers or max(1, (os.cpu_count() or 2) // 2)
        self.num_workers = max(1, min(most, num_pages // _PAGES_WORTH_A_PROCESS))
        self._renderer: Renderer | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._renderer:
            self._renderer.close()

    @property
    def renderer(self) -> Renderer:
        """The one of this report."""
        with self._lock:
            self._renderer = self._renderer or Renderer(RenderConfig(), num_workers=self.num_workers)
            return self._renderer


class PageImages:
    """Makes the pictures of documents, several documents at a time. Those that a report has already are kept."""

    def __init__(
        self,
        target: Target,
        storage: Storage,
        extraction: str,
        drawers: Drawers,
        limits: ImageLimits,
        *,
        known: Mapping[str, Sequence[int]],
    ) -> None:
        """Take note.

        Args:
            known: (width, height, bytes) of pictures that are there, by their keys.
        """
        self.made: dict[str, tuple[int, int, int]] = {}
        """The same of all pictures that this report has."""
        self.rendered = 0
        self._target, self._storage, self._extraction, self._known = target, storage, extraction, known
        self._limits = limits
        self._drawers = drawers
        self._fetcher = Fetcher()
        self._lock = threading.Lock()
        self._names = itertools.count(1)
        self._bytes = 0
        self._threads = ThreadPoolExecutor(drawers.num_workers + 2, thread_name_prefix="report-images")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(cancel_futures=True)

    def of(self, rows: DocumentRows, allowed: int) -> Future[dict[int, ImageView | NoImage]]:
        """Begin to make the pictures of a document's first `allowed` pages; failed pages come first."""
        return self._threads.submit(self._document, rows, allowed)

    def _document(self, rows: DocumentRows, allowed: int) -> dict[int, ImageView | NoImage]:
        shots = [Shot.of(page) for page in rows.pages if page["page_number"] is not None]
        chosen = sorted(shots, key=lambda shot: (not shot.is_failed, shot.page_number))[:allowed]
        found: dict[int, ImageView | NoImage] = {shot.page_number: self._too_many() for shot in shots}
        sha256 = rows.document.get("sha256")
        for shot in chosen:
            found[shot.page_number] = self._there(shot, sha256) or NoImage("")
        missing = [shot for shot in chosen if isinstance(found[shot.page_number], NoImage)]
        if missing:
            found |= self._drawn(rows.document, missing)
        return found

    def _there(self, shot: Shot, sha256: str | None) -> ImageView | None:
        key = f"{IMAGE_FOLDER}/{shot.name(sha256 or '')}"
        facts = self.made.get(key) or self._known.get(key)  # copies of a document share their pictures
        if sha256 is None or facts is None:
            return None
        width_px, height_px, size = facts
        return self._kept(key, width_px, height_px, size)

    def _kept(self, key: str, width_px: int, height_px: int, size: int) -> ImageView:
        with self._lock:
            self._bytes += size if key not in self.made else 0
            self.made[key] = (width_px, height_px, size)
        return ImageView(key, width_px, height_px)

    def _drawn(self, row: Json, shots: Sequence[Shot]) -> dict[int, ImageView | NoImage]:
        from_quarantine = {
            shot.page_number: image for shot in shots if shot.is_failed and (image := self._quarantined(row, shot))
        }
        rest = [shot for shot in shots if shot.page_number not in from_quarantine]
        return from_quarantine | (self._from_source(row, rest) if rest else {})

    def _from_source(self, row: Json, shots: Sequence[Shot]) -> dict[int, ImageView | NoImage]:
        ref = DocumentRef(row["source_uri"], row["source_size_bytes"] or 0, row["source_modified_at"])
        try:
            with self._fetcher.fetch(ref) as path:
                if not path.exists():
                    return _without(shots, _GONE)
                document = self._drawers.renderer.open(ref, path).result()
                if document.sha256 != row["sha256"]:
                    return _without(shots, "The document has changed since it was read.")
                return {shot.page_number: self._shoot(document, path, shot) for shot in shots}
        except FileNotFoundError:
            return _without(shots, _GONE)
        except (PipelineError, OSError) as error:
            return _without(shots, f"The document cannot be opened: {error}")

    def _shoot(self, document: Document, path: Path, shot: Shot) -> ImageView | NoImage:
        if self._bytes > self._limits.max_bytes:
            return self._too_many()
        page = RenderPage(document, path, shot.page_number, shot.spec, PIXELS_ONLY)
        return self._picture(page, shot, shot.name(document.sha256))

    def _quarantined(self, row: Json, shot: Shot) -> ImageView | None:
        key = quarantine_key(self._extraction, row["source_uri"], shot.page_number, ".png")
        try:
            if not self._storage.exists(key):
                return None
            with self._storage.local_copy(key) as path:
                document = self._drawers.renderer.open(DocumentRef(path.as_uri(), 0, None), path).result()
                page = RenderPage(document, path, 1, RenderSpec(shot.spec.max_pixels * 2), PIXELS_ONLY)
                found = self._picture(page, shot, f"q{shot.name(document.sha256)}")
        except (PipelineError, OSError):
            return None
        return found if isinstance(found, ImageView) else None

    def _picture(self, page: RenderPage, shot: Shot, name: str) -> ImageView | NoImage:
        key, file = f"{IMAGE_FOLDER}/{name}", self._target.scratch / f"{next(self._names)}.webp"
        if key in self._known:
            width_px, height_px, size = self._known[key]
            return self._kept(key, width_px, height_px, size)
        try:
            drawn = self._drawers.renderer.preview(page, file, longest_px=LONGEST_PX, turn_deg=shot.turn_deg).result()
        except StorageError:
            raise
        except PipelineError as error:
            return NoImage(str(error))
        width_px, height_px = drawn[::-1] if shot.turn_deg % 180 else drawn
        size = file.stat().st_size
        self._target.place(key, file)
        self.rendered += 1
        return self._kept(key, width_px, height_px, size)

    def _too_many(self) -> NoImage:
        if not self._limits.max_images:
            return NoImage("This report was written without pictures (--images 0).")
        size_mb = self._limits.max_bytes // 1_000_000
        return NoImage(
            f"This report has {self._limits.max_images:,} pictures or {size_mb:,} MB of them (--images, --image-mb); "
            "failed pages and documents to review come first."
        )


def _without(shots: Sequence[Shot], reason: str) -> dict[int, ImageView | NoImage]:
    return {shot.page_number: NoImage(reason) for shot in shots}
