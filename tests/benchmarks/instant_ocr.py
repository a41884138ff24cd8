"""The flow `ocr` with the engine of instant.py: what the worker of bench_flows.py loads.

When its process ends it writes down what it used, to the file that BENCH_FLOWS_COSTS names.
"""

from __future__ import annotations

import atexit
import os
import resource
from pathlib import Path

from flows.ocr import ocr
from tests.benchmarks.instant import instant_choice
from tests.faults import points

__all__ = ["ocr"]

COSTS = "BENCH_FLOWS_COSTS"


def _note_costs() -> None:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    Path(os.environ[COSTS]).write_text(str(sum(each.ru_utime + each.ru_stime for each in used)), "ascii")


if COSTS in os.environ:
    points.replace("pipeline.planning:choose_engine", lambda *_: instant_choice())
    atexit.register(_note_costs)
