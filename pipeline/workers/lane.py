"""One worker of a pool: the jobs it is given, and the processes that follow one another as that worker."""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Generic

from pipeline.errors import WorkerError
from pipeline.workers.queue import Job, JobQueue, Result, Waiting

if TYPE_CHECKING:
    from pipeline.workers.crew import Crew
    from pipeline.workers.process import WorkerProcess

log = logging.getLogger(__name__)


class Lane(Generic[Job, Result]):
    """Feeds one worker. Used by one thread."""

    def __init__(self, number: int, queue: JobQueue[Job, Result], crew: Crew, *, ahead: int) -> None:
        """Start nothing yet.

        Args:
            ahead: Jobs that the worker is given beside the one that it does.
        """
        self._number = number
        self._queue = queue
        self._crew = crew
        self._ahead = ahead
        self._process: WorkerProcess | None = None
        self._given: deque[Waiting[Job, Result]] = deque()
        """Jobs without a result; the worker does the first one."""
        self._num_sent = 0
        """How many of these the process has."""

    def serve(self) -> None:
        """Do jobs until the queue closes."""
        self._start_ahead()
        while item := self._queue.take(self._number):
            if item.future.set_running_or_notify_cancel():
                self._given.append(item)
            del item  # not kept alive, result included, until the next job comes
            while self._given:
                self._settle_first()
                self._replace_worn_out()
        self._crew.retire(self._process)

    def _settle_first(self) -> None:
        """Settle the future of the job that the worker does; those given after it outlive their process."""
        try:
            process = self._living_process()
            while self._num_sent < len(self._given):
                process.send(self._given[self._num_sent].job)
                self._num_sent += 1
            self._give_ahead(process)
            result = process.receive()
        except BaseException as error:  # noqa: BLE001 - the thread outlives every job; the error belongs to its future
            self._num_sent = max(0, self._num_sent - 1)
            self._given.popleft().future.set_exception(error)
        else:
            self._num_sent -= 1
            self._given.popleft().future.set_result(result)

    def _give_ahead(self, process: WorkerProcess) -> None:
        """Send further jobs, so that the worker need not wait until its last result has been looked at."""
        while len(self._given) <= self._ahead and not process.worn_out:
            item = self._queue.take_ahead(self._number)
            if item is None:
                return
            if not item.future.set_running_or_notify_cancel():
                continue
            try:
                process.send(item.job)
            except WorkerError:  # it died of the job before, as receiving will show
                self._given.append(item)
                return
            except Exception as error:  # noqa: BLE001 - the job cannot be pickled; the one being done goes on
                item.future.set_exception(error)
            else:
                self._given.append(item)
                self._num_sent += 1

    def _living_process(self) -> WorkerProcess:
        if self._process is None or not self._process.alive:
            self._retire()
            self._process = self._crew.start()
        return self._process

    def _replace_worn_out(self) -> None:
        if self._process is None or (self._process.alive and (self._num_sent or not self._process.worn_out)):
            return
        self._retire()
        self._start_ahead()  # now and not with the next job: starting takes longer than most jobs

    def _retire(self) -> None:
        process, self._process, self._num_sent = self._process, None, 0
        self._crew.retire(process)

    def _start_ahead(self) -> None:
        """Start a process; when that fails, the next job tries again and reports why."""
        try:
            self._process = self._crew.start()
        except Exception as error:  # noqa: BLE001 - told by the next job
            log.debug("%s worker did not start: %s", self._crew.name, error)
