"""An engine that answers what it is told to: for tests and for measuring everything around an engine."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator

from pipeline.data import EngineMetrics, FinishReason, Generation, PageRequest
from pipeline.engines.base import EngineInfo, Requests

IDLE_WAIT_S = 0.05


class ScriptedEngine:
    """Answers each request with what `answer` returns for it: a Generation, or the text of a finished one.

    An exception that `answer` raises leaves `generate`, as a dying engine's EngineError does.
    Answers come last in, first out, so that nothing can rely on their order.
    """

    def __init__(self, answer: Callable[[PageRequest], Generation | str], *, capacity: int = 4) -> None:
        self.info = EngineInfo("scripted", model="scripted", revision="1", version="1")
        self.capacity = capacity
        self.slots = 1
        self._answer = answer

    def generate(self, requests: Requests) -> Generator[Generation, None, None]:
        """Yield the scripted answers."""
        held: deque[PageRequest] = deque()
        while True:
            while len(held) < self.capacity and (taken := requests.take(0 if held else IDLE_WAIT_S)):
                held.append(taken)
            if held:
                yield self._generation(held.pop())
            elif requests.exhausted:
                return

    def metrics(self) -> EngineMetrics:
        """Nothing to report."""
        return EngineMetrics()

    def close(self) -> None:
        """Nothing to release."""

    def _generation(self, request: PageRequest) -> Generation:
        answer = self._answer(request)
        if isinstance(answer, Generation):
            return answer
        return Generation(request.request_id, answer, FinishReason.STOP)
