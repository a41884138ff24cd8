"""How a run's progress is shown: a live line on a terminal, now and then a plain line elsewhere, JSON for machines."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, TextIO

from pipeline.log import printable

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    from pipeline.tally import Progress

LINE_INTERVAL_S = 10.0
JSON_INTERVAL_S = 1.0
BAR_CELLS = 12

Report = Callable[["Progress"], None]


@contextmanager
def show_progress(*, as_json: bool, quiet: bool) -> Iterator[Report]:
    """Yield what to call with each Progress; live on stderr if that is a terminal, JSON on stdout."""
    if as_json:
        yield every(JSON_INTERVAL_S, json_line, sys.stdout)
    elif quiet:
        yield lambda _: None
    elif sys.stderr.isatty():
        with _bar() as bar:
            yield _bar_updater(bar, bar.add_task("starting", total=None))
    else:
        yield every(LINE_INTERVAL_S, plain_line, sys.stderr)


def every(interval_s: float, line: Callable[[Progress], str], stream: TextIO) -> Report:
    """Return a report that writes a line when the phase changes and `interval_s` after the last one."""
    phase, due_s = "", 0.0

    def report(progress: Progress) -> None:
        nonlocal phase, due_s
        if progress.phase == phase and progress.elapsed_s < due_s:
            return
        phase, due_s = progress.phase, progress.elapsed_s + interval_s
        print(line(progress), file=stream, flush=True)

    return report


def json_line(progress: Progress) -> str:
    """Return a JSON object with every field of the progress."""
    return json.dumps({"event": "progress", **asdict(progress)})


def plain_line(progress: Progress) -> str:
    """Return one line of plain text."""
    failed = progress.phase == "reading" and progress.last_failure
    return status_line(progress) + (f"; last failure: {printable(progress.last_failure or '')}" if failed else "")


def status_line(progress: Progress) -> str:
    """Return how far the run is, without the last failure."""
    head = f"{_clock(progress.elapsed_s)} {progress.phase}"
    # The time left stands in front: a narrow terminal cuts the end off.
    left = f", {_clock(progress.eta_s)} left" if progress.phase == "reading" and progress.eta_s is not None else ""
    return f"{head}{left}: {_counts(progress)}" if progress.pages_found else head


def _counts(progress: Progress) -> str:
    noun = "document" if progress.documents_total == 1 else "documents"
    documents = f"{progress.documents_done}/{progress.documents_total} {noun}"
    skipped = f" (and {progress.documents_skipped} done before)" if progress.documents_skipped else ""
    pages = f"pages: {progress.pages_ok} ok, {progress.pages_failed} failed"
    retried = f", {progress.pages_retried} tried again" if progress.pages_retried else ""
    speed = f", {progress.pages_per_s:.2f} pages/s" if progress.pages_per_s else ""
    return f"{documents}{skipped}, {pages}{retried}{speed}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _bar() -> Bar:
    from rich.console import Console
    from rich.progress import BarColumn, SpinnerColumn, TextColumn
    from rich.progress import Progress as Bar
    from rich.table import Column

    # The line takes what the bar leaves and is cut at the end; without a ratio rich shrinks the bar to nothing.
    rest = Column(ratio=1, no_wrap=True, overflow="ellipsis")
    line = TextColumn("{task.description}", markup=False, table_column=rest)
    bar = BarColumn(bar_width=BAR_CELLS, table_column=Column(width=BAR_CELLS))
    return Bar(SpinnerColumn(), bar, line, console=Console(stderr=True), transient=True, expand=True)


def _bar_updater(bar: Bar, task: TaskID) -> Report:
    told: str | None = None

    def report(progress: Progress) -> None:
        nonlocal told
        if progress.last_failure and progress.last_failure != told:
            told = progress.last_failure
            bar.console.print(f"failed: {printable(told)}", markup=False, highlight=False, emoji=False)
        total = progress.documents_total or None
        bar.update(task, description=status_line(progress), total=total, completed=progress.documents_done)

    return report
