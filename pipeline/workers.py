"""A pool of processes that may crash, hang or eat memory without harming their parent.

Knows nothing about what the jobs are. Workers are started with the interpreter's own
command line and not with `multiprocessing`: that runs the parent's script again in each
child unless the script is guarded, and its spawned children inherit the terminal's Ctrl-C.
One thread in the parent stands for each worker, so a worker that dies or hangs disturbs
only the job it had.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import pickle
import queue
import resource
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, NoReturn, TypeVar

from pipeline.errors import WorkerCrashedError, WorkerError, WorkerMemoryError, WorkerTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable

Job = TypeVar("Job")
Result = TypeVar("Result")

log = logging.getLogger(__name__)

START_TIMEOUT_S = 120.0
"""Importing and loading models on a busy machine; far more than any start needs."""

_CHILD_PROGRAM = "from pipeline.workers import run_worker; run_worker()"
_SINGLE_THREADED = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15
_OOM_SCORE = "500"
_OUTPUT_TAIL_BYTES = 2048


@dataclass(frozen=True, slots=True)
class _Limits:
    name: str
    timeout_s: float
    memory_limit_mb: int | None
    recycle_after: int | None


class WorkerPool(Generic[Job, Result]):
    """Runs jobs in spawned processes, one job at a time in each, with a time and a memory limit.

    Args:
        start: Called once in each worker; returns the function that does jobs. It, jobs and
            results are pickled, so `start` must be importable (not defined in a script).
        timeout_s: Longest time for one job, from sending it to having its result.
        memory_limit_mb: Address space of a worker (RLIMIT_AS), its libraries included.
        recycle_after: Jobs after which a worker is replaced, against slow leaks.

    `submit` takes any number of jobs and keeps them; the caller bounds what it submits.
    Whoever makes a pool closes it; a parent that dies takes its workers with it.
    """

    def __init__(
        self,
        start: Callable[[], Callable[[Job], Result]],
        *,
        num_workers: int,
        timeout_s: float,
        memory_limit_mb: int | None = None,
        name: str,
        recycle_after: int | None = None,
    ) -> None:
        self._start = pickle.dumps(start, protocol=5)
        self._limits = _Limits(name, timeout_s, memory_limit_mb, recycle_after)
        self._jobs: queue.SimpleQueue[tuple[Job, Future[Result]] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._children: set[_Child] = set()
        self._closed = False
        self._threads = [
            threading.Thread(target=self._serve, name=f"{name}-{number}", daemon=True)
            for number in range(1, num_workers + 1)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, job: Job) -> Future[Result]:
        """Return the future result of `job`.

        The future raises what the job raised, or
            WorkerTimeoutError: the job passed its time limit; trying again seldom helps.
            WorkerMemoryError: the job passed the memory limit; trying again does not help.
            WorkerCrashedError: the worker died; another try may succeed.
            WorkerError: the worker cannot start, or the pool was closed meanwhile.
        """
        future: Future[Result] = Future()
        with self._lock:
            if self._closed:
                raise WorkerError(f"The {self._limits.name} workers are closed.")
            self._jobs.put((job, future))
        return future

    def close(self) -> None:
        """Cancel waiting jobs, kill the workers and wait until they are gone; a second call does nothing."""
        with self._lock:
            self._closed = True
            for child in self._children:
                child.kill()
        self._cancel_waiting()
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()

    def _cancel_waiting(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                item = self._jobs.get_nowait()
                if item is not None:
                    item[1].cancel()

    def _serve(self) -> None:
        """Feed one worker until the pool closes, replacing it when it died or is worn out."""
        child = self._start_ahead()
        for job, future in iter(self._jobs.get, None):
            child = self._do(child, job, future)
            del job, future  # not kept alive, result included, until the next job comes
        self._retire(child)

    def _do(self, child: _Child | None, job: Job, future: Future[Result]) -> _Child | None:
        """Settle one future; returns the child for the next job, None to start one then."""
        if not future.set_running_or_notify_cancel():
            return child
        try:
            if child is None or not child.alive:
                self._retire(child)
                child = None
                child = self._start_child()
            future.set_result(child.run(job))
        except BaseException as error:  # the thread outlives every job; the error belongs to its future
            future.set_exception(error)
        if child is None or (child.alive and not child.worn_out):
            return child
        self._retire(child)
        return self._start_ahead()  # now and not with the next job: starting takes longer than most jobs

    def _start_ahead(self) -> _Child | None:
        """Start a child; when that fails, the next job tries again and reports why."""
        try:
            return self._start_child()
        except Exception as error:
            log.debug("%s worker did not start: %s", self._limits.name, error)
            return None

    def _start_child(self) -> _Child:
        with self._lock:
            if self._closed:
                raise WorkerError(f"The {self._limits.name} workers were closed.")
            child = _Child(self._limits)
            self._children.add(child)
        try:
            child.start(self._start)
        except BaseException:
            self._retire(child)
            raise
        return child

    def _retire(self, child: _Child | None) -> None:
        if child is not None:
            child.release()
            with self._lock:
                self._children.discard(child)


class _Child:
    """One worker process as its parent sees it; used by one thread, killed by any."""

    def __init__(self, limits: _Limits) -> None:
        self._limits = limits
        self._num_jobs = 0
        ours, theirs = socket.socketpair()
        self._channel = _Channel(ours)
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process; closed in release()
        settings = [str(theirs.fileno()), str(os.getpid()), str(limits.memory_limit_mb or 0), limits.name]
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _CHILD_PROGRAM, *settings],
                env=os.environ
                | dict.fromkeys(_SINGLE_THREADED, "1")
                | {"PYTHONPATH": os.pathsep.join(entry or os.getcwd() for entry in sys.path)},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=self._output,
                process_group=0,  # the terminal's Ctrl-C is for the parent, which then decides
            )

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    @property
    def worn_out(self) -> bool:
        limit = self._limits.recycle_after
        return limit is not None and self._num_jobs >= limit

    def start(self, pickled_start: bytes) -> None:
        """Have the worker build its job function; raises what that raised."""
        self._exchange(pickled_start, START_TIMEOUT_S)

    def run(self, job: Any) -> Any:
        """Return what the worker makes of `job`."""
        self._num_jobs += 1
        os.ftruncate(self._output.fileno(), 0)
        return self._exchange(job, self._limits.timeout_s)

    def _exchange(self, message: Any, timeout_s: float) -> Any:
        try:
            self._channel.send(message, timeout_s)
            reply: _Reply = self._channel.receive(timeout_s)
        except TimeoutError:
            self.kill()
            raise WorkerTimeoutError(
                f"The {self._limits.name} worker did not finish within {timeout_s:g} s and was stopped."
            ) from None
        except (EOFError, ConnectionError):
            raise WorkerCrashedError(f"The {self._limits.name} worker died: {self._cause_of_death()}.") from None
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


class _Reply(NamedTuple):
    value: Any
    error: BaseException | None = None
    traceback: str = ""


class _Channel:
    """Objects over a socket, each as a pickle followed by its buffers.

    Pickle protocol 5 keeps arrays out of the pickle (PEP 574), so pixels are copied into
    and out of the socket only, and arrive writable.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection

    def send(self, message: Any, timeout_s: float | None = None) -> None:
        """Send one object; TimeoutError when the other side does not read it."""
        buffers: list[pickle.PickleBuffer] = []
        pickled = pickle.dumps(message, protocol=5, buffer_callback=buffers.append)
        parts = [memoryview(pickled), *(buffer.raw() for buffer in buffers)]
        self._socket.settimeout(timeout_s)
        self._socket.sendall(struct.pack(f"<Q{len(parts)}Q", len(parts), *map(len, parts)))
        for part in parts:
            self._socket.sendall(part)

    def receive(self, timeout_s: float | None = None) -> Any:
        """Return the next object; EOFError when the other side is gone."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        (num_parts,) = struct.unpack("<Q", self._read(8, deadline))
        sizes = struct.unpack(f"<{num_parts}Q", self._read(8 * num_parts, deadline))
        pickled, *buffers = [self._read(size, deadline) for size in sizes]
        return pickle.loads(pickled, buffers=buffers)

    def _read(self, size_bytes: int, deadline: float | None) -> bytearray:
        data = bytearray(size_bytes)
        rest = memoryview(data)
        while rest:
            if deadline is not None:
                self._socket.settimeout(max(deadline - time.monotonic(), 1e-3))
            else:
                self._socket.settimeout(None)
            received = self._socket.recv_into(rest)
            if received == 0:
                raise EOFError("the other side closed the connection")
            rest = rest[received:]
        return data

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def run_worker() -> NoReturn:
    """Do jobs until the parent goes away; the main program of a worker process."""
    fd, parent_pid, memory_limit_mb = map(int, sys.argv[1:4])
    _settle(parent_pid, memory_limit_mb, sys.argv[4])
    channel = _Channel(socket.socket(fileno=fd))
    with contextlib.suppress(EOFError, ConnectionError):
        reply, work = _begin(channel.receive())
        while True:
            _answer(channel, reply)
            reply = _attempt(work, channel.receive())
    os._exit(0)


def _settle(parent_pid: int, memory_limit_mb: int, name: str) -> None:
    """Make this process one that dies with its parent, dumps no core and keeps to its memory."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    libc.prctl(_PR_SET_NAME, name.encode()[:15])
    if os.getppid() != parent_pid:  # it died before prctl took effect
        os._exit(0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if memory_limit_mb:
        resource.setrlimit(resource.RLIMIT_AS, (memory_limit_mb << 20, memory_limit_mb << 20))
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as score:
        score.write(_OOM_SCORE)  # the kernel, short of memory, takes a worker and not the run


def _begin(pickled_start: bytes) -> tuple[_Reply, Callable[[Any], Any]]:
    """Build the job function; the reply tells the parent how that went."""
    reply = _attempt(lambda data: pickle.loads(data)(), pickled_start)
    return (reply, lambda job: None) if reply.error else (_Reply(None), reply.value)


def _attempt(work: Callable[[Any], Any], job: Any) -> _Reply:
    try:
        return _Reply(work(job))
    except MemoryError:
        return _Reply(None, WorkerMemoryError("The worker ran out of its memory limit."), traceback.format_exc())
    except BaseException as error:  # also SystemExit: a job must not end its worker quietly
        return _Reply(None, _portable(error), traceback.format_exc())


def _portable(error: BaseException) -> BaseException:
    """Return `error`, or a WorkerError in its words when it cannot be pickled both ways."""
    try:
        pickle.loads(pickle.dumps(error))
        return error
    except Exception:
        return WorkerError(f"{type(error).__name__}: {error}")


def _answer(channel: _Channel, reply: _Reply) -> None:
    try:
        channel.send(reply)
    except (OSError, EOFError):
        raise
    except Exception as error:  # the result cannot be pickled; nothing has been sent yet
        channel.send(_Reply(None, _portable(error), traceback.format_exc()))
