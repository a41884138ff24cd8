"""A run's folder on this machine: temporary files, and the journal that outlives a killed run.

It lies below TMPDIR, one for each output, extraction and boot of the machine. Only the holder
of the output's lease uses it, so what a dead run left there is the next one's to read or delete.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from pipeline.errors import StorageError
from pipeline.storage import canonical

log = logging.getLogger(__name__)

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Scratch:
    """The folders of one run."""

    def __init__(self, output: str, extraction: str) -> None:
        """Make them, empty but for the journals.

        Args:
            output: a path or a bucket URL.

        Raises:
            StorageError: TMPDIR cannot be written.
        """
        try:
            mine = _private_folder() / hashlib.sha256(f"{canonical(output)}\n{extraction}".encode()).hexdigest()[:16]
            # After a loss of power an unsynced file may hold anything, so what an earlier boot left is not trusted.
            self._root = mine / _boot()
            for stale in mine.glob("*"):
                if stale != self._root:
                    shutil.rmtree(stale, ignore_errors=True)
            self.journals = self._root / "journals"
            self.fetched = self._root / "fetched"
            self.shards = self._root / "shards"
            self.quarantine = self._root / "quarantine"
            self.catalog = self._root / "catalog.db"
            self._clear()
            for folder in (self.journals, self.fetched, self.shards, self.quarantine):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"No temporary folder can be made (its place is TMPDIR's): {error}.") from error

    def close(self, *, keep_journals: bool) -> None:
        """Delete the temporary files; the journals too unless pages of theirs are still to be committed."""
        if keep_journals:
            self._clear()
            return
        shutil.rmtree(self._root, ignore_errors=True)
        with suppress(OSError):  # another boot's folder may stand beside it
            self._root.parent.rmdir()

    def _clear(self) -> None:
        for entry in self._root.glob("*"):
            if entry.is_dir() and entry != self.journals:
                shutil.rmtree(entry, ignore_errors=True)
            elif entry != self.journals:
                entry.unlink(missing_ok=True)


def _private_folder() -> Path:
    """Return this user's folder; one that somebody else could write to is not used, as journals are unpickled."""
    folder = Path(tempfile.gettempdir()) / f"pagemill-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077:
        return folder
    log.warning("%s is open to others and not used: an interrupted run costs its uncommitted pages", folder)
    return Path(tempfile.mkdtemp(prefix="pagemill-"))


def _boot() -> str:
    return BOOT_ID.read_text(encoding="ascii").strip()[:8] if BOOT_ID.exists() else "boot"
