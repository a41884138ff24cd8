"""Terminal page records that no committed shard holds yet, one local file a shard.

A killed run loses only what is not written here: the pages it was reading. The files are a
cache, not a second truth: what is committed stands in the output, and a damaged tail, as
SIGKILL may leave it, is passed over.
"""

from __future__ import annotations

import hashlib
import logging
import os
import pickle
import shutil
import struct
import zlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import BinaryIO

import pipeline.data
from pipeline.data import PageRecord, RunIdentity
from pipeline.errors import StorageError

log = logging.getLogger(__name__)

_HEADER = struct.Struct("<II")
"""Length and CRC-32 of the pickle behind it."""
_SUFFIX = ".journal"


@dataclass(slots=True)
class _File:
    path: Path
    stream: BinaryIO
    places: dict[str, array[int]] = field(default_factory=dict)
    """Offsets of a content's pages, by its SHA-256."""


class Journal:
    """What was read and is not committed, by the content of its document.

    Everything in it was read under the same settings by the same version of the program. Used by one thread.
    """

    def __init__(self, folder: Path, identity: RunIdentity, *, anew: bool, code: str | None = None) -> None:
        """Open what an earlier run left in `folder`; what it left of other settings stays as it is, for them.

        Args:
            anew: delete all of it.
            code: what the pickles depend on; by default the code of the records that are in them.

        Raises:
            StorageError: the folder cannot be read or written.
        """
        # All of it: a retry keeps the fingerprint of rows that another model may have read, and pickles are not for
        # other versions, nor for another state of the same one: a field more, and each value goes into the next.
        kept_for = replace(identity, run_id=""), code or _code_of_records()
        settings = hashlib.sha256(repr(kept_for).encode()).hexdigest()
        self._folder = folder / f"{identity.fingerprint}-{settings[:16]}"
        self._files: dict[str, _File] = {}
        self._num_made = 0
        try:
            for earlier in folder.iterdir() if anew else ():
                shutil.rmtree(earlier, ignore_errors=True)
            self._folder.mkdir(exist_ok=True)
            for path in sorted(self._folder.glob(f"*{_SUFFIX}")):
                self._reopen(path)
        except OSError as error:
            raise _failure(folder, error) from error

    def open_file(self) -> str:
        """Return the name of a new file, for `add` and `drop`.

        Raises:
            StorageError: the disk is full or gone.
        """
        while (path := self._folder / f"{self._num_made:06}{_SUFFIX}").exists():
            self._num_made += 1
        try:
            self._files[path.name] = _File(path, path.open("x+b", buffering=0))
        except OSError as error:
            raise _failure(path, error) from error
        return path.name

    def add(self, name: str, record: PageRecord) -> None:
        """Append a page that was read; it outlives this process from here on.

        Raises:
            StorageError: the disk is full or gone.
        """
        file = self._files[name]
        data = pickle.dumps(record, protocol=5)
        try:
            offset = file.stream.seek(0, os.SEEK_END)
            _write(file.stream, _HEADER.pack(len(data), zlib.crc32(data)) + data)
        except OSError as error:
            raise _failure(file.path, error) from error
        file.places.setdefault(record.document.sha256, array("Q")).append(offset)

    def pages(self, sha256: str) -> Iterator[PageRecord]:
        """Yield the pages of a content, the latest reading first; one may come twice."""
        for file in reversed(list(self._files.values())):
            for offset in reversed(file.places.get(sha256, ())):
                if record := _read(file, offset):
                    yield record

    def drop(self, name: str) -> None:
        """Delete a file whose pages are committed."""
        file = self._files.pop(name)
        file.stream.close()
        file.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the files; they stay for the next run. A second call does nothing."""
        for file in self._files.values():
            file.stream.close()
        self._files.clear()

    def _reopen(self, path: Path) -> None:
        file = _File(path, path.open("r+b", buffering=0))
        end = path.stat().st_size
        offset = 0
        while offset < end and (record := _read(file, offset)):
            file.places.setdefault(record.document.sha256, array("Q")).append(offset)
            offset = file.stream.tell()
        self._files[path.name] = file


@cache
def _code_of_records() -> str:
    files = sorted(Path(pipeline.data.__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def _write(stream: BinaryIO, data: bytes) -> None:
    """Write all of `data` or raise OSError: an unbuffered write may be short, the next one says why."""
    rest = memoryview(data)
    while rest:
        rest = rest[stream.write(rest) :]


def _read(file: _File, offset: int) -> PageRecord | None:
    """Return the page at `offset`; None for half of one. Afterwards the stream stands behind it."""
    end = file.stream.seek(0, os.SEEK_END)
    file.stream.seek(offset)
    header = file.stream.read(_HEADER.size)
    if len(header) < _HEADER.size:
        return None
    length, checksum = _HEADER.unpack(header)
    data = file.stream.read(length)
    if offset + _HEADER.size + length > end or zlib.crc32(data) != checksum:
        log.info("%s ends in half a page, which is read again", file.path)
        return None
    record: PageRecord = pickle.loads(data)  # noqa: S301 - a folder that only this user can write to
    return record


def _failure(path: Path, error: OSError) -> StorageError:
    reason = error.strerror or str(error)
    return StorageError(f"The journal {path} cannot be used (its place is TMPDIR's): {reason}; free some space there.")
