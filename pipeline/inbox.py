"""What becomes of documents that are read: they stay, are moved out of the input, or are tagged there.

Done at the end of a run, over all that is listed and done, so that what a killed run left is
made up for by the next one. Failed documents stay where `pagemill retry` finds them, and so
does what was changed since it was read.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote, unquote_to_bytes

from pipeline.errors import ConfigError, StorageError
from pipeline.ready import marker_suffix
from pipeline.source import input_root, path_uri
from pipeline.stats import RunState, read_runs
from pipeline.storage import Storage, StoredFile, canonical, local_path, open_storage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline.config import RunConfig
    from pipeline.data import DocumentRef

log = logging.getLogger(__name__)

AT_ONCE = 16
"""Documents: one takes about six requests to a bucket, each some 30 ms."""
MOST_REFUSED = 100
"""Documents in a row that storage refuses before the rest is left to the next run."""
LATEST_RUNS = 20
"""Among which the last one that came to its end is looked for."""
_NUMBERED = re.compile(r" \(\d+\)(\.[^.]*)?$")


class _Clearing(Protocol):
    def clear(self, ref: DocumentRef) -> bool: ...


def check_inbox(config: RunConfig) -> None:
    """Look whether what is read can be moved or tagged as `config.input_files` asks for.

    Raises:
        ConfigError: it cannot.
        StorageError: the bucket that it is to be moved to cannot be reached.
    """
    files, root = config.input_files, input_root(config.input)
    if files.after == "tag":
        open_storage(root).check_taggable()
    if files.after != "move" or files.moved_to is None:
        return
    for name, place in (("input", root), ("output", config.output)):
        if _is_listed_below(canonical(files.moved_to), canonical(place)):
            raise ConfigError(
                f"input_files.moved_to = {files.moved_to!r} lies in the {name} {place!r}; name a place outside it."
            )
    next(open_storage(files.moved_to).keys(), None)  # a bucket that does not exist is found before the night


def tagged_until(storage: Storage, extraction: str) -> datetime | None:
    """Return until when documents that were finished are tagged: the last run that came to its end saw to them.

    None when no such run is known: then all are tagged again.
    """
    runs = read_runs(storage, extraction, last=LATEST_RUNS)
    ends = [run.finished_at for run in runs if run.state is RunState.FINISHED and run.finished_at]
    return max(ends, default=None)


def clear_input(
    config: RunConfig,
    done: Iterable[tuple[DocumentRef, datetime]],
    run_id: str,
    *,
    tagged_until: datetime | None = None,
    stop: threading.Event,
) -> int:
    """Move or tag documents, and return how many.

    Args:
        done: those whose current row says that they are ok, as they were read, and when the row was finished.
        tagged_until: what was finished before is not tagged again: a million old tags would be written every night.
        stop: once set, the rest is left to the next run: a hundred thousand objects take many minutes.

    Raises:
        ConfigError: they cannot be moved or tagged at all. What one document is refused for is logged.
    """
    if config.input_files.after == "keep":
        return 0
    if config.input_files.after == "move":
        return _clear_all(_Move(config), (ref for ref, _ in done), stop)
    fresh = (ref for ref, finished_at in done if tagged_until is None or finished_at >= tagged_until)
    return _clear_all(_Tag(config, run_id), fresh, stop)


class _Count:
    """How the clearing goes."""

    def __init__(self) -> None:
        self.cleared = 0
        self.refused = 0
        """In a row: the place is at fault then, and not the documents."""

    def take(self, ref: DocumentRef, result: Future[bool]) -> None:
        try:
            self.cleared += result.result()
            self.refused = 0
        except FileNotFoundError:
            pass  # somebody took it away
        except StorageError as error:
            self.refused += 1
            log.warning("The document stays as it is: %s", error, extra={"document": ref.uri})


def _clear_all(clearing: _Clearing, refs: Iterable[DocumentRef], stop: threading.Event) -> int:
    """Clear a few at a time, which bounds memory, and return how many."""
    count, waiting = _Count(), deque[tuple["DocumentRef", Future[bool]]]()
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="inbox") as pool:
        for ref in refs:
            # "a (2).pdf" may be where another "a.pdf" goes to at this moment; see Storage.move.
            is_numbered = bool(_NUMBERED.search(unquote(ref.uri)))
            while waiting and (is_numbered or len(waiting) >= 2 * AT_ONCE):
                count.take(*waiting.popleft())
            if count.refused >= MOST_REFUSED:
                log.warning("%d documents in a row were refused; the rest is left to the next run.", count.refused)
                break
            if stop.is_set():
                break
            waiting.append((ref, pool.submit(clearing.clear, ref)))
            if is_numbered:
                count.take(*waiting.popleft())
        for ref, result in waiting:
            count.take(ref, result)
    return count.cleared


class _Place:
    """Where the documents of an input lie."""

    def __init__(self, config: RunConfig) -> None:
        root = input_root(config.input)
        path = local_path(root)
        self._root = canonical(root) if path is None else path_uri(path)
        self._top = "file:///" if path else "/".join(self._root.split("/")[:3]) + "/"
        self.storage = open_storage(self._top)

    def keys(self, ref: DocumentRef) -> tuple[str, str]:
        """Return the key of a document in its bucket or file system, and its path below the root of its input."""
        decode = (lambda text: os.fsdecode(unquote_to_bytes(text))) if self._top == "file:///" else unquote
        # Nothing is left where the input is this document.
        below = ref.uri.removeprefix(self._root).lstrip("/") or ref.uri.rpartition("/")[2]
        return decode(ref.uri.removeprefix(self._top)), decode(below)


class _Move:
    def __init__(self, config: RunConfig) -> None:
        self._from = _Place(config)
        self._to = open_storage(config.input_files.moved_to or "")
        self._suffix = marker_suffix(config.input_files.ready)

    def clear(self, ref: DocumentRef) -> bool:
        key, below = self._from.keys(ref)
        moved = self._from.storage.move(key, self._to, below, seen=_as_read(key, ref))
        if moved is not None and self._suffix:
            # Left behind, it would vouch for the next document of this name.
            with contextlib.suppress(FileNotFoundError):
                self._from.storage.move(key + self._suffix, self._to, moved + self._suffix)
        return moved is not None


class _Tag:
    def __init__(self, config: RunConfig, run_id: str) -> None:
        self._from = _Place(config)
        self._tags = {"pagemill": "done", "pagemill-run": run_id}

    def clear(self, ref: DocumentRef) -> bool:
        key, _ = self._from.keys(ref)
        return self._from.storage.tag(key, self._tags, seen=_as_read(key, ref))


def _as_read(key: str, ref: DocumentRef) -> StoredFile:
    return StoredFile(key, ref.size_bytes, ref.modified_at)


def _is_listed_below(place: str, root: str) -> bool:
    """Tell whether files below `place` are listed below `root`; those in `root/_done` are not."""
    if place != root and not place.startswith(f"{root.rstrip('/')}/"):
        return False
    return not place[len(root) :].strip("/").startswith(("_", "."))
