"""Moving a file so that it is never lost, overwritten or taken for another one."""

from __future__ import annotations

import itertools
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from pipeline.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pipeline.storage.base import Storage, StoredFile

COMPARED_BYTES = 1 << 20


def move_by_copy(
    source: Storage,
    key: str,
    to: Storage,
    new_key: str,
    *,
    file: StoredFile,
    copy: Callable[[str], None],
    remove: Callable[[], None],
) -> str | None:
    """Copy a file, look at the copy, and remove the original; returns as Storage.move does.

    Args:
        file: The original as it must be until the end.
        copy: Makes the copy under the key it is given.
        remove: Deletes the original.
    """
    target, is_there = free_key(source, key, to, new_key)
    if not is_there:
        copy(target)
        found = to.stat(target)
        if found.size_bytes != file.size_bytes:
            to.delete(target)
            if source.stat(key).is_as(file):
                raise StorageError(f"The copy of {key!r} has {found.size_bytes} bytes and not {file.size_bytes}.")
            return None
    if not source.stat(key).is_as(file):  # written again in the meantime: that content was not seen
        if not is_there:
            to.delete(target)
        return None
    remove()
    return target


def copied_through_here(source: Storage, key: str, to: Storage) -> Callable[[str], None]:
    """Return what copies a file by way of this machine."""

    def copy(target: str) -> None:
        with source.local_copy(key) as path:
            to.put(target, path)

    return copy


def free_key(source: Storage, key: str, to: Storage, wanted: str) -> tuple[str, bool]:
    """Return the first key like `wanted` that is free, False; or that has the same content, True."""
    for candidate in _numbered(wanted):
        if not to.exists(candidate):
            return candidate, False
        if _is_same(source, key, to, candidate):
            return candidate, True
    raise AssertionError


def _numbered(key: str) -> Iterator[str]:
    yield key
    path = PurePosixPath(key)
    for number in itertools.count(2):
        yield str(path.with_name(f"{path.stem} ({number}){path.suffix}"))


def _is_same(source: Storage, key: str, to: Storage, other: str) -> bool:
    if source.stat(key).size_bytes != to.stat(other).size_bytes:
        return False
    with source.open(key) as left, to.open(other) as right:
        while data := left.read(COMPARED_BYTES):
            if data != right.read(len(data)):
                return False
        return not right.read(1)
