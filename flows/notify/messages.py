"""What the notifications of buckets say: those of S3, Google Cloud Storage and Azure, told apart by their shape."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote, unquote_plus

_VALIDATION = "Microsoft.EventGrid.SubscriptionValidationEvent"
_GONE = ("objectremoved", "object deleted", "object_delete", "object_archive", "blobdeleted", "lifecycleexpiration")
"""What stands in the type of events that bring nothing to read, of S3, EventBridge, GCS and Azure."""

_BLOB = re.compile(r"https?://[^/?#]+\.blob\.[^/?#]+/([^?#]+)")


def uris_of(message: object) -> set[str] | None:
    """Return the objects that a notification speaks of (s3://bucket/key, not escaped); None when it says none."""
    if isinstance(message, Mapping) and message.get("Type") == "Notification":  # SNS wraps as text
        return uris_of(parsed(message.get("Message")))
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


def parsed(text: object) -> object:
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
