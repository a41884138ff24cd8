"""Where a report is written to: a local folder or a bucket. Each file appears whole or not at all."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

from pipeline.errors import StorageError
from pipeline.storage import local_path, open_storage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.storage import Storage

REPORT_FOLDER = "_report"
"""In an output. No reader of Parquet looks into it, and no listing of ours: the name begins with "_"."""
_UPLOADS = 8
_WAITING = 64
"""Uploads begun and not done; more would only hold more memory."""


class Target(Protocol):
    """A place for the files of one report. All methods raise StorageError when it cannot be written or read."""

    scratch: Path
    """A local folder for files that `place` is given."""

    def put(self, key: str, content: bytes) -> None:
        """Write a file."""
        ...

    def place(self, key: str, finished: Path) -> None:
        """Move a local file there."""
        ...

    def read(self, key: str) -> bytes | None:
        """Return a file's content; None where there is none."""
        ...

    def delete(self, key: str) -> None:
        """Delete a file, if it is there."""
        ...

    def settle(self) -> None:
        """Return once everything is written."""
        ...


@contextlib.contextmanager
def open_target(location: str) -> Iterator[Target]:
    """Return a folder (made if missing) or a prefix of a bucket as a target; what waits is written on exit.

    Raises:
        ConfigError: `location` is no folder or bucket URL.
        StorageError: it cannot be written.
    """
    path = local_path(location)
    if path is not None:
        with _FolderTarget(path) as folder:
            yield folder
    else:
        with _BucketTarget(open_storage(location)) as bucket:
            yield bucket


class _FolderTarget:
    """Renames into place. Not synced: a report that a power cut takes can be written again."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.scratch = root / ".new"
        self._made: set[Path] = set()

    def __enter__(self) -> Self:
        with _disk_errors(self._root):
            shutil.rmtree(self.scratch, ignore_errors=True)
            self.scratch.mkdir(parents=True)
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.scratch, ignore_errors=True)

    def put(self, key: str, content: bytes) -> None:
        """See Target."""
        with _disk_errors(self._root):
            finished = self.scratch / "page"
            finished.write_bytes(content)
            finished.replace(self._path(key))

    def place(self, key: str, finished: Path) -> None:
        """See Target."""
        with _disk_errors(self._root):
            finished.replace(self._path(key))

    def read(self, key: str) -> bytes | None:
        """See Target."""
        with _disk_errors(self._root):
            try:
                return (self._root / key).read_bytes()
            except FileNotFoundError:
                return None

    def delete(self, key: str) -> None:
        """See Target."""
        with _disk_errors(self._root):
            (self._root / key).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            (self._root / key).parent.rmdir()

    def settle(self) -> None:
        """See Target; nothing waits here."""

    def _path(self, key: str) -> Path:
        path = self._root / key
        if path.parent not in self._made:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._made.add(path.parent)
        return path


class _BucketTarget:
    """Uploads in a few threads, as a file of a bucket takes longer to begin than to send."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._waiting: list[Future[None]] = []

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="pagemill-report-")
        self.scratch = Path(self._folder.name)
        self._threads = ThreadPoolExecutor(_UPLOADS, thread_name_prefix="report-upload")
        self._count = 0
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        try:
            if error is None:
                self.settle()
        finally:
            self._threads.shutdown(cancel_futures=True)
            self._folder.cleanup()

    def put(self, key: str, content: bytes) -> None:
        """See Target."""
        self._count += 1
        finished = self.scratch / f"page-{self._count}"
        finished.write_bytes(content)
        self.place(key, finished)

    def place(self, key: str, finished: Path) -> None:
        """See Target."""
        if len(self._waiting) >= _WAITING:
            self._waiting.pop(0).result()
        self._waiting.append(self._threads.submit(self._upload, key, finished))

    def read(self, key: str) -> bytes | None:
        """See Target."""
        try:
            with self._storage.open(key) as file:
                return file.read()
        except FileNotFoundError:
            return None

    def delete(self, key: str) -> None:
        """See Target."""
        self._storage.delete(key)

    def settle(self) -> None:
        """See Target."""
        waiting, self._waiting = self._waiting, []
        for upload in waiting:
            upload.result()

    def _upload(self, key: str, finished: Path) -> None:
        self._storage.put(key, finished)
        finished.unlink(missing_ok=True)


@contextlib.contextmanager
def _disk_errors(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise StorageError(
            f"The report cannot be written to {str(root)!r}: {reason}; give another folder with --to."
        ) from error
