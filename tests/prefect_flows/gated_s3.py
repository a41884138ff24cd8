"""An S3 server as a program: moto, and a gate before it.

    python -m tests.prefect_flows.gated_s3 PORT GATE

While the file GATE exists, reads of objects whose name fits a line of it wait. A run that reads them
stands still in the middle of its work for as long as a test wants, and no test depends on how fast it is.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

POLL_S = 0.05
Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def behind(gate: Path, app: Wsgi) -> Wsgi:
    """Return `app` behind the gate."""

    def gated(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        while environ["REQUEST_METHOD"] == "GET" and _is_closed(gate, environ["PATH_INFO"]):
            time.sleep(POLL_S)
        return app(environ, start_response)

    return gated


def _is_closed(gate: Path, path: str) -> bool:
    try:
        return any(fnmatch(path, pattern) for pattern in gate.read_text().splitlines())
    except FileNotFoundError:
        return False


def main() -> None:
    """Serve until killed."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import make_server

    app = behind(Path(sys.argv[2]), DomainDispatcherApplication(create_backend_app))
    make_server("127.0.0.1", int(sys.argv[1]), app, threaded=True, request_handler=MotoRequestHandler).serve_forever()


if __name__ == "__main__":
    main()
