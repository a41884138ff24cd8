"""The engine holds pages of the next shard while one is committed: nothing waits for a shard to be full or done."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pymupdf

from pipeline.config import RunConfig
from pipeline.data import FinishReason, Generation, PageRequest
from pipeline.engines import EngineChoice
from pipeline.engines.base import Requests
from pipeline.engines.scripted import ScriptedEngine
from pipeline.run import run

DOCUMENTS, SHARD_PAGES, HELD = 12, 4, 6
RECEIPT = json.dumps({"seller": "Corner Shop", "total": "12,50 €", "line_items": []})


class PatientEngine(ScriptedEngine):
    """Answers the oldest page once it holds as many as it can, and notes how many it held at each commit."""

    def __init__(self, output: Path) -> None:
        super().__init__(lambda _: RECEIPT, capacity=HELD)
        self._output = output
        self.held_at_commits: list[int] = []

    def generate(self, requests: Requests) -> Generator[Generation, None, None]:
        """Yield the answers."""
        held: deque[PageRequest] = deque()
        for left in range(DOCUMENTS, 0, -1):
            while len(held) < min(self.capacity, left):
                if request := requests.take(1.0):
                    held.append(request)
            committed = self._num_parts()
            yield Generation(held.popleft().request_id, RECEIPT, FinishReason.STOP)
            if self._num_parts() > committed:
                self.held_at_commits.append(len(held))

    def _num_parts(self) -> int:
        return len(list(self._output.glob("receipt/documents/*.parquet")))


def test_a_shard_is_committed_while_the_engine_is_full_of_the_next_ones(tmp_path: Path) -> None:
    """A drain at each commit is what makes fixed batches half as fast as a stream."""
    (tmp_path / "in").mkdir()
    document: Any
    for number in range(DOCUMENTS):
        with pymupdf.open() as document:  # type: ignore[no-untyped-call]
            document.new_page(width=200, height=200).insert_text((20, 40), f"page {number}")
            document.save(tmp_path / "in" / f"{number:02}.pdf")
    engine = PatientEngine(tmp_path / "out")
    values = {"input": str(tmp_path / "in"), "output": str(tmp_path / "out"), "extraction": "receipt"}
    config = RunConfig.model_validate(
        {**values, "render": {"workers": 1}, "output_files": {"shard_pages": SHARD_PAGES}}
    )
    report = run(config, engine=EngineChoice(engine.info, lambda: engine, max_pixels=100_000))
    assert report.pages_ok == DOCUMENTS
    # The last shard is committed when nothing is left.
    assert engine.held_at_commits[:2] == [HELD - 1, min(HELD, DOCUMENTS - 2 * SHARD_PAGES + 1) - 1]
