"""Failed pages laid out for people: what was sent, what came back, and what helps. No table: rows are the truth.

<extraction>/quarantine/<file name>-<hash>/page-0003.png    the image as it was sent
<extraction>/quarantine/<file name>-<hash>/page-0003.json   why it failed, and every try
<extraction>/quarantine/<file name>-<hash>/document.json    why a document could not be opened

No image is kept while a run works: the few that are wanted are rendered again, as rendering is deterministic.
Nothing that a page says reaches a path.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import Full, Queue
from typing import TYPE_CHECKING, Self

from pipeline.data import Status
from pipeline.errors import PipelineError, StorageError
from pipeline.layout import quarantine_folder, quarantine_key, quarantine_prefix
from pipeline.quarantine.entry import as_json, facts_of

if TYPE_CHECKING:
    from pipeline.data import Document, Json, PageRecord, RenderSpec, RunIdentity
    from pipeline.storage import Storage

log = logging.getLogger(__name__)

SaveImage = Callable[["Document", Path, int, "RenderSpec", Path], Future[None]]
"""See render.Renderer.save."""

MOST_WAITING = 64
"""Entries that wait to be written; then the run waits for them. More would only hold more memory."""
CLOSE_S = 20.0
"""How long the end of a run waits for its entries; they are no reason to be killed (`docker stop`)."""
INTERRUPTED_CLOSE_S = 1.0
"""The same when an error or a signal ends it: `docker stop` kills after 10 s."""
PATIENCE = 3
"""Failures in a row after which a run writes no more entries: each has cost the storage's retries already."""


@dataclass(frozen=True, slots=True)
class _Image:
    """An image on its way to a local file."""

    done: Future[None]
    file: Path
    held: Path | None
    """A link to, or a copy of, what it is rendered from; None when that stays where it is."""


@dataclass(frozen=True, slots=True)
class _Entry:
    uri: str
    page_number: int | None
    facts: Json
    image: _Image | None


@dataclass(frozen=True, slots=True)
class _Removal:
    """What is no longer failed of a document that has entries."""

    uri: str
    failed: frozenset[int | None]


