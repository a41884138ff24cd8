"""Worker processes that crash, hang and overeat, and the pool that outlives them."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from pipeline.errors import (
    ErrorType,
    RenderError,
    WorkerCrashedError,
    WorkerError,
    WorkerJobError,
    WorkerMemoryError,
    WorkerTimeoutError,
)
from pipeline.workers import WorkerPool


class Unpicklable(Exception):
    """An error that cannot be built from its arguments, as many in C libraries."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"{first} and {second}")


def start() -> Callable[[str], Any]:
    """Return a function that does what its job says."""
    return do


def start_badly() -> Callable[[str], Any]:
    """Fail as a model that is not installed does."""
    raise FileNotFoundError("model.onnx")


def do(job: str) -> Any:  # noqa: C901 - a table of jobs
    """Behave well or badly."""
    match job:
        case "pid":
            return os.getpid()
        case "hang":
            time.sleep(600)
        case "segfault":
            ctypes.string_at(0)
        case "exit":
            os._exit(3)
        case "raise":
            raise RenderError(ErrorType.DAMAGED, "page 7")
        case "raise unpicklable":
            raise Unpicklable(1, 2)
        case "return unpicklable":
            return lambda: None
        case "overeat":
            return len(bytearray(4 << 30))
        case "print":
            os.write(2, b"noise\n")
        case "pixels":
            return np.full((1000, 1000, 3), 7, np.uint8)
        case "threads":
            return os.environ["OMP_NUM_THREADS"]
    return job


@pytest.fixture
def pool() -> Iterator[WorkerPool[str, Any]]:
    """One worker with a short time and a small memory limit."""
    pool = WorkerPool[str, Any](start, num_workers=1, timeout_s=1, memory_limit_mb=2048, name="test")
    yield pool
    pool.close()


@pytest.mark.parametrize(
    ("job", "error", "message"),
    [
        ("hang", WorkerTimeoutError, "within 1 s"),
        ("segfault", WorkerCrashedError, "SIGSEGV"),
        ("exit", WorkerCrashedError, "exit code 3"),
        ("overeat", WorkerMemoryError, "memory limit"),
        ("raise", RenderError, "page 7"),
        ("raise unpicklable", WorkerJobError, "Unpicklable: 1 and 2"),
        ("return unpicklable", Exception, "pickle"),
    ],
)
def test_bad_job_fails_alone_and_next_job_runs(
    pool: WorkerPool[str, Any], job: str, error: type[Exception], message: str
) -> None:
    """One poison page must neither end the run nor take another page with it."""
    bad, good = pool.submit(job), pool.submit("well")
    with pytest.raises(error, match=message):
        bad.result(30)
    assert good.result(30) == "well"


def test_error_keeps_its_type_and_the_workers_traceback(pool: WorkerPool[str, Any]) -> None:
    """`error_type` decides the row; the traceback is what a bug report needs."""
    with pytest.raises(RenderError) as caught:
        pool.submit("raise").result(30)
    assert caught.value.error_type is ErrorType.DAMAGED
    assert "test_workers.py" in "".join(caught.value.__notes__)


def test_arrays_arrive_whole_and_writable(pool: WorkerPool[str, Any]) -> None:
    """Engines rotate and pad page images in place."""
    pixels = pool.submit("pixels").result(30)
    assert pixels.shape == (1000, 1000, 3)
    assert pixels.min() == pixels.max() == 7
    assert pixels.flags.writeable


def test_worker_killed_between_jobs_is_replaced(pool: WorkerPool[str, Any]) -> None:
    """The kernel's choice of a victim must not cost a page that was not even sent."""
    pid = pool.submit("pid").result(30)
    os.kill(pid, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], timeout=10)
    assert pool.submit("pid").result(30) != pid


def test_failing_start_reaches_every_job() -> None:
    """A missing model ends the run in its own words; no job is to blame for it."""
    pool = WorkerPool[str, Any](start_badly, num_workers=1, timeout_s=5, name="test")
    for job in ("pid", "hang"):
        with pytest.raises(WorkerError, match=r"cannot start: FileNotFoundError: model\.onnx") as caught:
            pool.submit(job).result(30)
        assert caught.type is WorkerError
    pool.close()


def test_worker_is_replaced_after_its_share_of_jobs() -> None:
    """Rendering libraries leak; a run of a million pages must not."""
    pool = WorkerPool[str, Any](start, num_workers=1, timeout_s=5, name="test", recycle_after=2)
    pids = [future.result(30) for future in [pool.submit("pid") for _ in range(4)]]
    pool.close()
    assert pids[0] == pids[1] != pids[2] == pids[3]


def test_close_ends_running_and_waiting_jobs_and_leaves_no_process() -> None:
    """Ctrl-C must not wait for a page that hangs."""
    pool = WorkerPool[str, Any](start, num_workers=2, timeout_s=600, name="test")
    pid = pool.submit("pid").result(30)
    hanging = [pool.submit("hang") for _ in range(2)]
    waiting = pool.submit("pid")
    while not all(future.running() for future in hanging):
        time.sleep(0.01)
    pool.close()
    pool.close()
    assert all(isinstance(future.exception(), WorkerError) for future in hanging)
    with pytest.raises(CancelledError):
        waiting.result(1)
    assert not psutil.pid_exists(pid)
    with pytest.raises(WorkerError, match="closed"):
        pool.submit("pid")


def test_workers_use_one_thread_and_stay_quiet(pool: WorkerPool[str, Any], capfd: pytest.CaptureFixture[str]) -> None:
    """Libraries of n workers with n threads each fight; their noise would break the progress display."""
    assert pool.submit("threads").result(30) == "1"
    pool.submit("print").result(30)
    assert capfd.readouterr() == ("", "")


def test_workers_die_with_a_killed_parent_whose_script_is_not_run_again(tmp_path: Path) -> None:
    """SIGKILL leaves no orphans, and an unguarded script does not start pools recursively."""
    script = tmp_path / "unguarded.py"
    script.write_text(
        textwrap.dedent("""
            import time, test_workers
            from pipeline.workers import WorkerPool
            print("started", flush=True)
            pool = WorkerPool(test_workers.start, num_workers=1, timeout_s=600, name="orphan")
            print(pool.submit("pid").result(), flush=True)
            pool.submit("hang")
            time.sleep(600)
        """)
    )
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True, env=env) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "started\n"
        worker = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
        rest = parent.stdout.read()
    assert worker.wait(timeout=30) is None or not worker.is_running()
    assert rest == ""
