"""Runs of `pagemill` as processes that cost little to start, since they are going to be killed.

A program that has imported everything and has no threads forks for every run; what the run does
itself, starting its workers included, is as always. `python -m tests.faults.launcher` is that
program; it takes one order at a time, a JSON line, and answers with the run's process id and, when
it is over, its exit status.
"""

from __future__ import annotations

import faulthandler
import importlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from . import points

if TYPE_CHECKING:
    from pipeline.data import PageRecord

ROOT = Path(__file__).parent.parent.parent
GIVE_UP_S = 60.0
"""A run of a few dozen small pages takes one or two seconds; after this its threads are shown and it ends."""


class Order(NamedTuple):
    """One run to start."""

    arguments: list[str]
    """Of the command line."""
    environment: dict[str, str]
    log: str
    """File that takes its output."""
    asked: str
    """File that takes a line for each page that the engine is asked for, and for each that is in the journal."""
    bullet: list[Any] | None
    """A points.Bullet."""
    scripted: bool = True
    """Whether the workload's engine reads, and not the one that the command line names."""


class Launcher:
    """Starts runs, one after the other. To be closed."""

    def __init__(self) -> None:
        environment = os.environ | {
            "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}",
            # Each run starts workers, and where bytecode is not kept these compile for a second.
            "PYTHONDONTWRITEBYTECODE": "",
            "PYTHONPYCACHEPREFIX": f"{tempfile.gettempdir()}/pagemill-faults-bytecode-{os.getuid()}",
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", __spec__.name],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, order: Order) -> int:
        """Start a run and return its process id; `wait` must follow."""
        assert self._process.stdin
        print(json.dumps(order._asdict()), file=self._process.stdin, flush=True)
        return int(self._line())

    def wait(self) -> int:
        """Return the exit code of the run, negative for the signal that ended it."""
        return int(self._line())

    def _line(self) -> str:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the launcher died")
        return line

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._process:  # closes its pipes, which ends it, and waits
            pass


def main() -> None:
    """Take orders until there are no more."""
    import_everything()
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            become_a_run(Order(**json.loads(line)))
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


def import_everything() -> None:
    """Load what a run needs."""
    for target in (point.target for point in points.POINTS.values()):
        points.found(target)
    for name in ("cli", "log", "progress", "running", "show"):
        importlib.import_module(f"pipeline.{name}")
    importlib.import_module(".workload", __package__)


def become_a_run(order: Order) -> None:
    """Do what the `pagemill` program does, with the engine of the workload, and end this process."""
    code = 70
    try:
        _redirect(order.log)
        os.setpgid(0, 0)  # so that a signal to the process group meets nobody else
        os.environ.update(order.environment)
        tempfile.tempdir = None  # TMPDIR may be another one now
        faulthandler.dump_traceback_later(GIVE_UP_S, exit=True)
        code = _run(order)
    except KeyboardInterrupt:  # it came before the program was ready for it
        code = 130
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _run(order: Order) -> int:
    from pipeline import cli

    from .workload import append_line, engine_choice

    if not order.scripted:
        return cli.main(order.arguments)
    asked = Path(order.asked)
    choice = engine_choice(lambda content, page: append_line(asked, f"asked {content} {page}"))
    points.replace("pipeline.planning:choose_engine", lambda *_: choice)
    points.wrap(points.JOURNAL, after=lambda *given: append_line(asked, _kept(given[-1])))
    if order.bullet:
        points.load(points.Bullet(*order.bullet))
    return cli.main(order.arguments)


def _kept(record: PageRecord) -> str:
    return f"kept {record.document.sha256} {record.page_number}"


def _redirect(log: str) -> None:
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)


if __name__ == "__main__":
    main()
