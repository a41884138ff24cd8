"""Jobs that wait for a worker, and which worker takes which."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Hashable
from concurrent.futures import Future
from itertools import islice
from typing import Generic, NamedTuple, TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")

SEARCHED = 32
"""Jobs looked through for one that suits a worker; the first ones, so that none waits for long."""
REMEMBERED = 4
"""Subjects of a worker's last jobs; a render worker keeps as many documents open."""


class Waiting(NamedTuple, Generic[Job, Result]):
    """A job and the future of its result."""

    job: Job
    future: Future[Result]
    subject: Hashable


class JobQueue(Generic[Job, Result]):
    """Gives each worker the first job whose subject it had lately, or which no worker had.

    A subject is what makes jobs cheaper after one another, such as a document. A worker with
    nothing else to do takes the first job, whoever had its subject. Thread-safe.
    """

    def __init__(self, num_workers: int) -> None:
        self._waiting: deque[Waiting[Job, Result]] = deque()
        self._changed = threading.Condition()
        self._subjects: list[deque[Hashable]] = [deque(maxlen=REMEMBERED) for _ in range(num_workers)]
        self._closed = False

    def put(self, item: Waiting[Job, Result]) -> bool:
        """Add a job to the end; False when the queue is closed."""
        with self._changed:
            if self._closed:
                return False
            self._waiting.append(item)
            self._changed.notify()
            return True

    def take(self, worker: int) -> Waiting[Job, Result] | None:
        """Return a job for a worker that does nothing, as soon as there is one; None when the queue is closed."""
        with self._changed:
            while not (self._waiting or self._closed):
                self._changed.wait()
            if self._closed:
                return None
            return self._removed(self._suiting(worker) or 0, worker)

    def take_ahead(self, worker: int) -> Waiting[Job, Result] | None:
        """Return a job for a worker that does another one; None when there is none that suits it."""
        with self._changed:
            index = self._suiting(worker)
            return None if index is None else self._removed(index, worker)

    def close(self) -> list[Waiting[Job, Result]]:
        """Wake all workers; return the jobs that are left."""
        with self._changed:
            self._closed = True
            left = list(self._waiting)
            self._waiting.clear()
            self._changed.notify_all()
            return left

    def _suiting(self, worker: int) -> int | None:
        mine = self._subjects[worker]
        for index, item in enumerate(islice(self._waiting, SEARCHED)):
            if item.subject in mine or not any(item.subject in subjects for subjects in self._subjects):
                return index
        return None

    def _removed(self, index: int, worker: int) -> Waiting[Job, Result]:
        item = self._waiting[index]
        del self._waiting[index]
        mine = self._subjects[worker]
        if item.subject is not None and item.subject not in mine:
            mine.append(item.subject)
        return item
