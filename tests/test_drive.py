"""What a run does about engines that cannot be trusted: known pages first, and replacement."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pymupdf
import pytest

from pipeline.canary import canary_pages
from pipeline.config import RunConfig
from pipeline.data import EngineMetrics, Generation, PageRequest, RenderSpec
from pipeline.engines import EngineChoice
from pipeline.engines.base import Engine, EngineTask
from pipeline.engines.scripted import ScriptedEngine
from pipeline.errors import CanaryError
from pipeline.render import Renderer
from pipeline.run import RunReport, run

RECEIPT = json.dumps({"seller": "Corner Shop", "total": "12,50 €", "line_items": [{"description": "Tea"}]})


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    """Return the configuration of a run over one document of twelve pages."""
    (tmp_path / "in").mkdir()
    document: Any
    with pymupdf.open() as document:  # type: ignore[no-untyped-call]
        for number in range(12):
            document.new_page(width=200, height=200).insert_text((20, 40), f"page {number}")
        document.save(tmp_path / "in" / "a.pdf")
    values = {"input": str(tmp_path / "in"), "output": str(tmp_path / "out"), "extraction": "receipt"}
    return RunConfig.model_validate({**values, "render": {"workers": 1}})


def run_engines(config: RunConfig, *makes: Callable[[], ScriptedEngine]) -> tuple[RunReport, int]:
    """Run with one engine after the other; return the report and how many were opened."""
    opened = 0

    def open_engine() -> Engine:
        nonlocal opened
        opened += 1
        return makes[min(opened, len(makes)) - 1]()

    return run(config, engine=EngineChoice(makes[0]().info, open_engine, max_pixels=100_000)), opened


def test_an_engine_that_writes_only_repetitions_is_replaced_and_no_page_pays_for_it(config: RunConfig) -> None:
    """What a broken kernel gives looks like output; eight pages in a row do not repeat themselves."""
    report, opened = run_engines(
        config, lambda: ScriptedEngine(lambda _: "!" * 500), lambda: ScriptedEngine(lambda _: RECEIPT)
    )
    assert (opened, report.pages_ok, report.pages_failed) == (2, 12, 0)
    assert report.total.engine_restarts == 1


def test_an_engine_that_takes_too_much_of_the_machine_is_drained_and_replaced(config: RunConfig) -> None:
    """The memory of vLLM grows with the images it has seen; no page is asked twice for that."""
    asked: Counter[int] = Counter()

    def slowly(request: PageRequest) -> Generation | str:
        asked[request.image.page_number] += 1
        time.sleep(0.1)
        return RECEIPT

    class Greedy(ScriptedEngine):
        def metrics(self) -> EngineMetrics:
            return EngineMetrics({"host_memory_bytes": 2e9, "host_memory_limit_bytes": 1e9})

    report, opened = run_engines(config, lambda: Greedy(slowly), lambda: ScriptedEngine(slowly))
    assert (opened, report.pages_ok, report.total.engine_restarts) == (2, 12, 1)
    assert set(asked.values()) == {1}


def test_nothing_is_read_with_an_engine_that_does_not_read_known_pages(config: RunConfig) -> None:
    """And the output says why."""
    config = config.model_copy(update={"canary": config.canary.model_copy(update={"mode": "on"})})
    with pytest.raises(CanaryError, match="known pages"):
        run_engines(config, lambda: ScriptedEngine(lambda _: RECEIPT))
    assert not list(Path(config.output).glob("receipt/documents/*"))
    (row,) = pq.read_table(Path(config.output, "receipt", "runs")).to_pylist()
    assert (row["state"], row["canary_threshold"]) == ("failed", 0.9)
    assert row["canary_score"] < 0.1


@pytest.fixture
def reads_well(config: RunConfig) -> Callable[[PageRequest], str]:
    """Return what an engine answers that knows the known pages."""
    with closing(Renderer(config.render, num_workers=1)) as renderer:
        pages = canary_pages(renderer, RenderSpec(100_000))
    known = {page.page_number: page.text_layer.lines for page in pages if page.text_layer}

    def answer(request: PageRequest) -> str:
        return "\n".join(line.text for line in known[request.image.page_number]) if request.plain_text else RECEIPT

    return answer


def test_an_engine_that_reads_known_pages_reads_the_others(
    config: RunConfig, reads_well: Callable[[PageRequest], str]
) -> None:
    """The score is kept with the run."""
    config = config.model_copy(update={"canary": config.canary.model_copy(update={"mode": "on"})})
    report, _ = run_engines(config, lambda: ScriptedEngine(reads_well))
    assert (report.canary_score, report.pages_ok) == (1.0, 12)


def test_an_fp8_cache_that_reads_nothing_is_replaced_by_a_16_bit_one_and_said_so(
    config: RunConfig,
    reads_well: Callable[[PageRequest], str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An overflowing cache is the likeliest fault of a night, and a slower night beats none.

    The choice of the engine is patched, as no CPU has an FP8 cache; all else is what runs on a GPU machine.
    """

    def choose(config: RunConfig, _: EngineTask) -> EngineChoice:
        is_fp8 = config.vllm.kv_cache_dtype == "fp8"
        engine = ScriptedEngine((lambda _: "!!!!") if is_fp8 else reads_well)
        engine.info = replace(engine.info, engine="vllm", kv_cache_dtype="fp8_e4m3" if is_fp8 else None)
        return EngineChoice(engine.info, lambda: engine, max_pixels=100_000)

    monkeypatch.setattr("pipeline.planning.choose_engine", choose)
    report = run(config)
    assert (report.pages_ok, report.canary_score, report.identity.kv_cache_dtype) == (12, 1.0, None)
    assert "NOW TRYING A 16-BIT KV CACHE" in caplog.text
    rows = pq.ParquetDataset(Path(config.output, "receipt", "runs")).read().to_pylist()
    assert {(row["state"], row["kv_cache_fallback"]) for row in rows} == {("failed", False), ("finished", True)}
    assert run(config).documents_skipped == 1  # found done in spite of the settings that failed
