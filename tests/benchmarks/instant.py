"""An engine that answers at once, or at a given pace, for the processes that bench_flows.py starts."""

from __future__ import annotations

import os
import time

from pipeline.data import Generation, PageRequest
from pipeline.engines import EngineChoice
from pipeline.engines.scripted import ScriptedEngine
from tests.benchmarks.bench_overhead import answer

PACE = "BENCH_FLOWS_PAGES_PER_S"


def instant_choice() -> EngineChoice:
    """Return the engine; one that answers at once unless the environment says how many pages a second it reads."""
    pages_per_s = float(os.environ.get(PACE, "inf"))

    def paced(request: PageRequest) -> Generation:
        time.sleep(1 / pages_per_s)
        return answer(request)

    engine = ScriptedEngine(paced if pages_per_s < float("inf") else answer, capacity=16)
    return EngineChoice(engine.info, lambda: engine, max_pixels=1 << 20)
