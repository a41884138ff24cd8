"""Inputs that are run again and again, disturbed each time, until they complete; and what they hold then."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from .injections import Injection, Supply
from .launcher import Launcher, Order
from .verify import Output, faults, leftovers
from .workload import NUM_PAGES, SOURCES, write_input

COMPLETE = 1
"""How a run over the input ends that nobody disturbs: some of its pages fail on purpose."""
MOST_FAULTS = 5
"""Of one input; more say nothing new."""
SETTINGS = {"render.workers": "1", "output_files.shard_pages": "8", "tries.max_tries": "2"}

Page = tuple[str, str]
"""SHA-256 of the document, page number."""


class Place(Protocol):
    """Where runs write to."""

    @property
    def location(self) -> str:
        """As the command line takes it."""
        ...

    def local(self) -> Path:
        """Return a folder with what is there now, temporary files included."""
        ...


class Folder:
    """An output on this machine."""

    def __init__(self, folder: Path) -> None:
        self.location = f"{folder}/out"

    def local(self) -> Path:
        """See Place."""
        return Path(self.location)


@dataclass(slots=True)
class Result:
    """What was injected and what became of the pages."""

    injected: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    inputs: int = 0
    """That were run until they completed."""
    pages: int = 0
    """Page rows that these must have."""
    read_again: int = 0
    """Pages that were in work when a run was stopped, so that another had to read them again."""
    faults: list[str] = field(default_factory=list)

    def add(self, other: Result) -> None:
        """Take in what happened in another lane."""
        self.injected.update(other.injected)
        self.faults.extend(other.faults)
        for name in ("runs", "inputs", "pages", "read_again"):
            setattr(self, name, getattr(self, name) + getattr(other, name))


def run_campaign(
    number: int, injections: Iterator[Injection], place: Callable[[Path], Place] = Folder, *, lanes: int = 2
) -> Result:
    """Inject so often and complete every input begun; lanes work at once, each with inputs of its own."""
    supply = Supply(injections, number)
    total = Result()
    with ThreadPoolExecutor(lanes) as pool:
        for result in pool.map(lambda _: _run_lane(supply, place), range(lanes)):
            total.add(result)
    return total


def _run_lane(supply: Supply, place: Callable[[Path], Place]) -> Result:
    result = Result()
    with Launcher() as launcher:
        while injection := supply.take():
            folder = Path(tempfile.mkdtemp(prefix="pagemill-faults-"))
            trial = Trial(folder, launcher, result, place(folder))
            trial.complete(injection, supply)
            if not trial.num_faults:
                shutil.rmtree(folder)
    return result


class Trial:
    """One input that is run until it completes."""

    def __init__(self, folder: Path, launcher: Launcher, result: Result, place: Place) -> None:
        self.num_faults = 0
        self._place = place
        self._folder = folder
        self._launcher = launcher
        self._result = result
        self._history: list[str] = []
        self._log_end = 0
        self._read: set[Page] = set()
        self._safe: set[Page] = set()
        write_input(folder / "in")
        (folder / "tmp").mkdir()

    def complete(self, injection: Injection | None, supply: Supply) -> None:
        """Start the same command until it completes, each time with the next injection."""
        code = self._run(injection, supply)
        while code != COMPLETE and self.num_faults < MOST_FAULTS:
            code = self._run(supply.take(), supply)
        self._check_output()
        read = len(self._read)
        self._run(None, supply)
        self._check_output()
        if len(self._read) > read:
            self._fault("a second run read what was committed")
        self._result.inputs += 1
        self._result.pages += NUM_PAGES

    def _run(self, injection: Injection | None, supply: Supply) -> int:
        self._history.append(str(injection))
        bullet = injection.bullet if injection else None
        pid = self._launcher.start(self._order(list(bullet) if bullet else None))
        over = threading.Event()
        met: list[bool] = []
        outside = threading.Thread(target=lambda: met.append(bool(injection and injection.inflict(pid, over))))
        outside.start()
        code = self._launcher.wait()
        over.set()
        outside.join()
        self._result.runs += 1
        if injection and code in (injection.codes or ({COMPLETE} if met[0] else ())):
            self._result.injected[injection.kind] += 1
        elif code != COMPLETE:
            self._fault(f"a run ended with {code}")
        elif injection:
            supply.give_back(injection)
        self._check_reading()
        return code

    def _order(self, bullet: list[object] | None) -> Order:
        folder = self._folder
        settings = [word for key, value in SETTINGS.items() for word in ("--set", f"{key}={value}")]
        arguments = ["run", f"{folder}/in", self._place.location, "--extraction", "receipt", "--quiet", *settings]
        return Order(arguments, {"TMPDIR": f"{folder}/tmp"}, f"{folder}/log", f"{folder}/asked", bullet)

    def _check_reading(self) -> None:
        """Hold what the last run read against what was safe before it."""
        path = self._folder / "asked"
        lines = path.read_text("ascii")[self._log_end :].splitlines() if path.exists() else []
        self._log_end += sum(len(line) + 1 for line in lines)
        entries = [(what, (content, page)) for what, content, page in map(str.split, lines)]
        asked = Counter(page for what, page in entries if what == "asked")
        for page in asked.keys() & self._safe:
            self._fault(f"read again although it was safe: {page}")
        for page in (page for page, times in asked.items() if times > 1):
            self._fault(f"read twice in one run: {page}")
        self._result.read_again += len(asked.keys() & self._read)
        self._read |= asked.keys()
        self._safe |= {page for what, page in entries if what == "kept"}
        output = self._output()
        self._safe |= {(content, str(page)) for content, page in output.committed_content()}
        for fault in output.damaged:
            self._fault(fault)

    def _check_output(self) -> None:
        for fault in faults(self._output(), self._folder / "in", SOURCES):
            self._fault(fault)
        for fault in leftovers(self._place.local(), self._folder / "tmp"):
            self._fault(fault)

    def _output(self) -> Output:
        return Output(self._place.local() / "receipt")

    def _fault(self, what: str) -> None:
        self.num_faults += 1
        self._result.faults.append(f"{what} [{self._folder}, after {' | '.join(self._history[-3:])}]")
