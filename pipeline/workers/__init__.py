"""A pool of processes that may crash, hang or eat memory without harming their parent.

Knows nothing about what the jobs are. One thread in the parent stands for each worker, so
a worker that dies or hangs disturbs only the job it had.
"""

from __future__ import annotations

import contextlib
import logging
import pickle
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

from pipeline.errors import WorkerCrashedError, WorkerError
from pipeline.workers.process import Limits, WorkerProcess

Job = TypeVar("Job")
Result = TypeVar("Result")

log = logging.getLogger(__name__)

START_TRIES = 3
"""A worker that is killed while it starts says nothing about the next one."""


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
        self._limits = Limits(name, timeout_s, memory_limit_mb, recycle_after)
        self._jobs: queue.SimpleQueue[tuple[Job, Future[Result]] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._children: set[WorkerProcess] = set()
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
            WorkerJobError: the job raised an error that cannot be pickled.
            WorkerError (itself): workers cannot start, or the pool was closed meanwhile; no job is to blame.
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

    def _do(self, child: WorkerProcess | None, job: Job, future: Future[Result]) -> WorkerProcess | None:
        """Settle one future; returns the child for the next job, None to start one then."""
        if not future.set_running_or_notify_cancel():
            return child
        try:
            if child is None or not child.alive:
                self._retire(child)
                child = None
                child = self._start_child()
            future.set_result(child.run(job))
        except BaseException as error:  # noqa: BLE001 - the thread outlives every job; the error belongs to its future
            future.set_exception(error)
        if child is None or (child.alive and not child.worn_out):
            return child
        self._retire(child)
        return self._start_ahead()  # now and not with the next job: starting takes longer than most jobs

    def _start_ahead(self) -> WorkerProcess | None:
        """Start a child; when that fails, the next job tries again and reports why."""
        try:
            return self._start_child()
        except Exception as error:  # noqa: BLE001 - told by the next job
            log.debug("%s worker did not start: %s", self._limits.name, error)
            return None

    def _start_child(self) -> WorkerProcess:
        """Start a worker, again when something killed it meanwhile; WorkerError when it cannot start."""
        for tries_left in reversed(range(START_TRIES)):
            child = self._new_child()
            try:
                child.start(self._start)
            except Exception as error:
                self._retire(child)
                if tries_left and isinstance(error, WorkerCrashedError) and not self._closed:
                    continue
                reason = str(error) if isinstance(error, WorkerError) else f"{type(error).__name__}: {error}"
                raise WorkerError(f"The {self._limits.name} workers cannot start: {reason}") from error
            return child
        raise AssertionError("unreachable")

    def _new_child(self) -> WorkerProcess:
        with self._lock:
            if self._closed:
                raise WorkerError(f"The {self._limits.name} workers were closed.")
            child = WorkerProcess(self._limits)
            self._children.add(child)
        return child

    def _retire(self, child: WorkerProcess | None) -> None:
        if child is not None:
            child.release()
            with self._lock:
                self._children.discard(child)
