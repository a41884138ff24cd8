"""The processes of a pool: started, replaced, and all killed when the pool closes."""

from __future__ import annotations

import threading

from pipeline.errors import WorkerCrashedError, WorkerError
from pipeline.workers.process import Limits, WorkerProcess

START_TRIES = 3
"""A worker that is killed while it starts says nothing about the next one."""


class Crew:
    """Thread-safe."""

    def __init__(self, pickled_start: bytes, limits: Limits) -> None:
        self.name = limits.name
        self._start = pickled_start
        self._limits = limits
        self._lock = threading.Lock()
        self._processes: set[WorkerProcess] = set()
        self._closed = False

    def start(self) -> WorkerProcess:
        """Start a worker, again when something killed it meanwhile; WorkerError when it cannot start."""
        for tries_left in reversed(range(START_TRIES)):
            process = self._new()
            try:
                process.start(self._start)
            except Exception as error:
                self.retire(process)
                if tries_left and isinstance(error, WorkerCrashedError) and not self._closed:
                    continue
                reason = str(error) if isinstance(error, WorkerError) else f"{type(error).__name__}: {error}"
                raise WorkerError(f"The {self.name} workers cannot start: {reason}") from error
            return process
        raise AssertionError("unreachable")

    def retire(self, process: WorkerProcess | None) -> None:
        """Kill a worker and forget it."""
        if process is not None:
            process.release()
            with self._lock:
                self._processes.discard(process)

    def close(self) -> None:
        """Kill all workers; none can be started any more."""
        with self._lock:
            self._closed = True
            for process in self._processes:
                process.kill()

    def _new(self) -> WorkerProcess:
        with self._lock:
            if self._closed:
                raise WorkerError(f"The {self.name} workers were closed.")
            process = WorkerProcess(self._limits)
            self._processes.add(process)
        return process
