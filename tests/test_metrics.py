"""What Prometheus is told of a run while it runs, and when it has ended."""

from __future__ import annotations

import json
import re
import shutil
import socket
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pyarrow.dataset as ds
import pymupdf
import pytest
from made_records import document, failed_page, identity, ok_page
from prometheus_client.parser import text_string_to_metric_families

from pipeline.config import RunConfig
from pipeline.data import FinishReason, Generation, PageRecord, PageRequest
from pipeline.engines import EngineChoice
from pipeline.engines.scripted import ScriptedEngine
from pipeline.errors import EngineError, EngineStartError, ErrorType
from pipeline.metrics import open_metrics
from pipeline.run import RunReport, run
from pipeline.tally import Tally

RECEIPT = json.dumps({"seller": "Corner Shop", "total": "12,50 €"})

Answer = Callable[[PageRequest], Generation | str]
Figures = dict[tuple[str, frozenset[tuple[str, str]]], float]


def figures(text: str) -> Figures:
    """Return every sample by name and labels, those that all have left out."""
    families = text_string_to_metric_families(text)
    every_samples = [sample for family in families for sample in family.samples]
    return {
        (sample.name, frozenset(item for item in sample.labels.items() if item[0] not in {"extraction", "output"})): (
            sample.value
        )
        for sample in every_samples
    }


def figure(found: Figures, name: str, **labels: str) -> float:
    """Return one sample."""
    return found["pagemill_" + name, frozenset(labels.items())]


def scrape(port: int) -> Figures:
    """Return what a run says over HTTP."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as response:
        return figures(response.read().decode())


def free_port() -> int:
    """Return a port that nobody listened at a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def write_pdf(path: Path, num_pages: int) -> None:
    """Write a PDF of small pages."""
    pdf: Any
    with pymupdf.open() as pdf:  # type: ignore[no-untyped-call]
        for number in range(num_pages):
            pdf.new_page(width=200, height=200).insert_text((20, 40), f"{path.name} {number}")
        pdf.save(path)


