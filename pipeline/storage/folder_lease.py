"""The lease of a folder: a lock of the kernel, which ends with its process however that ends."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import shlex
from typing import TYPE_CHECKING

from pipeline.errors import LeaseLostError
from pipeline.storage.holder import Holder, Life, from_json, this_process, to_json
from pipeline.storage.lease import Busy, Place
from pipeline.storage.retrying import naming, retried

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)

LONGEST_CONTENT = 10_000
LONGEST_DOUBT_S = 2.0
"""Enough for a child to close what it inherits, and for a new holder to write who it is."""
NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP})
"""What flock(2) answers on file systems without locks."""


class FolderLease:
    """A locked file; see Lease. It never expires: a process that is stopped still holds it.

    The file is never deleted, as those who wait for its lock would get that of a file nobody
    else sees; if a person deletes it, they notice and open the new one.
    Source: flock(2); over NFS it is a lock of the server's since Linux 2.6.12.
    """

    def __init__(self, path: Path, fd: int) -> None:
        self._path = path
        self._fd: int | None = fd
        # A forked child would keep the lock when this process is killed.
        os.register_at_fork(after_in_child=self._close)

    @retried
    def check(self) -> None:
        """See Lease: compares the file at the path with the locked one."""
        if self._fd is None or not _is_at(self._path, self._fd):
            raise LeaseLostError(
                f"{str(self._path)!r} was deleted or replaced while this run wrote beside it, and another may write "
                "there now. What is committed stays; run the same command again."
            )

    def release(self) -> None:
        """Let the next one in."""
        if self._fd is not None:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, 0)
        self._close()

    def _close(self) -> None:
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)


@retried
def lock(path: Path) -> FolderLease | Busy:
    """Return the lease of the file at `path`, which is made if missing, or who holds it."""
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            if not _locked(path, fd):
                holder = from_json(os.pread(fd, LONGEST_CONTENT, 0)) or Holder()
                os.close(fd)
                return Busy(holder, certain=holder.life() is Life.ALIVE)
            if _is_at(path, fd):
                with naming(path):
                    os.ftruncate(fd, 0)
                    os.pwrite(fd, to_json(this_process()), 0)
                return FolderLease(path, fd)
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)  # deleted between opening and locking


def place(path: Path) -> Place:
    """Return what to say of the lease at `path`."""

    def when_it_ends(holder: Holder) -> str:
        if holder.life() is Life.DEAD:
            named = shlex.quote(str(path))
            return f"That process is gone, but a child of it still has the lock: `fuser {named}` tells which."
        return "Its lock ends with its process; if that hangs, end it."

    return Place(repr(str(path.parent)), when_it_ends, longest_doubt_s=LONGEST_DOUBT_S)


def _locked(path: Path, fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        log.warning(
            "this file system has no locks: make sure that no other run writes to this output",
            extra={"output": str(path.parent)},
        )
    return True


def _is_at(path: Path, fd: int) -> bool:
    try:
        found = path.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(found, os.fstat(fd))
