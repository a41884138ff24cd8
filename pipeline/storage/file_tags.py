"""Tags of local files: a JSON object in an extended attribute, which `getfattr -d` shows."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from typing import TYPE_CHECKING

from pipeline.errors import ConfigError
from pipeline.storage.retrying import retried

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ATTRIBUTE = "user.pagemill"


@retried
def add_tags(path: Path, tags: dict[str, str]) -> None:
    """Set tags of a file, and leave its others."""
    with _taking_tags(path):
        os.setxattr(path, ATTRIBUTE, json.dumps(_tags(path) | tags, ensure_ascii=False, sort_keys=True).encode())


@retried
def check_taggable(folder: Path) -> None:
    """Raise ConfigError, with what to do, where files cannot be tagged."""
    with contextlib.suppress(FileNotFoundError), _taking_tags(folder):
        try:
            os.getxattr(folder, ATTRIBUTE)
        except OSError as error:
            if error.errno != errno.ENODATA:
                raise


@contextlib.contextmanager
def _taking_tags(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise
        raise ConfigError(
            f"The file system of {str(path)!r} takes no tags (extended attributes); let files be moved, or be kept."
        ) from error


def _tags(path: Path) -> dict[str, str]:
    if ATTRIBUTE not in os.listxattr(path):
        return {}
    try:
        found = json.loads(os.getxattr(path, ATTRIBUTE))
    except ValueError:  # another program's
        return {}
    return found if isinstance(found, dict) else {}
