"""The one-time set-up on a Prefect server: pool, queues, deployments, automations.

    python -m flows.deploy [--pool gpu]

Run it again after an upgrade, or to change the schedule; what somebody paused stays paused.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.exceptions import ObjectNotFound

from flows.alerts import ensure as ensure_alerts
from flows.recovery import RECOVERED
from flows.surroundings import server_url
from flows.turn import AWAITING_RETRY, GAVE_WAY, INTERRUPTED, UNREACHABLE
from flows.view import MANY_FAILED
from flows.worker import POOL, ROOT
from pipeline.errors import ConfigError

DEPLOYMENTS = Path(__file__).with_name("prefect.yaml")
QUEUES = {"nightly": 1, "inbox": 5, "backfill": 10}
"""The lower number goes first."""
HEARTBEAT_AUTOMATION = "pagemill: runs without a sign of life crash"
SILENCE = timedelta(minutes=5)
"""Ten heartbeats: one may be lost while the server starts anew or is busy."""
DEFAULTS = {"FLOWS_NIGHTLY_CRON": "0 22 * * *", "FLOWS_TIMEZONE": "UTC"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Set up and say what there is now; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m flows.deploy",
        description="Set up Pagemill's deployments on a Prefect server.",
        epilog="FLOWS_NIGHTLY_CRON (default: 0 22 * * *) and FLOWS_TIMEZONE (default: UTC) say when the nightly runs; "
        "FLOWS_FOLDER is where runs find pagemill.toml (default: this checkout).",
    )
    parser.add_argument("--pool", default=POOL, help="work pool (default: %(default)s)")
    parser.add_argument("--wait", type=float, default=30, help="seconds a server may take to start (%(default)s)")
    options = parser.parse_args(arguments)
    pool = options.pool
    try:
        api_url = server_url()
    except ConfigError as error:
        return _refuse(str(error))
    try:
        with get_client(sync_client=True) as client:
            wait_for_server(client, options.wait)
            ensure_pool(client, pool)
            ensure_heartbeat_automation(client)
    except UNREACHABLE as error:
        return _refuse(f"Prefect's server at {api_url} does not answer as it should: {error}. Is it running?")
    if complaint := deploy(pool):
        return _refuse(f"{complaint}\n`prefect deploy` failed; above it says why.")
    _say("Deployments ocr/nightly, ocr/inbox and ocr/backfill made or renewed.")
    ensure_alerts()
    _say(f"Ready. Next, on the machine that reads: python -m flows.worker --pool {pool}")
    return 0


def wait_for_server(client: SyncPrefectClient, wait_s: float) -> None:
    """Return when the server answers.

    Raises:
        httpx.HTTPError: it does not, or not as it should, after `wait_s`.
    """
    deadline = time.monotonic() + wait_s
    while True:
        try:
            client.hello().raise_for_status()
        except httpx.HTTPError:
            if time.monotonic() > deadline:
                raise
            time.sleep(1)
        else:
            return


def ensure_pool(client: SyncPrefectClient, pool: str) -> None:
    """Make the work pool and those of its queues that are missing; what is there is left as it is."""
    try:
        client.read_work_pool(pool)
    except ObjectNotFound:
        client.create_work_pool(WorkPoolCreate(name=pool, type="process", description="One run a worker at a time."))
        _say(f"Work pool {pool} made.")
    known = {queue.name for queue in client.read_work_queues(work_pool_name=pool)}
    for name, priority in QUEUES.items():
        if name not in known:
            client.create_work_queue(name=name, priority=priority, work_pool_name=pool)
            _say(f"Queue {name} made, priority {priority}.")


def ensure_heartbeat_automation(client: SyncPrefectClient) -> None:
    """Have the server say Crashed of a run whose host fell silent; recovery then takes it up again."""
    if client.read_automations_by_name(HEARTBEAT_AUTOMATION):
        return
    ends = {"Completed", MANY_FAILED, "DryRun", "Failed", "Cancelled", "Crashed"}
    back = {"Scheduled", AWAITING_RETRY, INTERRUPTED, GAVE_WAY, RECOVERED}
    trigger = EventTrigger(
        posture=Posture.Proactive,
        after={"prefect.flow-run.heartbeat"},
        expect={f"prefect.flow-run.{name}" for name in {"heartbeat", *ends, *back}},
        for_each={"prefect.resource.id"},
        match={"prefect.resource.id": ["prefect.flow-run.*"]},
        threshold=1,
        within=SILENCE,
    )
    message = f"No sign of life for {SILENCE.total_seconds() / 60:.0f} minutes."
    crash = ChangeFlowRunState(state=StateType.CRASHED, name="Crashed", message=message)
    client.create_automation(
        AutomationCore(
            name=HEARTBEAT_AUTOMATION,
            description="Its worker puts such a run back into its queue; see flows/recovery.py.",
            trigger=trigger,
            actions=[crash],
        )
    )
    _say("Automation made: a run whose host falls silent crashes.")


def deploy(pool: str) -> str | None:
    """Deploy what prefect.yaml says; return what `prefect deploy` said when it failed."""
    environment = {**DEFAULTS, "FLOWS_FOLDER": str(ROOT), **os.environ, "FLOWS_ROOT": str(ROOT), "FLOWS_POOL": pool}
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(DEPLOYMENTS)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else done.stdout + done.stderr


def _refuse(message: str) -> int:
    sys.stderr.write(f"{message}\n")
    return 2


def _say(message: str) -> None:
    sys.stdout.write(f"{message}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
