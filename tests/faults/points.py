"""Where a run can be killed from within: the named points, and what puts a bullet there.

Points are patched in the process that is to die; the program itself knows nothing of them.
"""

from __future__ import annotations

import functools
import importlib
import itertools
import os
import signal
from collections.abc import Callable
from typing import Any, Literal, NamedTuple


class Point(NamedTuple):
    """A callable of the program."""

    target: str
    """module:name"""
    most: int = 6
    """A bullet waits for at most so many passings: as often as a run passes it, but few enough for many kills."""
    word: str = ""
    """Calls count that have it in one of their arguments."""


PUT = "pipeline.storage.folder:FolderStorage.put"

POINTS = {
    "make the scratch folder": Point("pipeline.scratch:Scratch.__init__", 1),
    "sweep half-written files": Point("pipeline.storage.folder:FolderStorage.sweep", 1),
    "delete orphans": Point("pipeline.run:delete_orphans", 1),
    "open the journal": Point("pipeline.journal:Journal.__init__", 1),
    "plan": Point("pipeline.catalog:Catalog.plan", 1),
    "open a document": Point("pipeline.documents:OpenDocuments.open"),
    "enter a document": Point("pipeline.ledger:Ledger.open_document"),
    "send a page to be rendered": Point("pipeline.render:Renderer.render"),
    "receive a page image": Point("pipeline.feed:PageFeed._receive"),
    "engine takes a page": Point("pipeline.feed:PageFeed.take"),
    "engine reads a page": Point("pipeline.engines.scripted:ScriptedEngine._generation"),
    "settle a page without the engine": Point("pipeline.skip:Shortcuts.take"),
    "give a page's record to its equals": Point("pipeline.skip:Shortcuts.settled"),
    "judge an output": Point("pipeline.judge:Judge.decide"),
    "append to the journal": Point("pipeline.journal:Journal.add"),
    "write a page row": Point("pipeline.sink:ShardWriter.add_page"),
    "write a document row": Point("pipeline.sink:ShardWriter.add_document", 4),
    "keep a failed page": Point("pipeline.quarantine:Quarantine._put", 2),
    "check the lease": Point("pipeline.storage.folder_lease:FolderLease.check", 3),
    "commit a shard": Point("pipeline.sink:ShardWriter.commit", 3),
    "put a pages part": Point(PUT, 3, "/pages/"),
    "put a documents part": Point(PUT, 3, "/documents/"),
    "put statistics": Point(PUT, 3, "/stats/"),
    "put the row of the run": Point(PUT, 1, "/runs/"),
    "copy a file beside its place": Point("shutil:copyfileobj"),
    "sync a file to disk": Point("os:fsync", 12),
    "rename a file": Point("os:replace"),
    "put an object": Point("pipeline.storage.bucket:BucketStorage.put"),
    "drop a journal": Point("pipeline.journal:Journal.drop", 3),
    "close the books": Point("pipeline.books:Books.close", 1),
    "delete the scratch folder": Point("pipeline.scratch:Scratch.close", 1),
}
"""What is done there -> where it stands."""

JOURNAL = "pipeline.journal:Journal.add"
"""After it a page is safe; its last argument is the page's record."""


class Bullet(NamedTuple):
    """A point, the side of it, and which passing."""

    point: str
    side: Literal["before", "after"]
    passing: int


def load(bullet: Bullet) -> None:
    """Have this process kill itself there."""
    point = POINTS[bullet.point]
    passed = itertools.count(1)

    def die(*given: object) -> None:
        if any(point.word in str(argument) for argument in given) and next(passed) == bullet.passing:
            os.kill(os.getpid(), signal.SIGKILL)

    wrap(point.target, **{bullet.side: die})


def found(target: str) -> object:
    """Return the callable that `target` names; AttributeError or ImportError when there is none."""
    owner, name = _place(target)
    return getattr(owner, name)


def replace(target: str, stand_in: object) -> None:
    """Put something else in the place of a callable."""
    owner, name = _place(target)
    if not hasattr(owner, name):
        raise AttributeError(f"nothing is called {target} any more")  # else runs would go on with what is there
    setattr(owner, name, stand_in)


def wrap(target: str, *, before: Callable[..., None] | None = None, after: Callable[..., None] | None = None) -> None:
    """Have `before` and `after` called around a callable, with its arguments; `after` when it has returned."""
    owner, name = _place(target)
    work = getattr(owner, name)

    @functools.wraps(work)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if before:
            before(*args)
        result = work(*args, **kwargs)
        if after:
            after(*args)
        return result

    setattr(owner, name, wrapped)


def _place(target: str) -> tuple[Any, str]:
    """Return what holds the callable, and its name there."""
    module, _, path = target.partition(":")
    owner: Any = importlib.import_module(module)
    *outer, name = path.split(".")
    for part in outer:
        owner = getattr(owner, part)
    return owner, name
