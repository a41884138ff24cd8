"""Storage in a local folder."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from pipeline.data import utc
from pipeline.errors import StorageError
from pipeline.storage.base import SKIPPED_NAMES, StoredFile
from pipeline.storage.file_tags import add_tags, check_taggable
from pipeline.storage.folder_lease import lock, place
from pipeline.storage.lease import wait_for
from pipeline.storage.moving import copied_through_here, free_key, move_by_copy
from pipeline.storage.retrying import advice, naming, retried

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

    from pipeline.storage.base import Storage
    from pipeline.storage.lease import Lease

HALF_WRITTEN = ".tmp"
"""What `put` writes to `.<name>.tmp` gets its name when it is whole."""
SWEPT_DEPTH = 3
"""Parts below the swept folder: no file of an output lies deeper."""


class FolderStorage:
    """Files below a local folder; see Storage."""

    def __init__(self, root: str | Path) -> None:
        self._root = Path(os.path.abspath(root))  # noqa: PTH100 - Path.resolve would follow links

    def files(self, prefix: str = "", *, depth: int | None = None) -> Iterator[StoredFile]:
        """See Storage."""
        for key in self._walk(prefix, depth):
            try:
                found = os.stat(f"{self._root}/{key}")  # noqa: PTH116 - a path object costs more than the call
            except OSError:
                yield StoredFile(key, 0, None)
            else:
                yield _stored(key, found)

    def keys(self, prefix: str = "") -> Iterator[str]:
        """See Storage."""
        return self._walk(prefix, None)

    @retried
    def open(self, key: str) -> BinaryIO:
        """See Storage."""
        return self._path(key).open("rb")

    @contextlib.contextmanager
    def local_copy(self, key: str, folder: Path | None = None) -> Iterator[Path]:  # noqa: ARG002 - nothing is copied
        """See Storage."""
        yield self._path(key)

    @retried
    def put(self, key: str, finished: Path) -> None:
        """See Storage: a copy beside the target is synced and renamed over it, then the folder is synced.

        Source: rename(2) is atomic, but neither it nor the content is durable before fsync(2)
        of the file and of its folder.
        """
        target = self._path(key)
        _make_place(target)
        # One name for each target: what a killed writer left is overwritten by the next one.
        half_written = target.with_name(f".{target.name}{HALF_WRITTEN}")
        try:
            with finished.open("rb") as source, naming(target), half_written.open("wb") as copy:
                shutil.copyfileobj(source, copy, 1 << 20)
                copy.flush()
                os.fsync(copy.fileno())
            half_written.replace(target)
        except BaseException:
            half_written.unlink(missing_ok=True)
            raise
        _sync_folder(target.parent)

    @retried
    def exists(self, key: str) -> bool:
        """See Storage."""
        return self._path(key).is_file()

    @retried
    def stat(self, key: str) -> StoredFile:
        """See Storage."""
        return _stored(key, self._path(key).stat())

    def move(self, key: str, to: Storage, new_key: str, *, seen: StoredFile | None = None) -> str | None:
        """See Storage: within a file system no byte is copied. Folders that become empty stay, as people made them."""
        file = self.stat(key)
        if not file.is_as(seen):
            return None
        path = self._path(key)
        if isinstance(to, FolderStorage) and not path.is_symlink():
            target, is_there = free_key(self, key, to, new_key)
            while not is_there and not retried(_claimed)(to._path(target)):  # noqa: SLF001 - of the same class
                target, is_there = free_key(self, key, to, new_key)
            if not is_there and retried(_renamed)(path, to._path(target)):  # noqa: SLF001 - of the same class
                return target
        copy, remove = copied_through_here(self, key, to), lambda: retried(_unlink)(path)
        return move_by_copy(self, key, to, new_key, file=file, copy=copy, remove=remove)

    def tag(self, key: str, tags: dict[str, str], *, seen: StoredFile | None = None) -> bool:
        """See Storage."""
        if not self.stat(key).is_as(seen):
            return False
        add_tags(self._path(key), tags)
        return True

    def check_taggable(self) -> None:
        """See Storage."""
        check_taggable(self._root)

    @retried
    def delete(self, key: str) -> None:
        """See Storage."""
        path = self._path(key)
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
            _sync_folder(path.parent)
            for folder in path.parents:
                if folder == self._root or any(folder.iterdir()):
                    break
                folder.rmdir()  # as in a bucket, where no folder is but for its files

    @contextlib.contextmanager
    def hold(self, key: str, *, wait_s: float = 0, on_wait: Callable[[str], None] | None = None) -> Iterator[Lease]:
        """See Storage."""
        path = self._path(key)
        retried(_make_place)(path)
        lease = wait_for(lambda: lock(path), place(path), wait_s=wait_s, on_wait=on_wait)
        try:
            yield lease
        finally:
            lease.release()

    @retried
    def sweep(self, prefix: str) -> int:
        """See Storage; links are not followed."""
        folders = [(self._path(prefix), 1)]
        swept = 0
        while folders:
            folder, depth = folders.pop()
            with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False) and depth < SWEPT_DEPTH:
                        folders.append((Path(entry.path), depth + 1))
                    elif _is_half_written(entry):
                        Path(entry.path).unlink(missing_ok=True)
                        swept += 1
        return swept

    def _path(self, key: str) -> Path:
        parts = PurePosixPath(key).parts
        if not parts or key.startswith("/") or ".." in parts:
            raise ValueError(f"{key!r} is no key below a root")
        return self._root.joinpath(*parts)

    def _walk(self, prefix: str, depth: int | None) -> Iterator[str]:
        """Yield keys depth first, without recursion: trees may be deeper than Python's stack."""
        folder, _, name_start = prefix.rpartition("/")
        first = self._listed(folder)
        if first is None:
            return
        first.names = [name for name in first.names if name.startswith(name_start)]
        stack = [first]
        linked: set[tuple[int, int]] = set()
        while stack:
            listing = stack[-1]
            if not listing.names:
                stack.pop()
                continue
            name = listing.names.pop()
            key = f"{listing.key}/{name}" if listing.key else name
            if name not in listing.folders:
                yield key
            elif depth is None or len(stack) + folder.count("/") + bool(folder) < depth:
                below = self._listed(key)
                if below is None:
                    yield key  # a folder that cannot be read; opening it tells why
                elif below.identity not in linked and all(below.identity != above.identity for above in stack):
                    if name in listing.links:
                        linked.add(below.identity)
                    stack.append(below)

    def _listed(self, key: str) -> _Listing | None:
        """Return the content of a folder, or None when it is missing, or not the root and not readable."""
        path = self._root / key
        try:
            listing = _Listing(key, path.stat())
            with os.scandir(path) as entries:
                for entry in entries:
                    listing.add(entry)
        except FileNotFoundError:
            return None
        except OSError as error:
            if key:
                return None
            raise StorageError(f"The folder {str(path)!r} cannot be read: {error.strerror}.") from error
        listing.names.sort(reverse=True)
        return listing