class Quarantine:
    """Writes one run's entries on a thread of its own. A quarantine that cannot be written is logged, never raised."""

    def __init__(
        self,
        storage: Storage,
        identity: RunIdentity,
        save_image: SaveImage,
        folder: Path,
        *,
        first: RenderSpec,
        max_images: int,
        stop: threading.Event | None = None,
    ) -> None:
        """Begin to list what is there already.

        Args:
            folder: for temporary files; made if missing, deleted by `close`.
            first: how a page is rendered for its first try.
            max_images: of this run; failed pages beyond it have no image.
            stop: set when the run is to end soon.
        """
        self._stop = stop or threading.Event()
        self._storage = storage
        self._identity = identity
        self._save_image = save_image
        self._folder = folder
        self._first = first
        self._max_images = self._images_left = max_images
        self._names = itertools.count(1)
        self._known: set[str] | None = None
        """Folders of documents that had entries when the run began; None until they are listed."""
        self._failures = 0
        self._dropped = threading.Event()
        """Set when what still waits is not written any more."""
        self._tasks: Queue[_Entry | _Removal | None] = Queue(MOST_WAITING)
        self._attempt(partial(folder.mkdir, parents=True, exist_ok=True))
        self._thread = threading.Thread(target=self._serve, name="quarantine", daemon=True)
        self._thread.start()

    def add(self, record: PageRecord, path: Path | None) -> None:
        """Enter a failed page or document; one that is ok is passed over. Waits while too many entries wait.

        Args:
            path: where the document's bytes lie; they may be gone as soon as this returns, when they are
                a copy. None when there are none: the entry has no image then.
        """
        if record.status is not Status.FAILED or self._given_up:
            return
        image, reason = self._image(record, path)
        facts = facts_of(record, self._identity) | ({"image": None, "no_image_because": reason} if reason else {})
        self._tasks.put(_Entry(record.document.ref.uri, record.page_number, facts, image))

    def clear(self, document: Document, failed_pages: Collection[int]) -> None:
        """Delete the entries that a committed document had before, save those of the pages that failed again."""
        uri = document.ref.uri
        folder = quarantine_folder(self._identity.extraction, uri)
        if (self._known is None or folder in self._known) and not self._given_up:
            unopened: tuple[int | None, ...] = () if document.num_pages else (None,)
            self._tasks.put(_Removal(uri, frozenset((*failed_pages, *unopened))))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        self.close(INTERRUPTED_CLOSE_S if error or self._stop.is_set() else CLOSE_S)

    def close(self, wait_s: float = CLOSE_S) -> None:
        """Wait until everything is written, or drop what takes longer; a second call does nothing."""
        deadline = time.monotonic() + wait_s
        if self._thread.is_alive() and not self._dropped.is_set():
            with contextlib.suppress(Full):
                self._tasks.put(None, timeout=wait_s)
            self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._thread.is_alive() and not self._dropped.is_set():
            self._dropped.set()
            log.warning("not all failed pages are in the quarantine, as writing them took too long; their rows are")
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def _given_up(self) -> bool:
        return self._failures >= PATIENCE or self._dropped.is_set()

    def _image(self, record: PageRecord, path: Path | None) -> tuple[_Image | None, str]:
        """Begin to render the image that the last try was shown; or return why there will be none."""
        if record.page_number is None:
            return None, "The document has no page that could be opened."
        if record.width_px is None:
            return None, "No engine was shown this page."
        if path is None:
            return None, "The document was not at hand."
        if self._images_left <= 0:
            return None, f"This run keeps {self._max_images} images (output_files.quarantine_images)."
        self._images_left -= 1
        number = next(self._names)
        file, held = self._folder / f"{number}.png", None
        if not record.document.ref.uri.startswith("file:"):
            held = self._folder / f"{number}.source"
            try:
                _hold(path, held)
            except OSError as error:
                return None, f"The document could not be kept: {error.strerror}."
        spec = record.attempts[-1].settings.render if record.attempts else self._first
        done = self._save_image(record.document, held or path, record.page_number, spec, file)
        return _Image(done, file, held), ""

    def _serve(self) -> None:
        """Do tasks until None comes; nothing stops it before, or `add` would wait for ever."""
        self._attempt(self._list_known)
        self._known = self._known or set()
        while (task := self._tasks.get()) is not None:
            if isinstance(task, _Removal):
                self._attempt(partial(self._remove, task))
            else:
                self._attempt(partial(self._put, task))
                _discard(task.image)

    def _attempt(self, action: Callable[[], None]) -> None:
        if self._given_up:
            return
        try:
            action()
        except (StorageError, OSError) as error:
            if self._dropped.is_set():  # its folder is deleted
                return
            self._failures += 1
            last = "; this run writes nothing more there" if self._given_up else ""
            log.warning("the quarantine cannot be written%s: %s", last, error)
        except Exception:
            self._failures += 1
            log.exception("the quarantine cannot be written")
        else:
            self._failures = 0

    def _list_known(self) -> None:
        keys = self._storage.keys(quarantine_prefix(self._identity.extraction))
        self._known = {f"{key.rpartition('/')[0]}/" for key in keys}

    def _put(self, entry: _Entry) -> None:
        extraction = self._identity.extraction
        key, image_key = (quarantine_key(extraction, entry.uri, entry.page_number, end) for end in (".json", ".png"))
        facts = entry.facts
        reason = _failure(entry.image.done) if entry.image else None
        if entry.image and reason is None:
            self._storage.put(image_key, entry.image.file)
            facts = facts | {"image": image_key.rpartition("/")[2]}
        elif self._known and f"{key.rpartition('/')[0]}/" in self._known:
            self._storage.delete(image_key)  # of an earlier failure
        if reason is not None:
            facts = facts | {"image": None, "no_image_because": reason}
        finished = self._folder / "entry.json"
        finished.write_text(as_json(facts), "utf-8")
        self._storage.put(key, finished)

    def _remove(self, removal: _Removal) -> None:
        extraction = self._identity.extraction
        folder = quarantine_folder(extraction, removal.uri)
        if not self._known or folder not in self._known:
            return
        kept = {
            quarantine_key(extraction, removal.uri, page, end) for page in removal.failed for end in (".json", ".png")
        }
        for key in list(self._storage.keys(folder)):
            if key not in kept:
                self._storage.delete(key)


def _hold(path: Path, held: Path) -> None:
    """Keep the content of a file that is about to be deleted; a link costs nothing where it can be had."""
    try:
        os.link(path, held)
    except OSError:
        shutil.copyfile(path, held)


def _discard(image: _Image | None) -> None:
    if image:
        for file in (image.file, image.held):
            if file:
                with contextlib.suppress(OSError):
                    file.unlink(missing_ok=True)


def _failure(done: Future[None]) -> str | None:
    """Wait; return why there is no image, None when there is one."""
    try:
        done.result()
    except (PipelineError, CancelledError) as error:
        return str(error) or "The run ended before."
    return None
