"""A pool of processes that may crash, hang or eat memory without harming their parent.

Knows nothing about what the jobs are. One thread in the parent stands for each worker, so
a worker that dies or hangs disturbs only the jobs it had.
"""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic

from pipeline.errors import WorkerError
from pipeline.workers.crew import Crew
from pipeline.workers.lane import Lane
from pipeline.workers.process import Limits
from pipeline.workers.queue import Job, JobQueue, Result, Waiting


class WorkerPool(Generic[Job, Result]):
    """Runs jobs in spawned processes, one job at a time in each, with a time and a memory limit.

    Args:
        start: Called once in each worker; returns the function that does jobs. It, jobs and
            results are pickled, so `start` must be importable (not defined in a script).
        timeout_s: Longest time for one job, from the moment the worker turns to it to having its result.
        memory_limit_mb: Address space of a worker (RLIMIT_AS), its libraries included.
        recycle_after: Jobs after which a worker is replaced, against slow leaks.
        ahead: Jobs that lie ready in a worker while it does another, where jobs are so short
            that a worker would wait for its parent; none of them can be done by another worker.

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
        ahead: int = 0,
    ) -> None:
        self._name = name
        self._queue: JobQueue[Job, Result] = JobQueue(num_workers)
        self._crew = Crew(pickle.dumps(start, protocol=5), Limits(name, timeout_s, memory_limit_mb, recycle_after))
        lanes = [Lane(number, self._queue, self._crew, ahead=ahead) for number in range(num_workers)]
        self._threads = [
            threading.Thread(target=lane.serve, name=f"{name}-{number}", daemon=True)
            for number, lane in enumerate(lanes, start=1)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, job: Job, subject: Hashable = None) -> Future[Result]:
        """Return the future result of `job`.

        Args:
            subject: What makes jobs cheaper for a worker that had it lately; None: nothing.

        The future raises what the job raised, or
            WorkerTimeoutError: the job passed its time limit; trying again seldom helps.
            WorkerMemoryError: the job passed the memory limit; trying again does not help.
            WorkerCrashedError: the worker died; another try may succeed.
            WorkerJobError: the job raised an error that cannot be pickled.
            WorkerError (itself): workers cannot start, or the pool was closed meanwhile; no job is to blame.
        """
        future: Future[Result] = Future()
        if not self._queue.put(Waiting(job, future, subject)):
            raise WorkerError(f"The {self._name} workers are closed.")
        return future

    def close(self) -> None:
        """Cancel waiting jobs, kill the workers and wait until they are gone; a second call does nothing."""
        left = self._queue.close()
        self._crew.close()
        for waiting in left:
            waiting.future.cancel()
        for thread in self._threads:
            thread.join()
