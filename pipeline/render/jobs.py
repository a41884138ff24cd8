"""What a render worker does: open documents, draw pages. Runs in the worker processes only."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import time
import warnings
from collections import OrderedDict
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple, Protocol

from pipeline.data import Document, DocumentRef, PageFacts, PageImage, RenderSpec, utc
from pipeline.errors import DocumentChangedError, DocumentError, ErrorType, RenderError

if TYPE_CHECKING:
    from collections.abc import Callable
    from io import BufferedReader
    from pathlib import Path

    from pipeline.config import RenderConfig
    from pipeline.render.drawing import Drawing

MAX_OPEN_SOURCES = 4
"""Documents a worker keeps open: pages of neighbouring documents alternate."""


@dataclass(frozen=True, slots=True)
class OpenDocument:
    """Ask what a file is."""

    ref: DocumentRef
    path: Path


@dataclass(frozen=True, slots=True)
class RenderPage:
    """Ask for one page."""

    document: Document
    path: Path
    page_number: int
    spec: RenderSpec
    facts: PageFacts


@dataclass(frozen=True, slots=True)
class SavePage:
    """Ask for one page as a PNG file, which leaves no pixels in the parent."""

    page: RenderPage
    target: Path
    """Overwritten."""


@dataclass(frozen=True, slots=True)
class PreviewPage:
    """Ask for one page as a picture for people."""

    page: RenderPage
    target: Path
    """Overwritten."""
    longest_px: int
    turn_deg: int
    """Clockwise turn of the image as it was rendered, padding included."""


Job = OpenDocument | RenderPage | SavePage | PreviewPage


class PageSource(Protocol):
    """An open file whose pages can be drawn."""

    media_type: str
    num_pages: int
    flags: tuple[str, ...]

    def draw(self, page_index: int, spec: RenderSpec, facts: PageFacts) -> Drawing:
        """Return the page upright; RenderError when it is too large, anything else when it is damaged."""
        ...

    def close(self) -> None:
        """Release the file."""
        ...


class _Identity(NamedTuple):
    """Which content a path had; None of it survives an edit."""

    path: str
    inode: int
    size_bytes: int
    modified_at: datetime


def start_rendering(config: RenderConfig) -> Callable[[Job], Document | PageImage | tuple[int, int] | None]:
    """Return the function that does jobs; called once in each worker."""
    import pipeline.render.image
    import pipeline.render.pdf

    warnings.simplefilter("ignore")  # a worker's warnings reach nobody
    pipeline.render.pdf.silence()
    pipeline.render.image.limit_pixels(config.max_source_megapixels)
    return _Worker(config).do


class _Worker:
    """Keeps the last few documents open, as most jobs ask for another page of one of them."""

    def __init__(self, config: RenderConfig) -> None:
        self._config = config
        self._sources: OrderedDict[_Identity, PageSource] = OrderedDict()

    def do(self, job: Job) -> Document | PageImage | tuple[int, int] | None:
        """Do one job; raises DocumentError or RenderError, by kind of job."""
        from pipeline.render.image import write_png, write_preview

        match job:
            case OpenDocument():
                return self._open(job)
            case RenderPage():
                return self._render(job)
            case SavePage():
                write_png(self._render(job.page).pixels, job.target)
                return None
            case PreviewPage():
                image = self._render(job.page)
                write_preview(image.pixels, job.target, longest_px=job.longest_px, turn_deg=job.turn_deg)
                return image.width_px, image.height_px

    def _open(self, job: OpenDocument) -> Document:
        with _regular_file(job.path) as file:
            identity = _identify(job.path, file)
            if identity.size_bytes > self._config.max_file_mb * 1_000_000:
                raise DocumentError(
                    ErrorType.TOO_LARGE,
                    f"The file has {identity.size_bytes / 1e6:.0f} MB, more than render.max_file_mb allows.",
                )
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            source = self._source(identity, file)
            if _identify(job.path, file) != identity:
                raise DocumentChangedError(ErrorType.UNREADABLE, "The file changed while it was read; run again.")
        return Document(
            ref=replace(job.ref, size_bytes=identity.size_bytes, modified_at=_modified_at(job.ref, identity)),
            sha256=sha256,
            media_type=source.media_type,
            num_pages=source.num_pages,
            flags=source.flags,
        )

    def _render(self, job: RenderPage) -> PageImage:
        from pipeline.render.digest import digest_of

        started = time.perf_counter()
        try:
            drawing = self._draw(job)
        except DocumentError as error:
            raise RenderError(error.error_type, str(error)) from error
        except (RenderError, MemoryError):
            raise
        except Exception as error:  # parsers raise anything on damaged content; it is this page that fails
            raise RenderError(ErrorType.DAMAGED, f"The page is damaged: {described(error)}") from error
        pixels, text_layer = drawing.placed(job.spec.rotation_deg)
        digest = digest_of(pixels) if job.facts.digest else None
        seconds = time.perf_counter() - started
        num_pixels = drawing.grid.num_pixels
        full_pixels = drawing.full_pixels or num_pixels
        return PageImage(
            job.page_number,
            pixels,
            job.spec if num_pixels < full_pixels else replace(job.spec, legible_px=None),
            drawing.dpi,
            text_layer,
            seconds,
            glyph_px=drawing.glyph_px,
            digest=digest,
            is_blank=drawing.is_blank,
            full_pixels=full_pixels,
        )

    def _draw(self, job: RenderPage) -> Drawing:
        from pipeline.render.legibility import Sizing, made_legible

        source = self._known_source(job)
        if source is None:
            with _regular_file(job.path) as file:
                identity = _identify(job.path, file)
                _refuse_changed(job, identity)
                source = self._source(identity, file)
        drawing = source.draw(job.page_number - 1, job.spec, job.facts)
        return made_legible(drawing, Sizing(job.spec.legible_px, self._config.min_pixels))

    def _known_source(self, job: RenderPage) -> PageSource | None:
        """Return the page's document if it is open here and its file is still the same, without opening the file."""
        try:
            identity = _identity_of(job.path, job.path.stat())
        except OSError:  # opening it says what is wrong
            return None
        if identity not in self._sources:
            return None
        _refuse_changed(job, identity)
        self._sources.move_to_end(identity)
        return self._sources[identity]

    def _source(self, identity: _Identity, file: BufferedReader) -> PageSource:
        if identity in self._sources:
            self._sources.move_to_end(identity)
        else:
            self._sources[identity] = self._open_source(file)
            if len(self._sources) > MAX_OPEN_SOURCES:
                self._sources.popitem(last=False)[1].close()
        return self._sources[identity]

    def _open_source(self, file: BufferedReader) -> PageSource:
        from pipeline.render.sniff import open_source

        try:
            return open_source(file, self._config)
        except (DocumentError, MemoryError):
            raise
        except Exception as error:  # as in _render: whatever a parser raises, the document is damaged
            raise DocumentError(ErrorType.DAMAGED, f"The file is damaged: {described(error)}") from error