def write_input(folder: Path) -> Path:
    """Write documents of one, three and two pages, a copy of the second, and one that is damaged."""
    (folder / "in").mkdir()
    for name, num_pages in (("a.pdf", 1), ("b.pdf", 3), ("c.pdf", 2)):
        write_pdf(folder / "in" / name, num_pages)
    shutil.copy(folder / "in" / "b.pdf", folder / "in" / "copy.pdf")
    (folder / "in" / "d.pdf").write_bytes(b"%PDF-1.7 nothing of the kind")
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with an input."""
    return write_input(tmp_path)


def run_scripted(
    folder: Path, answer: Answer, *, stop: threading.Event | None = None, out: str = "out", **settings: object
) -> RunReport:
    """Run `receipt` over folder/in into folder/out with an engine that answers as told, priced at 3600 an hour."""
    metrics = {name: settings.pop(name) for name in ("port", "file") if name in settings}
    engine = ScriptedEngine(answer, capacity=2)
    choice = EngineChoice(engine.info, lambda: engine, max_pixels=100_000)
    places = {"input": str(folder / "in"), "output": str(folder / out), "extraction": "receipt"}
    cost = {"price_per_hour": "3600", "currency": "EUR"}
    defaults = {**places, "render": {"workers": 1}, "cost": cost, "metrics": metrics}
    config = RunConfig.model_validate({**defaults, **settings})
    return run(config, engine=choice, stop=stop)


@dataclass
class Night:
    """A run, and what it said of itself."""

    folder: Path
    began_at: float = field(default_factory=time.time)
    seen: list[Figures] = field(default_factory=list)
    """Over HTTP, before each answer of the engine."""
    report: RunReport | None = None
    file: Figures = field(default_factory=dict)
    """When it had ended."""
    port_is_closed: bool = False


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Night:
    """Return a run in which an engine dies and every page needs two tries."""
    night, port, tried = Night(write_input(tmp_path_factory.mktemp("night"))), free_port(), set()

    def answer(request: PageRequest) -> Generation:
        night.seen.append(scrape(port))
        if len(night.seen) == 2:
            raise EngineError("gone")
        text = RECEIPT if request.image_key in tried else "no JSON"
        tried.add(request.image_key)
        tokens = {"prompt_tokens": 100, "output_tokens": 7, "cached_tokens": 60}
        return Generation(request.request_id, text, FinishReason.STOP, **tokens)  # type: ignore[arg-type]

    night.report = run_scripted(night.folder, answer, port=port, file=night.folder / "run.prom", deadline="2h")
    night.file = figures((night.folder / "run.prom").read_text())
    try:
        scrape(port)
    except URLError:
        night.port_is_closed = True
    return night


def test_figures_move_while_a_run_reads(night: Night) -> None:
    """Over HTTP each page is seen when it is read, not when its shard is committed."""
    done = [figure(found, "pages_total", status="ok") for found in night.seen]
    assert done == sorted(done)
    assert (done[0], done[-1]) == (0, 5)
    last = night.seen[-1]
    assert figure(last, "run_state", state="running") == figure(last, "run_phase", phase="reading") == 1
    assert figure(last, "pages_in_engine") in {1, 2}
    assert figure(last, "run_eta_seconds") > 0
    assert figure(last, "run_documents_planned") == 5
    assert ("process_resident_memory_bytes", frozenset()) in last
    assert night.port_is_closed


def test_the_file_of_a_run_says_what_its_books_say(night: Night) -> None:
    """Whoever compares the dashboard with the output finds one truth."""
    assert night.report
    found, total = night.file, night.report.total
    assert figure(found, "pages_total", status="ok") == total.pages_ok - total.pages_reused == 6
    assert figure(found, "pages_total", status="failed") == total.pages_failed == 1
    assert figure(found, "pages_reused_total") == total.pages_reused == 3
    assert figure(found, "pages_retried_total") == total.pages_retried == 6
    assert figure(found, "documents_total", status="ok") == total.documents_ok == 4
    assert figure(found, "documents_total", status="failed") == total.documents_failed == 1
    assert figure(found, "engine_restarts_total") == total.engine_restarts == 1
    assert figure(found, "pages_resent_total") == total.pages_resent > 0
    for kind in ("prompt", "output", "cached"):
        assert figure(found, f"{kind}_tokens_total") == getattr(total, f"{kind}_tokens") > 0
    assert figure(found, "page_duration_seconds_count") == sum(pages for _, pages in total.latency_histogram)
    assert figure(found, "page_duration_seconds_bucket", le="+Inf") == total.pages_read
    spent = {part: figure(found, "time_seconds_total", part=part) for part in ("starting", "waiting_render", "ending")}
    busy_s = figure(found, "time_seconds_total", part="busy")
    assert spent["starting"] == pytest.approx(total.starting_s, abs=0.2)
    assert sum(spent.values()) + busy_s == pytest.approx(total.wall_s, abs=0.2)
    assert figure(found, "image_pixels_total") == total.pixels_sent > 0
    assert figure(found, "run_duration_seconds") == pytest.approx(total.wall_s, abs=0.2)
    assert figure(found, "cost_total", currency="EUR") == pytest.approx(float(total.cost or 0), abs=0.2)
    assert figure(found, "run_documents_carried_over") == 0
    pages = ds.dataset(night.folder / "out" / "receipt" / "pages", format="parquet").to_table(["error_type"])
    reasons = Counter(pages["error_type"].drop_null().to_pylist())
    assert {reason: figure(found, "page_failures_total", error_type=reason) for reason in ErrorType} == {
        reason: reasons[reason] for reason in ErrorType
    }


def test_the_file_of_a_run_that_ended_well_says_when(night: Night) -> None:
    """The alert "no success in 26 hours" looks at nothing else; the deadline's, at when it is."""
    found = night.file
    assert figure(found, "run_state", state="finished") == figure(found, "runs_total", state="finished") == 1
    assert night.began_at < figure(found, "last_success_timestamp_seconds") < time.time()
    assert figure(found, "last_run_end_timestamp_seconds") == figure(found, "last_success_timestamp_seconds")
    assert figure(found, "run_deadline_timestamp_seconds") == pytest.approx(night.began_at + 7200, abs=60)
    assert not any(value for (name, _), value in found.items() if name == "pagemill_run_phase")


