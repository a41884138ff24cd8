"""Stages measured by themselves: both sides do the same work, and the figures are of that work."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from pipeline.bench.documents import write_documents
from pipeline.bench.stages.command import table
from pipeline.bench.stages.measuring import Stage, StageFigures, Work, cpu_seconds, measure_stage
from pipeline.bench.stages.render import RenderStage
from pipeline.bench.stages.write import WriteStage
from pipeline.config import RenderConfig
from pipeline.data import PageFacts, RenderSpec
from pipeline.source import list_documents


class Counted:
    """A stage that burns some CPU time, its reference half of that."""

    name, reference, processes = "counted", "less", 2

    def __init__(self) -> None:
        self.calls: list[str] = []

    def work(self) -> Work:
        """Ten pages."""
        self.calls.append("ours")
        burn(0.04)
        return Work(10, 1_000_000)

    def reference_work(self) -> Work:
        """The same pages."""
        self.calls.append("theirs")
        burn(0.02)
        return Work(10, 1_000_000)

    def close(self) -> None:
        """Nothing to release."""


def burn(seconds: float) -> None:
    """Use CPU time."""
    until = cpu_seconds() + seconds
    while cpu_seconds() < until:
        sum(range(1000))


def test_the_sides_take_turns_after_a_round_that_does_not_count() -> None:
    """What else the machine does meanwhile slows both."""
    stage = Counted()
    figures = measure_stage(stage, rounds=2)
    assert stage.calls == ["theirs", "ours", "ours", "theirs", "ours", "theirs"]
    assert (figures.pages, figures.rounds, figures.processes) == (10, 2, 2)
    assert figures.cpu_ratio == pytest.approx(0.5, abs=0.2)
    assert figures.lowest_ratio <= figures.ratio <= figures.highest_ratio


@pytest.mark.slow
def test_pymupdf_draws_the_same_pages_at_the_same_scale(tmp_path: Path) -> None:
    """Sizes may differ by the white that pads a page image to its grid, no more; pages come again and again."""
    documents = list(list_documents(str(write_documents(tmp_path / "in", 5))))
    facts = PageFacts(text_layer=False)
    settings: Any = {"processes": 1, "spec": RenderSpec(250_000), "config": RenderConfig(), "facts": facts}
    with closing(RenderStage(documents, pages=7, **settings)) as stage:
        ours, theirs = stage.work(), stage.reference_work()
    assert ours.pages == theirs.pages == 7
    assert 0 <= ours.size_bytes / theirs.size_bytes - 1 < 0.1


def test_pyarrow_writes_the_same_rows() -> None:
    """Nearly as many bytes: our files have a footer each, and statistics of their own."""
    with closing(WriteStage(pages=24)) as stage:
        ours, theirs = stage.work(), stage.reference_work()
    assert ours.pages == theirs.pages == 24
    assert ours.size_bytes / theirs.size_bytes == pytest.approx(1, abs=0.25)


def test_columns_that_find_no_room_stand_below() -> None:
    """Wrapped by the terminal, no figure would stand below its header."""
    stages = [measured("render and examine", "PyMuPDF"), measured("write", "pyarrow")]
    whole = table(stages)
    assert len(whole.splitlines()) == 3
    for width, blocks in ((80, 2), (60, 3)):
        text = table(stages, width)
        assert max(map(len, text.splitlines())) <= width, text
        assert len(text.split("\n\n")) == blocks
        assert all(block.splitlines()[2].startswith("write") for block in text.split("\n\n"))
        assert sorted(text.split()) == sorted(
            [*whole.split(), *(blocks - 1) * "stage render and examine write".split()]
        )


def measured(name: str, reference: str) -> StageFigures:
    """Return figures as large as they get."""
    ours: Any = {
        "pages_per_s": 12831.4,
        "pages_per_s_per_process": 2831.4,
        "mb_per_s": 12338,
        "cpu_s_per_page": 0.12345,
    }
    theirs: Any = {"reference_pages_per_s": 13801.7, "reference_cpu_s_per_page": 0.1234}
    ratios: Any = {"ratio": 10.74, "lowest_ratio": 10.5, "highest_ratio": 10.9, "cpu_ratio": 10.83}
    named: Any = {"stage": name, "processes": 16, "pages": 1, "rounds": 1, "reference": reference}
    return StageFigures(**named, **ours, **theirs, **ratios)


def test_every_stage_is_one() -> None:
    """The protocol that they are measured by."""
    stages: list[Stage] = [Counted()]
    with closing(WriteStage(pages=8)) as stage:
        stages.append(stage)
    assert [stage.name for stage in stages] == ["counted", "write"]
