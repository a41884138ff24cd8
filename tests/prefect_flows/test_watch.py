"""Documents that come are noticed, and one run is started for them; against a real Prefect server."""

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen
from uuid import UUID, uuid4

import pytest
from made_records import commit, identity, ok_page
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Completed, Failed, Scheduled
from prefect_flows.processes import PrefectServer, Process, free_port, wait_until

from flows.notify import Hints
from flows.surroundings import SETTLED
from flows.watch import Settings
from flows.watch.inbox import Inbox
from flows.watch.watcher import Pace, Watcher
from pipeline.data import Document
from pipeline.errors import ConfigError
from pipeline.settings import Setting
from pipeline.source import list_documents
from pipeline.storage import open_storage

pytestmark = pytest.mark.slow

QUICK = Pace(poll_s=0.3, wait_s=0.5)


class Deployment:
    """A deployment that nobody works for: its runs are as they are set."""

    def __init__(self, client: SyncPrefectClient, **parameters: object) -> None:
        flow = f"ocr-{uuid4().hex[:8]}"
        self.name = f"{flow}/inbox"
        self._client = client
        self.id: UUID = client.create_deployment(client.create_flow_from_name(flow), "inbox", parameters=parameters)

    def runs(self) -> list[FlowRun]:
        """Return its runs."""
        return self._client.read_flow_runs(deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[self.id])))

    def end(self, state: Any = None) -> None:
        """End all runs."""
        for run in self.runs():
            if run.state and not run.state.is_final():
                self._client.set_flow_run_state(run.id, state or Completed(), force=True)


@pytest.fixture
def client(prefect_api: PrefectServer) -> Iterator[SyncPrefectClient]:
    """A client of the server of the session."""
    with get_client(sync_client=True) as made:
        yield made