def test_a_failed_run_keeps_the_last_success(tmp_path: Path) -> None:
    """It must neither look like one nor make the last one forgotten."""
    config, file = made_config(tmp_path), tmp_path / "run.prom"
    with open_metrics(config, identity(), tally=Tally(lambda _: None)) as metrics:
        metrics.ended(End())
    success = figure(figures(file.read_text()), "last_success_timestamp_seconds")
    with pytest.raises(EngineError), open_metrics(config, identity(), tally=Tally(lambda _: None)):
        raise EngineError("gone")
    found = figures(file.read_text())
    assert figure(found, "run_state", state="failed") == figure(found, "runs_total", state="failed") == 1
    assert figure(found, "last_success_timestamp_seconds") == success < figure(found, "last_run_end_timestamp_seconds")


def test_a_run_that_cannot_start_its_engine_has_failed(folder: Path) -> None:
    """The runs that the alert is for are those that end with an error."""
    engine = ScriptedEngine(lambda _: RECEIPT)

    def broken() -> ScriptedEngine:
        raise EngineStartError("no such card")

    choice = EngineChoice(engine.info, broken, max_pixels=100_000)
    config = made_config(folder, input=str(folder / "in"), output=str(folder / "out"), extraction="receipt")
    with pytest.raises(EngineStartError):
        run(config, engine=choice)
    found = figures((folder / "run.prom").read_text())
    assert figure(found, "run_state", state="failed") == 1
    assert ("pagemill_last_success_timestamp_seconds", frozenset()) not in found


def test_counters_go_on_where_the_last_run_ended(tmp_path: Path) -> None:
    """A run may begin and end between two scrapes: its pages show as an increase only if nothing begins at 0."""
    found = []
    for _ in range(2):
        with open_metrics(made_config(tmp_path), identity(), tally=Tally(lambda _: None)) as metrics:
            metrics.page_done(just_now(ok_page(document())))
            metrics.ended(End())
        found.append(figures((tmp_path / "run.prom").read_text()))
    first, second = found
    assert figure(second, "pages_total", status="ok") == figure(second, "page_duration_seconds_count") == 2
    assert figure(second, "page_duration_seconds_bucket", le="5") == figure(second, "runs_total", state="finished") == 2
    assert figure(second, "cost_total", currency="USD") > figure(first, "cost_total", currency="USD")
    assert figure(second, "first_run_start_timestamp_seconds") == figure(first, "run_start_timestamp_seconds")


@pytest.mark.slow
def test_pages_of_an_interrupted_run_are_counted_once(folder: Path) -> None:
    """The next run commits what this one read and could not commit; it was read once."""
    stop, file = threading.Event(), folder / "run.prom"

    def answer(_: PageRequest) -> str:
        stop.set()
        return RECEIPT

    (folder / "in" / "copy.pdf").unlink()
    (folder / "in" / "a.pdf").unlink()
    first = run_scripted(folder, answer, stop=stop, file=file)
    found = figures(file.read_text())
    assert first.interrupted
    assert figure(found, "run_state", state="interrupted") == 1
    assert figure(found, "run_documents_carried_over") == first.documents_carried_over > 0
    assert ("pagemill_last_success_timestamp_seconds", frozenset()) not in found
    assert 0 < figure(found, "pages_total", status="ok") < 5
    run_scripted(folder, lambda _: RECEIPT, file=file)
    assert figure(figures(file.read_text()), "pages_total", status="ok") == 5


