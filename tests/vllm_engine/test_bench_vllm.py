"""The ways to feed vLLM that `pagemill bench` measures, on real vLLM; and the server that it holds them against."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest
from vllm_engine.page_requests import make_request

from pipeline.bench.serve import Question, read_serve, serving
from pipeline.bench.workload import Asking
from pipeline.config import VllmConfig
from pipeline.engines.vllm.start import engine_arguments, plan_engine

pytestmark = [pytest.mark.slow, pytest.mark.vllm]


def test_a_server_reads_pages_and_is_gone_afterwards(tiny_config: VllmConfig, tmp_path: Path) -> None:
    """What most people do; it starts with the engine's own settings, or the comparison says nothing."""
    pages = [make_request() for _ in range(5)]
    log = tmp_path / "log"
    before = set(psutil.Process().children(recursive=True))
    with serving(engine_arguments(plan_engine(tiny_config, None), 280 * 196), log) as port:
        processes = set(psutil.Process().children(recursive=True)) - before
        timeline = read_serve(port, Question("Read.", None), pages, Asking("s", (4, 9)), 60, concurrency=2)
    assert [answer.is_ok for answer in timeline.answers] == [True] * 5, log.read_text()[-2000:]
    assert all(4 <= answer.output_tokens <= 9 for answer in timeline.answers)
    assert all(answer.prompt_tokens > 70 for answer in timeline.answers), "the images were left out"
    assert len(processes) > 1
    _, alive = psutil.wait_procs(processes, timeout=10)
    assert alive == []