class _Listing:
    """What is still to be visited of one folder; names only, as a folder may hold a million."""

    def __init__(self, key: str, found: os.stat_result) -> None:
        self.key = key
        self.identity = (found.st_dev, found.st_ino)
        self.names: list[str] = []
        """In reverse order, so that the next one is popped."""
        self.folders: set[str] = set()
        self.links: set[str] = set()

    def add(self, entry: os.DirEntry[str]) -> None:
        if entry.name.startswith(SKIPPED_NAMES):
            return
        self.names.append(entry.name)
        if _is_folder(entry):
            self.folders.add(entry.name)
            if entry.is_symlink():
                self.links.add(entry.name)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads in a circle
        return False


def _is_half_written(entry: os.DirEntry[str]) -> bool:
    return entry.name.startswith(".") and entry.name.endswith(HALF_WRITTEN) and entry.is_file(follow_symlinks=False)


def _stored(key: str, found: os.stat_result) -> StoredFile:
    return StoredFile(key, found.st_size, utc(found.st_mtime), utc(max(found.st_mtime, found.st_ctime)))


def _claimed(target: Path) -> bool:
    """Make an empty file; return False where one is: rename(2) would overwrite what another run moved there."""
    _make_place(target)
    try:
        target.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def _renamed(path: Path, target: Path) -> bool:
    """Give a file a name that was claimed, and return False where that is on another disk."""
    try:
        path.rename(target)
    except OSError as error:
        target.unlink(missing_ok=True)
        if error.errno != errno.EXDEV:
            raise
        return False
    _sync_folder(target.parent)
    _sync_folder(path.parent)
    return True


def _unlink(path: Path) -> None:
    path.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _make_place(path: Path) -> None:
    try:
        _make_folders(path.parent)
    except FileNotFoundError as error:  # below /proc for instance; to callers it would mean a missing file
        raise StorageError(advice(error)) from error


def _make_folders(folder: Path) -> None:
    """Create a folder and its parents, each one durably entered in the one above."""
    if folder.is_dir():
        return
    _make_folders(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
