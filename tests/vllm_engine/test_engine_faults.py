"""What becomes of an engine that runs out of memory, and of one that is interrupted while it starts."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import numpy as np
import psutil
import pytest
from pydantic import BaseModel
from vllm_engine.page_requests import PageList, make_request

from pipeline.config import VllmConfig
from pipeline.engines.base import EngineTask
from pipeline.engines.vllm import VllmEngine
from pipeline.errors import EngineError
from pipeline.values import DateOrder

pytestmark = [
    pytest.mark.slow,
    pytest.mark.vllm,
    # What vLLM's own dependencies warn about while they are imported is not ours to mend.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
]

TASK = EngineTask(
    name="transcript",
    prompt="Write down the page.",
    json_schema={},
    load_model=lambda: BaseModel,
    plain_text=True,
    date_order=DateOrder.DAY_FIRST,
)
ROOM_BYTES = 20 << 20
"""Enough for small pages; the vision tower wants 51 MB at once for a large one."""


def processes_of(engine: VllmEngine) -> list[psutil.Process]:
    """Return the engine's processes; the last one runs the model."""
    core = psutil.Process(engine.process_id)
    return [core, *core.children(recursive=True)]


def test_an_engine_out_of_memory_in_the_vision_tower_dies_at_once(tiny_config: VllmConfig) -> None:
    """So it does on a GPU: vLLM takes any error within a step for fatal. The run builds a new one and sends all again.

    The memory limit is the operating system's, set from outside on the process that runs the model.
    """
    with closing(VllmEngine(tiny_config, TASK)) as engine:
        processes = processes_of(engine)
        address_space = processes[-1].memory_info().vms + ROOM_BYTES
        processes[-1].rlimit(psutil.RLIMIT_AS, (address_space, address_space))
        small = [make_request(constrained=False) for _ in range(3)]
        large = make_request(pixels=np.random.default_rng(0).integers(0, 255, (1344, 1596, 3), dtype=np.uint8))
        started = time.monotonic()
        with pytest.raises(EngineError, match="process died"):
            list(engine.generate(PageList([*small, large])))
        assert time.monotonic() - started < tiny_config.no_progress_s / 5
    assert not any(process.is_running() for process in processes)


def starting_engines() -> list[psutil.Process]:
    """Return vLLM's processes below this one."""
    return [process for process in psutil.Process().children(recursive=True) if "VLLM" in process.name()]


def interrupt_when_it_starts() -> None:
    """Send this process what Ctrl-C sends, as soon as vLLM has a process of its own."""
    while not starting_engines():
        time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Have Ctrl-C interrupt this process, also where a shell started it in the background and has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_while_the_engine_starts_ends_it_at_once(tiny_config: VllmConfig, interruptible: None) -> None:
    """Loading takes minutes, and vLLM itself swallows the interrupt and loads on."""
    watcher = threading.Thread(target=interrupt_when_it_starts)
    watcher.start()
    with pytest.raises(KeyboardInterrupt):
        VllmEngine(tiny_config, TASK)
    interrupted_at = time.monotonic()
    watcher.join()
    while starting_engines():
        assert time.monotonic() - interrupted_at < 5
        time.sleep(0.05)
