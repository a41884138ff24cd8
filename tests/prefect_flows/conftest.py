"""One Prefect server for all tests of flows."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from prefect_flows.processes import ROOT, PrefectServer

FAST = {
    "PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED": "false",  # no test waits for a cron
    "PREFECT_SERVER_SERVICES_LATE_RUNS_AFTER_SECONDS": "2",
    "PREFECT_SERVER_SERVICES_LATE_RUNS_LOOP_SECONDS": "1",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_FLUSH_INTERVAL": "0.2",
    "PREFECT_SERVER_UI_ENABLED": "false",
    "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
}
"""Settings of the server that make waiting short."""


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    """A Prefect server on SQLite with a PREFECT_HOME of its own; `.environment` is what programs need to reach it."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in FAST.items():
            patch.setenv(name, value)  # a Process takes os.environ when it is made
        server = PrefectServer(tmp_path_factory.mktemp("prefect-server"))
    with server:
        yield server


@pytest.fixture
def prefect_api(prefect_server: PrefectServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[PrefectServer]:
    """Prefect in this process, and in programs that inherit os.environ, uses the server of the session."""
    from prefect.context import SettingsContext, get_settings_context
    from prefect.settings import Settings

    for name, value in prefect_server.environment.items():
        monkeypatch.setenv(name, value)
    with SettingsContext(profile=get_settings_context().profile, settings=Settings()):
        yield prefect_server


@pytest.fixture(scope="session")
def deployed(prefect_server: PrefectServer) -> str:
    """What `python -m flows.deploy` said: pool `gpu`, its queues, and deployments of flow `ocr`."""
    environment = {**os.environ, **prefect_server.environment}
    command = [sys.executable, "-m", "flows.deploy"]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
