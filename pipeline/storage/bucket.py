"""Storage in a bucket, through obstore."""

from __future__ import annotations

import contextlib
import io
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import obstore
from obstore import exceptions
from obstore.store import from_url

from pipeline.errors import AccessDeniedError, ConfigError, StorageError
from pipeline.storage.base import SKIPPED_NAMES, StoredFile
from pipeline.storage.bucket_lease import Conflict, LeaseTimes, Seeker, check_conditions, place
from pipeline.storage.lease import wait_for
from pipeline.storage.location import BucketPlace, bucket_place
from pipeline.storage.moving import copied_through_here, move_by_copy
from pipeline.storage.object_tags import ObjectTagging, check_taggable
from pipeline.storage.retrying import TransientError, naming, retried, without_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from obstore import PutMode, UpdateVersion
    from obstore.store import ObjectStore

    from pipeline.storage.base import Storage
    from pipeline.storage.lease import Lease

LIST_CHUNK = 1000
"""What S3, GCS and Azure return in one answer."""
READ_BUFFER_BYTES = 1 << 20


def open_bucket(url: str, lease_times: LeaseTimes | None = None) -> BucketStorage:
    """Return the storage at a bucket URL; nothing is fetched yet.

    Raises:
        ConfigError: the URL names no bucket, or the environment lacks what the store needs.
    """
    return BucketStorage(bucket_place(url), lease_times or LeaseTimes())


def _opened(place: BucketPlace) -> ObjectStore:
    try:
        # Retrying is done by `retried` alone: two layers multiply.
        return from_url(str(place), retry_config={"max_retries": 0})
    except (exceptions.BaseError, ValueError) as error:
        raise ConfigError(f"{place} cannot be opened: {without_secrets(str(error))}") from error


@contextlib.contextmanager
def _translated(what: str) -> Iterator[None]:
    """Turn obstore's errors into ours, by type."""
    try:
        yield
    except (exceptions.NotFoundError, FileNotFoundError) as error:
        raise FileNotFoundError(f"{what} does not exist.") from error
    except (exceptions.AlreadyExistsError, exceptions.PreconditionError) as error:
        raise Conflict(what) from error
    except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
        denied = AccessDeniedError if isinstance(error, exceptions.PermissionDeniedError) else StorageError
        raise denied(
            f"{what}: access is denied; check the credentials in the environment (AWS_*, GOOGLE_* or AZURE_*)."
        ) from error
    except (exceptions.GenericError, exceptions.JoinError, ConnectionError, TimeoutError) as error:
        # object_store has one type for all that is not about the object: timeouts, broken connections, 5xx.
        raise TransientError(f"{what}: {without_secrets(str(error))}") from error
    except exceptions.BaseError as error:
        raise StorageError(f"{what}: {without_secrets(str(error))}") from error


