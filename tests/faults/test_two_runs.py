"""Two runs over one output: one works, the other refuses or waits, and every page has one row."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults.campaign import COMPLETE, SETTINGS
from faults.launcher import Launcher, Order
from faults.verify import Output, faults
from faults.workload import SOURCES, must_be_read, write_input

REFUSED = 3
"""Exit code of a run that finds its output in use."""

WAITING_S = 0.5
"""After it the second run waits; were it slower to start, it would take its turn all the same."""


@pytest.fixture
def launchers() -> Iterator[tuple[Launcher, Launcher]]:
    """Return two."""
    with Launcher() as first, Launcher() as second:
        yield first, second


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with an input and a place for temporary files."""
    write_input(tmp_path / "in")
    (tmp_path / "tmp").mkdir()
    return tmp_path


def order(folder: Path, name: str, **settings: str) -> Order:
    """Return a run over folder/in into folder/out that logs under `name`."""
    given = [word for key, value in {**SETTINGS, **settings}.items() for word in ("--set", f"{key}={value}")]
    arguments = ["run", f"{folder}/in", f"{folder}/out", "--extraction", "receipt", "--quiet", *given]
    return Order(arguments, {"TMPDIR": f"{folder}/tmp"}, f"{folder}/log of {name}", f"{folder}/asked", None)


def stop_at_a_page(pid: int, folder: Path) -> None:
    """Have a run stand still as soon as it reads: as if it were slow."""
    deadline = time.monotonic() + 30
    while not (folder / "asked").exists() and time.monotonic() < deadline:
        time.sleep(0.002)
    os.kill(pid, signal.SIGSTOP)


def assert_every_page_once(folder: Path) -> None:
    """Hold the output against the input, and the readings against its pages."""
    assert faults(Output(folder / "out" / "receipt"), folder / "in", SOURCES) == []


def pages_asked(folder: Path) -> list[str]:
    """Return the pages that any run asked the engine for."""
    return [line for line in (folder / "asked").read_text("ascii").splitlines() if line.startswith("asked")]


@pytest.mark.slow
def test_the_second_run_refuses_and_says_who_works(folder: Path, launchers: tuple[Launcher, Launcher]) -> None:
    """A scheduler that starts the next run before the last one is over must not double anything."""
    first, second = launchers
    pid = first.start(order(folder, "first"))
    stop_at_a_page(pid, folder)
    second.start(order(folder, "second"))
    assert second.wait() == REFUSED
    os.kill(pid, signal.SIGCONT)
    assert str(pid) in (folder / "log of second").read_text()
    assert first.wait() == COMPLETE
    assert_every_page_once(folder)
    assert len(pages_asked(folder)) == must_be_read()


@pytest.mark.slow
def test_a_run_that_waits_finds_everything_done(folder: Path, launchers: tuple[Launcher, Launcher]) -> None:
    """With output_files.wait_s it takes its turn instead."""
    first, second = launchers
    pid = first.start(order(folder, "first"))
    stop_at_a_page(pid, folder)
    second.start(order(folder, "second", **{"output_files.wait_s": "60"}))
    time.sleep(WAITING_S)
    os.kill(pid, signal.SIGCONT)
    assert (first.wait(), second.wait()) == (COMPLETE, COMPLETE)
    assert_every_page_once(folder)
    assert len(pages_asked(folder)) == must_be_read()


@pytest.mark.slow
def test_a_run_that_waits_takes_over_from_a_killed_one(folder: Path, launchers: tuple[Launcher, Launcher]) -> None:
    """A dead run holds nothing, and what it had read is not read again."""
    first, second = launchers
    pid = first.start(order(folder, "first"))
    stop_at_a_page(pid, folder)
    second.start(order(folder, "second", **{"output_files.wait_s": "60"}))
    time.sleep(WAITING_S)
    os.kill(pid, signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL
    assert second.wait() == COMPLETE
    assert_every_page_once(folder)
    assert len(pages_asked(folder)) <= must_be_read() + 1
