"""The one-time set-up: complete, repeatable, and clear when it cannot be done."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from prefect_flows.asking import ask, patch
from prefect_flows.processes import ROOT, PrefectServer


@pytest.mark.slow
def test_makes_queues_in_their_order(prefect_server: PrefectServer, deployed: str) -> None:
    """The night goes before what has just arrived, and that before history."""
    queues = ask(prefect_server, "work_pools/gpu/queues/filter", {})
    priorities = {queue["name"]: queue["priority"] for queue in queues}
    assert priorities["nightly"] < priorities["inbox"] < priorities["backfill"]


@pytest.mark.slow
def test_deploys_what_runs_find(prefect_server: PrefectServer, deployed: str) -> None:
    """Each deployment has its queue; only the night has a schedule; a run finds the checkout."""
    asked = {"deployments": {"name": {"any_": ["nightly", "inbox", "backfill"]}}}
    found = {one["name"]: one for one in ask(prefect_server, "deployments/filter", asked)}
    assert {name: one["work_queue_name"] for name, one in found.items()} == {name: name for name in found}
    assert {name: one["work_pool_name"] for name, one in found.items()} == dict.fromkeys(found, "gpu")
    assert {name: len(one["schedules"]) for name, one in found.items()} == {"nightly": 1, "inbox": 0, "backfill": 0}
    schedule = found["nightly"]["schedules"][0]["schedule"]
    assert (schedule["cron"], schedule["timezone"]) == ("0 22 * * *", "UTC")
    assert found["inbox"]["parameters"] == {"only_new": True}
    assert found["backfill"]["parameters"] == {"give_way": True}
    assert str(ROOT) in str(found["nightly"]["pull_steps"])


@pytest.mark.slow
def test_again_leaves_what_was_paused(prefect_server: PrefectServer, deployed: str) -> None:
    """Whoever upgrades must not start a night that somebody stopped; a new time for it is taken over."""
    nightly = ask(prefect_server, "deployments/name/ocr/nightly")
    [schedule] = nightly["schedules"]
    patch(prefect_server, f"deployments/{nightly['id']}/schedules/{schedule['id']}", {"active": False})
    patch(prefect_server, "work_pools/gpu/queues/backfill", {"is_paused": True, "priority": 77})
    when = {"FLOWS_NIGHTLY_CRON": "30 1 * * *", "FLOWS_TIMEZONE": "Asia/Tokyo"}
    done = run_deploy({**prefect_server.environment, **when})
    assert done.returncode == 0, done.stdout + done.stderr
    [schedule] = ask(prefect_server, "deployments/name/ocr/nightly")["schedules"]
    assert (schedule["active"], schedule["schedule"]["cron"]) == (False, "30 1 * * *")
    assert schedule["schedule"]["timezone"] == "Asia/Tokyo"
    queue = ask(prefect_server, "work_pools/gpu/queues/backfill")
    assert (queue["is_paused"], queue["priority"]) == (True, 77)
    automations = ask(prefect_server, "automations/filter", {})
    assert len({one["name"] for one in automations}) == len(automations)
    patch(prefect_server, "work_pools/gpu/queues/backfill", {"is_paused": False, "priority": 10})


def run_deploy(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the set-up and return what it said."""
    command = [sys.executable, "-m", "flows.deploy", "--wait", "0"]
    environment = {**os.environ, **environment}
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("port", "said"), [(None, "PREFECT_API_URL is not set"), (1, "does not answer")], ids=["no address", "nobody there"]
)
def test_says_when_there_is_no_server(port: int | None, said: str, tmp_path: Path) -> None:
    """One sentence, not a traceback."""
    url = f"http://127.0.0.1:{port}/api" if port else ""
    done = run_deploy({"PREFECT_API_URL": url, "PREFECT_HOME": str(tmp_path)})
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
