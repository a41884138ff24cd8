"""Alerts as somebody gets them: a real server, a real receiver."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID

import pytest
from prefect_flows.processes import PrefectServer, wait_until

from flows.alerts import alerts, ensure, main, remove

SECRET = "s3cret"


class Receiver(ThreadingHTTPServer):
    """Keeps what is posted to it."""

    def __init__(self) -> None:
        self.posts: list[dict[str, Any]] = []
        super().__init__(("127.0.0.1", 0), _Post)

    @property
    def url(self) -> str:
        """Where to post to."""
        return f"http://user:{SECRET}@127.0.0.1:{self.server_port}/hook"

    def about(self, flow_run_id: object) -> list[dict[str, Any]]:
        """Return what was posted about a run."""
        return [post for post in self.posts if post.get("run_id") == str(flow_run_id)]


class _Post(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Receiver)
        assert self.headers["Content-Type"] == "application/json"
        self.server.posts.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        pass


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A receiver that alerts are sent to."""
    with Receiver() as receiver:
        threading.Thread(target=receiver.serve_forever, daemon=True).start()
        monkeypatch.setenv("FLOWS_ALERT_WEBHOOK", receiver.url)
        monkeypatch.setenv("FLOWS_ALERT_LATE_MINUTES", "0.2")
        yield receiver
        receiver.shutdown()


@pytest.fixture
def channels_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is configured."""
    for name in ("WEBHOOK", "EMAIL", "LATE_MINUTES"):
        monkeypatch.delenv(f"FLOWS_ALERT_{name}", raising=False)


def test_without_configuration_there_are_no_alerts_and_that_is_said(
    channels_unset: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """No server is needed for that."""
    assert main([]) == 0
    assert "No alerts are sent: set FLOWS_ALERT_WEBHOOK or FLOWS_ALERT_EMAIL" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # Apprise's, on some versions of it
@pytest.mark.parametrize(
    ("name", "value"),
    [("WEBHOOK", f"ftp://{SECRET}"), ("EMAIL", f"nonsense://{SECRET}"), ("EMAIL", f"{SECRET}@example.com")],
)
def test_a_wrong_address_is_refused_without_showing_it(
    channels_unset: None, name: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An address holds a password."""
    monkeypatch.setenv(f"FLOWS_ALERT_{name}", value)
    assert main([]) == 2
    told = capsys.readouterr()
    assert f"FLOWS_ALERT_{name}" in told.err
    assert SECRET not in told.out + told.err


def test_the_late_time_is_checked(
    channels_unset: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The server knows nothing below ten seconds."""
    monkeypatch.setenv("FLOWS_ALERT_WEBHOOK", "http://127.0.0.1:1/")
    monkeypatch.setenv("FLOWS_ALERT_LATE_MINUTES", "soon")
    assert main([]) == 2
    assert "FLOWS_ALERT_LATE_MINUTES = 'soon'" in capsys.readouterr().err


def test_a_crash_that_is_recovered_is_no_alert() -> None:
    """Its worker puts it back within seconds; only one that stays is told of."""
    [crashed] = [alert.trigger for alert in alerts(late=timedelta(minutes=10)) if "crashed" in alert.name]
    assert {"prefect.flow-run.Recovered", "prefect.flow-run.AwaitingRetry"} <= crashed.expect


@pytest.mark.slow
def test_failed_and_late_runs_are_told_once(prefect_api: PrefectServer, receiver: Receiver) -> None:
    """The server sends them, whatever has become of the machine that reads."""
    from prefect.client.orchestration import get_client
    from prefect.states import Failed, Scheduled

    try:
        made = ensure()
        assert {line.split(":")[0] for line in made} == {"Alert made"}
        assert not any(SECRET in line for line in made)
        assert {line.split(":")[0] for line in ensure()} == {"Alert there"}
        with get_client(sync_client=True) as client, nightly(prefect_api) as deployment:
            late = client.create_flow_run_from_deployment(deployment, state=Scheduled(scheduled_time=None))
            failed = client.create_flow_run_from_deployment(deployment, state=Scheduled())
            client.set_flow_run_state(failed.id, Failed(message='It said "no" {{ 1 }}'), force=True)
            [post] = wait_until(lambda: receiver.about(failed.id), "the alert of a failed run")
            assert post["text"].startswith(f'Pagemill FAILED: {failed.name}: It said "no" {{{{ 1 }}}}')
            assert (post["alert"], post["state"], post["run"]) == ("a run failed", "Failed", failed.name)
            [post] = wait_until(lambda: receiver.about(late.id), "the alert of a late run")
            assert post["alert"] == "the nightly run is late"
        assert len(receiver.about(failed.id)) == len(receiver.about(late.id)) == 1
    finally:
        remove()
    assert not [found for found in prefect_api.ask("automations/filter", {}) if "pagemill alert" in found["name"]]


@contextmanager
def nightly(server: PrefectServer) -> Iterator[UUID]:
    """Yield the deployment ocr/nightly, made for the time being where there is none."""
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound
    from prefect.flows import Flow

    made = None
    with get_client(sync_client=True) as client:
        try:
            deployment = client.read_deployment_by_name("ocr/nightly").id
        except ObjectNotFound:
            flow_id = client.create_flow(Flow(lambda: None, name="ocr"))
            deployment = made = client.create_deployment(flow_id, "nightly")
        try:
            yield deployment
        finally:
            if made:
                client.delete_deployment(made)
