"""vLLM's `LLM`, driven one step at a time. Everything that touches vLLM's internals is in this file.

Checked against the sources of 0.25.1 (GPU) and run on 0.32.0 (CPU build). It does not know
what is read from the pages or where they come from.
"""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.engines.vllm.loading import load_model
from pipeline.engines.vllm.steps import Steps
from pipeline.errors import EngineError

if TYPE_CHECKING:
    import psutil

    from pipeline.data import ShownImage

SHUTDOWN_S = 10
EXIT_S = 5
"""An engine that fails says so before it ends, and only then has an exit code."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """The prompt all pages share: its tokens, with one token in the place of each image."""

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
        self._llm: Any = load_model(arguments, environment)
        self._engine: Any = self._llm.llm_engine
        self._client: Any = self._engine.engine_core
        self._tokenizer: Any = self._llm.get_tokenizer().backend_tokenizer
        self._no_progress_s = no_progress_s
        self._progress_at = time.monotonic()
        self._processes = _processes_of(self._client)
        self._closed = False
        scheduling = self._engine.vllm_config.scheduler_config
        self.steps = Steps(int(scheduling.max_num_seqs), is_async=bool(scheduling.async_scheduling))
        # vLLM and its libraries are 670,000 objects: to look for garbage among them stops all threads for 0.4 s.
        gc.collect()
        gc.freeze()

    @property
    def block_size(self) -> int:
        """Tokens in one block of the KV cache."""
        return int(self._engine.vllm_config.cache_config.block_size)

    @property
    def step_tokens(self) -> int:
        """Tokens computed in one step, at most."""
        return int(self._engine.vllm_config.scheduler_config.max_num_batched_tokens)

    @property
    def process_id(self) -> int:
        """Of the engine's own process."""
        return int(self._client.resources.engine_manager.processes[0].pid)

    def build_prompt(self, instructions: str, num_images: int = 1) -> Prompt:
        """Return the tokens of a conversation: `instructions` as system message, then the images."""
        from PIL import Image
        from vllm.renderers import ChatParams

        image = {"type": "image_pil", "image_pil": Image.new("RGB", (56, 56))}
        messages = [{"role": "system", "content": instructions}, {"role": "user", "content": [image] * num_images}]
        _, rendered = self._llm.renderer.render_messages(messages, ChatParams())
        token_ids = rendered.get("prompt_token_ids")
        if token_ids is None:
            token_ids = self._llm.get_tokenizer().encode(rendered["prompt"], add_special_tokens=False)
        return Prompt(tuple(token_ids), int(self._llm.model_config.hf_config.image_token_id))

    def prepare(self, prompt: Prompt, images: Sequence[ShownImage]) -> Any:
        """Return model inputs for page images, about 6-11 MiB per megapixel; 15-50 ms of CPU time each.

        Raises:
            ValueError: the image or the length of the prompt is not acceptable.
        """
        return self._llm.renderer.render_cmpl([prompt_of(prompt, images)])[0]

    def spell(self, token_ids: Sequence[int]) -> list[str]:
        """Return the text that each token adds; what makes up a character together stands with the last one."""
        from tokenizers.decoders import DecodeStream

        tokenizer = self._tokenizer
        stream, pieces = DecodeStream(skip_special_tokens=True), []
        for token_id in token_ids:
            try:
                piece = stream.step(tokenizer, token_id)
            except Exception:  # noqa: BLE001 - bytes that are no text end its memory of them, as in vLLM (issue 17448)
                stream = DecodeStream(skip_special_tokens=True)
                piece = stream.step(tokenizer, token_id)
            pieces.append(piece or "")
        return pieces

    def generate(self, prompts: Sequence[Any], samplings: Sequence[Any], loras: Sequence[Any]) -> Sequence[Any]:
        """Return the finished outputs of a list of `prompt_of`, in its order, by one call of vLLM's own.

        Raises:
            EngineError: the engine died. One that hangs is not noticed here.
        """
        try:
            outputs: Sequence[Any] = self._llm.generate(
                list(prompts), list(samplings), use_tqdm=False, lora_request=list(loras) if any(loras) else None
            )
        except Exception as error:
            self._raise_if_dead(error)
            raise
        return outputs

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

    def step(self, *, preparing: bool = False) -> Sequence[Any]:
        """Return the requests that finished with the next output, which `steps` then knows.

        Args:
            preparing: whether pages are being prepared for the engine.

        Raises:
            EngineError: the engine died.
        """
        if waiting := self._client.outputs_queue.queue:
            self.steps.add(waiting[0], preparing=preparing)
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

    def read_metrics(self, names: Collection[str]) -> dict[str, float]:
        """Return those of vLLM's own gauges and counters that are named and that it has.

        vLLM's reader goes through every histogram of the process instead, which holds up the pages for 3 ms and more.
        """
        from prometheus_client import REGISTRY

        wanted = {f"{name}{ending}": name for name in names for ending in ("", "_total")}
        collected = REGISTRY.restricted_registry(wanted).collect()
        return {wanted[sample.name]: sample.value for metric in collected for sample in metric.samples}

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
        gc.unfreeze()
        gc.collect()

    def _raise_if_dead(self, cause: Exception | None) -> None:
        if self.is_dead:
            process = self._client.resources.engine_manager.processes[0]
            process.join(EXIT_S)
            raise EngineError(
                f"vLLM's engine process died (exit code {process.exitcode}); its last words are on standard error."
            ) from cause


def prompt_of(prompt: Prompt, images: Sequence[ShownImage]) -> dict[str, Any]:
    """Return what vLLM takes for page images that it has not processed; it takes equal keys for equal pixels."""
    from PIL import Image

    return {
        "prompt_token_ids": list(prompt.token_ids),
        "multi_modal_data": {"image": [Image.fromarray(shown.image.pixels) for shown in images]},
        "multi_modal_uuids": {"image": [shown.image_key for shown in images]},
    }


def _processes_of(client: Any) -> list[psutil.Process]:
    import psutil

    processes = []
    for child in client.resources.engine_manager.processes:
        process = psutil.Process(child.pid)
        processes += [process, *process.children(recursive=True)]
    return processes
