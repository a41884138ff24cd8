"""The stream: pages flow into the engine whenever one leaves it, so it never drains.

Knows nothing about models or prompts; it is handed what prepares a page and what runs it.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from pipeline.data import FinishReason, Generation, PageRequest
from pipeline.engines.base import Requests
from pipeline.engines.vllm.bursts import burst_size, most_pages
from pipeline.engines.vllm.core import Core
from pipeline.engines.vllm.depth import Depth
from pipeline.engines.vllm.steps import Wait
from pipeline.errors import EngineError, ErrorType, PageError

log = logging.getLogger(__name__)

POLL_S = 0.02
"""How long a page that has just been prepared may wait until it is sent; a step takes about as long."""
IDLE_WAIT_S = 0.1


@dataclass(frozen=True, slots=True)
class Prepared:
    """A page as the model takes it."""

    inputs: Any
    new_tokens: int
    """Of the prompt, those that the prefix cache does not hold."""


@dataclass(frozen=True, slots=True)
class Handlers:
    """What is done with a page at each stage."""

    prepare: Callable[[PageRequest], Prepared]
    """Called on threads."""
    send: Callable[[PageRequest, Prepared], None]
    read: Callable[[str, Any], Generation]


class Stream:
    """The pages of one engine: being prepared on threads, held back, or sent.

    Prepared pages go to the engine at once and wait in its own queue, so that it can start the next one in the
    very step in which one finishes. They are held back where they are to enter in bursts, or where the engine's
    cache did not hold as many as it ran.
    """

    def __init__(
        self,
        core: Core,
        threads: Executor,
        depth: Depth,
        handlers: Handlers,
        *,
        page_timeout_s: float,
        step_tokens: int | None = None,
    ) -> None:
        """Take no page yet.

        Args:
            step_tokens: computed in one step at most; given, pages enter in bursts that fill one.
        """
        self._core = core
        self._steps = core.steps
        self._threads = threads
        self._depth = depth
        self._handlers = handlers
        self._page_timeout_s = page_timeout_s
        self._step_tokens = step_tokens
        self._preparing: dict[Future[Prepared], tuple[PageRequest, float]] = {}
        self._held: deque[tuple[PageRequest, Prepared]] = deque()
        self._sent: dict[str, float] = {}
        """When each page's time is over, in the order in which they were sent."""
        self._has_taken = False
        self._burst = 0
        """Pages of usual size that enter together; 0 where each enters at once."""

    def run(self, requests: Requests) -> Generator[Generation, None, None]:
        """Yield generations until `requests` is exhausted and nothing is in flight.

        Raises:
            EngineError: the engine died.
        """
        self._steps.begin(time.monotonic())
        try:
            while self._num_pages or not requests.exhausted:
                for generation in self._advance(requests):
                    yield generation
                    self._waited(Wait.RECORD)
        finally:
            self._abandon()

    def _advance(self, requests: Requests) -> Iterator[Generation]:
        self._fill(requests)
        yield from self._receive_prepared()
        yield from self._admit()
        if self._sent:
            yield from self._collect()
            yield from self._end_late()
        elif self._preparing:
            wait(self._preparing, IDLE_WAIT_S, FIRST_COMPLETED)
            self._waited(Wait.PREPARE)

    def _waited(self, cause: Wait) -> None:
        if not self._sent:
            self._steps.waited(cause, time.monotonic())

    @property
    def _num_pages(self) -> int:
        return len(self._preparing) + len(self._held) + len(self._sent)

    @property
    def _num_waiting(self) -> int:
        """Prepared pages that do not run, inside the engine or held back, beyond those of one burst."""
        return len(self._held) - self._burst + max(0, len(self._sent) - self._steps.running)

    def _fill(self, requests: Requests) -> None:
        self._has_taken = False
        while len(self._preparing) < self._depth.most_preparing:
            if len(self._preparing) + self._num_waiting >= self._depth.depth:
                self._depth.was_full()
                return
            is_empty = not self._num_pages
            request = requests.take(IDLE_WAIT_S if is_empty else 0)
            if is_empty:
                self._waited(Wait.RENDER)
            if request is None:
                return
            self._has_taken = True
            self._depth.took(sum(shown.image.width_px * shown.image.height_px for shown in request.shown))
            future = self._threads.submit(self._handlers.prepare, request)
            self._preparing[future] = request, time.monotonic()

    def _receive_prepared(self) -> Iterator[Generation]:
        for future in [future for future in self._preparing if future.done()]:
            request, taken_at = self._preparing.pop(future)
            self._depth.prepared(time.monotonic() - taken_at)
            try:
                prepared = future.result()
            except Exception as error:
                # Whatever is wrong with one page must not end the run of a million.
                log.info("page refused by the engine", exc_info=True, extra={"page": request.image_key})
                yield _refuse(request, error)
            else:
                self._held.append((request, prepared))
                if self._step_tokens:
                    self._burst = most_pages(prepared.new_tokens, budget=self._step_tokens, slots=self._depth.limit)

    def _admit(self) -> Iterator[Generation]:
        for _ in range(self._num_admitted()):
            request, prepared = self._held.popleft()
            try:
                self._handlers.send(request, prepared)
            except EngineError:
                raise
            except Exception as error:
                log.info("page refused by the engine", exc_info=True, extra={"page": request.image_key})
                yield _refuse(request, error)
            else:
                self._waited(Wait.PREPARE)
                self._sent[request.request_id] = time.monotonic() + self._page_timeout_s

    def _num_admitted(self) -> int:
        limit = self._depth.limit
        free = max(0, limit - len(self._sent))
        if not self._held or self._step_tokens is None:
            return len(self._held) if limit == self._depth.slots else min(free, len(self._held))
        return burst_size(
            (prepared.new_tokens for _, prepared in self._held),
            free=free,
            budget=self._step_tokens - len(self._sent),
            slots=limit,
            more=bool(self._preparing) or self._has_taken,
        )

    def _collect(self) -> Iterator[Generation]:
        if self._core.wait(POLL_S):
            yield from self._step()

    def _step(self) -> Iterator[Generation]:
        outputs = self._core.step(preparing=bool(self._preparing))
        for output in outputs:
            self._sent.pop(output.request_id, None)
        self._depth.stepped(
            running=self._steps.running,
            waiting=max(0, self._num_waiting),
            preempted=self._steps.preempted,
            finished=len(outputs),
            now=time.monotonic(),
        )
        for output in outputs:
            yield self._handlers.read(output.request_id, output)

    def _end_late(self) -> Iterator[Generation]:
        """Abort pages whose time is over; those that finished while nobody looked are not among them."""
        if not self._late():
            return
        while self._core.wait(0):
            yield from self._step()
        late = self._late()
        self._core.abort(late)
        for request_id in late:
            del self._sent[request_id]
            reason = f"Not read within {self._page_timeout_s:g} s; raise vllm.page_timeout_s if the page is honest."
            error = PageError(ErrorType.ENGINE_TIMEOUT, reason)
            yield Generation(request_id, "", FinishReason.ERROR, error=error)

    def _late(self) -> list[str]:
        now = time.monotonic()
        return list(takewhile(lambda request_id: self._sent[request_id] <= now, self._sent))

    def _abandon(self) -> None:
        for future in self._preparing:
            future.cancel()
        self._preparing.clear()
        self._held.clear()
        self._core.abort(list(self._sent))
        self._sent.clear()


def _refuse(request: PageRequest, error: Exception) -> Generation:
    reason = error.__cause__ or error  # vLLM wraps what the image processor says
    refused = PageError(ErrorType.INPUT_REJECTED, f"vLLM refuses the page: {reason}")
    return Generation(request.request_id, "", FinishReason.ERROR, error=refused)