@pytest.fixture
def deployment(client: SyncPrefectClient) -> Deployment:
    """A deployment of a flow of its own."""
    return Deployment(client, extraction="transcript")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with an empty input."""
    (tmp_path / "in").mkdir()
    return tmp_path


def settings_of(place: str | Path, **more: str) -> Settings:
    """Return the settings of a watcher of place/in."""
    given = {"input": f"{place}/in", "output": f"{place}/out", "input_files.settle_s": "0"} | more
    return Settings(flags=tuple(Setting(key, value, "the test") for key, value in given.items()))


@contextmanager
def watching(
    deployment: Deployment, place: str | Path, *, pace: Pace = QUICK, is_notified: bool = False
) -> Iterator[Hints]:
    """Watch place/in on a thread."""
    hints, stop = Hints(), threading.Event()
    watcher = Watcher(Inbox(deployment.name), settings_of(place).config, hints, pace, is_notified=is_notified)
    # A thread begins with Prefect's settings of the environment, which name the server of the session.
    thread = threading.Thread(target=watcher.watch, args=(stop,))
    thread.start()
    try:
        yield hints
    finally:
        stop.set()
        hints.wake()
        thread.join(60)


def read_all(place: str | Path) -> None:
    """Commit everything in place/in, as a run does."""
    pages = [(ok_page(Document(ref, "a" * 64, "application/pdf", 1)),) for ref in list_documents(f"{place}/in")]
    commit(open_storage(f"{place}/out"), uuid4().hex[:16], *pages, run=identity(extraction="transcript"))


def number_of(deployment: Deployment, number: int) -> Callable[[], bool]:
    """Return what tells whether there are so many runs."""
    return lambda: len(deployment.runs()) >= number


def test_a_file_in_a_bucket_starts_one_run(deployment: Deployment, bucket: str, tmp_path: Path) -> None:
    """However many watchers there are; what comes while it runs is left to the next one."""
    (tmp_path / "made").write_text("xx")
    storage = open_storage(bucket)
    with watching(deployment, bucket), watching(deployment, bucket):
        storage.put("in/a.pdf", tmp_path / "made")
        wait_until(number_of(deployment, 1), "a run")
        storage.put("in/b.pdf", tmp_path / "made")
        time.sleep(2)
        (run,) = deployment.runs()
        assert run.parameters["input"] == f"{bucket}/in"
        assert run.parameters["extraction"] == "transcript"
        assert run.parameters["only_new"] is True
        assert run.parameters["settings"]["input_files.settle_s"] == "0.0"
        commit(
            open_storage(f"{bucket}/out"),
            "1",
            *[
                (ok_page(Document(ref, "a" * 64, "application/pdf", 1)),)
                for ref in list_documents(f"{bucket}/in/a.pdf")
            ],
            run=identity(extraction="transcript"),
        )
        deployment.end()
        wait_until(number_of(deployment, 2), "a run for what came meanwhile")
        read_all(bucket)
        deployment.end()
        time.sleep(2)
        assert len(deployment.runs()) == 2


def test_documents_wait_for_others_but_a_batch_does_not(deployment: Deployment, folder: Path) -> None:
    """An engine takes minutes to load: one run for what comes within a while, at once for much."""
    with watching(deployment, folder, pace=Pace(poll_s=0.2, wait_s=3600, batch=3)):
        for number in range(2):
            (folder / "in" / f"{number}.pdf").write_text("x")
        time.sleep(2)
        assert deployment.runs() == []
        (folder / "in" / "2.pdf").write_text("x")
        wait_until(number_of(deployment, 1), "a run")


def test_runs_that_come_to_nothing_are_started_less_and_less_often(deployment: Deployment, folder: Path) -> None:
    """A wrong setting would start a run every half minute, all night."""
    (folder / "in" / "a.pdf").write_text("x")
    with watching(deployment, folder, pace=Pace(poll_s=0.1, wait_s=0.5)):
        until = time.monotonic() + 6
        while time.monotonic() < until:
            deployment.end(Failed())
            time.sleep(0.05)
    assert 3 <= len(deployment.runs()) <= 4


def test_a_run_that_is_planned_for_later_keeps_none_from_starting(
    deployment: Deployment, client: SyncPrefectClient, folder: Path
) -> None:
    """A schedule plans days ahead; a run that waits for its next try does keep others from starting."""
    import datetime as dt

    tomorrow = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
    inbox = Inbox(deployment.name)
    client.create_flow_run_from_deployment(deployment.id, state=Scheduled(scheduled_time=tomorrow))
    assert inbox.state().active is None
    run = client.create_flow_run_from_deployment(deployment.id)
    assert inbox.state().active == run.name


def test_a_paused_deployment_is_left_alone(deployment: Deployment, client: SyncPrefectClient, folder: Path) -> None:
    """Whoever pauses it has a reason."""
    (folder / "in" / "a.pdf").write_text("x")
    client.pause_deployment(deployment.id)
    with watching(deployment, folder):
        time.sleep(2)
        assert deployment.runs() == []
        client.resume_deployment(deployment.id)
        wait_until(number_of(deployment, 1), "a run")


def test_a_watcher_outlives_what_it_cannot_reach(
    deployment: Deployment, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The server is upgraded, the share is not mounted yet; it says so once, and goes on when they are back."""
    caplog.set_level(logging.INFO, "flows.watch")
    (folder / "in").rename(folder / "elsewhere")
    hints, stop = Hints(), threading.Event()
    watcher = Watcher(Inbox(deployment.name), settings_of(folder).config, hints, Pace(poll_s=0.2, wait_s=0))

    def watch(seconds: float) -> None:
        stop.clear()
        ends = [threading.Timer(seconds, stop.set), threading.Timer(seconds + 0.1, hints.wake)]
        for end in ends:
            end.start()
        watcher.watch(stop)
        for end in ends:
            end.join()

    with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{free_port()}/api"}):
        watch(1)
    assert watcher.health()[0] is False
    watch(1)
    (folder / "elsewhere").rename(folder / "in")
    (folder / "in" / "a.pdf").write_text("x")
    assert deployment.runs() == []
    watch(1.5)
    assert len(deployment.runs()) == 1
    assert watcher.health()[0] is True
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 1
    assert "Prefect's server cannot be reached" in warnings[0]


