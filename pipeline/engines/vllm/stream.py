"""The stream: pages flow into the engine whenever one leaves it, so it never drains.

Knows nothing about models or prompts; it is handed what prepares a page and what runs it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
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
        prepare: Callable[[PageRequest], Any],
        send: Callable[[PageRequest, Any], None],
        read: Callable[[str, Any], Generation],
    ) -> None:
        self._core = core
        self._threads = threads
        self._capacity = capacity
        self._prepare, self._send, self._read = prepare, send, read
        self._preparing: dict[Future[Any], PageRequest] = {}
        self._running: set[str] = set()

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
                self._running.add(request.request_id)

    def _collect(self) -> Iterator[Generation]:
        if self._core.wait(POLL_S):
            for output in self._core.step():
                self._running.discard(output.request_id)
                yield self._read(output.request_id, output)

    def _abandon(self) -> None:
        for future in self._preparing:
            future.cancel()
        self._preparing.clear()
        self._core.abort(sorted(self._running))
        self._running.clear()


def _refuse(request: PageRequest, error: Exception) -> Generation:
    reason = error.__cause__ or error  # vLLM wraps what the image processor says
    refused = PageError(ErrorType.INPUT_REJECTED, f"vLLM refuses the page: {reason}")
    return Generation(request.request_id, "", FinishReason.ERROR, error=refused)