def described(error: Exception) -> str:
    """Return an exception in one line: its message without MuPDF's error number, or its type."""
    return re.sub(r"^code=\d+: ", "", " ".join(str(error).split())) or type(error).__name__


def _regular_file(path: Path) -> BufferedReader:
    """Open for reading without ever waiting: opening a FIFO would block for its writer."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise DocumentError(ErrorType.UNREADABLE, f"The file cannot be read: {error.strerror}.") from error
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise DocumentError(ErrorType.UNREADABLE, "This is no file but a pipe, a device, a socket or a folder.")
    return os.fdopen(fd, "rb")


def _identify(path: Path, file: BufferedReader) -> _Identity:
    return _identity_of(path, os.fstat(file.fileno()))


def _identity_of(path: Path, found: os.stat_result) -> _Identity:
    return _Identity(str(path), found.st_ino, found.st_size, utc(found.st_mtime))


def _refuse_changed(job: RenderPage, identity: _Identity) -> None:
    ref = job.document.ref
    if (identity.size_bytes, _modified_at(ref, identity)) != (ref.size_bytes, ref.modified_at):
        raise RenderError(ErrorType.UNREADABLE, "The file changed after it was opened; run again.")


def _modified_at(ref: DocumentRef, identity: _Identity) -> datetime | None:
    """Return the file's own time; the local copy of an object has the time of its download."""
    return identity.modified_at if ref.uri.startswith("file:") else ref.modified_at
