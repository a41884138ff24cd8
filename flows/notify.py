"""Event notifications: what buckets say about new objects, over HTTP or from a queue, made into hints.

Never trusted: a hint only says where to look sooner. Understood are S3 events (AWS, MinIO and
others; also by way of SNS and EventBridge), Pub/Sub pushes of Google Cloud Storage, and Azure
Event Grid with its handshakes. Anything else means "look now".
"""

from __future__ import annotations

import contextlib
import hmac
import json
import logging
import re
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote, unquote_plus, urlsplit

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse

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
_VALIDATION = "Microsoft.EventGrid.SubscriptionValidationEvent"
_GONE = ("objectremoved", "object deleted", "object_delete", "object_archive", "blobdeleted", "lifecycleexpiration")
"""What stands in the type of events that bring nothing to read, of S3, EventBridge, GCS and Azure."""

_BLOB = re.compile(r"https?://[^/?#]+\.blob\.[^/?#]+/([^?#]+)")

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


def uris_of(message: object) -> set[str] | None:
    """Return the objects that a notification speaks of (s3://bucket/key, not escaped); None when it says none."""
    if isinstance(message, Mapping) and message.get("Type") == "Notification":  # SNS wraps as text
        return uris_of(_parsed(message.get("Message")))
    events = list(_events(message))
    if not events:
        return None
    found: set[str] = set()
    for event in events:
        if _brings_nothing(event):
            continue
        uri = _uri(event)
        if uri is None or not uri.isprintable():
            return None
        found.add(uri)
    return found


def validation_code(message: object) -> str | None:
    """Return what Azure Event Grid wants to hear back, once, from an endpoint it is to deliver to."""
    for event in message if isinstance(message, list) else ():
        if isinstance(event, Mapping) and event.get("eventType") == _VALIDATION:
            return str(_at(event, "data", "validationCode") or "")
    return None


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
        message = _parsed(body)
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
    if not port.isdecimal():
        raise ConfigError(f"{address!r} is no address; give host:port, such as 127.0.0.1:8070.")
    host = host.strip("[]")
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, int(port)), family=family)
    except (OSError, OverflowError) as error:
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
            ConfigError: boto3 is not installed.
        """
        try:
            import boto3  # type: ignore[import-untyped]
        except ImportError:
            raise ConfigError("Notifications from SQS need boto3; `pip install boto3`.") from None
        parts = (urlsplit(url).hostname or "").split(".")
        region = parts[1] if len(parts) > 2 and parts[0] == "sqs" else None  # sqs.<region>.amazonaws.com
        self._sqs = boto3.client("sqs", region_name=region) if region else boto3.client("sqs")
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
            self._hints.add(uris_of(_parsed(message["Body"])), partial(self._delete, handle))

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


def _parsed(text: object) -> object:
    """Return what JSON says, None for what is none."""
    if not isinstance(text, str | bytes):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _events(message: object) -> Iterator[Mapping[str, Any]]:
    """Yield the events of one message; a message may be one."""
    found = message.get("Records", [message]) if isinstance(message, Mapping) else message
    for event in found if isinstance(found, list) else ():
        if isinstance(event, Mapping):
            yield event


def _kind(event: Mapping[str, Any]) -> str:
    named = (event.get(name) for name in ("eventName", "detail-type", "eventType", "type"))
    return str(next((kind for kind in named if kind), _at(event, "message", "attributes", "eventType") or ""))


def _brings_nothing(event: Mapping[str, Any]) -> bool:
    kind = _kind(event).lower()
    return any(gone in kind for gone in _GONE)


def _uri(event: Mapping[str, Any]) -> str | None:
    """Return the object that an event is about, None for an event of an unknown kind."""
    for place, decode in ((event.get("s3"), unquote_plus), (event.get("detail"), str)):  # S3 itself; EventBridge
        bucket, key = _at(place, "bucket", "name"), _at(place, "object", "key")
        if isinstance(bucket, str) and isinstance(key, str):
            return f"s3://{bucket}/{decode(key)}"
    attributes = _at(event, "message", "attributes")  # Pub/Sub
    bucket, key = _at(attributes, "bucketId"), _at(attributes, "objectId")
    if isinstance(bucket, str) and isinstance(key, str):
        return f"gs://{bucket}/{key}"
    return _blob_uri(_at(event, "data", "url"))


def _blob_uri(url: object) -> str | None:
    """Return az://container/path for https://account.blob.core.windows.net/container/path."""
    found = _BLOB.match(url) if isinstance(url, str) else None
    return f"az://{unquote(found[1])}" if found else None


def _at(value: object, *names: str) -> Any:
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _is_number(value: object) -> bool:
    return isinstance(value, int | float)
