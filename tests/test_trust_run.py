"""Runs whose engine tells no text, as vLLM: values are held against text layers, and against OCR of scanned pages."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pymupdf
import pytest

from pipeline.config import RunConfig
from pipeline.data import Generation, PageRequest
from pipeline.engines import EngineChoice
from pipeline.engines.base import EngineInfo
from pipeline.engines.scripted import ScriptedEngine
from pipeline.errors import EngineError
from pipeline.run import RunReport, run

LINES = ("Corner Shop Ltd", "12 Harbour Road, Bristol", "Date: 2026-03-01", "Tea 4.00", "Cake 8.50", "Total GBP 12.50")
PROSE = "Thank you for your visit, and come again soon to see what is new on our shelves. " * 3
READ = json.dumps({"seller": "Corner Shop Ltd", "date": "2026-03-01", "total": "12.50"})
LIKE_VLLM = EngineInfo("vllm", model="scripted", revision="1", version="1")


def make_receipts(folder: Path, *names: str) -> None:
    """Write receipts of one page: those whose names begin with "scan" are images, the others have text."""
    folder.mkdir(exist_ok=True)
    for name in names:
        page: Any
        with pymupdf.open() as typed, pymupdf.open() as scanned:  # type: ignore[no-untyped-call]
            page = typed.new_page(width=300, height=400)
            for number, line in enumerate((name, *LINES)):
                page.insert_text((20, 40 + 30 * number), line, fontsize=14)
            page.insert_textbox((20, 270, 280, 390), PROSE, fontsize=7)
            page = scanned.new_page(width=300, height=400)
            page.insert_image(page.rect, pixmap=typed[0].get_pixmap(dpi=200))
            (scanned if name.startswith("scan") else typed).save(folder / f"{name}.pdf")


def configured(folder: Path, **trust: Any) -> RunConfig:
    """Return the configuration of a run over the receipts in a folder."""
    places = {"input": str(folder / "in"), "output": str(folder / "out"), "extraction": "receipt"}
    limits = {"tries": {"engine_rebuilds": 1}, "render": {"workers": 1}, "canary": {"mode": "off"}}
    return RunConfig.model_validate({**places, **limits, "trust": {"workers": 1, **trust}})


def run_scripted(
    config: RunConfig,
    answer: Callable[[PageRequest], Generation | str] = lambda _: READ,
    stop: threading.Event | None = None,
) -> RunReport:
    """Run with an engine that gives no lines."""

    def open_engine() -> ScriptedEngine:
        engine = ScriptedEngine(answer, capacity=1)
        engine.info = LIKE_VLLM
        return engine

    return run(config, engine=EngineChoice(LIKE_VLLM, open_engine, max_pixels=400_000), stop=stop)


def rows(config: RunConfig, table: str = "pages") -> dict[str, dict[str, Any]]:
    """Return the rows of single pages by the names of their documents."""
    found = pq.read_table(Path(config.output) / "receipt" / table).to_pylist()
    by_name = {Path(row["source_uri"]).stem: row for row in found}
    assert len(by_name) == len(found)
    return by_name


def verdicts(row: dict[str, Any]) -> dict[str, str | None]:
    """Return what was found of each value."""
    return {one["path"]: one["verdict"] for one in row["evidence"]}


def test_values_of_born_digital_pages_are_held_against_their_text(tmp_path: Path) -> None:
    """It costs no recognition, and no page of the engine's: `off` is for scans."""
    config = configured(tmp_path, scans="off")
    make_receipts(tmp_path / "in", "typed", "scan")
    report = run_scripted(config)
    typed, scan = rows(config)["typed"], rows(config)["scan"]
    assert verdicts(typed) == {"seller": "exact", "date": "exact", "total": "exact"}
    assert [line["text"] for line in typed["lines"]][:2] == ["typed", "Corner Shop Ltd"]
    assert all(line["x1"] <= typed["width_px"] for line in typed["lines"])
    assert set(verdicts(scan).values()) == {None}
    assert (scan["lines"], scan["confidence"]) == ([], None)
    assert (report.total.pages_unchecked, report.total.fields_exact, report.total.fields_unchecked) == (1, 3, 3)
    assert report.total.records == 2


