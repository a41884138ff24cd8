"""Keeps an engine reading until no page is left; replaces one that dies, stands still, grows or writes garbage."""

from __future__ import annotations

import logging
import time
from contextlib import closing
from typing import Protocol

from pipeline.config import RunConfig
from pipeline.data import EngineMetrics, Generation
from pipeline.engines import EngineChoice
from pipeline.engines.base import Engine
from pipeline.errors import EngineError, EngineStartError, ErrorType, PageError
from pipeline.feed import PageFeed
from pipeline.judge import GarbageAlarm
from pipeline.settling import Settling
from pipeline.tally import Tally

log = logging.getLogger(__name__)

AHEAD_FACTOR = 1.5
"""Page images ready or in the making, as a multiple of what the engine holds: enough that it never waits
for rendering, few enough that 3 MB images stay within a few hundred megabytes."""
SAMPLE_INTERVAL_S = 0.25


class Listener(Protocol):
    """Who is told of what becomes of engines; see run."""

    def engine_opened(self, engine: Engine) -> None:
        """An engine is loaded and about to read; raises EngineError when it cannot be trusted."""
        ...

    def engine_replaced(self, pages_resent: int) -> None:
        """An engine is given up; the pages that it held are sent to the next one."""
        ...

    def engine_sampled(self, metrics: EngineMetrics) -> None:
        """These are the engine's figures of now."""
        ...


class Driver:
    """Drives one run's engines, one after the other."""

    def __init__(
        self,
        config: RunConfig,
        choice: EngineChoice,
        feed: PageFeed,
        *,
        settling: Settling,
        tally: Tally,
        listener: Listener,
    ) -> None:
        self._config = config
        self._choice = choice
        self._feed = feed
        self._settling = settling
        self._tally = tally
        self._listener = listener
        self._alarm = GarbageAlarm()
        self._sample_due = 0.0
        self._deaths = 0
        """Since the last page that was read."""

    def drive(self) -> None:
        """Settle every page of the feed.

        Raises:
            EngineStartError: the first engine cannot be started.
            EngineError: engines died again and again, and no page was read in between.
        """
        try:
            self._drive()
        except EngineError:
            self._settling.finish(at_once=True)
            raise
        self._settling.finish()

    def _drive(self) -> None:
        engines = 0
        while self._feed.wait_for_page():
            engines += 1
            self._tally.report("loading the engine")
            try:
                with closing(self._choice.open()) as engine:
                    self._listener.engine_opened(engine)
                    self._read(engine)
            except EngineError as error:
                if engines == 1 and isinstance(error, EngineStartError):
                    raise
                self._bury(error)

    def _read(self, engine: Engine) -> None:
        """Read until nothing is left, or until the engine has to be replaced."""
        self._tally.report("reading")
        self._feed.ahead = self._config.render.ahead_pages or int(AHEAD_FACTOR * engine.capacity) + 1
        with closing(engine.generate(self._feed)) as generations:
            for generation in generations:
                self._deaths = 0
                if self._alarm.saw(self._settle(generation)):
                    log.warning("the engine writes nothing but repetitions; it is replaced")
                    self._replace()
                    return
                if time.monotonic() >= self._sample_due:
                    self._watch(engine.metrics())
        self._listener.engine_sampled(engine.metrics())
        if self._feed.paused:
            self._replace()

    def _settle(self, generation: Generation) -> ErrorType | None:
        """Record a page or send it again; return what was wrong with its output."""
        task = self._feed.resolve(generation.request_id)
        decision = self._settling.judge.decide(task, generation)
        fault = task.attempts[-1].error
        if following := self._settling.judged(task, decision):
            self._tally.pages_retried += 1
            why = {"document": task.document.ref.uri, "page": task.page_number}
            log.info("page is tried again: %s", task.attempts[-1].error, extra=why)
            self._feed.retry(task, following)
        else:
            self._tally.page_read(len(task.window))
        return fault.error_type if fault else None

    def _watch(self, metrics: EngineMetrics) -> None:
        """Have an engine replaced that takes more than its share of the host's memory (vllm issue 15294)."""
        self._sample_due = time.monotonic() + SAMPLE_INTERVAL_S
        self._listener.engine_sampled(metrics)
        used, limit = (metrics.gauges.get(name) for name in ("host_memory_bytes", "host_memory_limit_bytes"))
        if used and limit and used > limit and not self._feed.paused:
            log.warning("the engine uses %.1f GB of this machine's memory; it is replaced", used / 1e9)
            self._feed.paused = True

    def _replace(self) -> None:
        """Give an engine up that lives; its pages are as good as any."""
        self._listener.engine_replaced(self._feed.num_in_flight)
        self._feed.send_again()
        self._feed.paused = False

    def _bury(self, error: EngineError) -> None:
        """Send a dead engine's pages again, or fail the one that killed it."""
        self._deaths += 1
        self._feed.paused = False
        held = self._feed.num_in_flight
        killer = self._feed.engine_died()
        self._listener.engine_replaced(held - (killer is not None))
        if killer:
            cause = PageError(ErrorType.ENGINE_CRASH, f"The engine died when it held this page alone: {error}")
            self._settling.give_up(killer, cause)
        if self._deaths > self._config.tries.engine_rebuilds:
            raise EngineError(f"The engine died {self._deaths} times and read no page in between: {error}") from error
        log.warning("engine died (%s); starting it again", error)
