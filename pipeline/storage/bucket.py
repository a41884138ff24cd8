"""Storage in a bucket, through obstore."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import obstore

from pipeline.errors import StorageError
from pipeline.storage.base import SKIPPED_NAMES, StoredFile
from pipeline.storage.bucket_access import Access
from pipeline.storage.bucket_lease import Conflict, LeaseTimes, Seeker, check_conditions, place
from pipeline.storage.bucket_reading import Download, Listing, open_object
from pipeline.storage.lease import wait_for
from pipeline.storage.location import BucketPlace, bucket_place
from pipeline.storage.moving import copied_through_here, move_by_copy
from pipeline.storage.object_tags import ObjectTagging, check_taggable
from pipeline.storage.retrying import naming, retried

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from obstore import ObjectMeta, PutMode, UpdateVersion

    from pipeline.storage.base import Storage
    from pipeline.storage.lease import Lease

PART_BYTES = 8 << 20
PARTS_AT_ONCE = 4
"""What a large upload holds in memory; S3 takes 10,000 parts, so files of 80 GB."""


def _with_next(listing: Listing) -> Iterator[tuple[ObjectMeta, ObjectMeta | None]]:
    """Yield each object of a listing and the one after it."""
    last: ObjectMeta | None = None
    while chunk := listing.next_chunk():
        for found in chunk:
            if last is not None:
                yield last, found
            last = found
    if last is not None:
        yield last, None


def open_bucket(url: str, lease_times: LeaseTimes | None = None) -> BucketStorage:
    """Return the storage at a bucket URL; nothing is fetched yet.

    Raises:
        ConfigError: the URL names no bucket, or the environment lacks what the store needs.
    """
    return BucketStorage(bucket_place(url), lease_times or LeaseTimes())


class BucketStorage:
    """Objects below a prefix of a bucket; see Storage."""

    def __init__(self, place: BucketPlace, lease_times: LeaseTimes) -> None:
        self._place = place
        self._access = Access(place)
        self._url = str(place)
        self._lease_times = lease_times
        self._tagging: ObjectTagging | None = None

    def files(self, prefix: str = "", *, depth: int | None = None) -> Iterator[StoredFile]:
        """See Storage; sorted by the bytes of the whole key."""
        # The store's own prefix is of whole parts; the rest is compared here.
        listing = Listing(self._access, prefix.rpartition("/")[0], f"{self._url}/{prefix}")
        for found, following in _with_next(listing):
            key = found["path"]
            parts = key.split("/")
            hidden = any(part.startswith(SKIPPED_NAMES) for part in parts)
            too_deep = depth is not None and len(parts) > depth
            if key.startswith(prefix) and not hidden and not too_deep and not self._is_folder(found, following):
                yield _stored(key, found)

    def _is_folder(self, found: ObjectMeta, following: ObjectMeta | None) -> bool:
        """Tell whether it is a marker "folder/", as consoles make them: empty, and listed without its slash."""
        if found["size"] or not found["path"]:
            return not found["path"]
        return bool(following and following["path"].startswith(f"{found['path']}/")) or not self.exists(found["path"])

    def keys(self, prefix: str = "") -> Iterator[str]:
        """See Storage."""
        return (file.key for file in self.files(prefix))

    def open(self, key: str) -> BinaryIO:
        """See Storage."""
        size_bytes = self.stat(key).size_bytes
        return open_object(self._access, key, self._name(key), size_bytes)

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
        with self._access.calling(self._name(key)):
            obstore.put(self._access.uploads, key, finished, chunk_size=PART_BYTES, max_concurrency=PARTS_AT_ONCE)

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
        with self._access.calling(self._name(key)):
            return _stored(key, obstore.head(self._access.store, key))

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
        @retried
        def copy(target: str) -> None:
            with self._access.calling(self._name(key)):
                obstore.copy(self._access.whole, self._place.key(key), to._place.key(target))

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
        with contextlib.suppress(FileNotFoundError), self._access.calling(self._name(key)):
            obstore.delete(self._access.store, key)

    @contextlib.contextmanager
    def hold(self, key: str, *, wait_s: float = 0, on_wait: Callable[[str], None] | None = None) -> Iterator[Lease]:
        """See Storage."""
        there = _LeaseObject(self._access, key, self._name(key))
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

    def _download(self, key: str, path: Path) -> None:
        with naming(path), path.open("wb") as file:
            download = Download(self._access, key, self._name(key))
            while not download.is_whole:
                download.go_on(file)

    def _name(self, key: str) -> str:
        return f"{self._url}/{key}"


class _LeaseObject:
    """One object with conditional writes; see LeaseObject."""

    def __init__(self, access: Access, key: str, name: str) -> None:
        self._access = access
        self._key = key
        self.name = name

    def read(self) -> tuple[bytes, UpdateVersion] | None:
        try:
            with self._access.calling(self.name):
                found = obstore.get(self._access.store, self._key)
                return bytes(found.bytes()), _version(found.meta["e_tag"], found.meta["version"])
        except FileNotFoundError:
            return None

    def write(self, content: bytes, over: UpdateVersion | None) -> UpdateVersion:
        mode: PutMode = "create" if over is None else over
        try:
            with self._access.calling(self.name):
                written = obstore.put(self._access.store, self._key, content, mode=mode)
        except FileNotFoundError as error:
            if over is None:
                raise StorageError(f"The bucket of {self.name} does not exist.") from error
            raise Conflict from error
        return _version(written["e_tag"], written["version"])


def _stored(key: str, found: ObjectMeta) -> StoredFile:
    """Return an object by whole seconds: listings of GCS and MinIO have milliseconds, HTTP's Last-Modified has none."""
    modified_at = found["last_modified"].replace(microsecond=0)
    return StoredFile(key, found["size"], modified_at, modified_at)


def _version(e_tag: str | None, version: str | None) -> UpdateVersion:
    """Return what a condition needs: S3 and Azure compare the one, GCS the other; obstore takes no None."""
    said: UpdateVersion = {}
    if e_tag is not None:
        said["e_tag"] = e_tag
    if version is not None:
        said["version"] = version
    return said
