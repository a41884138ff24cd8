"""What can be done to a run, and the order in which a campaign does it."""

from __future__ import annotations

import random
import signal
import threading
from collections import deque
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

import psutil

from .points import POINTS, Bullet

LONGEST_S = 1.2
"""A run that nobody disturbs takes about this long, and twice as long on a busy machine."""
AGAIN_S = 0.1
"""Between two signals of which the second says: at once."""

STOPS = (signal.SIGTERM, signal.SIGINT)
SIDES: tuple[Literal["before", "after"], ...] = ("before", "after")
COMMIT = (
    *("append to the journal", "write a page row", "check the lease", "commit a shard", "put a pages part"),
    *(
        "put a documents part",
        "put statistics",
        "copy a file beside its place",
        "sync a file to disk",
        "rename a file",
        "drop a journal",
    ),
)
"""The points around which rows become part of the output."""
IN_A_FOLDER = [name for name in POINTS if name != "put an object"]

Target = Literal["the run", "the run and its workers", "its workers"]


@dataclass(frozen=True, slots=True)
class Killed:
    """SIGKILL at a named point."""

    bullet: Bullet

    @property
    def kind(self) -> str:
        """The line of the table it counts in."""
        return f"SIGKILL {self.bullet.side}: {self.bullet.point}"

    @property
    def codes(self) -> set[int]:
        """How a run ends that was hit."""
        return {-signal.SIGKILL}

    def inflict(self, _pid: int, _over: threading.Event) -> bool:
        """Nothing is left to do from outside; whether it was hit tells its exit code."""
        return False


@dataclass(frozen=True, slots=True)
class Signalled:
    """A signal from outside at some moment."""

    number: signal.Signals
    target: Target
    after_s: float
    twice: bool = False
    bullet: None = None

    @property
    def kind(self) -> str:
        """The line of the table it counts in."""
        return f"{self.number.name}{' twice' if self.twice else ''} to {self.target}"

    @property
    def codes(self) -> set[int]:
        """How a run ends that was hit, also before it had its handlers."""
        match self.number:
            case signal.SIGTERM:
                return {143, -signal.SIGTERM}
            case signal.SIGINT:
                return {130}
            case _:
                return set() if self.target == "its workers" else {-self.number}

    def inflict(self, pid: int, over: threading.Event) -> bool:
        """Send it unless the run is over first; tell whether a process was met."""
        met = False
        if not over.wait(self.after_s):
            met = self._send(pid)
        if self.twice and not over.wait(AGAIN_S):
            self._send(pid)
        return met

    def _send(self, pid: int) -> bool:
        met = False
        with suppress(psutil.NoSuchProcess):
            run = psutil.Process(pid)
            workers = run.children(recursive=True) if self.target != "the run" else []
            for process in workers if self.target == "its workers" else [run, *workers]:
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(self.number)
                    met = True
        return met


Injection = Killed | Signalled


def schedule(seed: int, points: Collection[str] = IN_A_FOLDER) -> Iterator[Injection]:
    """Yield injections without end: each point from both sides, and half as many signals at random, shuffled."""
    dice = random.Random(seed)
    while True:
        bullets = [Killed(Bullet(name, side, dice.randint(1, POINTS[name].most))) for name in points for side in SIDES]
        signals = [
            *(_signalled(dice, signal.SIGKILL, "the run") for _ in range(8)),
            *(_signalled(dice, signal.SIGKILL, "the run and its workers") for _ in range(4)),
            *(_signalled(dice, signal.SIGKILL, "its workers") for _ in range(4)),
            *(_signalled(dice, number, "the run") for number in STOPS for _ in range(4)),
            *(_signalled(dice, number, "the run", twice=True) for number in STOPS for _ in range(2)),
        ]
        everything: list[Injection] = [*bullets, *dice.sample(signals, min(len(signals), len(bullets) // 2))]
        dice.shuffle(everything)
        yield from everything


class Supply:
    """So many injections for several lanes; what met nobody is tried once more, then another takes its place."""

    def __init__(self, injections: Iterator[Injection], number: int) -> None:
        self._injections = injections
        self._left = number
        self._again: deque[Killed] = deque()
        self._tried: set[int] = set()
        self._lock = threading.Lock()

    def take(self) -> Injection | None:
        """Return the next one; None when there were enough."""
        with self._lock:
            if not self._left:
                return None
            self._left -= 1
            return self._again.popleft() if self._again else next(self._injections)

    def give_back(self, injection: Injection) -> None:
        """Take back what met nobody: a fresh input passes every point, but no run lasts for every moment."""
        with self._lock:
            self._left += 1
            if isinstance(injection, Killed) and id(injection) not in self._tried:
                self._tried.add(id(injection))
                self._again.append(injection)


def _signalled(dice: random.Random, number: signal.Signals, target: Target, *, twice: bool = False) -> Signalled:
    return Signalled(number, target, dice.uniform(0, LONGEST_S), twice)
