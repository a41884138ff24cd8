"""Runs whose process is gone go on; nobody has to look."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import pyarrow.parquet as pq
import pytest
from prefect_flows.asking import ask, delete, patch
from prefect_flows.night import pdf
from prefect_flows.processes import PrefectServer, Process, wait_until

from pipeline.check import check_output

pytestmark = pytest.mark.slow
HERE = "the-host"
MANY = 60
MakeRun = Callable[..., dict[str, Any]]


@pytest.fixture
def make_run(prefect_api: PrefectServer, deployed: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeRun]:
    """Make a run of a deployment of pool `gpu` with a host and a state, for one test."""
    ids: list[str] = []
    monkeypatch.setenv("FLOWS_HOST", HERE)
    deployment = ask(prefect_api, "deployments/name/ocr/inbox")["id"]

    def make(state: str, *, host: str | None = HERE, times: int = 1) -> dict[str, Any]:
        made = ask(prefect_api, f"deployments/{deployment}/create_flow_run", {"state": {"type": "PENDING"}})
        run: dict[str, Any] = made
        ids.append(run["id"])
        if host:
            patch(prefect_api, f"flow_runs/{run['id']}/labels", {"pagemill.host": host})
        for _ in range(times):
            for type_ in ("RUNNING", state):
                ask(prefect_api, f"flow_runs/{run['id']}/set_state", {"state": {"type": type_}, "force": True})
        return run

    yield make
    for flow_run_id in ids:
        delete(prefect_api, f"flow_runs/{flow_run_id}")


def recover_all(*, no_worker: bool = False, cancelling: timedelta = timedelta(minutes=1)) -> None:
    """Recover once."""
    from prefect.client.orchestration import get_client

    from flows.recovery import recover

    with get_client(sync_client=True) as client:
        recover(client, "gpu", no_worker=no_worker, cancelling=cancelling)


def state_of(server: PrefectServer, run: dict[str, Any]) -> str:
    """Return the name of a run's state."""
    return str(ask(server, f"flow_runs/{run['id']}")["state_name"])


def test_a_run_whose_process_is_gone_goes_on(prefect_api: PrefectServer, make_run: MakeRun) -> None:
    """It is the same run, so that a night stays one row; and its history says that it crashed."""
    run = make_run("RUNNING")
    recover_all()
    assert state_of(prefect_api, run) == "Recovered"
    history = [state["name"] for state in ask(prefect_api, f"flow_run_states/?flow_run_id={run['id']}")]
    assert "Crashed" in history


def test_a_crashed_run_goes_on(prefect_api: PrefectServer, make_run: MakeRun) -> None:
    """Whichever host it was on: its worker, or the heartbeat automation, says that it is dead."""
    run = make_run("CRASHED", host="another")
    recover_all()
    assert state_of(prefect_api, run) == "Recovered"


def test_a_run_of_another_host_is_left_alone(prefect_api: PrefectServer, make_run: MakeRun) -> None:
    """Whether it lives cannot be seen from here."""
    run = make_run("RUNNING", host="another")
    recover_all(no_worker=True)
    assert state_of(prefect_api, run) == "Running"


def test_a_run_that_keeps_crashing_is_given_up(prefect_api: PrefectServer, make_run: MakeRun) -> None:
    """A document that kills everything must not hold the GPU for ever."""
    run = make_run("CRASHED", times=5)
    recover_all()
    assert state_of(prefect_api, run) == "Failed"


def test_a_run_that_is_just_being_started_is_left_alone(prefect_api: PrefectServer, make_run: MakeRun) -> None:
    """Its worker has taken it and has no process yet; without a worker nobody has."""
    run = make_run("PENDING", host=None)
    recover_all()
    assert state_of(prefect_api, run) == "Pending"
    recover_all(no_worker=True)
    assert state_of(prefect_api, run) == "Recovered"


def test_a_cancelled_run_whose_process_is_gone_is_cancelled(prefect_api: PrefectServer, make_run: MakeRun) -> None:
    """Nobody is left who could say so."""
    run = make_run("CANCELLING")
    recover_all(no_worker=True)
    assert state_of(prefect_api, run) == "Cancelled"


def test_a_run_taken_for_dead_whose_process_lives_runs(prefect_api: PrefectServer, make_run: MakeRun) -> None:
    """Its heartbeats were lost, as those of a run are while the server is away."""
    run = make_run("CRASHED")
    with stand_in(run):
        recover_all()
    assert state_of(prefect_api, run) == "Running"


def test_a_run_that_its_worker_does_not_cancel_is_cancelled(prefect_api: PrefectServer, make_run: MakeRun) -> None:
    """A worker that lost sight of the server once never looks for runs to cancel again."""
    run = make_run("CANCELLING")
    with stand_in(run) as process:
        recover_all()
        assert process.poll() is None, "it has some time for it"
        recover_all(cancelling=timedelta())
        assert process.wait(10) == -signal.SIGTERM


@contextmanager
def stand_in(run: dict[str, Any]) -> Iterator[subprocess.Popen[bytes]]:
    """Start a process that looks as if it executed a run; killed in the end."""
    command = [sys.executable, "-c", "import time; time.sleep(60)", "prefect.engine"]
    with subprocess.Popen(command, env={**os.environ, "PREFECT__FLOW_RUN_ID": run["id"]}) as process:
        wait_until(lambda: "prefect.engine" in psutil.Process(process.pid).cmdline(), "the process")
        yield process
        process.kill()


