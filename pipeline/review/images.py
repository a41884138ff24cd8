"""Pictures of pages, made when somebody looks at them, from the documents as they were read."""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from concurrent.futures import CancelledError, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pipeline.config import RenderConfig
from pipeline.data import DocumentRef
from pipeline.errors import PipelineError
from pipeline.render import PIXELS_ONLY, Renderer
from pipeline.render.jobs import RenderPage
from pipeline.report.images import Shot
from pipeline.report.views import ImageView, NoImage
from pipeline.source import Fetcher

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pipeline.data import Json

KEPT = 300
"""Pictures on disk, some 150 kB each."""
LONGEST_PX = 1800
"""Of the longer side: an A4 page at 150 dpi, so that small print can be read."""
WORKERS = 2
_NO_SIZE = "This page was never drawn."


class Asked(NamedTuple):
    """Which picture."""

    uri: str
    sha256: str
    shot: Shot


class PageImages:
    """Draws pages in worker processes, which a hostile document may crash; keeps what was drawn last. Thread-safe."""

    def __init__(self, folder: Path) -> None:
        """Begin without pictures; processes start with the first one.

        Args:
            folder: for the pictures; the caller's to delete.
        """
        self._folder = folder
        self._fetcher = Fetcher(folder)
        self._renderer: Renderer | None = None
        self._lock = threading.Lock()
        self._ahead = ThreadPoolExecutor(1, thread_name_prefix="review-ahead")
        self._turns: dict[str, threading.Lock] = {}
        """One for each picture that is being made: who asks for it too, waits."""
        self._kept: OrderedDict[str, Path] = OrderedDict()

    def views(self, pages: Sequence[Json], folder: str) -> dict[int, ImageView | NoImage]:
        """Return where the pictures of a document's pages will be found.

        Args:
            folder: their address, "/" at its end.
        """
        shots = [Shot.of(page) for page in pages if page["page_number"] is not None]
        return {shot.page_number: _view(shot, folder) for shot in shots}

    def prepare(self, find: Callable[[], Asked | None]) -> None:
        """Begin to draw a page that somebody will look at next; what goes wrong is told when they do."""

        def draw() -> None:
            with contextlib.suppress(PipelineError, OSError):
                if asked := find():
                    self.picture(asked)

        self._ahead.submit(draw)

    def picture(self, asked: Asked) -> bytes:
        """Return a page as WebP.

        Raises:
            PipelineError: it cannot be drawn; says why.
        """
        name = asked.shot.name(asked.sha256)
        with self._lock:
            turn = self._turns.setdefault(name, threading.Lock())
        with turn:
            path = self._known(name) or self._drawn(asked, name)
            content = path.read_bytes()
        with self._lock:
            self._turns.pop(name, None)
            self._forget()
        return content

    def close(self) -> None:
        """Stop the processes."""
        if self._renderer:
            self._renderer.close()  # what is being drawn ends at once
        self._ahead.shutdown(cancel_futures=True)

    def _known(self, name: str) -> Path | None:
        with self._lock:
            if name in self._kept:
                self._kept.move_to_end(name)
            return self._kept.get(name)

    def _drawn(self, asked: Asked, name: str) -> Path:
        ref = DocumentRef(asked.uri, 0, None)
        target = self._folder / name
        try:
            with self._fetcher.fetch(ref) as path:
                path.stat()
                document = self._open_renderer().open(ref, path).result()
                if document.sha256 != asked.sha256:
                    raise PipelineError("The document has changed since it was read.")
                page = RenderPage(document, path, asked.shot.page_number, asked.shot.spec, PIXELS_ONLY)
                drawing = self._open_renderer().preview(
                    page, target, longest_px=LONGEST_PX, turn_deg=asked.shot.turn_deg
                )
                drawing.result()
        except FileNotFoundError as error:
            raise PipelineError("The document is no longer where it was read.") from error
        except CancelledError as error:
            raise PipelineError("The server is about to end.") from error
        with self._lock:
            self._kept[name] = target
        return target

    def _forget(self) -> None:
        """Delete what nobody looked at for longest; the lock is held."""
        while len(self._kept) > KEPT:
            _, path = self._kept.popitem(last=False)
            path.unlink(missing_ok=True)

    def _open_renderer(self) -> Renderer:
        with self._lock:
            self._renderer = self._renderer or Renderer(RenderConfig(), num_workers=WORKERS)
            return self._renderer


def _view(shot: Shot, folder: str) -> ImageView | NoImage:
    if not shot.width_px or not shot.height_px:
        return NoImage(_NO_SIZE)
    width, height = (shot.width_px, shot.height_px)[:: -1 if shot.turn_deg % 180 else 1]
    return ImageView(f"{folder}{shot.page_number}.webp", width, height)
