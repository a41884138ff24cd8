"""The files of one report, and those that it had before."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pipeline.report.pages import Pages

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.report.target import Target

INDEX = "index.html"
_MANIFEST = "manifest.json"


class Book:
    """The files of a report, and those that it had before."""

    def __init__(self, target: Target) -> None:
        """Read what is there, and write what all pages need.

        Raises:
            StorageError: the report cannot be read, or not written.
        """
        self.target = target
        self.pages = Pages()
        content = target.read(_MANIFEST)
        before: dict[str, Any] = _parsed(content)
        self.known_images: dict[str, Sequence[int]] = before.get("images", {})
        self._before = {*before.get("files", ()), *self.known_images}
        self.files: set[str] = set()
        self.images: dict[str, tuple[int, int, int]] = {}
        for key, asset in self.pages.assets.items():
            self.put(key, asset)

    def put(self, key: str, content: bytes) -> None:
        """Write a file."""
        self.files.add(key)
        self.target.put(key, content)

    def close(self) -> None:
        """Say what there is, and delete what was there before and is no more."""
        manifest = {"version": 1, "files": sorted(self.files), "images": self.images}
        self.target.put(_MANIFEST, json.dumps(manifest).encode())
        self.target.settle()
        for key in sorted(self._before - self.files - set(self.images)):
            self.target.delete(key)


def _parsed(manifest: bytes | None) -> dict[str, Any]:
    """Return what a report says of itself; nothing where it is not one of ours, whose files are left alone then."""
    try:
        found = json.loads(manifest or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) and found.get("version") == 1 else {}
