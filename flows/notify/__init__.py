"""Event notifications: what buckets say about new objects, over HTTP or from a queue, made into hints.

Never trusted: a hint only says where to look sooner. Understood are S3 events (AWS, MinIO and
others; also by way of SNS and EventBridge), Pub/Sub pushes of Google Cloud Storage, and Azure
Event Grid with its handshakes. Anything else means "look now".
"""

from __future__ import annotations

import contextlib
import hmac
import logging
import os
import re
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse

from flows.notify.messages import parsed, uris_of, validation_code
from pipeline.errors import ConfigError

log = logging.getLogger(__name__)

TOKEN_VARIABLE = "FLOWS_NOTIFY_TOKEN"  # noqa: S105 - the name of a variable
MOST_BODY_BYTES = 1 << 20
"""A message of SQS, Pub/Sub and Event Grid is smaller."""
MOST_HINTS = 10_000
"""Kept until the next look; more of them mean "look at all"."""
QUEUE_WAIT_S = 20
"""The longest that SQS lets a request wait for messages."""
QUEUE_PAUSE_S = 10.0
"""After the queue could not be reached."""
_REGION = re.compile(r"https://sqs\.([a-z0-9-]+)\.amazonaws\.")

Acknowledge = Callable[[], None]


@dataclass(slots=True)
class Noticed:
    """What came in since the last look."""

    uris: set[str] = field(default_factory=set)
    everywhere: bool = False
    """Something happened, and nobody knows where."""
    acknowledge: list[Acknowledge] = field(default_factory=list)
    """To be called once it was looked at."""


class Hints:
    """Where notifications wait for the next look; for several threads."""

    def __init__(self) -> None:
        self._noticed = Noticed()
        self._lock = threading.Lock()
        self._came = threading.Event()

    def add(self, uris: Iterable[str] | None, acknowledge: Acknowledge | None = None) -> None:
        """Take hints, None for "look everywhere", and wake who waits for them."""
        with self._lock:
            noticed = self._noticed
            noticed.uris.update(uris or ())
            noticed.everywhere |= uris is None or len(noticed.uris) > MOST_HINTS
            if noticed.everywhere:
                noticed.uris.clear()
            if acknowledge:
                noticed.acknowledge.append(acknowledge)
        self._came.set()

    def take(self) -> Noticed:
        """Return what came, and forget it."""
        with self._lock:
            taken, self._noticed = self._noticed, Noticed()
            self._came.clear()
        return taken

    def put_back(self, noticed: Noticed) -> None:
        """Take again what could not be looked at."""
        with self._lock:
            self._noticed.uris |= noticed.uris
            self._noticed.everywhere |= noticed.everywhere
            self._noticed.acknowledge += noticed.acknowledge

    def wait(self, seconds: float) -> None:
        """Return when something comes, or after this time."""
        self._came.wait(seconds)

    def wake(self) -> None:
        """Have `wait` return."""
        self._came.set()


def notify_app(hints: Hints, *, token: str | None, health: Callable[[], tuple[bool, dict[str, Any]]]) -> FastAPI:
    """Return the web application: POST /notify, GET /health and GET /metrics.

    Args:
        token: must come with notifications, as "Authorization: Bearer …" or as ?token=….
        health: whether all is well, and the figures that say so.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.post("/notify")
    async def notify(request: Request) -> Response:
        if not _may(request, token):
            return Response(status_code=HTTPStatus.UNAUTHORIZED)
        body = await _body(request)
        if body is None:
            return Response(status_code=HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        message = parsed(body)
        if (code := validation_code(message)) is not None:
            return JSONResponse({"validationResponse": code})
        hints.add(uris_of(message))
        return Response(status_code=HTTPStatus.ACCEPTED)

    @app.options("/notify")
    def handshake(request: Request) -> Response:
        """CloudEvents' handshake (HTTP 1.1 Web Hooks for Event Delivery, section 4), which Event Grid uses too."""
        allowed = {"WebHook-Allowed-Origin": request.headers.get("WebHook-Request-Origin", "*")}
        return Response(headers=allowed if _may(request, token) else {})

    @app.get("/health")
    def healthy() -> Response:
        is_well, figures = health()
        return JSONResponse(figures, HTTPStatus.OK if is_well else HTTPStatus.SERVICE_UNAVAILABLE)

    @app.get("/metrics")
    def metrics() -> Response:
        lines = [f"pagemill_inbox_{name} {value:g}" for name, value in health()[1].items() if _is_number(value)]
        return PlainTextResponse("\n".join(lines) + "\n", media_type="text/plain; version=0.0.4")

    return app


