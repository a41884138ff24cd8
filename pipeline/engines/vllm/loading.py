"""Loading a model with vLLM: what its processes must find around them, and how an interrupted start ends."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Mapping
from concurrent.futures import Future, wait
from multiprocessing import resource_tracker
from typing import Any

from pipeline.errors import EngineStartError

POLL_S = 0.1
ENVIRONMENT: Mapping[str, str] = {
    # With 0 the model's work no longer overlaps with ours, and closing frees no GPU memory.
    "VLLM_ENABLE_V1_MULTIPROCESSING": "1",
    # This process has threads, and a fork with threads may deadlock.
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
    # Standard output belongs to whoever runs Pagemill; errors still show.
    "VLLM_LOGGING_STREAM": "ext://sys.stderr",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "TRANSFORMERS_VERBOSITY": "error",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
}
"""Variables vLLM reads at import, here and in its child processes; the user's own win."""


def load_model(arguments: Mapping[str, Any], environment: Mapping[str, str]) -> Any:
    """Return vLLM's LLM: half a minute to several minutes.

    Raises:
        EngineStartError: vLLM refuses the settings or its process ends while it loads.
    """
    for name, value in {**ENVIRONMENT, **environment}.items():
        os.environ.setdefault(name, value)
    try:
        return _load(arguments)
    except Exception as error:
        raise EngineStartError(_start_message(error)) from error


def _load(arguments: Mapping[str, Any]) -> Any:
    """Return vLLM's LLM, made on a thread of its own.

    vLLM swallows a KeyboardInterrupt that comes while its engine starts, so it must come elsewhere. And Ctrl-C
    goes to all processes of a terminal, though the run wants the pages that are in the engine: a signal
    blocked in the thread that starts a process stays blocked there, whatever handlers that sets.
    """
    import vllm

    loaded: Future[Any] = Future()

    def load() -> None:
        resource_tracker.ensure_running()  # its start unblocks the signal (CPython issue 77794)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            loaded.set_result(vllm.LLM(**arguments))
        except BaseException as error:  # noqa: BLE001 - the waiting thread raises it
            loaded.set_exception(error)

    threading.Thread(target=load, name="load-vllm", daemon=True).start()
    try:
        return loaded.result()
    except KeyboardInterrupt:
        _end_loading(loaded)
        raise


def _end_loading(loaded: Future[Any]) -> None:
    """Kill what vLLM started, and what it still starts: processes that nobody ends would outlive this one."""
    import psutil

    is_done = False
    while not is_done:
        is_done = bool(wait([loaded], POLL_S).done)
        for child in multiprocessing.active_children():  # Pagemill's own workers are none of them
            with contextlib.suppress(psutil.NoSuchProcess):
                for process in psutil.Process(child.pid).children(recursive=True):
                    process.kill()
            child.kill()


def _start_message(error: Exception) -> str:
    reason = str(error).strip().split("\n")[0] or type(error).__name__
    return (
        f"vLLM could not start: {reason} (its own report is on standard error; "
        "VLLM_LOGGING_LEVEL=INFO makes it longer, docs/gpu.md lists known causes)"
    )
