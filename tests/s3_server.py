"""A real S3 server for tests: pytest fixtures, registered by conftest.py."""

import re
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from gcs_face import gcs_face

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
Fault = Callable[[Wsgi], Wsgi]
"""What a request meets in place of the application, which it may still call."""
CONDITIONS = ("HTTP_IF_MATCH", "HTTP_IF_NONE_MATCH")


def refused(status: str, code: str = "", body: str = "", **headers: str) -> Fault:
    """Return the fault of an answer with that status, such as "503 Slow Down", and S3's code in its body."""

    def fault(_: Wsgi) -> Wsgi:
        def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            content = f"<Error><Code>{code}</Code>{body}</Error>".encode() if code else b""
            named = [(name.replace("_", "-"), value) for name, value in headers.items()]
            start_response(status, [("Content-Length", str(len(content))), *named])
            return [] if environ["REQUEST_METHOD"] == "HEAD" else [content]

        return answer

    return fault


def reset(_: Wsgi) -> Wsgi:
    """Break the connection in place of an answer."""

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
        raise ConnectionAbortedError

    return answer


def silent(until: threading.Event) -> Fault:
    """Return the fault of a server that takes a request and says nothing."""

    def fault(_: Wsgi) -> Wsgi:
        def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            until.wait(60)
            start_response("500 Internal Server Error", [("Content-Length", "0")])
            return []

        return answer

    return fault


def cut_short(kept_bytes: int, *, honest: bool = False, then: threading.Event | None = None) -> Fault:
    """Return the fault of an answer whose body ends early.

    Args:
        honest: Its Content-Length says what is sent, as a bad proxy's would.
        then: What is waited for before it ends: a body that stops to come.
    """

    def fault(app: Wsgi) -> Wsgi:
        def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
            started: list[Any] = []
            body = b"".join(app(environ, lambda *arguments: started.extend(arguments)))[:kept_bytes]
            status, headers = started[:2]
            if honest:
                headers = [(name, str(len(body)) if name.lower() == "content-length" else had) for name, had in headers]
            start_response(status, headers)
            yield body
            if then:
                then.wait(60)

        return answer

    return fault


def with_milliseconds(app: Wsgi) -> Wsgi:
    """Return an application whose listings have milliseconds, as those of MinIO and GCS do."""

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        whole = app(environ, start_response)
        if environ["REQUEST_METHOD"] != "GET" or "list-type=2" not in environ["QUERY_STRING"]:
            return whole
        return [b"".join(whole).replace(b".000Z</LastModified>", b".123Z</LastModified>")]

    return answer


class Faults:
    """What the server does wrong, asked for by tests; stands before moto as WSGI middleware."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.clear()

    def clear(self) -> None:
        """Do everything right again."""
        self._planned: list[tuple[re.Pattern[str], deque[Fault]]] = []
        self.met: list[str] = []
        """The requests that met a planned fault, as "GET /bucket/key?query"."""
        self.requests: list[str] = []
        """All requests."""
        self.keys: list[str] = []
        """Their access keys."""
        self.writes_failing = 0
        """How many of the next writes get status 500 instead of being done."""
        self.answers_lost = 0
        """How many of the next writes get status 500 although they are done."""
        self.forbidden = ""
        """How the names of objects end that nobody may read, if any."""
        self.conditions_ignored = False
        """Whether conditional writes are done unconditionally, as some old servers do."""

    def plan(self, requests: str, *faults: Fault) -> None:
        """Let the next requests that fit a pattern, such as "GET .*/key", meet these faults, one after the other."""
        self._planned.append((re.compile(requests), deque(faults)))

    def _next(self, environ: dict[str, Any]) -> Fault | None:
        request = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}?{environ['QUERY_STRING']}"
        with self._lock:
            self.requests.append(request)
            self.keys.append(environ.get("HTTP_AUTHORIZATION", "").partition("Credential=")[2].partition("/")[0])
            for pattern, faults in self._planned:
                if faults and pattern.match(request):
                    self.met.append(request)
                    return faults.popleft()
        return None

    def before(self, app: Wsgi) -> Wsgi:
        """Return `app` with these faults."""

        def faulty(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            if fault := self._next(environ):
                return fault(app)(environ, start_response)
            if environ["REQUEST_METHOD"] != "PUT":
                if self.forbidden and environ["PATH_INFO"].endswith(self.forbidden):
                    start_response("403 Forbidden", [("Content-Length", "0")])
                    return []
                return app(environ, start_response)
            # moto looks at a condition and writes in two steps; S3 does both in one.
            with self._lock:
                return self._write(app, environ, start_response)

        return faulty

    def _write(self, app: Wsgi, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if self.conditions_ignored:
            environ = {name: value for name, value in environ.items() if name not in CONDITIONS}
        if self.writes_failing:
            self.writes_failing -= 1
            environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        elif self.answers_lost:
            self.answers_lost -= 1
            list(app(environ, lambda *_: None))
        else:
            return app(environ, start_response)
        start_response("500 Internal Server Error", [("Content-Length", "0")])
        return []


@pytest.fixture(scope="session")
def s3_faults_of_the_session() -> Faults:
    """Return the faults of the one server."""
    return Faults()


@pytest.fixture
def s3_faults(s3_faults_of_the_session: Faults) -> Iterator[Faults]:
    """Return the server's faults; there are none before and after a test."""
    yield s3_faults_of_the_session
    s3_faults_of_the_session.clear()


@pytest.fixture(scope="session")
def s3_server(s3_faults_of_the_session: Faults) -> Iterator[str]:
    """Start moto's S3 server and return its address; requests go over real HTTP."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import make_server

    app = s3_faults_of_the_session.before(gcs_face(with_milliseconds(DomainDispatcherApplication(create_backend_app))))
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=MotoRequestHandler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def bucket(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Return the URL of an empty bucket that the environment gives access to."""
    import boto3  # type: ignore[import-untyped]

    environment = {
        "AWS_ENDPOINT_URL": s3_server,
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "s3cret",
        "AWS_REGION": "us-east-1",
        "GOOGLE_BASE_URL": s3_server,
        "GOOGLE_BEARER_TOKEN": "t0ken",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    s3 = boto3.resource("s3", endpoint_url=s3_server, region_name="us-east-1")
    made = s3.create_bucket(Bucket="documents")
    yield "s3://documents"
    made.objects.delete()
    made.delete()
    s3.meta.client.close()
