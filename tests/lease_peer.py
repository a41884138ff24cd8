"""Another process that wants the same lease: a child driven line by line, and the program it runs."""

import fcntl
import os
import random
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from pipeline.errors import PipelineError
from pipeline.storage import Storage, open_storage, scheme_of
from pipeline.storage.bucket import open_bucket
from pipeline.storage.bucket_lease import LeaseTimes

KEY = "invoice/_lease"
QUICK = LeaseTimes(ttl_s=1.5, beat_s=0.2, poll_s=0.1)
ANOTHER_MACHINE = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc", "--kill-child")
"""A container of its own: its process ids mean nothing outside."""


def open_quick(location: str) -> Storage:
    """Return the storage at `location`, with leases that expire soon."""
    return open_bucket(location, QUICK) if scheme_of(location) else open_storage(location)


class Peer:
    """A child process."""

    def __init__(self, location: str, *, quick: bool = False, behind: tuple[str, ...] = ()) -> None:
        self._child = subprocess.Popen(
            [*behind, sys.executable, __file__, location, *(["quick"] if quick else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._child.kill()
        self._child.communicate()

    @property
    def pid(self) -> int:
        """Its process id, when it runs behind nothing."""
        return self._child.pid

    def tell(self, command: str) -> None:
        """Have it do one of the commands of `main`."""
        assert self._child.stdin
        self._child.stdin.write(f"{command}\n")
        self._child.stdin.flush()

    def answer(self) -> str:
        """Return what came of the last command: "done" or the name and the words of the error."""
        assert self._child.stdout
        return self._child.stdout.readline().strip()

    def ask(self, command: str) -> str:
        """Do both."""
        self.tell(command)
        return self.answer()

    def send(self, number: int) -> None:
        """Send it a signal."""
        self._child.send_signal(number)

    def kill(self) -> None:
        """Kill it and wait until it is gone."""
        self._child.kill()
        self._child.wait()


def count(storage: Storage, file: Path, times: int) -> None:
    """Add one to the number in a file, in a way that loses some when two do it at once."""
    for _ in range(times):
        with storage.hold(KEY, wait_s=60):
            number = int(file.read_text())
            time.sleep(0.02)
            file.write_text(str(number + 1))


def work(storage: Storage, proof: Path) -> None:
    """Hold the lease for moments, for ever; a lock of the kernel proves that nobody else does, whoever is killed."""
    while True:
        with storage.hold(KEY, wait_s=60) as lease, proof.open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            time.sleep(random.random() / 20)
            lease.check()
            file.write("held\n")


def fork_a_sleeper() -> None:
    """Leave a child behind that holds what it inherits for a while."""
    if os.fork() == 0:
        os.closerange(0, 3)
        time.sleep(10)
        os._exit(0)


def lend_the_lock() -> None:
    """Leave a program behind that holds the lock."""
    for fd in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            if fd.readlink().name == "_lease":
                subprocess.Popen(
                    ["sleep", "6"], pass_fds=[int(fd.name)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
                )


def say(answer: str) -> None:
    """Answer the parent."""
    sys.stdout.write(f"{answer}\n")
    sys.stdout.flush()


def main(location: str, quick: bool) -> None:
    """Do what each line says: hold WAIT_S, check, release, count FILE TIMES, work FILE, fork, lend."""
    storage = open_quick(location) if quick else open_storage(location)
    held = ExitStack()
    lease = None
    for line in sys.stdin:
        command, *words = line.split()
        try:
            if command == "hold":
                lease = held.enter_context(storage.hold(KEY, wait_s=float(words[0])))
            elif command == "check" and lease:
                lease.check()
            elif command == "release":
                held.close()
            elif command == "count":
                count(storage, Path(words[0]), int(words[1]))
            elif command == "work":
                work(storage, Path(words[0]))
            elif command == "fork":
                fork_a_sleeper()
            elif command == "lend":
                lend_the_lock()
            say("done")
        except (PipelineError, BlockingIOError) as error:
            say(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main(sys.argv[1], "quick" in sys.argv[2:])
