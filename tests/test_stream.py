"""The stream of one engine, against an engine made up here: it never stalls, never spins, and lets pages go."""

from __future__ import annotations

import gc
import time
import weakref
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import pytest

from pipeline.data import FinishReason, Generation, PageImage, PageRequest, RenderSpec, TrySettings
from pipeline.engines.vllm.core import Core
from pipeline.engines.vllm.depth import Depth
from pipeline.engines.vllm.steps import Steps
from pipeline.engines.vllm.stream import Handlers, Prepared, Stream
from pipeline.errors import EngineError

SPEC = RenderSpec(784)
FIRST = TrySettings(1, 8, 0.0, constrained=False, render=SPEC)
IMAGE = PageImage(1, np.zeros((28, 28, 3), np.uint8), SPEC, 72, None, 0)
PAGE_STEPS, STEP_S, BUDGET = 5, 0.001, 1000


@dataclass
class Output:
    """A finished page."""

    request_id: str


class MadeUpCore:
    """Runs pages side by side, each for as many steps; with `dies_after`, only so many steps."""

    def __init__(self, slots: int, dies_after: int | None = None) -> None:
        self.steps = Steps(slots, is_async=False)
        self.pages: dict[str, int] = {}
        self.entered: list[int] = []
        """Pages that began together."""
        self.most = 0
        self._slots = slots
        self._new = 0
        self._steps_left = dies_after

    def add(self, request: PageRequest, _: Prepared) -> None:
        """Take a page."""
        self.pages[request.request_id] = PAGE_STEPS
        self._new += 1
        self.most = max(self.most, len(self.pages))

    def wait(self, timeout_s: float) -> bool:
        """Compute a step."""
        if not timeout_s:
            return False
        if self._steps_left == 0:
            raise EngineError("died")
        self._steps_left = self._steps_left and self._steps_left - 1
        time.sleep(STEP_S)
        return True

    def step(self, *, preparing: bool) -> Sequence[Output]:
        """Return the pages that are done."""
        del preparing
        if self._new:
            self.entered.append(self._new)
        self._new = 0
        running = [*self.pages][: self._slots]
        done = []
        for request_id in running:
            self.pages[request_id] -= 1
            if not self.pages[request_id]:
                del self.pages[request_id]
                done.append(Output(request_id))
        self.steps.running = min(len(self.pages), self._slots)
        return done

    def abort(self, request_ids: Sequence[str]) -> None:
        """Drop pages."""
        for request_id in request_ids:
            self.pages.pop(request_id, None)


@dataclass
class Pages:
    """Requests of which one is ready every so often; from `stops_after` on nothing may be taken."""

    total: int
    interval_s: float = 0.0
    stops_after: int | None = None
    taken: int = 0
    calls: int = 0
    out: set[str] = field(default_factory=set)
    due: float = 0.0

    @property
    def exhausted(self) -> bool:
        """As PageFeed says it."""
        return not self.out and self.taken >= (self.total if self.stops_after is None else self.stops_after)

    def take(self, wait_s: float) -> PageRequest | None:
        """Return a page if one is due."""
        self.calls += 1
        if self.taken >= (self.total if self.stops_after is None else self.stops_after):
            return None
        wait_for = self.due - time.monotonic()
        if wait_for > wait_s:
            time.sleep(wait_s)
            return None
        time.sleep(max(0.0, wait_for))
        self.due = time.monotonic() + self.interval_s
        self.taken += 1
        self.out.add(f"{self.taken}")
        return PageRequest(f"{self.taken}", f"{self.taken}", IMAGE, FIRST)


@dataclass
class Run:
    """A stream and all around it."""

    core: MadeUpCore
    pages: Pages
    depth: Depth
    generations: Iterator[Generation]
    prepared: list[weakref.ref[Any]]
    """What was prepared, as far as anybody still holds it."""


class Inputs:
    """What a page becomes; can be watched."""


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    """Threads that prepare pages."""
    with ThreadPoolExecutor(2) as pool:
        yield pool


