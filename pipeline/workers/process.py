"""One worker process, as its parent sees it.

Workers are started with the interpreter's own command line and not with `multiprocessing`:
that runs the parent's script again in each child unless the script is guarded, and its
children inherit the terminal's Ctrl-C.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from pipeline.errors import WorkerCrashedError, WorkerMemoryError, WorkerTimeoutError
from pipeline.workers.channel import Channel, Reply

Result = TypeVar("Result")

START_TIMEOUT_S = 120.0
"""Importing and loading models on a busy machine; far more than any start needs."""

_CHILD_PROGRAM = "from pipeline.workers.child import run_worker; run_worker()"
_SINGLE_THREADED = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_NO_TELEMETRY = ("DO_NOT_TRACK", "ORT_DISABLE_TELEMETRY")
"""Libraries that report their use unasked; documents are nobody else's business."""
_OUTPUT_TAIL_BYTES = 2048


@dataclass(frozen=True, slots=True)
class Limits:
    """What a worker may use; see WorkerPool."""

    name: str
    timeout_s: float
    memory_limit_mb: int | None
    recycle_after: int | None


class WorkerProcess:
    """One worker process as its parent sees it; used by one thread, killed by any."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._num_jobs = 0
        ours, theirs = socket.socketpair()
        self._channel = Channel(ours)
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process; closed in release()
        settings = [str(theirs.fileno()), str(os.getpid()), str(limits.memory_limit_mb or 0), limits.name]
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _CHILD_PROGRAM, *settings],
                env=os.environ
                | dict.fromkeys(_SINGLE_THREADED + _NO_TELEMETRY, "1")
                | {"PYTHONPATH": os.pathsep.join(entry or "." for entry in sys.path)},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=self._output,
                process_group=0,  # the terminal's Ctrl-C is for the parent, which then decides
            )

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    @property
    def worn_out(self) -> bool:
        """Whether it has done its share of jobs."""
        limit = self._limits.recycle_after
        return limit is not None and self._num_jobs >= limit

    def start(self, pickled_start: bytes) -> None:
        """Have the worker build its job function; raises what that raised."""
        self._exchange(partial(self._channel.send, pickled_start), START_TIMEOUT_S)
        self._answer(START_TIMEOUT_S)

    def send(self, job: Any) -> None:
        """Have the worker do `job` when it has done those that it has.

        Raises:
            WorkerCrashedError: the worker died, now or before.
            Exception: the job cannot be pickled; nothing has been sent.
        """
        self._exchange(partial(self._channel.send, job), self._limits.timeout_s)
        self._num_jobs += 1

    def receive(self) -> Any:
        """Return what the worker made of the first job not answered yet; its time begins now."""
        answer = self._answer(self._limits.timeout_s)
        os.ftruncate(self._output.fileno(), 0)
        return answer

    def _exchange(self, exchange: Callable[[float], Result], timeout_s: float) -> Result:
        try:
            return exchange(timeout_s)
        except TimeoutError:
            self.kill()
            raise WorkerTimeoutError(
                f"The {self._limits.name} worker did not finish within {timeout_s:g} s and was stopped."
            ) from None
        except (EOFError, ConnectionError):
            raise WorkerCrashedError(f"The {self._limits.name} worker died: {self._cause_of_death()}.") from None

    def _answer(self, timeout_s: float) -> Any:
        reply: Reply = self._exchange(self._channel.receive, timeout_s)
        if reply.error is None:
            return reply.value
        if isinstance(reply.error, WorkerMemoryError):
            self.kill()  # what the job left behind would count against the next one
        reply.error.add_note(reply.traceback)
        raise reply.error

    def _cause_of_death(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        self.kill()
        code = self._process.returncode
        cause = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        if code == -signal.SIGKILL:
            cause += " (by hand, or by the kernel when memory runs out)"
        last_words = self._last_output().splitlines()[-1:]
        return f"{cause}, {last_words[0]!r}" if last_words else cause

    def _last_output(self) -> str:
        size = os.fstat(self._output.fileno()).st_size
        tail = os.pread(self._output.fileno(), _OUTPUT_TAIL_BYTES, max(0, size - _OUTPUT_TAIL_BYTES))
        return tail.decode(errors="replace").strip("\0 \n")

    def kill(self) -> None:
        """Kill and reap the process; its exchange, if there is one, then ends with an error."""
        self._process.kill()
        self._process.wait()

    def release(self) -> None:
        """Kill the process and close what it was connected by."""
        self.kill()
        self._channel.close()
        self._output.close()
