"""Tell whether the service at HEALTH_URL answers: exit code 0 or 1.

usage: python docker/healthcheck.py

Without HEALTH_URL, as in `docker run pagemill run ...`, a container is healthy as long as it
runs: a run watches its own engine, and ends with an exit code when that makes no progress.
"""  # noqa: INP001 - a script

from __future__ import annotations

import os
import sys
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

TIMEOUT_S = 5


def main() -> int:
    """Ask once; say on standard error what is wrong."""
    url = os.environ.get("HEALTH_URL")
    return 0 if url is None else _ask(url)


def _ask(url: str) -> int:
    place = urlsplit(url)
    connection = HTTPConnection(place.netloc, timeout=TIMEOUT_S)
    try:
        connection.request("GET", place.path or "/")
        answer = connection.getresponse()
        if answer.status < 400:
            return 0
        trouble = f"{answer.status} {answer.read(500).decode(errors='replace')}"
    except (OSError, HTTPException) as error:
        trouble = str(error)
    finally:
        connection.close()
    sys.stderr.write(f"{url}: {trouble}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
