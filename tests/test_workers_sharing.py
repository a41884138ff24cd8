"""What a worker and its parent share: memory for results, and jobs that lie ready."""

import ctypes
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.errors import WorkerCrashedError, WorkerTimeoutError
from pipeline.workers import WorkerPool
from pipeline.workers.queue import JobQueue, Waiting
from pipeline.workers.shared import MAX_SLOTS, result_memory

SIDE = 600


def start() -> Callable[[Any], Any]:
    """Return the function that does jobs."""
    return do


def do(job: Any) -> Any:
    """Make an image of a number, or do what a word says."""
    match job:
        case int():
            image = np.frombuffer(result_memory(SIDE * SIDE), np.uint8).reshape(SIDE, SIDE)
            image.fill(job)
            return image
        case np.ndarray():
            return job.sum()
        case "die":
            time.sleep(0.2)
            ctypes.string_at(0)
        case "hang":
            time.sleep(600)
        case "mappings":
            return sum("memfd:pagemill" in line for line in Path("/proc/self/maps").read_text().splitlines())
    return os.getpid()


@pytest.fixture
def pool() -> Iterator[WorkerPool[Any, Any]]:
    """One worker that is given a job ahead."""
    pool = WorkerPool[Any, Any](start, num_workers=1, timeout_s=1, name="test", ahead=1)
    yield pool
    pool.close()


def test_results_that_are_kept_are_never_written_over(pool: WorkerPool[Any, Any]) -> None:
    """A page that waits for the engine must not turn into a later page, whatever part of it is kept."""
    kept = [pool.submit(number).result(30)[1:, ::2] for number in range(2 * MAX_SLOTS + 1)]
    for _ in range(MAX_SLOTS):
        pool.submit(255).result(30)
    assert [(image.min(), image.max()) for image in kept] == [(number, number) for number in range(len(kept))]


def test_memory_of_results_is_used_again(pool: WorkerPool[Any, Any]) -> None:
    """Fresh memory costs a third of the time in which a page is drawn."""
    for number in range(3 * MAX_SLOTS):
        assert pool.submit(number).result(30)[-1, -1] == number
    assert pool.submit("mappings").result(30) <= 3


def test_large_jobs_reach_the_worker_whole(pool: WorkerPool[Any, Any]) -> None:
    """The OCR workers are sent page images by the same way."""
    for number in range(2 * MAX_SLOTS):
        image = np.full((SIDE, SIDE), number, np.uint8)
        assert pool.submit(image).result(30) == SIDE * SIDE * number


@pytest.mark.parametrize(("job", "error"), [("die", WorkerCrashedError), ("hang", WorkerTimeoutError)])
def test_a_job_that_lay_ready_outlives_its_worker(pool: WorkerPool[Any, Any], job: str, error: type[Exception]) -> None:
    """The page behind a poison page is not to blame, and must be read."""
    bad, *good = [pool.submit(job), *(pool.submit(number) for number in range(3))]
    with pytest.raises(error):
        bad.result(30)
    assert [image.result(30)[0, 0] for image in good] == [0, 1, 2]


def test_a_job_that_lies_ready_and_cannot_be_sent_fails_alone(pool: WorkerPool[Any, Any]) -> None:
    """Its error belongs to it, and not to the job that is being done."""
    first, unsendable, last = pool.submit(1), pool.submit(lambda: None), pool.submit(2)
    with pytest.raises(Exception, match="pickle"):
        unsendable.result(30)
    assert (first.result(30)[0, 0], last.result(30)[0, 0]) == (1, 2)


def queue_of(*subjects: str | None) -> JobQueue[int, None]:
    """Return a queue of two workers with numbered jobs."""
    queue = JobQueue[int, None](2)
    for number, subject in enumerate(subjects):
        queue.put(Waiting(number, Future(), subject))
    return queue


def taken(item: Waiting[int, None] | None) -> int | None:
    """Return the number of a job."""
    return item and item.job


def test_jobs_of_one_subject_go_to_the_worker_that_had_it() -> None:
    """A document is opened once, not once in each worker."""
    queue = queue_of("a", "b", "a", "b", "b", None)
    assert [taken(queue.take(worker)) for worker in (0, 1, 1, 0, 0)] == [0, 1, 3, 2, 5]


def test_a_worker_with_nothing_else_to_do_takes_any_job() -> None:
    """The pages of one long document are for all workers."""
    queue = queue_of("a", "a", "a")
    assert taken(queue.take(0)) == 0
    assert taken(queue.take_ahead(1)) is None
    assert taken(queue.take(1)) == 1
    assert taken(queue.take_ahead(1)) == 2
