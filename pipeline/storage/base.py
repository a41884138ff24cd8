"""What every storage offers."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from datetime import datetime
    from pathlib import Path
    from typing import BinaryIO

SKIPPED_NAMES = (".", "_")
"""Names that begin like this are never listed."""


class StoredFile(NamedTuple):
    """One file as it was listed."""

    key: str
    """Path below the storage's root, with "/" between its parts."""
    size_bytes: int
    modified_at: datetime | None
    """UTC; None for what is listed but cannot be read."""


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

    def local_copy(self, key: str) -> AbstractContextManager[Path]:
        """Return a local path with the file's content: the file itself, or a copy that is deleted on exit."""
        ...

    def put(self, key: str, finished: Path) -> None:
        """Make the content of a closed local file visible under `key`, whole or not at all, and durably."""
        ...

    def exists(self, key: str) -> bool:
        """Return whether there is a file under `key`."""
        ...

    def delete(self, key: str) -> None:
        """Delete a file; one that does not exist is no error."""
        ...
