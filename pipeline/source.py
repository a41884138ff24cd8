"""Which documents an input names: a file, a folder, a glob, or the same in a bucket.

Does not open them. Listing streams and is in a fixed order, sorted by name within each
folder. Names that start with "." or "_" are skipped, except when they are named outright.
What is listed but cannot be read (a pipe, a broken link, a locked folder) is listed all
the same: opening it fails, and that failure becomes its record.

Links are followed, also out of the input: who may place a link in it says what is read. A
linked folder is walked once, and never again below itself.

What is still being written there is passed over when `Readiness` asks for it: a later run
lists it again.
"""

from __future__ import annotations

import contextlib
import difflib
import os
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, unquote_to_bytes

from pipeline.data import DocumentRef, utc
from pipeline.errors import ConfigError
from pipeline.ready import Readiness
from pipeline.storage import Storage, canonical, local_path, open_storage, refuse_credentials, scheme_of
from pipeline.storage.base import SKIPPED_NAMES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

GLOB_CHARACTERS = frozenset("*?[")
NAMES_COMPARED = 1000


def list_documents(
    location: str, readiness: Readiness | None = None, *, may_be_empty: bool = False
) -> Iterator[DocumentRef]:
    """Return the documents at a path, a glob (`**` for any depth) or a bucket URL.

    Args:
        readiness: passes over what is not whole yet, and counts it.
        may_be_empty: a folder or bucket without documents is no error.

    Raises:
        ConfigError: nothing is there, at once; or no document is in it, at the end.
        StorageError: the folder or bucket cannot be listed.
    """
    listing = _Listing(readiness or Readiness(), may_be_empty)
    path = local_path(location)
    if path is None:
        refuse_credentials(location)
        return _bucket_documents(location, listing)
    if path.is_dir():
        return listing.matching(str(path), [], path_uri)
    if os.path.lexists(path):
        return listing.one(path)
    root, patterns = _split_glob(str(path))
    if not patterns:
        raise ConfigError(f"{location!r} does not exist{_suggestion(path)}")
    if not Path(root).is_dir():
        raise ConfigError(f"{root!r}, where {location!r} begins, does not exist{_suggestion(Path(root))}")
    return listing.matching(root, patterns, path_uri)


def list_input(
    location: str, output: str, readiness: Readiness | None = None, *, may_be_empty: bool = False
) -> Iterator[DocumentRef]:
    """Return what `list_documents` does, less what lies in `output`: results are no documents.

    Raises:
        ConfigError: also when all of the input lies in the output.
    """
    below = f"{_folder_uri(output)}/"
    is_local = scheme_of(location) in {None, "file"}
    if f"{_folder_uri(location) if is_local else _bucket_root(location)[0]}/".startswith(below):
        raise ConfigError(
            f"The input {location!r} lies in the output {output!r}, whose content is not read; name another."
        )
    listed = list_documents(location, readiness, may_be_empty=may_be_empty)
    found = (ref for ref in listed if not ref.uri.startswith(below))
    both_local = {scheme_of(location), scheme_of(output)} <= {None, "file"}
    return _outside(found, path_of(below)) if both_local else found


class ObjectFinder:
    """Looks single objects of an input up, one request each, through one connection pool."""

    def __init__(self, location: str, output: str) -> None:
        """Look for objects that `list_input` of these two would yield; an input in a folder has none."""
        self._output = _folder_uri(output)
        self._bucket: str | None = None
        if scheme_of(location) not in {None, "file"}:
            self._root, self._patterns = _bucket_root(location)
            self._bucket = _split_bucket(self._root)[0]
            self._storage = open_storage(self._bucket)

    def find(self, uri: str, readiness: Readiness) -> DocumentRef | None:
        """Return an object that somebody says is there (s3://bucket/key, not escaped), if it is, and of the input.

        One that has not settled yet is counted by `readiness`; markers are not looked for.

        Raises:
            StorageError: the bucket cannot be reached.
        """
        if self._bucket is None or not uri.startswith(f"{self._bucket}/"):
            return None
        key = uri.removeprefix(f"{self._bucket}/")
        named = f"{self._bucket}/{quote(key)}"
        if not self._is_listed(named):
            return None
        try:
            found = self._storage.stat(key)
        except FileNotFoundError:
            return None
        if not readiness.has_settled(found):
            readiness.arriving += 1
            return None
        return DocumentRef(named, found.size_bytes, found.modified_at)

    def _is_listed(self, uri: str) -> bool:
        if not uri.startswith(f"{self._root}/") or uri.startswith(f"{self._output}/"):
            return False
        parts = unquote(uri.removeprefix(f"{self._root}/")).split("/")
        if not all(parts) or any(part.startswith(SKIPPED_NAMES) for part in parts):
            return False
        return not self._patterns or _fits(parts, self._patterns)


def _outside(refs: Iterator[DocumentRef], folder: Path) -> Iterator[DocumentRef]:
    """Yield the documents that do not lie in `folder` by way of a link either."""
    real, seen, is_inside = os.path.realpath(folder), "", False
    for ref in refs:
        parent = ref.uri.rpartition("/")[0]
        if parent != seen:  # the documents of a folder come one after the other
            found = os.path.realpath(path_of(parent))
            seen, is_inside = parent, found == real or found.startswith(f"{real}/")
        if not is_inside:
            yield ref


def _folder_uri(location: str) -> str:
    if scheme_of(location) not in {None, "file"}:
        return canonical(location)
    path = path_of(location) if scheme_of(location) else Path(location).expanduser()
    return path_uri(os.path.abspath(path)).rstrip("/")  # noqa: PTH100 - as above


