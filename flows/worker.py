"""The worker of a host, for as long as it runs: one flow run at a time, and none of them lost.

    python -m flows.worker [--pool gpu] [--name HOST]

Starts `prefect worker start` with the settings that runs need, and looks every few seconds for
runs that nobody executes any more (recovery.py). On SIGTERM the run in hand commits what it
has and goes back to its queue; a worker by itself would kill it and leave it Running for ever.
"""

from __future__ import annotations

import argparse
import ctypes
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil
from prefect.client.orchestration import get_client

from flows.recovery import recover, run_processes
from flows.surroundings import server_url
from flows.turn import UNREACHABLE, this_host
from pipeline.errors import ConfigError

log = logging.getLogger("flows.worker")

ROOT = Path(__file__).parent.parent
POOL = "gpu"
SWEEP_S = float(os.environ.get("FLOWS_SWEEP_S", "10"))
WAIT_FOR_SERVER_S = 5.0
RESTART_S = float(os.environ.get("FLOWS_RESTART_S", "10"))
GRACE_S = 25.0
"""For a run to commit and go back to its queue. Its engine has 8 s of them, its artifacts up to 20."""
_OURS = "FLOWS_WORKER"
"""Variable by which the processes of this worker's runs are known, also when the worker is dead."""
FOR_RUNS = {
    "PREFECT_LOGGING_EXTRA_LOGGERS": "flows",  # what `pipeline` says is passed on by view/logs.py
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
    "PREFECT_CLIENT_MAX_RETRIES": "9",  # about 17 minutes without the server
    "PREFECT_WORKER_QUERY_SECONDS": "5",
    "PREFECT_WORKER_WEBSERVER_HOST": "127.0.0.1",  # by default the whole network sees its health
    "DO_NOT_TRACK": "1",
}
"""What a worker and its runs are told unless the environment says otherwise."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until told to stop; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m flows.worker", description="Run Pagemill's deployments here.")
    parser.add_argument("--pool", default=POOL, help="work pool (default: %(default)s)")
    parser.add_argument("--name", default=this_host(), help="of this worker; must stay the same (default: %(default)s)")
    parser.add_argument("--with-healthcheck", action="store_true", help="answer GET /health on port 8080")
    options = parser.parse_args(arguments)
    try:
        server_url()
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s", stream=sys.stderr)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    os.environ["FLOWS_HOST"] = options.name
    return Worker(options.pool, options.name, with_healthcheck=options.with_healthcheck).work()


class Worker:
    """`prefect worker start` and who looks after it."""

    def __init__(self, pool: str, name: str, *, with_healthcheck: bool = False) -> None:
        self._pool = pool
        self._mark = f"{pool}@{name} {server_url()}"  # other installations on this host have theirs
        self._command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", pool, "--type", "process"]
        self._command += ["--limit", "1", "--name", name, *(["--with-healthcheck"] if with_healthcheck else [])]
        self._stopping = threading.Event()
        self._trouble = ""
        """What recovery ended with the last time."""

    def work(self) -> int:
        """Run until SIGTERM or SIGINT; when `prefect worker` ends by itself, all of this is started again."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stopping.set())
        self._end_runs()  # without their worker nobody can cancel them, and they hold the GPU
        if not self._recover_first():
            return 0
        child = subprocess.Popen(
            self._command,
            cwd=os.environ.get("FLOWS_FOLDER", ROOT),
            env=self._environment(),
            start_new_session=True,  # Ctrl-C is ours to pass on
            preexec_fn=_die_with_parent,  # noqa: PLW1509 -- this process has one thread yet
        )
        threading.Thread(target=self._sweep, name="recovery", daemon=True).start()
        while not self._stopping.wait(0.2):
            if child.poll() is not None:
                log.error("prefect worker ended with %d; it is started again", child.returncode)
                self._end_runs()
                if not self._stopping.wait(RESTART_S):
                    os.execv(sys.executable, sys.orig_argv)  # noqa: S606 -- the very command this is
        self._stop(child)
        return 0

    def _environment(self) -> dict[str, str]:
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        return {**FOR_RUNS, **os.environ, _OURS: self._mark, "PYTHONPATH": path}

    def _recover_first(self) -> bool:
        """Recover as soon as the server answers; return False when told to stop before."""
        while not self._stopping.is_set():
            if self._recover(no_worker=True):
                return True
            self._stopping.wait(WAIT_FOR_SERVER_S)
        return False

    def _sweep(self) -> None:
        while not self._stopping.wait(SWEEP_S):
            self._recover()

    def _recover(self, *, no_worker: bool = False) -> bool:
        """Recover once and return whether that worked; a trouble that stays is logged once."""
        try:
            with get_client(sync_client=True) as client:
                recover(client, self._pool, no_worker=no_worker)
        except Exception as error:
            said = type(error).__name__
            if said != self._trouble:
                known = isinstance(error, UNREACHABLE)
                log.warning("no recovery until Prefect's server answers: %s", error or said, exc_info=not known)
            self._trouble = said
            return False
        if self._trouble:
            log.info("Prefect's server answers again")
        self._trouble = ""
        return True

    def _stop(self, child: subprocess.Popen[bytes]) -> None:
        """End the run in hand, then the worker; halted in between, it cannot take the next run."""
        log.info("stopping: the run in hand commits and goes back to its queue, up to %.0f s", GRACE_S)
        child.send_signal(signal.SIGSTOP)
        self._end_runs()
        child.send_signal(signal.SIGTERM)
        child.send_signal(signal.SIGCONT)
        with suppress(subprocess.TimeoutExpired):
            child.wait(5)
        child.kill()
        child.wait()

    def _end_runs(self) -> None:
        """Have the runs of this worker, a dead one's too, go back to their queue; kill those that do not in time."""
        runs = [process for _, process in run_processes() if _belongs_to(process, self._mark)]
        for process in runs:
            log.info("stopping the run of process %d", process.pid)
            with suppress(psutil.NoSuchProcess):
                process.terminate()
        deadline = time.monotonic() + GRACE_S
        while any(_runs(process) for process in runs) and time.monotonic() < deadline:
            time.sleep(0.1)
        for process in filter(_runs, runs):
            with suppress(psutil.NoSuchProcess):
                process.kill()


def _belongs_to(process: psutil.Process, mark: str) -> bool:
    with suppress(psutil.Error):
        return bool(process.environ().get(_OURS) == mark)
    return False


def _runs(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


def _die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends (prctl(2): PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