class BucketStorage:
    """Objects below a prefix of a bucket; see Storage."""

    def __init__(self, place: BucketPlace, lease_times: LeaseTimes) -> None:
        self._place = place
        self._store = _opened(place)
        self._url = str(place)
        self._lease_times = lease_times
        self._tagging: ObjectTagging | None = None

    def files(self, prefix: str = "", *, depth: int | None = None) -> Iterator[StoredFile]:
        """See Storage; sorted by the bytes of the whole key."""
        # The store's own prefix is of whole parts; the rest is compared here.
        listing = _Listing(self._store, prefix.rpartition("/")[0], f"{self._url}/{prefix}")
        while chunk := listing.next_chunk():
            for found in chunk:
                parts = found["path"].split("/")
                hidden = any(part.startswith(SKIPPED_NAMES) for part in parts)
                too_deep = depth is not None and len(parts) > depth
                if found["path"].startswith(prefix) and not hidden and not too_deep:
                    yield StoredFile(found["path"], found["size"], found["last_modified"], found["last_modified"])

    def keys(self, prefix: str = "") -> Iterator[str]:
        """See Storage."""
        return (file.key for file in self.files(prefix))

    def open(self, key: str) -> BinaryIO:
        """See Storage."""
        size_bytes = self.stat(key).size_bytes
        return io.BufferedReader(_ObjectReader(self, key, size_bytes), READ_BUFFER_BYTES)

    @contextlib.contextmanager
    def local_copy(self, key: str, folder: Path | None = None) -> Iterator[Path]:
        """See Storage."""
        with tempfile.TemporaryDirectory(prefix="pagemill-fetched-", dir=folder) as own:
            path = Path(own) / "object"
            self._download(key, path)
            yield path

    @retried
    def put(self, key: str, finished: Path) -> None:
        """See Storage: an object appears when its upload is complete."""
        with _translated(self._name(key)):
            obstore.put(self._store, key, finished)

    def exists(self, key: str) -> bool:
        """See Storage."""
        try:
            self.stat(key)
        except FileNotFoundError:
            return False
        return True

    @retried
    def stat(self, key: str) -> StoredFile:
        """See Storage."""
        with _translated(self._name(key)):
            found = obstore.head(self._store, key)
            return StoredFile(key, found["size"], found["last_modified"], found["last_modified"])

    def move(self, key: str, to: Storage, new_key: str, *, seen: StoredFile | None = None) -> str | None:
        """See Storage: within a bucket its server copies."""
        file = self.stat(key)
        if not file.is_as(seen):
            return None
        if isinstance(to, BucketStorage) and to._place[:2] == self._place[:2]:  # noqa: SLF001 - of the same class
            copy = self._copied_there(key, to)
        else:
            copy = copied_through_here(self, key, to)
        return move_by_copy(self, key, to, new_key, file=file, copy=copy, remove=lambda: self.delete(key))

    def _copied_there(self, key: str, to: BucketStorage) -> Callable[[str], None]:
        whole = _opened(self._place._replace(prefix=""))

        @retried
        def copy(target: str) -> None:
            with _translated(self._name(key)):
                obstore.copy(whole, self._place.key(key), to._place.key(target))

        return copy

    def tag(self, key: str, tags: dict[str, str], *, seen: StoredFile | None = None) -> bool:
        """See Storage."""
        self.check_taggable()
        if not self.stat(key).is_as(seen):
            return False
        if self._tagging is None:
            self._tagging = ObjectTagging(self._place)
        self._tagging.add(self._place.key(key), tags)
        return True

    def check_taggable(self) -> None:
        """See Storage."""
        check_taggable(self._place)

    @retried
    def delete(self, key: str) -> None:
        """See Storage."""
        with contextlib.suppress(FileNotFoundError), _translated(self._name(key)):
            obstore.delete(self._store, key)

    @contextlib.contextmanager
    def hold(self, key: str, *, wait_s: float = 0, on_wait: Callable[[str], None] | None = None) -> Iterator[Lease]:
        """See Storage."""
        there = _LeaseObject(self._store, key, self._name(key))
        lease = wait_for(
            Seeker(there, self._lease_times).attempt,
            place(there, self._lease_times),
            wait_s=wait_s,
            on_wait=on_wait,
        )
        try:
            check_conditions(there)
            lease.start()
            yield lease
        finally:
            lease.release()

    def sweep(self, prefix: str) -> int:  # noqa: ARG002 - half an object cannot be seen
        """See Storage."""
        return 0

    @retried
    def read_range(self, key: str, start: int, end: int) -> memoryview:
        """Return bytes `start` to `end`, excluded, of an object."""
        with _translated(self._name(key)):
            return memoryview(obstore.get_range(self._store, key, start=start, end=end))

    @retried
    def _download(self, key: str, path: Path) -> None:
        with _translated(self._name(key)), naming(path), path.open("wb") as file:
            for chunk in obstore.get(self._store, key).stream():
                file.write(chunk)

    def _name(self, key: str) -> str:
        return f"{self._url}/{key}"


class _LeaseObject:
    """One object with conditional writes; see LeaseObject."""

    def __init__(self, store: ObjectStore, key: str, name: str) -> None:
        self._store = store
        self._key = key
        self.name = name

    def read(self) -> tuple[bytes, UpdateVersion] | None:
        try:
            with _translated(self.name):
                found = obstore.get(self._store, self._key)
                return bytes(found.bytes()), _version(found.meta["e_tag"], found.meta["version"])
        except FileNotFoundError:
            return None

    def write(self, content: bytes, over: UpdateVersion | None) -> UpdateVersion:
        mode: PutMode = "create" if over is None else over
        try:
            with _translated(self.name):
                written = obstore.put(self._store, self._key, content, mode=mode)
        except FileNotFoundError as error:
            if over is None:
                raise StorageError(f"The bucket of {self.name} does not exist.") from error
            raise Conflict from error
        return _version(written["e_tag"], written["version"])


def _version(e_tag: str | None, version: str | None) -> UpdateVersion:
    """Return what a condition needs: S3 and Azure compare the one, GCS the other; obstore takes no None."""
    said: UpdateVersion = {}
    if e_tag is not None:
        said["e_tag"] = e_tag
    if version is not None:
        said["version"] = version
    return said


class _Listing:
    """A stream of objects that goes on after the last one it gave when it breaks."""

    def __init__(self, store: ObjectStore, folder: str, name: str) -> None:
        self._store = store
        self._folder = folder or None
        self._name = name
        self._stream: Iterator[Any] | None = None
        self._last: str | None = None

    @retried
    def next_chunk(self) -> list[Any]:
        """Return the next objects in order; none at the end."""
        try:
            with _translated(self._name):
                if self._stream is None:
                    self._stream = iter(
                        obstore.list(self._store, self._folder, offset=self._last, chunk_size=LIST_CHUNK)
                    )
                chunk = list(next(self._stream, ()))
        except FileNotFoundError as error:
            raise StorageError(f"The bucket of {self._name} does not exist.") from error
        except TransientError:
            self._stream = None
            raise
        if chunk:
            self._last = chunk[-1]["path"]
        return chunk


class _ObjectReader(io.RawIOBase):
    """Random access to one object; every read is one request, so wrap it in a buffer."""

    def __init__(self, storage: BucketStorage, key: str, size_bytes: int) -> None:
        self._storage = storage
        self._key = key
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
        data = self._storage.read_range(self._key, self._position, end)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)
