"""How fast one stage is, beside the bare library doing the same work.

Both do the whole work in turns: what else the machine does meanwhile slows either one, and their ratio stays.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple, Protocol

import psutil


class Work(NamedTuple):
    """What was done in one round."""

    pages: int
    size_bytes: int
    """Of the page images, or of the files written."""


class Stage(Protocol):
    """One part of the pipeline by itself, with a fixed amount of work."""

    name: str
    reference: str
    """What it is held against, in a few words."""
    processes: int
    """Or threads, where the stage works in threads; both sides have as many."""

    def work(self) -> Work:
        """Do the stage's work once."""
        ...

    def reference_work(self) -> Work:
        """Do it with the bare library."""
        ...

    def close(self) -> None:
        """End processes, delete files."""
        ...


@dataclass(frozen=True, slots=True)
class StageFigures:
    """How fast a stage is; medians of all rounds."""

    stage: str
    processes: int
    pages: int
    """In a round."""
    rounds: int
    pages_per_s: float
    pages_per_s_per_process: float
    mb_per_s: float
    cpu_s_per_page: float
    """Of all processes together."""
    reference: str
    reference_pages_per_s: float
    reference_cpu_s_per_page: float
    ratio: float
    """Pages a second over those of the reference in the same round."""
    lowest_ratio: float
    highest_ratio: float
    cpu_ratio: float
    """The reference's CPU time over the stage's: 1 is none wasted. On a busy machine this is what says something."""


class _Round(NamedTuple):
    """One side of one round."""

    pages_per_s: float
    mb_per_s: float
    cpu_s_per_page: float


def measure_stage(stage: Stage, *, rounds: int) -> StageFigures:
    """Do the work of both sides `rounds` times in turns, after one round that does not count."""
    stage.reference_work()
    pages = stage.work().pages
    ours, theirs = [], []
    for _ in range(rounds):
        ours.append(_measured(stage.work))
        theirs.append(_measured(stage.reference_work))
    ratios = [one.pages_per_s / other.pages_per_s for one, other in zip(ours, theirs, strict=True)]
    mine, reference = _typical(ours), _typical(theirs)
    return StageFigures(
        stage=stage.name,
        processes=stage.processes,
        pages=pages,
        rounds=rounds,
        pages_per_s=mine.pages_per_s,
        pages_per_s_per_process=mine.pages_per_s / stage.processes,
        mb_per_s=mine.mb_per_s,
        cpu_s_per_page=mine.cpu_s_per_page,
        reference=stage.reference,
        reference_pages_per_s=reference.pages_per_s,
        reference_cpu_s_per_page=reference.cpu_s_per_page,
        ratio=median(ratios),
        lowest_ratio=min(ratios),
        highest_ratio=max(ratios),
        cpu_ratio=reference.cpu_s_per_page / mine.cpu_s_per_page,
    )


def cpu_seconds() -> float:
    """Return the CPU time of this process and of all it has started, those that ended included."""
    times = psutil.Process().cpu_times()
    total = times.user + times.system + times.children_user + times.children_system
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            used = child.cpu_times()
            total += used.user + used.system
    return float(total)


def _measured(work: Callable[[], Work]) -> _Round:
    started, cpu_before = time.perf_counter(), cpu_seconds()
    done = work()
    seconds = time.perf_counter() - started
    cpu_s = max(cpu_seconds() - cpu_before, 1e-6)
    return _Round(done.pages / seconds, done.size_bytes / 1e6 / seconds, cpu_s / done.pages)


def _typical(rounds: list[_Round]) -> _Round:
    return _Round(*(median(values) for values in zip(*rounds, strict=True)))
