"""What tests ask of a Prefect server, again while its SQLite file is locked: then it answers 503."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from prefect_flows.processes import PrefectServer

TRIES = 50
PAUSE_S = 0.2


def ask(server: PrefectServer, path: str, body: Mapping[str, Any] | None = None) -> Any:
    """Return the answer to a GET without a body, or a POST with one."""
    return _insist(lambda: server.ask(path, body))


def patch(server: PrefectServer, path: str, body: Mapping[str, Any]) -> None:
    """Change something there."""
    _insist(lambda: _send(server, path, "PATCH", json.dumps(body).encode()))


def delete(server: PrefectServer, path: str) -> None:
    """Remove something."""
    _insist(lambda: _send(server, path, "DELETE"))


def _insist(call: Callable[[], Any]) -> Any:
    for _ in range(TRIES):
        try:
            return call()
        except urllib.error.HTTPError as error:
            if error.code != HTTPStatus.SERVICE_UNAVAILABLE:
                raise
            error.close()
            time.sleep(PAUSE_S)
    return call()


def _send(server: PrefectServer, path: str, method: str, content: bytes | None = None) -> None:
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{server.url}/{path}", content, headers, method=method)
    urllib.request.urlopen(request, timeout=30).close()
