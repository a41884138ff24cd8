"""Notifications of buckets, as their makers send them, over HTTP and from a queue."""

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from flows.notify import MOST_BODY_BYTES, MOST_HINTS, Hints, QueueReader, notify_app, serving
from flows.notify.messages import uris_of
from pipeline.errors import ConfigError

TOKEN = "a word"


def s3_event(key: str, kind: str = "ObjectCreated:Put") -> dict[str, Any]:
    """Return one record as S3 and MinIO send it; keys are escaped as in a form."""
    return {"eventSource": "aws:s3", "eventName": kind, "s3": {"bucket": {"name": "documents"}, "object": {"key": key}}}


def pushed(kind: str, object_id: str) -> dict[str, Any]:
    """Return a push of Pub/Sub about an object in Google Cloud Storage."""
    attributes = {"eventType": kind, "bucketId": "documents", "objectId": object_id, "payloadFormat": "JSON_API_V1"}
    return {"message": {"attributes": attributes, "data": "e30=", "messageId": "1"}, "subscription": "projects/p/s"}


def blob_event(kind: str, url: str) -> dict[str, Any]:
    """Return one event of Azure Event Grid."""
    return {"topic": "/subscriptions/s", "eventType": kind, "data": {"api": "PutBlob", "url": url}}


S3 = {"Records": [s3_event("in/a+b%2Bc.pdf"), s3_event("in/%C3%BC.pdf", "s3:ObjectCreated:CompleteMultipartUpload")]}
BLOB = "https://account.blob.core.windows.net/documents/in/a%20b.pdf"
CLOUD_EVENT = {"type": "Microsoft.Storage.BlobCreated", "specversion": "1.0", "data": {"url": BLOB}}
EVENT_BRIDGE = {
    "detail-type": "Object Created",
    "detail": {"bucket": {"name": "documents"}, "object": {"key": "in/a b+c.pdf"}},
}


@pytest.mark.parametrize(
    ("message", "uris"),
    [
        (S3, {"s3://documents/in/a b+c.pdf", "s3://documents/in/ü.pdf"}),
        (
            {"Type": "Notification", "Message": json.dumps(S3)},
            {"s3://documents/in/a b+c.pdf", "s3://documents/in/ü.pdf"},
        ),
        (EVENT_BRIDGE, {"s3://documents/in/a b+c.pdf"}),
        (pushed("OBJECT_FINALIZE", "in/a b+c.pdf"), {"gs://documents/in/a b+c.pdf"}),
        ([blob_event("Microsoft.Storage.BlobCreated", BLOB)], {"az://documents/in/a b.pdf"}),
        (CLOUD_EVENT, {"az://documents/in/a b.pdf"}),
    ],
)
def test_what_came_is_told_by_every_notification(message: object, uris: set[str]) -> None:
    """Keys come escaped from some and as they are from others."""
    assert uris_of(message) == uris


@pytest.mark.parametrize(
    "message",
    [
        {
            "Records": [
                s3_event("in/a.pdf", "ObjectRemoved:Delete"),
                s3_event("b", "s3:ObjectRemoved:DeleteMarkerCreated"),
            ]
        },
        {"detail-type": "Object Deleted", "detail": EVENT_BRIDGE["detail"]},
        pushed("OBJECT_DELETE", "in/a.pdf"),
        [blob_event("Microsoft.Storage.BlobDeleted", BLOB)],
    ],
)
def test_what_went_is_nothing_to_look_at(message: object) -> None:
    """When a run moves a thousand documents away, a thousand notifications come."""
    assert uris_of(message) == set()


@pytest.mark.parametrize(
    "message",
    [
        None,
        [],
        {},
        "text",
        7,
        {"Event": "s3:TestEvent", "Bucket": "documents"},
        {"Records": "none"},
        {"Records": [{"s3": {"bucket": {"name": 7}, "object": {"key": []}}}]},
        {"Records": [s3_event("in/a.pdf"), 7, {"eventName": "ObjectCreated:Put"}]},
        {"Records": [s3_event("in/\n.pdf")]},
        {"Records": [s3_event("in/\ud800.pdf")]},
        {"Type": "Notification", "Message": "{"},
        {"Type": "SubscriptionConfirmation", "SubscribeURL": "https://sns"},
        [blob_event("Microsoft.Storage.BlobCreated", "http://[")],
        [blob_event("Microsoft.Storage.BlobCreated", "https://elsewhere/x")],
    ],
)
def test_what_is_not_understood_means_look_now(message: object) -> None:
    """It costs a listing, and no document is missed."""
    assert uris_of(message) is None


@pytest.fixture
def hints() -> Hints:
    """Hints that nobody takes meanwhile."""
    return Hints()


