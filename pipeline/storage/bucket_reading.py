"""Reading from a bucket what may break off in the middle: listings, whole objects, ranges."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, BinaryIO

import obstore

from pipeline.errors import StorageError
from pipeline.storage.bucket_lease import Conflict
from pipeline.storage.retrying import TransientError, retried

if TYPE_CHECKING:
    from collections.abc import Iterator

    from obstore import GetOptions

    from pipeline.storage.bucket_access import Access

READ_BUFFER_BYTES = 1 << 20
LIST_CHUNK = 1000
"""What S3, GCS and Azure return in one answer."""
STREAMED_BYTES = 1 << 20


class Listing:
    """A stream of objects that goes on after the last one it gave when it breaks."""

    def __init__(self, access: Access, folder: str, name: str) -> None:
        self._access = access
        self._folder = folder or None
        self._name = name
        self._stream: Iterator[Any] | None = None
        self._last: str | None = None

    @retried
    def next_chunk(self) -> list[Any]:
        """Return the next objects in order; none at the end."""
        try:
            with self._access.calling(self._name):
                if self._stream is None:
                    self._stream = iter(
                        obstore.list(self._access.store, self._folder, offset=self._last, chunk_size=LIST_CHUNK)
                    )
                chunk = list(next(self._stream, ()))
        except FileNotFoundError:
            raise StorageError(f"The bucket of {self._name} does not exist.") from None
        except TransientError:
            self._stream = None
            raise
        if chunk:
            self._last = chunk[-1]["path"]
        return chunk


class Download:
    """The content of one object, which goes on where it broke off; from the start when the object was replaced."""

    def __init__(self, access: Access, key: str, name: str) -> None:
        self._access = access
        self._key = key
        self._name = name
        self._version: str | None = None
        self._size_bytes: int | None = None
        self._done_bytes = 0
        self.is_whole = False

    @retried
    def go_on(self, file: BinaryIO) -> None:
        """Write the rest to `file`, or its beginning anew."""
        file.seek(self._done_bytes)
        file.truncate()
        try:
            with self._access.calling(self._name):
                found = obstore.get(self._access.store, self._key, options=self._rest())
                self._version, self._size_bytes = found.meta["e_tag"], found.meta["size"]
                for chunk in found.stream(STREAMED_BYTES):
                    file.write(chunk)
                    self._done_bytes += len(chunk)
        except Conflict:
            self._version, self._done_bytes = None, 0
            return
        if self._done_bytes != self._size_bytes:
            said = f"{self._name}: {self._done_bytes} of {self._size_bytes} bytes came"
            self._done_bytes = 0
            raise self._access.transient(said)
        self.is_whole = True

    def _rest(self) -> GetOptions | None:
        if not self._done_bytes or self._version is None:
            self._done_bytes = 0
            return None
        return {"range": {"offset": self._done_bytes}, "if_match": self._version}


def open_object(access: Access, key: str, name: str, size_bytes: int) -> BinaryIO:
    """Return a seekable reader of an object that has this size; see Storage.open."""
    return io.BufferedReader(_ObjectReader(access, key, name, size_bytes), READ_BUFFER_BYTES)


class _ObjectReader(io.RawIOBase):
    """Random access to one object; every read is one request, so wrap it in a buffer."""

    def __init__(self, access: Access, key: str, name: str, size_bytes: int) -> None:
        self._access = access
        self._key = key
        self._name = name
        self._size_bytes = size_bytes
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size_bytes}[whence]
        self._position = max(0, origin + offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any) -> int:
        end = min(self._position + len(buffer), self._size_bytes)
        if end <= self._position:
            return 0
        data = self._read_range(self._position, end)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    @retried
    def _read_range(self, start: int, end: int) -> memoryview:
        with self._access.calling(self._name):
            found = memoryview(obstore.get_range(self._access.store, self._key, start=start, end=end))
        if len(found) != end - start:
            raise self._access.transient(f"{self._name}: {len(found)} of {end - start} bytes came")
        return found
