"""What tests ask of a Prefect server beyond reading and making."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from prefect_flows.processes import PrefectServer


def ask(server: PrefectServer, path: str, body: Mapping[str, Any] | None = None) -> Any:
    """Ask until there is an answer: 503 says that its SQLite file was locked for too long."""
    for _ in range(20):
        try:
            return server.ask(path, body)
        except urllib.error.HTTPError as error:
            if error.code != HTTPStatus.SERVICE_UNAVAILABLE:
                raise
            error.close()
            time.sleep(0.2)
    return server.ask(path, body)


def patch(server: PrefectServer, path: str, body: Mapping[str, Any]) -> None:
    """Change something there."""
    _ask(server, path, "PATCH", json.dumps(body).encode())


def delete(server: PrefectServer, path: str) -> None:
    """Remove something."""
    _ask(server, path, "DELETE")


def _ask(server: PrefectServer, path: str, method: str, content: bytes | None = None) -> None:
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{server.url}/{path}", content, headers, method=method)
    urllib.request.urlopen(request, timeout=30).close()