class Site:
    """A worker, and a run of many pages."""

    def __init__(self, server: PrefectServer, folder: Path) -> None:
        self.server, self.folder = server, folder
        (folder / "in").mkdir()
        for number in range(MANY):
            (folder / "in" / f"{number:03}.pdf").write_bytes(pdf(str(number), 4))
        environment = {
            **server.environment,
            "TMPDIR": str(folder),
            "FLOWS_SWEEP_S": "0.5",
            "FLOWS_CRASH_PAUSE_S": "0",
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            "PAGEMILL_ENGINE": "ocr",
            "PAGEMILL_OCR_TEXT_LAYER": "only",
            "PAGEMILL_OCR_WORKERS": "1",
            "PAGEMILL_RENDER_WORKERS": "1",
            "PAGEMILL_OUTPUT_FILES_SHARD_PAGES": "8",
        }
        command = [sys.executable, "-m", "flows.worker", "--name", f"worker-{folder.name}"]
        self.worker = Process(command, environment, folder / "worker.log")

    def begin(self, output: str) -> str:
        """Start a run and return its id."""
        nightly = ask(self.server, "deployments/name/ocr/nightly")["id"]
        parameters = {"input": str(self.folder / "in"), "output": str(self.folder / output)}
        asked = {"parameters": parameters, "state": {"type": "SCHEDULED"}}
        return str(ask(self.server, f"deployments/{nightly}/create_flow_run", asked)["id"])

    def wait_for(self, run: str, *states: str) -> dict[str, Any]:
        """Return the state of a run once its name is one of these."""

        def look() -> dict[str, Any] | None:
            state: dict[str, Any] = ask(self.server, f"flow_runs/{run}")["state"]
            return state if state["name"] in states else None

        return wait_until(look, f"{run} to be {states}: {self.worker.said()[-3000:]}")

    def wait_for_parts(self, output: str) -> None:
        """Return when something is committed."""
        wait_until(
            lambda: [*self.folder.glob(f"{output}/*/documents/*.parquet")], f"parts: {self.worker.said()[-3000:]}"
        )

    def engine_of(self, run: str) -> psutil.Process:
        """Return the process that executes a run."""
        [found] = [one for one in self.worker.tree() if one.environ().get("PREFECT__FLOW_RUN_ID") == run
                   and "prefect.engine" in one.cmdline()]  # fmt: skip
        return found

    def is_complete(self, output: str) -> bool:
        """Return whether each page is there once."""
        parts = self.folder.glob(f"{output}/transcript/pages/*.parquet")
        rows = sum(pq.read_metadata(part).num_rows for part in parts)
        return not check_output(str(self.folder / output)) and rows == MANY * 4


@pytest.fixture(scope="module")
def site(prefect_server: PrefectServer, deployed: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site whose worker runs."""
    made = Site(prefect_server, tmp_path_factory.mktemp("site"))
    with made.worker:
        yield made


def test_a_killed_run_goes_on(site: Site) -> None:
    """SIGKILL, as the kernel sends it when memory runs out; the worker lives."""
    run = site.begin("killed")
    site.wait_for_parts("killed")
    site.engine_of(run).kill()
    site.wait_for(run, "Crashed", "Recovered")
    site.wait_for(run, "Completed")
    assert site.is_complete("killed")


def test_a_stopped_worker_gives_its_run_back(site: Site) -> None:
    """SIGTERM, as systemd and Docker send it: what is read is committed, and the next worker goes on."""
    run = site.begin("stopped")
    site.wait_for_parts("stopped")
    processes = site.worker.tree()
    began = time.monotonic()
    assert site.worker.stop(signal.SIGTERM, give_up_s=30) == 0
    assert time.monotonic() - began < 20
    assert not any(process.is_running() for process in processes)
    assert "pages ok" in site.wait_for(run, "Interrupted")["message"]
    site.worker.start()
    site.wait_for(run, "Completed")
    assert site.is_complete("stopped")


def test_a_cancelled_run_ends_in_seconds_and_the_next_goes_on(site: Site) -> None:
    """The GPU is free, and nothing that was read is read again."""
    run = site.begin("cancelled")
    site.wait_for_parts("cancelled")
    engine = site.engine_of(run)
    processes = [engine, *engine.children(recursive=True)]
    began = time.monotonic()
    ask(site.server, f"flow_runs/{run}/set_state", {"state": {"type": "CANCELLING"}})
    site.wait_for(run, "Cancelled")
    psutil.wait_procs(processes, timeout=20)
    assert not any(process.is_running() for process in processes)
    assert time.monotonic() - began < 15
    following = site.begin("cancelled")
    message = site.wait_for(following, "Completed")["message"]
    assert f"{MANY * 4} pages ok" not in message
    assert site.is_complete("cancelled")


def test_a_run_that_goes_back_remembers_its_tries(prefect_api: PrefectServer, make_run: MakeRun) -> None:
    """What went wrong for a reason that may pass is tried again, but not for ever."""
    from prefect.exceptions import Abort

    from flows.turn import AWAITING_RETRY, Turn

    run = make_run("RUNNING")
    first = Turn(UUID(run["id"]))
    with pytest.raises(Abort):
        first.go_back(AWAITING_RETRY, "The bucket does not answer.", after_s=60)
    assert state_of(prefect_api, run) == AWAITING_RETRY
    second = Turn(UUID(run["id"]))
    assert (first.num_tries, second.num_tries) == (0, 1)
