"""What every storage offers."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from datetime import datetime
    from pathlib import Path
    from typing import BinaryIO

    from pipeline.storage.lease import Lease

SKIPPED_NAMES = (".", "_")
"""Names that begin like this are never listed."""


class StoredFile(NamedTuple):
    """One file as it was listed."""

    key: str
    """Path below the storage's root, with "/" between its parts."""
    size_bytes: int
    modified_at: datetime | None
    """UTC; None for what is listed but cannot be read."""
    changed_at: datetime | None = None
    """UTC; since when it has been what it is: modified_at may be that of the file it was copied from (cp -p,
    rsync), and is older than a file that was moved in. In a bucket, where files appear whole, the same as that."""

    def is_as(self, seen: StoredFile | None) -> bool:
        """Return whether size and time are those of `seen`, if any."""
        return seen is None or (self.size_bytes, self.modified_at) == (seen.size_bytes, seen.modified_at)


class Storage(Protocol):
    """Files under one root.

    All methods raise StorageError when the root cannot be reached, after retrying what may
    pass, and FileNotFoundError when a file that is to be read does not exist.
    """

    def files(self, prefix: str = "", *, depth: int | None = None) -> Iterator[StoredFile]:
        """Yield the files whose key starts with `prefix`, sorted by name within each folder.

        Streams: memory is bounded by the largest folder. What stands in a folder's place
        but cannot be read (no permission, a broken link) is yielded as a file, so that
        opening it tells why and nothing is lost silently. Symbolic links are followed,
        once for each folder. A root that does not exist holds no files.

        Args:
            depth: How many parts a key may have; None for any number.
        """
        ...

    def keys(self, prefix: str = "") -> Iterator[str]:
        """Yield the keys of `files(prefix)`."""
        ...

    def open(self, key: str) -> BinaryIO:
        """Return a seekable reader that fetches only what is asked for; the caller closes it."""
        ...

    def local_copy(self, key: str, folder: Path | None = None) -> AbstractContextManager[Path]:
        """Return a local path with the file's content: the file itself, or a copy that is deleted on exit.

        Args:
            folder: Where a copy is made, so that those of a killed run are found; default TMPDIR's.
        """
        ...

    def put(self, key: str, finished: Path) -> None:
        """Make the content of a closed local file visible under `key`, whole or not at all, and durably."""
        ...

    def exists(self, key: str) -> bool:
        """Return whether there is a file under `key`."""
        ...

    def stat(self, key: str) -> StoredFile:
        """Return a file as `files` would yield it; raises FileNotFoundError."""
        ...

    def delete(self, key: str) -> None:
        """Delete a file, and the folders that it leaves empty; one that does not exist is no error."""
        ...

    def move(self, key: str, to: Storage, new_key: str, *, seen: StoredFile | None = None) -> str | None:
        """Move a file to another key or another storage, and return the key that it has there.

        Nothing is overwritten: where `new_key` is taken by another content, "a.pdf" becomes "a (2).pdf";
        the same content means that an earlier move was cut short. The original goes last, once its copy
        was looked at. One file is moved by one process at a time.

        Args:
            seen: How it must still be; where it is not, it stays, and None is returned.

        Raises:
            FileNotFoundError: there is no such file.
        """
        ...

    def tag(self, key: str, tags: dict[str, str], *, seen: StoredFile | None = None) -> bool:
        """Add tags to a file's own, and return whether it was still as `seen`, if given; else nothing is done.

        S3: object tags. Folder: a JSON object in the extended attribute `user.pagemill`.

        Raises:
            ConfigError: as `check_taggable`.
            FileNotFoundError: there is no such file.
        """
        ...

    def check_taggable(self) -> None:
        """Raise ConfigError, with what to do, where files cannot be tagged."""
        ...

    def hold(
        self, key: str, *, wait_s: float = 0, on_wait: Callable[[str], None] | None = None
    ) -> AbstractContextManager[Lease]:
        """Return the lease named `key`, which one process at a time holds, until exit or its death.

        In a folder the kernel ends it with the process. In a bucket another takes it over: at once
        from a dead process of the same machine, else when it was not renewed for a minute. So
        with no `wait_s` a bucket may still be watched for up to that minute, until it is
        known whether its holder lives.

        Args:
            wait_s: How long to wait for another holder.
            on_wait: Called with a sentence on who holds it when waiting begins; what it raises ends the waiting.

        Raises (on entering):
            OutputBusyError: another holds it; the message says who and what to do.
        """
        ...

    def sweep(self, prefix: str) -> int:
        """Delete what killed writers left half written in the folder `prefix`, and return how many files that was.

        Only the holder of the lease over that folder may: a living writer's would go too. In a
        bucket nothing half written can be seen, and it is 0; what incomplete multipart uploads
        take there goes by a lifecycle rule of the bucket (AbortIncompleteMultipartUpload).
        """
        ...
