"""What GCS's XML API has beyond S3's, in front of moto: generations, conditions on them, copies by another header.

Source: https://cloud.google.com/storage/docs/xml-api/reference-headers.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
PRECONDITION_FAILED = "412 Precondition Failed"


def gcs_face(app: Wsgi) -> Wsgi:
    """Return an application that answers requests with a bearer token as GCS does, and others as `app`."""
    generations: Counter[str] = Counter()
    lock = threading.Lock()

    def write(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path, wanted = environ["PATH_INFO"], environ.get("HTTP_X_GOOG_IF_GENERATION_MATCH")
        if source := environ.get("HTTP_X_GOOG_COPY_SOURCE"):
            environ["HTTP_X_AMZ_COPY_SOURCE"] = source
        with lock:
            if wanted is not None and int(wanted) != generations[path]:
                environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
                start_response(PRECONDITION_FAILED, [("Content-Length", "0")])
                return []
            body = list(app(environ, start_response))
            generations[path] += 1
            return body

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if not environ.get("HTTP_AUTHORIZATION", "").startswith("Bearer "):
            return app(environ, start_response)
        path = environ["PATH_INFO"]

        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            number = generations[path] + (environ["REQUEST_METHOD"] == "PUT")
            return start_response(status, [*headers, ("x-goog-generation", str(number))], *rest)

        if environ["REQUEST_METHOD"] == "DELETE":
            generations.pop(path, None)
        return write(environ, start) if environ["REQUEST_METHOD"] == "PUT" else app(environ, start)

    return answer
