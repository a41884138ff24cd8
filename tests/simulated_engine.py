"""An engine, and the threads that prepare its pages, in simulated time: what the control of the queue is tried on.

The figures are those of an H100 with the 7B model: a decode step takes 20 ms, a page's prompt 30 ms more, six
prompts fit into a step, and an output has 400 tokens.
"""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, field
from itertools import count

from pipeline.engines.vllm.depth import Depth

STEP_S, PROMPT_S, PROMPTS = 0.020, 0.030, 6


@dataclass
class SimulatedEngine:
    """Runs `depth` against an endless supply of page images."""

    depth: Depth
    threads: int
    prepare_s: float = 0.2
    cache_tokens: int | None = None
    """What running sequences may write together, before the youngest is preempted."""
    lengths: tuple[int, int] = (300, 500)
    commit_s: float = 0.0
    """How long a commit keeps the stream from the engine."""
    shard_pages: int = 512
    now: float = 0.0
    starved_s: float = 0.0
    """Time in which sequences lacked and no page was prepared."""
    preempted: int = 0
    finished: int = 0
    depths: list[int] = field(default_factory=list)
    waiting_after_step: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._draw = random.Random(1)
        self._ids = count()
        self._preparing: list[tuple[float, float]] = []
        """Heap of (ready, taken)."""
        self._free = [0.0] * self.threads
        """When each thread is free."""
        self._waiting: list[int] = []
        """Tokens still to be written."""
        self._running: dict[int, list[int]] = {}
        """Tokens still to be written, and written."""
        self._blocked_until = 0.0

    @property
    def num_running(self) -> int:
        """Sequences that run."""
        return len(self._running)

    def run(self, seconds: float) -> None:
        """Go on for so long."""
        end = self.now + seconds
        while self.now < end:
            if self.now >= self._blocked_until:
                self._fill()
            finished = self.finished
            self._step()
            if self.finished // self.shard_pages > finished // self.shard_pages:
                self._blocked_until = self.now + self.commit_s

    def _fill(self) -> None:
        while self._preparing and self._preparing[0][0] <= self.now:
            ready, taken = heapq.heappop(self._preparing)
            self.depth.prepared(ready - taken)
            self._waiting.append(self._draw.randint(*self.lengths))
        while len(self._preparing) < self.depth.most_preparing:
            if len(self._preparing) + len(self._waiting) >= self.depth.depth:
                self.depth.was_full()
                return
            begin = max(self.now, heapq.heappop(self._free))
            ready = begin + self.prepare_s * self._draw.uniform(0.7, 1.3)
            heapq.heappush(self._free, ready)
            heapq.heappush(self._preparing, (ready, self.now))
            self.depth.took(1_000_000)

    def _step(self) -> None:
        room = self.depth.limit - len(self._running)
        prompts = min(PROMPTS, len(self._waiting), max(0, room))
        for length in self._waiting[:prompts]:
            self._running[next(self._ids)] = [length, 0]
        del self._waiting[:prompts]
        spent = STEP_S + PROMPT_S * prompts
        self.now += spent
        self.starved_s += spent if len(self._running) < self.depth.limit and not self._waiting else 0.0
        done = self._decode()
        preempted = self._preempt()
        self.finished += done
        self.preempted += preempted
        self.depths.append(self.depth.depth)
        self.waiting_after_step.append(len(self._waiting))
        self.depth.stepped(
            running=len(self._running),
            waiting=len(self._waiting),
            preempted=preempted,
            finished=done,
            now=self.now,
        )

    def _decode(self) -> int:
        for page in self._running.values():
            page[0] -= 1
            page[1] += 1
        over = [key for key, page in self._running.items() if not page[0]]
        for key in over:
            del self._running[key]
        return len(over)

    def _preempt(self) -> int:
        """Send the youngest back until the others fit."""
        preempted = 0
        while self.cache_tokens and sum(page[1] for page in self._running.values()) > self.cache_tokens:
            left, written = self._running.pop(max(self._running))
            self._waiting.insert(0, left + written)
            preempted += 1
        return preempted