@pytest.mark.slow
def test_nothing_is_looked_for_where_evidence_is_off(tmp_path: Path) -> None:
    """Rules are held against the record all the same."""
    config = configured(tmp_path, evidence=False)
    make_receipts(tmp_path / "in", "typed", "scan")
    item = {"description": "Tea", "quantity": "2", "unit_price": "5.00", "line_total": "45.00"}
    broken = json.dumps(json.loads(READ) | {"line_items": [item]})
    run_scripted(config, lambda _: broken)
    for row in rows(config).values():
        assert (row["evidence"], row["lines"], row["needs_review"]) == ([], [], True)
        assert "quantity_times_price" in [one["rule"] for one in row["breaches"]]


@pytest.mark.slow
def test_what_was_checked_survives_another_name_of_the_same_bytes(tmp_path: Path) -> None:
    """A copied document is not read; what was found on it holds for the copy, under the reasons of this run."""
    config = configured(tmp_path, scans="off")
    make_receipts(tmp_path / "in", "typed")
    run_scripted(config)
    (tmp_path / "in" / "copy.pdf").write_bytes((tmp_path / "in" / "typed.pdf").read_bytes())
    strict = config.model_copy(update={"trust": config.trust.model_copy(update={"min_confidence": 1.0})})
    run_scripted(strict, lambda _: "never asked")
    found = pq.read_table(Path(config.output) / "receipt" / "pages").to_pylist()
    first, copy = sorted(found, key=lambda row: row["reused_from"] or "")
    assert copy["evidence"] == first["evidence"] != []
    assert copy["lines"] == first["lines"]
    assert (first["review_reasons"], bool(copy["review_reasons"])) == ([], True)


@dataclass
class Dying:
    """Answers until it dies."""

    dies_at: int
    times: int = 1
    asked: int = 0

    def __call__(self, _: PageRequest) -> str:
        """Answer, or die."""
        self.asked += 1
        if self.asked >= self.dies_at and self.times:
            self.times -= 1
            raise EngineError("It died.")
        return READ


@pytest.mark.slow
def test_scans_are_read_beside_the_engine_and_wait_for_it_though_the_engine_dies(tmp_path: Path) -> None:
    """The engine answers at once and dies with the third page; the first ones are parked then, and none is lost."""
    config = configured(tmp_path, scans="all", backlog_mb=16)
    make_receipts(tmp_path / "in", "scan-a", "scan-b", "scan-c", "typed")
    report = run_scripted(config, Dying(dies_at=3))
    assert report.total.engine_restarts == 1
    for name, row in rows(config).items():
        assert verdicts(row)["seller"] in {"exact", "fuzzy"}
        assert verdicts(row)["total"] == "exact"
        assert any("Harbour" in line["text"] for line in row["lines"])
        assert all((line["confidence"] is None) == (name == "typed") for line in row["lines"])
    assert report.total.pages_unchecked == 0
    assert set(rows(config, "documents")) == {"scan-a", "scan-b", "scan-c", "typed"}


@pytest.mark.slow
@pytest.mark.parametrize("how", ["the engine dies for good", "stopped"])
def test_pages_that_wait_for_their_text_are_recorded_however_the_run_ends(tmp_path: Path, how: str) -> None:
    """They were read, and paid for; the text of those whose turn has not come is not waited for."""
    config = configured(tmp_path, scans="spare")
    make_receipts(tmp_path / "in", *(f"scan-{number}" for number in range(4)))
    stop = threading.Event()
    dying = Dying(dies_at=4, times=9)

    def answer(request: PageRequest) -> str:
        if how == "stopped" and dying.asked == 2:
            stop.set()
        return READ if stop.is_set() else dying(request)

    with suppress(EngineError):
        run_scripted(config, answer, stop)
    ok = [row for row in rows(config).values() if row["status"] == "ok"]
    assert len(ok) == 3
    assert all(row["evidence"] for row in ok)
