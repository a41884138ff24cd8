"""Tell whether the service at HEALTH_URL answers: exit code 0 or 1.

usage: python docker/healthcheck.py

Without HEALTH_URL, as in `docker run pagemill run ...`, a container is healthy as long as it
runs: a run watches its own engine, and ends with an exit code when that makes no progress.
"""

from __future__ import annotations

import os
import sys
from http.client import HTTPException
from urllib.request import urlopen

TIMEOUT_S = 5


def main() -> int:
    """Ask once; say on standard error what is wrong."""
    url = os.environ.get("HEALTH_URL")
    if not url:
        return 0
    try:
        with urlopen(url, timeout=TIMEOUT_S):
            return 0
    except (OSError, HTTPException, ValueError) as error:  # an HTTP status from 400 on is an OSError
        print(f"{url}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
