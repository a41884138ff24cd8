"""The flow in this process: what it takes, what it answers, and what an absent server costs it."""

import os
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect_flows.asking import ask, delete, patch
from prefect_flows.night import pdf
from prefect_flows.processes import PrefectServer

from pipeline.errors import ConfigError
from pipeline.stats.runs import read_runs
from pipeline.storage import open_storage

SETTLE = "PAGEMILL_INPUT_FILES_SETTLE_S"
"""That the server's environment sets: tests do not wait for files to be left alone."""
QUICK = {"ocr.text_layer": "only", "ocr.workers": 1, "render.workers": 1}


@pytest.fixture
def documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of three documents of two pages; no settings of this machine."""
    for name in [name for name in os.environ if name.startswith("PAGEMILL_") and name != SETTLE]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.pdf").write_bytes(pdf(str(number), 2))
    return folder


def ocr(**parameters: Any) -> Any:
    """Run the flow and return the state it ends in."""
    from flows.ocr import ocr as flow

    return flow(**parameters, engine="ocr", return_state=True)


@pytest.mark.slow
def test_reads_what_is_not_read_yet(prefect_api: PrefectServer, documents: Path, tmp_path: Path) -> None:
    """A second run finds nothing to do, and says so."""
    first, second = (ocr(input="in", output=str(tmp_path / "out"), settings=QUICK) for _ in range(2))
    assert (first.type, second.type) == ("COMPLETED", "COMPLETED")
    assert "6 pages ok" in first.message
    assert "6 pages ok" not in second.message


@pytest.mark.slow
def test_failed_pages_are_no_failure_of_the_run(prefect_api: PrefectServer, documents: Path, tmp_path: Path) -> None:
    """A night in which one page of thousands is damaged is a good night."""
    (documents / "damaged.pdf").write_bytes(b"%PDF-1.7 and no more")
    state = ocr(input="in", output=str(tmp_path / "out"), settings=QUICK)
    assert state.is_completed()
    assert "1 failed" in state.message


@pytest.mark.slow
def test_a_wrong_setting_fails_at_once_and_is_named(prefect_api: PrefectServer, documents: Path) -> None:
    """It is the caller who has to act, and who knows it as a parameter."""
    state = ocr(input="in", output="out", settings={"ocr.wokers": 1})
    assert state.is_failed()
    assert "ocr.wokers" in state.message
    assert "--param ocr.wokers" in state.message


@pytest.mark.slow
def test_a_dry_run_tells_and_reads_nothing(prefect_api: PrefectServer, documents: Path, tmp_path: Path) -> None:
    """What a backfill would cost is asked before it is begun."""
    state = ocr(input="in", output=str(tmp_path / "out"), settings=QUICK, dry_run=True)
    assert state.is_completed()
    assert "3 documents" in state.message
    assert not (tmp_path / "out").exists()
    [artifact] = ask(prefect_api, "artifacts/filter", {"artifacts": {"key": {"any_": ["ocr-forecast"]}}})
    assert "Documents to read | 3" in artifact["data"]


@pytest.mark.slow
def test_a_server_that_is_away_stops_no_page(prefect_api: PrefectServer, documents: Path, tmp_path: Path) -> None:
    """All pages are committed before the server answers again."""
    output = tmp_path / "out"
    committed_at: list[float] = []
    for number in range(100, 120):
        (documents / f"{number}.pdf").write_bytes(pdf(str(number), 2))

    def halt_and_go_on() -> None:
        while not list(output.glob("transcript/runs/*")):
            time.sleep(0.01)
        server = prefect_api.tree()
        for process in server:
            process.suspend()
        deadline = time.monotonic() + 20
        while not committed_at and time.monotonic() < deadline:
            if _is_finished(output):
                committed_at.append(time.monotonic())
            time.sleep(0.1)
        for process in server:
            process.resume()

    absence = threading.Thread(target=halt_and_go_on)
    absence.start()
    state = ocr(input="in", output=str(output), settings=QUICK)
    absence.join()
    assert committed_at
    assert state.is_completed()
    assert "46 pages ok" in state.message


def _is_finished(output: Path) -> bool:
    rows = read_runs(open_storage(str(output)), "transcript")
    return any(row.finished_at for row in rows)


def test_parameters_win_over_variables(documents: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """None is what a parameter that was left out arrives as."""
    from flows.ocr import read_config

    monkeypatch.setenv("PAGEMILL_OUTPUT", "there")
    monkeypatch.setenv("PAGEMILL_LIMIT", "5")
    config = read_config({"input": "in", "limit": 7, "since": None, "output_files.shard_pages": "64", "force": True})
    assert (config.input, config.output, config.limit, config.force) == ("in", "there", 7, True)
    assert config.output_files.shard_pages == 64


def test_an_error_names_the_parameter(documents: Path) -> None:
    """`--param limit`, as it was typed."""
    from flows.ocr import read_config

    with pytest.raises(ConfigError, match=r"--param limit"):
        read_config({"input": "in", "output": "out", "limit": -1})


def test_times_count_from_when_a_run_was_due(documents: Path) -> None:
    """A night that goes on at 06:10 must not take 06:00 for that of the next day."""
    from flows.ocr import as_of_turn, read_config
    from flows.turn import Turn
    from pipeline.selection import parse_deadline

    turn = Turn(None)
    turn.began_at = datetime(2026, 11, 20, 22, tzinfo=UTC)
    config = as_of_turn(read_config({"input": "in", "output": "out", "deadline": "06:00", "since": "24h"}), turn)
    assert config.deadline == parse_deadline("06:00", turn.began_at).isoformat()
    assert config.since == "2026-11-19T22:00:00+00:00"
    turn.started_at = datetime(2026, 11, 20, 23, tzinfo=UTC)
    config = as_of_turn(read_config({"input": "in", "output": "out", "deadline": "8h"}), turn)
    assert config.deadline == "2026-11-21T07:00:00+00:00"  # it had waited for an hour, and eight are for reading


@pytest.mark.slow
def test_a_backfill_gives_way_to_the_night(prefect_api: PrefectServer, deployed: str) -> None:
    """It stops as soon as a run of a queue that goes first is due, and not for one that comes after or is paused."""
    from flows.turn import Turn

    ids: list[str] = []

    def begin(deployment: str) -> str:
        found = ask(prefect_api, f"deployments/name/ocr/{deployment}")
        made = ask(prefect_api, f"deployments/{found['id']}/create_flow_run", {"state": {"type": "SCHEDULED"}})
        ids.append(made["id"])
        return ids[-1]

    running = begin("inbox")
    ask(prefect_api, f"flow_runs/{running}/set_state", {"state": {"type": "RUNNING"}, "force": True})
    stop = threading.Event()
    with Turn(UUID(running)) as turn:
        gave_way = turn.watch(stop, every_s=0.2)
        begin("backfill")
        assert not stop.wait(1)
        patch(prefect_api, "work_pools/gpu/queues/nightly", {"is_paused": True})
        begin("nightly")
        assert not stop.wait(1), "nobody would take that run up"
        patch(prefect_api, "work_pools/gpu/queues/nightly", {"is_paused": False})
        assert stop.wait(10)
        assert gave_way.is_set()
    for flow_run_id in ids:  # or a worker of another test would run them
        delete(prefect_api, f"flow_runs/{flow_run_id}")