def test_a_run_that_stops_at_its_page_budget_ended_well(folder: Path) -> None:
    """Else a backfill with a budget a night would look as if it never worked."""
    report = run_scripted(folder, lambda _: RECEIPT, page_budget=2, file=folder / "run.prom")
    found = figures((folder / "run.prom").read_text())
    assert figure(found, "run_state", state="finished") == 1
    assert figure(found, "run_documents_carried_over") == report.documents_carried_over > 0
    assert figure(found, "last_success_timestamp_seconds") > 0


def test_a_busy_port_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A night is worth more than its figures."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        config = made_config(tmp_path, metrics={"port": other.getsockname()[1]})
        with open_metrics(config, identity(), tally=Tally(lambda _: None)):
            pass
    assert "no /metrics" in caplog.text


@pytest.mark.slow
def test_two_runs_at_once_want_one_port(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The first one has it; in the folder each has its own file."""
    port = free_port()
    inner: list[RunReport] = []

    def answer(_: PageRequest) -> str:
        if not inner:
            inner.append(run_scripted(folder, lambda _: RECEIPT, out="other", port=port, file=folder / "figures"))
            assert figure(scrape(port), "run_state", state="running") == 1
        return RECEIPT

    outer = run_scripted(folder, answer, port=port, file=folder / "figures")
    assert outer.pages_ok == inner[0].pages_ok == 9
    assert caplog.text.count("no /metrics") == 1
    files = sorted((folder / "figures").iterdir())
    assert [re.sub("[0-9a-f]{8}", "#", file.name) for file in files] == ["pagemill-receipt-#.prom"] * 2
    outputs = {re.findall('output="([^"]+)"', file.read_text())[0] for file in files}
    assert outputs == {str(folder / "out"), str(folder / "other")}


@pytest.mark.parametrize("content", [b"pagemill_pages_total{ 3", b"\xff\xfe", None])
def test_a_damaged_file_begins_anew(tmp_path: Path, content: bytes | None, caplog: pytest.LogCaptureFixture) -> None:
    """What a full disk left must not end the next run; a first run has none."""
    if content is not None:
        (tmp_path / "run.prom").write_bytes(content)
    with open_metrics(made_config(tmp_path), identity(), tally=Tally(lambda _: None)) as metrics:
        metrics.page_done(just_now(ok_page(document())))
    assert figure(figures((tmp_path / "run.prom").read_text()), "pages_total", status="ok") == 1
    assert ("cannot be read" in caplog.text) == (content is not None)


def test_a_file_that_cannot_be_written_is_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Every ten seconds the same line would bury the others."""
    (tmp_path / "run.prom").mkdir()
    with open_metrics(made_config(tmp_path), identity(), tally=Tally(lambda _: None)):
        pass
    assert caplog.text.count("no metrics file") == 1


def test_labels_hold_no_credentials_and_no_documents(tmp_path: Path) -> None:
    """Everybody may look at Prometheus; and a series a document would fill it."""
    config = made_config(tmp_path, output="s3://me:secret@bucket/out?sig=secret")
    with open_metrics(config, identity(), tally=Tally(lambda _: None)) as metrics:
        metrics.page_done(just_now(failed_page(document("private.pdf"))))
    text = (tmp_path / "run.prom").read_text()
    assert 'output="s3://bucket/out"' in text
    assert "secret" not in text
    assert "private" not in text


def just_now(record: PageRecord) -> PageRecord:
    """Return a page that this run has read."""
    now = datetime.now(UTC)
    return replace(record, started_at=now, finished_at=now)


@dataclass(frozen=True)
class End:
    """What a run says at its end."""

    interrupted: bool = False
    documents_carried_over: int = 0


def made_config(tmp_path: Path, **settings: object) -> RunConfig:
    """Return a configuration with a price whose figures go into a file."""
    values = {"input": "in", "output": "out", "cost": {"price_per_hour": "0.62"}}
    return RunConfig.model_validate({**values, "metrics": {"file": tmp_path / "run.prom"}, **settings})