@contextlib.contextmanager
def serving(app: FastAPI, address: str) -> Iterator[int]:
    """Serve an application on a thread until exit, and say on which port.

    Args:
        address: "host:port"; port 0 is any that is free.

    Raises:
        ConfigError: nothing can be served there.
    """
    host, _, port = address.rpartition(":")
    if ":" not in address or not port.isdecimal() or int(port) > 65535:
        raise ConfigError(f"{address!r} is no address; give host:port, such as 127.0.0.1:8070.")
    host = host.strip("[]")
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, int(port)), family=family)
    except OSError as error:
        raise ConfigError(f"Notifications cannot be taken at {address}: {error}.") from error
    # Without access log: a token may stand in the address.
    server = uvicorn.Server(uvicorn.Config(app, access_log=False, log_level="warning", timeout_graceful_shutdown=2))
    thread = threading.Thread(target=server.run, args=([listener],), name="notify", daemon=True)
    thread.start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join(5)
        listener.close()


class QueueReader:
    """Takes notifications from an SQS queue on a thread of its own; deletes each once it was looked at."""

    def __init__(self, url: str, hints: Hints, *, wait_s: int = QUEUE_WAIT_S) -> None:
        """Begin.

        Raises:
            ConfigError: boto3 is not installed, or knows no region.
        """
        try:
            import boto3  # type: ignore[import-untyped]
            from botocore.exceptions import BotoCoreError  # type: ignore[import-untyped]
        except ImportError:
            raise ConfigError("Notifications from SQS need boto3; `pip install boto3`.") from None
        found = _REGION.match(url)
        try:
            self._sqs = boto3.client("sqs", region_name=found[1] if found else os.environ.get("AWS_REGION"))
        except (BotoCoreError, ValueError) as error:
            raise ConfigError(f"The queue {url} cannot be opened: {error}") from error
        self._url, self._hints, self._wait_s = url, hints, wait_s
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, name="queue", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take no more; a request that waits for messages is left to itself."""
        self._stopped.set()
        self._thread.join(self._wait_s if self._wait_s < QUEUE_WAIT_S else 0.5)
        if not self._thread.is_alive():
            self._sqs.close()

    def _work(self) -> None:
        is_away = False
        while not self._stopped.is_set():
            try:
                self._receive()
            except Exception as error:  # noqa: BLE001 - whatever boto3 raises, polling goes on without notifications
                if not is_away:
                    log.warning("The queue cannot be read; documents are found by listing meanwhile: %s", error)
                is_away = True
                self._stopped.wait(QUEUE_PAUSE_S)
            else:
                if is_away:
                    log.info("The queue can be read again.")
                is_away = False

    def _receive(self) -> None:
        answer = self._sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10, WaitTimeSeconds=self._wait_s)
        for message in answer.get("Messages", ()):
            handle = message["ReceiptHandle"]
            self._hints.add(uris_of(parsed(message["Body"])), partial(self._delete, handle))

    def _delete(self, handle: str) -> None:
        self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=handle)


def _may(request: Request, token: str | None) -> bool:
    if token is None:
        return True
    given = request.headers.get("Authorization", "").removeprefix("Bearer ") or request.query_params.get("token", "")
    return hmac.compare_digest(given.encode(), token.encode())


async def _body(request: Request) -> bytes | None:
    """Return the body, None when it is longer than any notification."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BODY_BYTES:
            return None
    return bytes(body)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float)
