"""A real S3 server for tests: pytest fixtures, registered by conftest.py."""

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
CONDITIONS = ("HTTP_IF_MATCH", "HTTP_IF_NONE_MATCH")


class Faults:
    """What the server does wrong, asked for by tests; stands before moto as WSGI middleware."""

    def __init__(self) -> None:
        self.clear()
        self._lock = threading.Lock()

    def clear(self) -> None:
        """Do everything right again."""
        self.writes_failing = 0
        """How many of the next writes get status 500 instead of being done."""
        self.answers_lost = 0
        """How many of the next writes get status 500 although they are done."""
        self.forbidden = ""
        """How the names of objects end that nobody may read, if any."""
        self.conditions_ignored = False
        """Whether conditional writes are done unconditionally, as some old servers do."""

    def before(self, app: Wsgi) -> Wsgi:
        """Return `app` with these faults."""

        def faulty(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
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

    app = s3_faults_of_the_session.before(DomainDispatcherApplication(create_backend_app))
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
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    s3 = boto3.resource("s3", endpoint_url=s3_server, region_name="us-east-1")
    made = s3.create_bucket(Bucket="documents")
    yield "s3://documents"
    made.objects.delete()
    made.delete()
    s3.meta.client.close()
