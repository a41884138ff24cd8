"""The worker's own side: the program that runs in the child process."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pickle
import resource
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from pipeline.errors import WorkerJobError, WorkerMemoryError
from pipeline.workers.channel import Channel, Reply
from pipeline.workers.shared import lend_results_from

_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15
_OOM_SCORE = "500"


def run_worker() -> NoReturn:
    """Do jobs until the parent goes away; the main program of a worker process."""
    fd, parent_pid, memory_limit_mb = map(int, sys.argv[1:4])
    _settle(parent_pid, memory_limit_mb, sys.argv[4])
    channel = Channel(socket.socket(fileno=fd))
    lend_results_from(channel.lender)
    with contextlib.suppress(EOFError, ConnectionError):
        reply, work = _begin(channel.receive())
        while True:
            _answer(channel, reply)
            reply = _attempt(work, channel.receive())
    os._exit(0)


def _settle(parent_pid: int, memory_limit_mb: int, name: str) -> None:
    """Make this process one that dies with its parent, dumps no core and keeps to its memory."""
    # A terminal and systemd signal the whole group; the parent finishes what is in its workers and ends them.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    libc.prctl(_PR_SET_NAME, name.encode()[:15])
    if os.getppid() != parent_pid:  # it died before prctl took effect
        os._exit(0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if memory_limit_mb:
        resource.setrlimit(resource.RLIMIT_AS, (memory_limit_mb << 20, memory_limit_mb << 20))
    with contextlib.suppress(OSError):  # the kernel, short of memory, takes a worker and not the run
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE, encoding="ascii")


def _begin(pickled_start: bytes) -> tuple[Reply, Callable[[Any], Any]]:
    """Build the job function; the reply tells the parent how that went."""
    reply = _attempt(lambda data: pickle.loads(data)(), pickled_start)  # noqa: S301 - from our own parent
    return (reply, lambda _: None) if reply.error else (Reply(None), reply.value)


def _attempt(work: Callable[[Any], Any], job: Any) -> Reply:
    try:
        return Reply(work(job))
    except BaseException as error:  # noqa: BLE001 - also SystemExit: a job must not end its worker quietly
        return _failure(error)


def _failure(error: BaseException) -> Reply:
    return Reply(None, _portable(error), "".join(traceback.format_exception(error)))


def _portable(error: BaseException) -> BaseException:
    """Return `error`, or one in its words: for lack of memory, and when it cannot be pickled both ways."""
    if isinstance(error, MemoryError):
        return WorkerMemoryError("The worker ran out of its memory limit.")
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - its own output
    except Exception:  # noqa: BLE001 - pickling calls anything
        return WorkerJobError(f"{type(error).__name__}: {error}")
    return error


def _answer(channel: Channel, reply: Reply) -> None:
    try:
        channel.send(reply)
    except (OSError, EOFError):
        raise
    except Exception as error:  # noqa: BLE001 - the result cannot be pickled; nothing has been sent yet
        channel.send(_failure(error))