def test_a_notification_saves_the_wait_for_the_next_listing(
    deployment: Deployment, bucket: str, tmp_path: Path
) -> None:
    """And nothing else: the object itself says whether it is to be read."""
    (tmp_path / "made").write_text("xx")
    with watching(deployment, bucket, pace=Pace(poll_s=0.3, wait_s=0, listing_s=3600), is_notified=True) as hints:
        time.sleep(1.5)
        open_storage(bucket).put("in/a.pdf", tmp_path / "made")
        time.sleep(1)
        assert deployment.runs() == []
        hints.add([f"{bucket}/in/b.pdf", "s3://", "nonsense", f"{bucket}/in//a.pdf"])
        hints.add([f"{bucket}/in/a.pdf"])
        wait_until(number_of(deployment, 1), "a run")


def test_the_program_takes_notifications_and_ends_at_once(deployment: Deployment, folder: Path) -> None:
    """As systemd and Docker run it."""
    port = free_port()
    command = [sys.executable, "-m", "flows.watch", "--deployment", deployment.name, "--poll", "3600", "--wait", "0"]
    command += ["--listen", f"127.0.0.1:{port}", "--set", f"input={folder}/in", "--set", f"output={folder}/out"]
    command += ["--set", "input_files.settle_s=0"]
    environment = {"FLOWS_NOTIFY_TOKEN": "a word", "PATH": os.environ["PATH"]}
    with Process(command, environment, folder / "watch.log") as process:
        process.wait_to_answer(f"http://127.0.0.1:{port}/health")
        wait_until(lambda: "watching" in process.said(), "the first look")
        (folder / "in" / "a.pdf").write_text("x")
        sent = Request(f"http://127.0.0.1:{port}/notify", b"look", {"Authorization": "Bearer a word"})
        with urlopen(sent, timeout=20) as answer:
            assert answer.status == 202
        wait_until(number_of(deployment, 1), "a run")
        began = time.monotonic()
        assert process.stop() == 0, process.said()
        assert time.monotonic() - began < 10


def test_wrong_usage_ends_the_program_at_once(prefect_api: PrefectServer, tmp_path: Path) -> None:
    """Before it would be noticed by nothing ever being read, or by a server that Prefect's client starts itself."""
    with Process([sys.executable, "-m", "flows.watch"], {"PREFECT_API_URL": ""}, tmp_path / "log") as process:
        wait_until(lambda: not process.tree(), "its end")
        assert process.stop() == 2
        assert "PREFECT_API_URL" in process.said()
        assert "Traceback" not in process.said()


def test_a_setting_that_is_none_is_refused_whatever_the_deployment_says(tmp_path: Path) -> None:
    """Not once a file has come, and not every ten seconds."""
    Settings(flags=(Setting("input", "in", "--set"),)).check()
    with pytest.raises(ConfigError, match="imput"):
        Settings(flags=(Setting("imput", "in", "--set"),)).check()
    with pytest.raises(ConfigError, match="nowhere"):
        Settings(tmp_path / "nowhere.toml").check()


def test_parameters_of_the_deployment_win_and_files_settle_by_default() -> None:
    """What the run would read is what is watched."""
    settings = Settings(flags=(Setting("input", "mine", "--set"), Setting("output", "out", "--set")))
    assert settings.config({}).input_files.settle_s == SETTLED.value
    told = {"output": "theirs", "engine": "ocr", "only_new": True, "settings": {"input_files.settle_s": "3"}}
    config = settings.config(told)
    assert (config.input, config.input_files.settle_s, config.only_new) == ("mine", 3, False)
