"""The stream: pages flow into the engine whenever one leaves it, so it never drains.

Knows nothing about models or prompts; it is handed what prepares a page and what runs it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from itertools import takewhile
from typing import Any

from pipeline.data import FinishReason, Generation, PageRequest
from pipeline.engines.base import Requests
from pipeline.engines.vllm.core import Core
from pipeline.errors import EngineError, ErrorType, PageError

log = logging.getLogger(__name__)

POLL_S = 0.02
"""How long a page that has just been prepared may wait until it is sent; a step takes about as long."""
IDLE_WAIT_S = 0.1


class Stream:
    """The pages inside one engine: being prepared on threads, or running.

    Prepared pages go to the engine at once and wait in its own queue, so that it can start
    the next one in the very step in which one finishes.
    """

    def __init__(
        self,
        core: Core,
        threads: Executor,
        *,
        capacity: int,
        page_timeout_s: float,
        prepare: Callable[[PageRequest], Any],
        send: Callable[[PageRequest, Any], None],
        read: Callable[[str, Any], Generation],
    ) -> None:
        self._core = core
        self._threads = threads
        self._capacity = capacity
        self._page_timeout_s = page_timeout_s
        self._prepare, self._send, self._read = prepare, send, read
        self._preparing: dict[Future[Any], PageRequest] = {}
        self._running: dict[str, float] = {}
        """When each page's time is over, in the order in which they were sent."""

    def run(self, requests: Requests) -> Generator[Generation, None, None]:
        """Yield generations until `requests` is exhausted and nothing is in flight.

        Raises:
            EngineError: the engine died.
        """
        try:
            while True:
                self._fill(requests)
                yield from self._send_prepared()
                if self._running:
                    yield from self._collect()
                    yield from self._end_late()
                elif self._preparing:
                    wait(self._preparing, IDLE_WAIT_S, FIRST_COMPLETED)
                elif requests.exhausted:
                    return
        finally:
            self._abandon()

    @property
    def _in_flight(self) -> int:
        return len(self._preparing) + len(self._running)

    def _fill(self, requests: Requests) -> None:
        while self._in_flight < self._capacity:
            request = requests.take(0 if self._in_flight else IDLE_WAIT_S)
            if request is None:
                return
            self._preparing[self._threads.submit(self._prepare, request)] = request

    def _send_prepared(self) -> Iterator[Generation]:
        for future in [future for future in self._preparing if future.done()]:
            request = self._preparing.pop(future)
            try:
                self._send(request, future.result())
            except EngineError:
                raise
            except Exception as error:
                # Whatever is wrong with one page must not end the run of a million.
                log.info("page refused by the engine", exc_info=True, extra={"page": request.image_key})
                yield _refuse(request, error)
            else:
                self._running[request.request_id] = time.monotonic() + self._page_timeout_s

    def _collect(self) -> Iterator[Generation]:
        if self._core.wait(POLL_S):
            yield from self._step()

    def _step(self) -> Iterator[Generation]:
        for output in self._core.step():
            self._running.pop(output.request_id, None)
            yield self._read(output.request_id, output)

    def _end_late(self) -> Iterator[Generation]:
        """Abort pages whose time is over; those that finished while nobody looked are not among them."""
        if not self._late():
            return
        while self._core.wait(0):
            yield from self._step()
        late = self._late()
        self._core.abort(late)
        for request_id in late:
            del self._running[request_id]
            reason = f"Not read within {self._page_timeout_s:g} s; raise vllm.page_timeout_s if the page is honest."
            error = PageError(ErrorType.ENGINE_TIMEOUT, reason)
            yield Generation(request_id, "", FinishReason.ERROR, error=error)

    def _late(self) -> list[str]:
        now = time.monotonic()
        return list(takewhile(lambda request_id: self._running[request_id] <= now, self._running))

    def _abandon(self) -> None:
        for future in self._preparing:
            future.cancel()
        self._preparing.clear()
        self._core.abort(list(self._running))
        self._running.clear()


def _refuse(request: PageRequest, error: Exception) -> Generation:
    reason = error.__cause__ or error  # vLLM wraps what the image processor says
    refused = PageError(ErrorType.INPUT_REJECTED, f"vLLM refuses the page: {reason}")
    return Generation(request.request_id, "", FinishReason.ERROR, error=refused)