@pytest.fixture
def send(hints: Hints) -> Iterator[Callable[..., tuple[int, bytes, dict[str, str]]]]:
    """Return what sends a request to a real server and returns status, body and headers."""
    app = notify_app(hints, token=TOKEN, health=lambda: (False, {"waiting_documents": 3, "trouble": "no bucket"}))
    with serving(app, "127.0.0.1:0") as port:

        def request(
            path: str, content: object = None, *, method: str = "POST", **headers: str
        ) -> tuple[int, bytes, dict[str, str]]:
            body = content if isinstance(content, bytes) else json.dumps(content).encode()
            sent = {"Authorization": f"Bearer {TOKEN}", "Connection": "close", **headers}
            asked = urllib.request.Request(
                f"http://127.0.0.1:{port}{path}", body if method == "POST" else None, sent, method=method
            )
            try:
                with urllib.request.urlopen(asked, timeout=20) as answer:
                    return answer.status, answer.read(), dict(answer.headers)
            except urllib.error.HTTPError as error:
                with error:
                    return error.code, error.read(), dict(error.headers)

        yield request


def test_a_notification_over_http_wakes_who_waits(send: Callable[..., Any], hints: Hints) -> None:
    """That is what it is for."""
    began = time.monotonic()
    threading.Timer(0.2, send, ("/notify", S3)).start()
    hints.wait(20)
    assert time.monotonic() - began < 10
    noticed = hints.take()
    assert (len(noticed.uris), noticed.everywhere) == (2, False)
    assert send("/notify", b"\xff{")[0] == 202
    assert hints.take().everywhere


@pytest.mark.parametrize("authorization", ["", "Bearer other", f"Basic {TOKEN}", "Bearer ü"])
def test_nothing_is_taken_without_the_token(send: Callable[..., Any], hints: Hints, authorization: str) -> None:
    """Strangers could keep the watcher busy."""
    value = authorization.encode().decode("latin-1")
    assert send("/notify", S3, Authorization=value)[0] == 401
    assert hints.take().uris == set()


def test_the_token_may_stand_in_the_address(send: Callable[..., Any], hints: Hints) -> None:
    """Pub/Sub and Event Grid cannot send it otherwise, but for signed ones."""
    assert send("/notify?token=a%20word", S3, Authorization="")[0] == 202
    assert len(hints.take().uris) == 2


def test_a_body_is_bounded(send: Callable[..., Any], hints: Hints) -> None:
    """Whatever its length is said to be."""
    assert send("/notify", b" " * (MOST_BODY_BYTES + 1))[0] == 413
    assert not hints.take().everywhere


def test_event_grid_is_answered_what_it_wants_to_hear(send: Callable[..., Any], hints: Hints) -> None:
    """It delivers nothing before; once for each of its two schemas."""
    handshake = [{"eventType": "Microsoft.EventGrid.SubscriptionValidationEvent", "data": {"validationCode": "42"}}]
    status, body, _ = send("/notify", handshake)
    assert (status, json.loads(body)) == (200, {"validationResponse": "42"})
    headers = send("/notify", method="OPTIONS", **{"WebHook-Request-Origin": "eventgrid.azure.net"})[2]
    assert headers["webhook-allowed-origin"] == "eventgrid.azure.net"
    assert not hints.take().everywhere


def test_health_and_metrics_say_how_it_goes(send: Callable[..., Any]) -> None:
    """For Docker, Kubernetes and Prometheus; without a token, as it tells no secret."""
    status, body, _ = send("/health", method="GET", Authorization="")
    assert (status, json.loads(body)) == (503, {"waiting_documents": 3, "trouble": "no bucket"})
    assert send("/metrics", method="GET")[1] == b"pagemill_inbox_waiting_documents 3\n"


@pytest.mark.parametrize("address", ["8070", "127.0.0.1:x", "no.such.host.invalid:0", "127.0.0.1:99999"])
def test_an_address_that_cannot_be_served_is_refused(hints: Hints, address: str) -> None:
    """Before anything is watched."""
    app = notify_app(hints, token=None, health=lambda: (True, {}))
    with pytest.raises(ConfigError, match=address), serving(app, address):
        pass


def test_more_hints_than_are_kept_mean_look_everywhere(hints: Hints) -> None:
    """Memory is bounded, and nothing is missed."""
    hints.add(f"s3://documents/{number}" for number in range(MOST_HINTS + 1))
    noticed = hints.take()
    assert (noticed.uris, noticed.everywhere) == (set(), True)


def test_messages_of_a_queue_are_deleted_once_they_are_looked_at(bucket: str, hints: Hints) -> None:
    """A watcher that dies before leaves them to the next one."""
    import boto3  # type: ignore[import-untyped]

    sqs = boto3.client("sqs", region_name="us-east-1")
    url = sqs.create_queue(QueueName="arrivals")["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody=json.dumps(S3))
    reader = QueueReader(url, hints, wait_s=1)
    hints.wait(20)
    noticed = hints.take()
    assert noticed.uris == {"s3://documents/in/a b+c.pdf", "s3://documents/in/ü.pdf"}
    hidden, names = "ApproximateNumberOfMessagesNotVisible", ["ApproximateNumberOfMessagesNotVisible"]
    assert sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"][hidden] == "1"
    (acknowledge,) = noticed.acknowledge
    acknowledge()
    assert sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"][hidden] == "0"
    reader.close()
    sqs.delete_queue(QueueUrl=url)
    sqs.close()