def begin(
    threads: ThreadPoolExecutor,
    pages: Pages,
    *,
    slots: int = 8,
    limit: int | None = None,
    tokens: int = 240,
    bursts: bool = True,
    dies_after: int | None = None,
    prepare_s: float = 0.002,
) -> Run:
    """Return a stream that is about to begin."""
    core = MadeUpCore(slots, dies_after)
    depth = Depth(slots, 2, most=16, max_bytes=1 << 30)
    depth.limit = limit or slots
    prepared = []

    def prepare(_: PageRequest) -> Prepared:
        time.sleep(prepare_s)
        inputs = Inputs()
        prepared.append(weakref.ref(inputs))
        return Prepared(inputs, tokens)

    def read(request_id: str, _: Any) -> Generation:
        pages.out.discard(request_id)
        return Generation(request_id, "", FinishReason.STOP)

    stream = Stream(
        cast("Core", core),
        threads,
        depth,
        Handlers(prepare, core.add, read),
        page_timeout_s=60,
        step_tokens=BUDGET if bursts else None,
    )
    return Run(core, pages, depth, stream.run(pages), prepared)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("bursts", [True, False])
@pytest.mark.parametrize(
    ("slots", "limit", "tokens"), [(1, 1, 240), (8, 1, 240), (8, 8, 5000), (8, 3, 1), (2, 2, 999), (64, 64, 1)]
)
def test_every_page_is_read_whatever_room_there_is(
    threads: ThreadPoolExecutor, *, bursts: bool, slots: int, limit: int, tokens: int
) -> None:
    """One sequence, a cache that held one, pages larger than a step: none may leave pages held back for ever."""
    begun = begin(threads, Pages(30), slots=slots, limit=limit, tokens=tokens, bursts=bursts)
    assert len({each.request_id for each in begun.generations}) == 30
    assert bursts is False or begun.core.most <= slots


@pytest.mark.timeout(20)
@pytest.mark.parametrize("bursts", [True, False])
def test_pages_that_come_slowly_are_read_at_once_and_waiting_for_them_takes_no_cpu(
    threads: ThreadPoolExecutor, *, bursts: bool
) -> None:
    """A bucket answers slowly: the thread that waits for it is the one that feeds the engine."""
    pages = Pages(12, interval_s=0.08)
    begun = begin(threads, pages, bursts=bursts)
    cpu, began = time.thread_time(), time.monotonic()
    assert len(list(begun.generations)) == 12
    assert begun.core.entered == [1] * 12, "a page waited for others that were not on their way"
    assert time.thread_time() - cpu < 0.25 * (time.monotonic() - began)
    assert pages.calls < 400


@pytest.mark.timeout(20)
def test_pages_enter_together_where_enough_of_them_are_ready(threads: ThreadPoolExecutor) -> None:
    """Four fill a step here."""
    begun = begin(threads, Pages(60), slots=16, prepare_s=0)
    assert len(list(begun.generations)) == 60
    assert max(begun.core.entered) == BUDGET // 240


@pytest.mark.timeout(20)
@pytest.mark.parametrize("stops_after", [1, 3, 5, 11])
def test_pages_held_back_when_the_run_is_stopped_are_still_read(threads: ThreadPoolExecutor, stops_after: int) -> None:
    """Nothing comes that could fill their burst."""
    begun = begin(threads, Pages(1000, stops_after=stops_after))
    assert len(list(begun.generations)) == stops_after


@pytest.mark.timeout(20)
def test_a_dying_engine_leaves_no_page_behind(threads: ThreadPoolExecutor) -> None:
    """Prepared pages hold megabytes each, and the next engine prepares them anew."""
    begun = begin(threads, Pages(1000), dies_after=7, tokens=10)
    with pytest.raises(EngineError, match="died"):
        list(begun.generations)
    threads.submit(int).result()
    threads.shutdown()
    begun.generations = iter(())
    gc.collect()
    assert len(begun.prepared) > 2
    assert [each for each in begun.prepared if each()] == []


@pytest.mark.timeout(20)
def test_a_stream_that_nobody_reads_any_more_lets_its_pages_go(threads: ThreadPoolExecutor) -> None:
    """An engine is replaced in the middle, with pages in each stage."""
    begun = begin(threads, Pages(1000))
    next(begun.generations)
    cast("Any", begun.generations).close()
    threads.shutdown()
    gc.collect()
    assert not begun.core.pages
    assert [each for each in begun.prepared if each()] == []
