"""Reads labelled documents through a run, with any settings."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import ConfigError
from pipeline.progress import show_progress
from pipeline.run import run

if TYPE_CHECKING:
    from pipeline.config import RunConfig
    from pipeline.eval.labels import Dataset, Labelled

Settings = Callable[[Sequence[str]], "RunConfig"]
"""KEY=VALUE -> the settings that hold with these."""
_ALL_OF_IT = {
    "limit": None,
    "since": None,
    "until": None,
    "sample": None,
    "deadline": None,
    "page_budget": None,
    "only_new": False,
    "force": False,
}
"""Settings that choose documents; here the dataset does."""


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast the documents of a kind were read, starting and loading included."""

    kind: str
    pages: int
    seconds: float
    processes: int | None = None
    """That read; None: not of this machine's cores."""


def read_dataset(dataset: Dataset, settings: Settings, output: str) -> list[Speed]:
    """Read the documents of each kind into an output; pages that are there already are not read again.

    Raises:
        ConfigError: a setting is wrong, or the run was stopped.
        EngineError, StorageError: see `run`.
    """
    speeds = []
    for kind, documents in dataset.by_kind.items():
        for extraction in dict.fromkeys(one.extraction for one in documents):
            chosen = [one for one in documents if one.extraction == extraction]
            with _linked(chosen, output) as folder, show_progress(as_json=False, quiet=False) as show:
                given = settings([f"input={folder}", f"output={output}", f"extraction={extraction}"])
                config = given.model_copy(update=_ALL_OF_IT)
                report = run(config, on_progress=show)
            if report.interrupted:
                raise ConfigError("The run was stopped before all documents were read; nothing is scored.")
            speeds.append(Speed(kind, report.pages_ok + report.pages_failed, report.elapsed_s, config.ocr.workers))
    return speeds


@contextmanager
def _linked(documents: Sequence[Labelled], output: str) -> Iterator[Path]:
    """Yield a folder that holds just these documents, each content once.

    For one output it has always the same name: documents are known by their paths.
    """
    name = hashlib.sha256(str(Path(output).absolute()).encode()).hexdigest()[:16]
    folder = Path(tempfile.gettempdir(), f"pagemill-eval-{os.getuid()}-{name}")
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:  # another evaluation reads, or one was killed
        folder = Path(tempfile.mkdtemp(prefix="pagemill-eval-"))
    try:
        for document in {one.sha256: one for one in documents}.values():
            (folder / f"{document.name}{document.path.suffix}").symlink_to(document.path.resolve())
        yield folder
    finally:
        shutil.rmtree(folder)
