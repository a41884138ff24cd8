"""What an operator sees of a run."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from prefect_flows.night import pdf
from prefect_flows.processes import free_port

from flows.view.names import artifact_key, run_name
from flows.view.page import browsable, page_of_run
from flows.view.words import cost_rows, failure_rows, progress_line, share_done, summary_line, throughput_rows
from pipeline.config import RunConfig
from pipeline.data import PageRequest
from pipeline.engines import EngineChoice
from pipeline.engines.scripted import ScriptedEngine
from pipeline.errors import ConfigError
from pipeline.run import RunReport, run
from pipeline.tally import Progress

if TYPE_CHECKING:
    from prefect_flows.processes import PrefectServer

    from flows.view import RunView

NOW = datetime(2026, 11, 21, 2, 0, tzinfo=UTC)
READING = Progress("reading", 100, 20, 0, 400, 300, 10, 0, 620.0, 0.5, 3380.0, None)
"""Of an estimated 2,000 pages."""


def config_of(folder: Path, **settings: object) -> RunConfig:
    """The configuration of a run that reads folder/in."""
    values: dict[str, object] = {"input": str(folder / "in"), "output": str(folder / "out"), "extraction": "receipt"}
    values |= {"render": {"workers": 1}, "tries": {"max_tries": 1}, "cost": {"price_per_hour": "36"}}
    return RunConfig.model_validate(values | settings)


def read(config: RunConfig, view: RunView | None = None) -> RunReport:
    """Read with an engine that fails at every second page of a document."""

    def answer(request: PageRequest) -> str:
        if view:
            time.sleep(0.05)
        return "{" if request.image.page_number == 2 else json.dumps({"seller": "Corner Shop", "total": "12,50 €"})

    engine = ScriptedEngine(answer)
    choice = EngineChoice(engine.info, lambda: engine, max_pixels=100_000)
    return run(config, engine=choice, on_progress=view.on_progress if view else None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two documents of two pages; their names are Markdown."""
    folder = tmp_path_factory.mktemp("view")
    (folder / "in").mkdir()
    for name in ("*a*", "b|<b>"):
        (folder / "in" / f"{name}.pdf").write_bytes(pdf(name, 2))
    return folder


@pytest.fixture(scope="module")
def reports(folder: Path) -> tuple[RunReport, RunReport]:
    """A run that leaves one document to a second run."""
    return read(config_of(folder, page_budget=2)), read(config_of(folder))


@pytest.mark.parametrize(
    ("kind", "since", "until", "name"),
    [
        ("nightly", None, None, "nightly 2026-11-21 invoice"),
        ("inbox", None, None, "inbox 2026-11-21 02:00 invoice"),
        ("backfill", "2026-11-18", "2026-11-21", "backfill 2026-11-18 to 2026-11-20 invoice"),
        ("backfill", "2026-11-18", "2026-11-19", "backfill 2026-11-18 invoice"),
        ("nightly", "7d", None, "nightly since 7d invoice"),
    ],
)
def test_a_run_is_named_by_what_it_reads(kind: str, since: str | None, until: str | None, name: str) -> None:
    """A list of runs is read by their names."""
    assert run_name(kind, extraction="prompts/invoice/", at=NOW, since=since, until=until) == name


def test_a_night_is_that_of_its_time_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    """At 02:00 UTC it is still the day before in New York."""
    monkeypatch.setenv("FLOWS_TIMEZONE", "America/New_York")
    assert run_name("nightly", extraction="invoice", at=NOW) == "nightly 2026-11-20 invoice"
    monkeypatch.setenv("FLOWS_TIMEZONE", "America/Metropolis")
    assert run_name("nightly", extraction="invoice", at=NOW) == "nightly 2026-11-21 invoice", "a name stops no night"


def test_artifact_keys_are_what_prefect_takes() -> None:
    """It takes lower-case letters, digits and dashes only."""
    assert artifact_key("Nightly (GPU 2)", "throughput") == "ocr-nightly-gpu-2-throughput"


def test_progress_says_when_it_is_done() -> None:
    """And counts documents that were not opened yet."""
    line = progress_line(READING, now=NOW, deadline=None, budget=None)
    assert line.startswith("**16%**, 56 min 20 s left, till 02:56 UTC · 310 of about 2,000 pages (10 failed)")
    assert "20 of 100 documents" in line
    assert share_done(READING) == pytest.approx(0.155)


def test_progress_says_what_will_be_carried_over() -> None:
    """At the deadline, or at the page budget, whichever leaves more."""
    soon = datetime(2026, 11, 21, 2, 30, tzinfo=UTC)
    assert "about 790 pages will be" in progress_line(READING, now=NOW, deadline=soon, budget=None)
    assert "about 1,500 pages will be" in progress_line(READING, now=NOW, deadline=soon, budget=500)


def test_progress_claims_nothing_before_it_can_know() -> None:
    """The first pages to end are those that cannot be opened, at once."""
    early = replace(READING, eta_s=None)
    assert progress_line(early, now=NOW, deadline=None, budget=5).startswith("**reading** · 310 pages (10 failed)")
    assert share_done(early) == 0


def test_summary_names_what_is_left(reports: tuple[RunReport, RunReport]) -> None:
    """One line says what became of everything."""
    first, second = reports
    assert summary_line(first).startswith("1 page ok, 1 failed, 1 document in ")
    assert summary_line(first).endswith("; 1 document carried over (page budget).")
    assert "carried over" not in summary_line(second)