class Fetcher:
    """Gives documents a local path; one connection pool for each bucket."""

    def __init__(self, scratch: Path | None = None) -> None:
        """Make copies of bucket documents in `scratch`, default TMPDIR."""
        self._scratch = scratch
        self._buckets: dict[str, Storage] = {}

    def fetch(self, ref: DocumentRef) -> contextlib.AbstractContextManager[Path]:
        """Return the path of a document's content: its own, or that of a copy which is deleted on exit.

        Raises (on entering, for a bucket):
            FileNotFoundError: the object is gone since it was listed.
            StorageError: the bucket cannot be reached.
        """
        if scheme_of(ref.uri) == "file":
            return contextlib.nullcontext(path_of(ref.uri))
        bucket, key = _split_bucket(ref.uri)
        if bucket not in self._buckets:
            self._buckets[bucket] = open_storage(bucket)
        return self._buckets[bucket].local_copy(unquote(key), self._scratch)


def has_changed(ref: DocumentRef, path: Path) -> bool:
    """Tell whether the content at `path`, as `Fetcher` gave it, is not what was listed any more."""
    try:
        found = path.stat()
    except OSError:
        return False
    is_own = scheme_of(ref.uri) == "file"  # a copy has the time of its making
    return ref.modified_at is not None and (
        found.st_size != ref.size_bytes or (is_own and utc(found.st_mtime) != ref.modified_at)
    )


def path_uri(path: str | Path) -> str:
    """Return the URI of an absolute path, by its bytes: any name survives (RFC 8089)."""
    return "file://" + quote(os.fsencode(path))


def path_of(uri: str) -> Path:
    """Return the path that `path_uri` was made of."""
    return Path(os.fsdecode(unquote_to_bytes(uri.removeprefix("file://"))))


class _Listing:
    """One listing: what of it is whole, and that there is something in it."""

    def __init__(self, readiness: Readiness, may_be_empty: bool) -> None:  # noqa: FBT001 - private
        self._readiness = readiness
        self._may_be_empty = may_be_empty

    def matching(self, root: str, patterns: list[str], uri: Callable[[str], str]) -> Iterator[DocumentRef]:
        """Yield the documents below `root` whose key fits `patterns`, all of them when there are none."""
        depth = None if not patterns or "**" in patterns else len(patterns)
        storage, found = open_storage(root), self._may_be_empty
        for file, is_whole in self._readiness.whole(storage.files(depth=depth), storage):
            if not patterns or _fits(file.key.split("/"), patterns):
                found = True
                if is_whole:
                    yield DocumentRef(uri(f"{root.rstrip('/')}/{file.key}"), file.size_bytes, file.modified_at)
                else:
                    self._readiness.arriving += 1
        if not found:
            wanted = f" fits {'/'.join(patterns)!r}" if patterns else " is"
            raise ConfigError(f'No document{wanted} in {root!r}; names that begin with "." or "_" are not read.')

    def one(self, path: Path) -> Iterator[DocumentRef]:
        """Yield the file at `path`; what is named outright is read, whole or not."""
        try:
            found = path.stat()
        except OSError:
            return iter([DocumentRef(path_uri(path), 0, None)])
        return iter([DocumentRef(path_uri(path), found.st_size, utc(found.st_mtime))])


def _bucket_documents(url: str, listing: _Listing) -> Iterator[DocumentRef]:
    root, patterns = _bucket_root(url)
    bucket, key = _split_bucket(root)
    if not patterns and key:
        with contextlib.suppress(FileNotFoundError):
            named = open_storage(bucket).stat(unquote(key))
            return iter([DocumentRef(root, named.size_bytes, named.modified_at)])
    return listing.matching(root, patterns, lambda found: f"{root}/{quote(found.removeprefix(f'{root}/'))}")


def _bucket_root(url: str) -> tuple[str, list[str]]:
    """Return what `_split_glob` does; the part before the first wildcard is escaped, as URIs of documents are."""
    root, patterns = _split_glob(url.rstrip("/"))
    return canonical(root), [unquote(pattern) for pattern in patterns]


def _fits(parts: list[str], patterns: list[str]) -> bool:
    if not patterns:
        return not parts
    if patterns[0] == "**":
        return patterns == ["**"] or any(_fits(parts[start:], patterns[1:]) for start in range(len(parts)))
    return bool(parts) and fnmatchcase(parts[0], patterns[0]) and _fits(parts[1:], patterns[1:])


def _split_glob(location: str, wildcards: frozenset[str] = GLOB_CHARACTERS) -> tuple[str, list[str]]:
    """Return the part before the first wildcard and the patterns of the parts from there on."""
    parts = location.split("/")
    first = next((index for index, part in enumerate(parts) if wildcards & set(part)), len(parts))
    return "/".join(parts[:first]) or "/", parts[first:]


def input_root(location: str) -> str:
    """Return the folder or prefix that the paths of an input's documents count from: what no wildcard is in."""
    path = local_path(location)
    if path is not None and os.path.lexists(path):  # "[2026]" may be a folder's name
        return str(path)
    return _split_glob(location.rstrip("/") if path is None else str(path), GLOB_CHARACTERS | {"{"})[0]


def _split_bucket(url: str) -> tuple[str, str]:
    """Return the URL of the bucket and the key in it."""
    scheme, rest = url.split("://", 1)
    bucket, _, key = rest.partition("/")
    return f"{scheme}://{bucket}", key


def _suggestion(path: Path) -> str:
    """Return the end of a sentence: "; did you mean …?" for a name that is close to one that exists."""
    with contextlib.suppress(OSError):
        names = [entry.name for entry in islice(path.parent.iterdir(), NAMES_COMPARED)]
        close = difflib.get_close_matches(path.name, names, n=1)
        return f"; did you mean {str(path.parent / close[0])!r}?" if close else "."
    return f", nor does {str(path.parent)!r}."
