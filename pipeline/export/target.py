"""Where an export goes: to a file or bucket, whole or not at all, or to the standard output."""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Self, TextIO

from pipeline.errors import ConfigError, StorageError
from pipeline.storage import local_path, open_storage


def split_target(target: str) -> tuple[str, str]:
    """Return the folder or bucket URL, and the name, of a file.

    Raises:
        ConfigError: it names no file.
    """
    local = local_path(target)
    if local is not None:
        if local.is_dir():
            raise ConfigError(f"--to {target} is a folder; name a file in it.")
        return str(local.parent), local.name
    above, _, name = target.rpartition("/")
    if not name or above.endswith((":/", "/")):
        raise ConfigError(f"--to {target} names no file; write it as s3://bucket/folder/file.")
    return above, name


class Target:
    """Files that appear, all at the end, once all of them are written."""

    def __init__(self, target: str) -> None:
        self._above, self.name = split_target(target)
        self._scratch = tempfile.TemporaryDirectory(prefix="pagemill-export-")
        self._made: list[str] = []

    def path(self, name: str) -> Path:
        """Return where to write the file that will be called `name`."""
        if name in self._made:
            raise ConfigError(f"Two tables would both be written to {name}; choose another --to.")
        self._made.append(name)
        return Path(self._scratch.name, name)

    @contextlib.contextmanager
    def stream(self, name: str) -> Iterator[TextIO]:
        """Give a text stream to such a file."""
        with self.path(name).open("w", encoding="utf-8", newline="") as stream:
            yield stream

    def finish(self) -> list[str]:
        """Put the files where they belong, and return where that is.

        Raises:
            StorageError: they cannot be written there.
        """
        storage = open_storage(self._above)
        for name in self._made:
            try:
                storage.put(name, Path(self._scratch.name, name))
            except OSError as error:
                raise StorageError(f"{self._above}/{name} cannot be written: {error.strerror}.") from error
        return [f"{self._above}/{name}" for name in self._made]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._scratch.cleanup()


@contextlib.contextmanager
def standard_output() -> Iterator[TextIO]:
    """Give the standard output as UTF-8, whatever the terminal's encoding is; what a record says must not be lost."""
    sys.stdout.flush()
    if not hasattr(sys.stdout, "buffer"):
        yield sys.stdout
        return
    stream = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8", errors="surrogateescape", newline="")
    try:
        yield stream
        stream.flush()
    finally:
        stream.detach()
