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
import json
import logging
import os
import shutil
import threading
from collections.abc import Callable, Collection
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import Queue
from typing import TYPE_CHECKING

from pipeline.data import Status
from pipeline.errors import WHAT_HELPS, PipelineError, StorageError
from pipeline.layout import quarantine_folder, quarantine_key, quarantine_prefix

if TYPE_CHECKING:
    from pipeline.data import Attempt, Document, Json, PageRecord, RenderSpec, RunIdentity
    from pipeline.storage import Storage

log = logging.getLogger(__name__)

SaveImage = Callable[["Document", Path, int, "RenderSpec", Path], Future[None]]
"""See render.Renderer.save."""

MOST_WAITING = 64
"""Entries that wait to be written; then the run waits for them. More would only hold more memory."""
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
    ) -> None:
        """Begin to list what is there already.

        Args:
            folder: for temporary files; made if missing, deleted by `close`.
            first: how a page is rendered for its first try.
            max_images: of this run; failed pages beyond it have no image.
        """
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
        facts = _facts(record, self._identity) | ({"image": None, "no_image_because": reason} if reason else {})
        self._tasks.put(_Entry(record.document.ref.uri, record.page_number, facts, image))

    def clear(self, document: Document, failed_pages: Collection[int]) -> None:
        """Delete the entries that a committed document had before, save those of the pages that failed again."""
        uri = document.ref.uri
        folder = quarantine_folder(self._identity.extraction, uri)
        if (self._known is None or folder in self._known) and not self._given_up:
            unopened: tuple[int | None, ...] = () if document.num_pages else (None,)
            self._tasks.put(_Removal(uri, frozenset((*failed_pages, *unopened))))

    def close(self) -> None:
        """Wait until everything is written; a second call does nothing."""
        if self._thread.is_alive():
            self._tasks.put(None)
            self._thread.join()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def _given_up(self) -> bool:
        return self._failures >= PATIENCE

    def _image(self, record: PageRecord, path: Path | None) -> tuple[_Image | None, str]:
        """Begin to render the image that the last try was shown; or return why there will be none."""
        if record.page_number is None or record.width_px is None:
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
        finished.write_text(_as_json(facts), "utf-8")
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


def _facts(record: PageRecord, identity: RunIdentity) -> Json:
    """Return what is known of a failure, the order for a person to read it in."""
    document, error, read_by = record.document, record.error, record.read_by or identity
    return {
        "source": document.ref.name,
        "page_number": record.page_number,
        "num_pages": document.num_pages,
        "error_type": error.error_type.value if error else None,
        "error_message": str(error) if error else None,
        "what_helps": WHAT_HELPS[error.error_type] if error else None,
        "extraction": identity.extraction,
        "engine": read_by.engine,
        "model": read_by.model,
        "tries": [_try_facts(attempt) for attempt in record.attempts],
        "source_uri": document.ref.uri,
        "sha256": document.sha256 or None,
        "finished_at": record.finished_at.isoformat(),
        "run_id": identity.run_id,
        "prompt_sha256": read_by.prompt_sha256,
        "schema_sha256": read_by.schema_sha256,
    }


def _try_facts(attempt: Attempt) -> Json:
    settings = attempt.settings
    return {
        "number": settings.number,
        "max_tokens": settings.max_tokens,
        "temperature": settings.temperature,
        "constrained": settings.constrained,
        "max_pixels": settings.render.max_pixels,
        "rotation_deg": settings.render.rotation_deg,
        "seed": settings.seed,
        "finish_reason": attempt.finish_reason.value,
        "error_type": attempt.error_type.value if attempt.error_type else None,
        "error_message": str(attempt.error) if attempt.error else None,
        "prompt_tokens": attempt.prompt_tokens,
        "output_tokens": attempt.output_tokens,
        "raw_text": attempt.raw_text,
    }


def _as_json(facts: Json) -> str:
    """Return JSON that people can read in a terminal: letters as they are, whatever may steer it escaped."""
    text = json.dumps(facts, ensure_ascii=False, indent=2)
    return "".join(char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in text) + "\n"
