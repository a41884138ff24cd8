"""vLLM's `LLM`, driven one step at a time. Everything that touches vLLM's internals is in this file.

Checked against the sources of 0.25.1 (GPU) and run on 0.32.0 (CPU build). It does not know
what is read from the pages or where they come from.
"""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING, Any

from pipeline.errors import EngineError, EngineStartError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import psutil

SHUTDOWN_S = 10
POLL_S = 0.1
EXIT_S = 5
"""An engine that fails says so before it ends, and only then has an exit code."""
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


@dataclass(frozen=True, slots=True)
class Prompt:
    """The prompt all pages share: its tokens, with one token in the image's place."""

    token_ids: tuple[int, ...]
    image_token_id: int


class Core:
    """One loaded model in its own process.

    After an EngineError only `close` is allowed. `prepare` may be called from any thread,
    the rest from one thread at a time.
    """

    def __init__(self, arguments: Mapping[str, Any], environment: Mapping[str, str], no_progress_s: float) -> None:
        """Load the model: half a minute to several minutes.

        Raises:
            EngineStartError: vLLM refuses the settings or its process ends while it loads.
        """
        for name, value in {**ENVIRONMENT, **environment}.items():
            os.environ.setdefault(name, value)
        try:
            self._llm: Any = _load(arguments)
        except Exception as error:
            raise EngineStartError(_start_message(error)) from error
        self._engine: Any = self._llm.llm_engine
        self._client: Any = self._engine.engine_core
        self._no_progress_s = no_progress_s
        self._progress_at = time.monotonic()
        self._processes = _processes_of(self._client)
        self._closed = False

    @property
    def block_size(self) -> int:
        """Tokens in one block of the KV cache."""
        return int(self._engine.vllm_config.cache_config.block_size)

    @property
    def process_id(self) -> int:
        """Of the engine's own process."""
        return int(self._client.resources.engine_manager.processes[0].pid)

    def build_prompt(self, instructions: str) -> Prompt:
        """Return the tokens of a conversation: `instructions` as system message, then one image."""
        from PIL import Image
        from vllm.renderers import ChatParams

        image = {"type": "image_pil", "image_pil": Image.new("RGB", (56, 56))}
        messages = [{"role": "system", "content": instructions}, {"role": "user", "content": [image]}]
        _, rendered = self._llm.renderer.render_messages(messages, ChatParams())
        token_ids = rendered.get("prompt_token_ids")
        if token_ids is None:
            token_ids = self._llm.get_tokenizer().encode(rendered["prompt"], add_special_tokens=False)
        return Prompt(tuple(token_ids), int(self._llm.model_config.hf_config.image_token_id))

    def prepare(self, prompt: Prompt, pixels: npt.NDArray[np.uint8], image_key: str) -> Any:
        """Return model inputs for a page, about 6-11 MiB per megapixel; 15-50 ms of CPU time.

        Args:
            image_key: identity of the pixels; vLLM takes equal keys for equal pixels.

        Raises:
            ValueError: the image or the length of the prompt is not acceptable.
        """
        from PIL import Image

        return self._llm.renderer.render_cmpl(
            [
                {
                    "prompt_token_ids": list(prompt.token_ids),
                    "multi_modal_data": {"image": Image.fromarray(pixels)},
                    "multi_modal_uuids": {"image": [image_key]},
                }
            ]
        )[0]

    def add(self, request_id: str, prepared: Any, sampling: Any, lora: Any) -> None:
        """Queue a prepared page.

        Raises:
            ValueError: vLLM refuses it; the engine lives.
            EngineError: the engine is dead.
        """
        if not self._engine.has_unfinished_requests():
            self._progress_at = time.monotonic()
        try:
            self._engine.add_request(request_id, prepared, sampling, lora_request=lora)
        except Exception as error:
            self._raise_if_dead(error)
            raise

    def wait(self, timeout_s: float) -> bool:
        """Return whether `step` has an output to take, after waiting for one at most `timeout_s`.

        `step` itself waits for ever on an engine that died or hangs, so it must not be
        called unless this returned True.

        Raises:
            EngineError: the engine died, or made no token for `no_progress_s` and was killed.
        """
        queue = self._client.outputs_queue
        with queue.not_empty:
            if queue.not_empty.wait_for(lambda: len(queue.queue) > 0, timeout_s):
                if getattr(queue.queue[0], "outputs", None):
                    self._progress_at = time.monotonic()
                return True
        self._raise_if_dead(None)
        if time.monotonic() - self._progress_at > self._no_progress_s:
            self.kill()
            raise EngineError(f"vLLM made no progress for {self._no_progress_s:g} s; its process was killed.")
        return False

    def step(self) -> Sequence[Any]:
        """Return the requests that finished with the next output.

        Raises:
            EngineError: the engine died.
        """
        try:
            return [output for output in self._engine.step() if output.finished]
        except Exception as error:
            self._raise_if_dead(error)
            raise EngineError(f"vLLM failed between two steps: {error}") from error

    def abort(self, request_ids: Sequence[str]) -> None:
        """Drop requests that were added; nothing when the engine is dead."""
        if request_ids and not self.is_dead:
            self._engine.abort_request(list(request_ids))

    @property
    def is_dead(self) -> bool:
        """Whether the engine's process is gone."""
        return bool(self._client.resources.engine_dead)

    def read_metrics(self) -> Sequence[Any]:
        """Return vLLM's own metrics; see `vllm.v1.metrics.reader`."""
        metrics: Sequence[Any] = self._llm.get_metrics()
        return metrics

    def host_memory_bytes(self) -> int:
        """Return the resident memory of this process and the engine's; what they share counts twice."""
        import psutil

        total = 0
        for process in (psutil.Process(), *self._processes):
            with contextlib.suppress(psutil.NoSuchProcess):
                total += int(process.memory_info().rss)
        return total

    def kill(self) -> None:
        """End the engine's process and its children at once."""
        import psutil

        for process in self._processes:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue

    def close(self) -> None:
        """End the engine's processes and wait until their memory is free; a second call does nothing."""
        if self._closed:
            return
        self._closed = True
        import psutil

        self._llm.renderer.shutdown()
        self._client.shutdown(timeout=SHUTDOWN_S)
        # A child outlives its killed parent by seconds, and holds GPU memory the next engine needs.
        _, alive = psutil.wait_procs(self._processes, timeout=SHUTDOWN_S)
        if alive:
            self.kill()
            psutil.wait_procs(alive, timeout=SHUTDOWN_S)
        del self._llm, self._engine
        gc.collect()

    def _raise_if_dead(self, cause: Exception | None) -> None:
        if self.is_dead:
            process = self._client.resources.engine_manager.processes[0]
            process.join(EXIT_S)
            raise EngineError(
                f"vLLM's engine process died (exit code {process.exitcode}); its last words are on standard error."
            ) from cause


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


def _processes_of(client: Any) -> list[psutil.Process]:
    import psutil

    processes = []
    for child in client.resources.engine_manager.processes:
        process = psutil.Process(child.pid)
        processes += [process, *process.children(recursive=True)]
    return processes


def _start_message(error: Exception) -> str:
    reason = str(error).strip().split("\n")[0] or type(error).__name__
    return (
        f"vLLM could not start: {reason} (its own report is on standard error; "
        "VLLM_LOGGING_LEVEL=INFO makes it longer, docs/gpu.md lists known causes)"
    )