def test_tables_have_every_hour_every_reason_and_the_cost(reports: tuple[RunReport, RunReport]) -> None:
    """Columns that say nothing are left out."""
    hours = throughput_rows(reports[1])
    assert hours[-1]["hour (UTC)"] == "all"
    assert hours[-1]["pages"] == "2"
    assert "GPU" not in hours[0]
    [failure] = failure_rows(reports[1])
    assert (failure["reason"], failure["pages"], failure["documents"]) == ("output_invalid", 1, 1)
    assert "mend prompt or schema" in failure["what helps"]
    costs = {row["what"]: row["value"] for row in cost_rows(reports[1])}
    assert costs["cost"].endswith(" USD")
    assert "%" in costs["where it went"]
    assert "energy of the GPU" not in costs


def test_the_page_compares_with_the_run_before_and_shows_names_as_they_are(
    reports: tuple[RunReport, RunReport], folder: Path
) -> None:
    """A document's name can put nothing into the page."""
    page = page_of_run(reports[1], "nightly *x*", str(folder / "in"), failure_rows(reports[1]))
    assert page.startswith("# Done; 1 of 2 pages failed\n")
    assert "the one before" in page
    assert r"nightly \*x\*" in page
    assert "2 found = 1 ok + 1 failed" in page
    assert "<b>" not in page
    assert f"pagemill retry {folder}/out --extraction receipt" in page


def test_an_output_is_linked_where_a_browser_can_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """A browser opens neither s3:// nor a folder; secrets stay out."""
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3", raising=False)
    assert browsable("/srv/out") is None
    assert browsable("file:///srv/out") is None
    assert browsable("s3://bucket/a/b/") == "https://console.aws.amazon.com/s3/buckets/bucket?prefix=a/b/"
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://minio:9000")
    assert browsable("s3://key:secret@bucket/a") is None
    monkeypatch.setenv("FLOWS_OUTPUT_URL", "http://minio:9001/browser/{bucket}/{path}")
    assert browsable("s3://key:secret@bucket/a b") == "http://minio:9001/browser/bucket/a%20b"


@pytest.mark.parametrize("share", ["", "0.6", "many"])
def test_a_run_with_many_failed_pages_ends_under_a_name_of_its_own(
    reports: tuple[RunReport, RunReport], share: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Alerts go by that name; the run is complete all the same."""
    from flows.view import final_state

    monkeypatch.setenv("FLOWS_ALERT_FAILED_SHARE", share)
    if share == "many":
        with pytest.raises(ConfigError, match="FLOWS_ALERT_FAILED_SHARE"):
            final_state(reports[1])
        return
    state = final_state(reports[1])
    assert state.is_completed()
    assert state.name == ("Completed" if share else "Pages failed")


@pytest.fixture
def unreachable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A flow run whose server is away."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    monkeypatch.setenv("PREFECT__FLOW_RUN_ID", str(uuid4()))
    with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{free_port()}/api"}):
        yield


def test_a_server_that_is_away_costs_a_run_nothing(unreachable: None, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody waits for it but whoever closes, and that for a limited time."""
    from flows.view.board import Board, progress

    board = Board()
    began = time.monotonic()
    for number in range(1000):
        board.show(progress("ocr-progress", number / 1000, "reading"))
    assert time.monotonic() - began < 0.5
    with caplog.at_level(logging.WARNING, "flows.view.board"):
        board.close(wait_s=0.3)
    assert time.monotonic() - began < 2
    assert "did not take in: ocr-progress" in caplog.text


@pytest.mark.slow
def test_a_run_is_seen_in_prefect(prefect_api: PrefectServer, folder: Path, tmp_path: Path) -> None:
    """Its name, the artifacts with their history, its log without a line of single pages."""
    from prefect import flow

    from flows.view import RunView, final_state, flow_run_name

    @flow(name=f"view-{uuid4().hex[:8]}", flow_run_name=flow_run_name, persist_result=False)
    def seen(extraction: str) -> Any:
        config = config_of(folder, output=str(tmp_path), extraction=extraction)
        with RunView(config, kind="night") as view:
            report = read(config, view)
            view.finished(report)
            logging.getLogger("pipeline.storage").warning("storage does not answer", extra={"why": "503"})
        return final_state(report)

    state: Any = seen("receipt", return_state=True)
    run_id = str(state.state_details.flow_run_id)
    assert state.name == "Pages failed"
    assert prefect_api.ask(f"flow_runs/{run_id}")["name"].endswith(" receipt")
    artifacts = prefect_api.ask("artifacts/filter", {"artifacts": {"flow_run_id": {"any_": [run_id]}}})
    shown = {artifact["key"]: artifact for artifact in artifacts if artifact["key"]}
    kinds = ("progress", "summary", "throughput", "failures", "cost")
    assert set(shown) == {f"ocr-night-{kind}" for kind in kinds}
    assert shown["ocr-night-progress"]["data"] == 100
    assert shown["ocr-night-progress"]["description"].startswith("2 pages ok, 2 failed, 2 documents")
    assert "# Done; 2 of 4 pages failed" in shown["ocr-night-summary"]["data"]
    lines = [line["message"] for line in log_of(prefect_api, run_id)]
    assert any("loading the engine" in line for line in lines)
    assert any("storage does not answer why=503" in line for line in lines)
    assert not any("page failed" in line for line in lines)
    assert len(lines) < 12


def log_of(server: PrefectServer, run_id: str) -> list[dict[str, Any]]:
    """Return the log of a flow run once all of it is there."""
    from prefect.logging.handlers import APILogWorker

    APILogWorker.instance().drain()
    wanted = {"logs": {"flow_run_id": {"any_": [run_id]}}, "sort": "TIMESTAMP_ASC"}
    return list(server.ask("logs/filter", wanted))
