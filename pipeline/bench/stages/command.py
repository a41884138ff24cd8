"""`pagemill bench --stage`: stages from the command line, one after the other."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.bench.documents import write_documents
from pipeline.bench.host import Host
from pipeline.bench.stages.measuring import Stage, StageFigures, measure_stage
from pipeline.bench.stages.ocr import OcrStage
from pipeline.bench.stages.prepare import PrepareStage
from pipeline.bench.stages.render import RenderStage
from pipeline.bench.stages.write import WriteStage
from pipeline.bench.telling import folded, put, room, say
from pipeline.bench.workload import collect, measured_config
from pipeline.data import PageFacts, RenderSpec
from pipeline.engines.vllm import MAX_PIXELS, default_threads
from pipeline.engines.vllm.cpu_build import prepare_cpu_build
from pipeline.engines.vllm.installed import find_installed
from pipeline.planning import engine_task, resolve
from pipeline.run import default_render_workers
from pipeline.source import list_documents

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.config import RunConfig

PAGES = {"render": 400, "prepare": 64, "write": 2048, "ocr": 32}
"""Done in a round, unless the user says otherwise: about a second."""
ROUNDS = 5
PIXELS, FACTS = PageFacts(text_layer=False), PageFacts(text_layer=False, digest=True, is_blank=True)
"""What PyMuPDF does as well, and what a run on a GPU asks of each page besides: equal and blank ones are found."""
COLUMNS = ("stage", "on", "pages/s", "each", "MB/s", "CPU ms", "reference", "pages/s", "CPU ms", "ratio", "of CPU")
GROUPS = (5, 3, 2)
"""Of these columns after the first: ours, the reference's, how they compare."""


def run_stages(arguments: argparse.Namespace, settings: Callable[[Sequence[str]], RunConfig]) -> int:
    """Measure each stage that is named, print it, and return the exit code.

    Raises:
        ConfigError, EngineStartError: a stage cannot work here; says what to change.
    """
    if "prepare" in arguments.stages:
        find_installed()  # before anything is written or told
    found, rounds = [], arguments.rounds or ROUNDS
    for name in arguments.stages:
        with tempfile.TemporaryDirectory(prefix="pagemill-stage-") as scratch:
            opening = _Opening(arguments, settings, name, Path(scratch))
            say(f"{name}: {opening.pages:,} pages in a round, {rounds + 1} rounds")
            for open_stage in opening.stages():
                with closing(open_stage()) as stage:
                    found.append(measure_stage(stage, rounds=rounds))
                if arguments.json:
                    put(json.dumps(asdict(found[-1])))
    if not arguments.json:
        put(table(found, room()))
    return 0


class _Opening:
    """What a stage is opened with."""

    def __init__(
        self, arguments: argparse.Namespace, settings: Callable[[Sequence[str]], RunConfig], name: str, scratch: Path
    ) -> None:
        engine = "vllm" if name == "prepare" else "ocr"
        self._config = settings([f"engine={engine}", *(["vllm.load_format=dummy"] if engine == "vllm" else [])])
        self._arguments = arguments
        self._name = name
        self._scratch = scratch
        self.pages: int = arguments.pages or PAGES[name]
        if not self._config.input and name != "write":
            documents = write_documents(scratch / "documents", self.pages, seed=arguments.seed)
            self._config = self._config.model_copy(update={"input": str(documents)})

    def stages(self) -> list[Callable[[], Stage]]:
        """Return what opens the stages of this name."""
        match self._name:
            case "write":
                return [lambda: WriteStage(pages=self.pages)]
            case "render":
                return [partial(self._render, PIXELS), partial(self._render, FACTS)]
            case "ocr":
                return [self._ocr]
            case _:
                return [self._prepare]

    def _render(self, facts: PageFacts) -> RenderStage:
        return RenderStage(
            list(list_documents(self._config.input)),
            pages=self.pages,
            processes=self._arguments.processes or default_render_workers(),
            spec=RenderSpec(self._arguments.page_pixels or MAX_PIXELS),
            config=self._config.render,
            facts=facts,
        )

    def _ocr(self) -> OcrStage:
        config = measured_config(self._config, "", self.pages, is_exact=True)
        reading = resolve(config)
        ocr = config.ocr.model_copy(update={"workers": self._arguments.processes or config.ocr.workers})
        return OcrStage(collect(config, reading.choice)[: self.pages], engine_task(reading.extraction, config), ocr)

    def _prepare(self) -> PrepareStage:
        config = measured_config(self._config, "", self.pages, is_exact=True)
        prompt = resolve(config.model_copy(update={"engine": "ocr"})).extraction.prompt
        host = Host("", is_cpu=find_installed().is_cpu)
        if host.is_cpu:
            prepare_cpu_build()
        vllm = host.model_for(config.vllm, self._scratch, prompt)
        config = config.model_copy(update={"vllm": vllm})
        return PrepareStage(
            collect(config, resolve(config).choice)[: self.pages],
            vllm,
            prompt,
            threads=self._arguments.processes or config.vllm.prepare_threads or default_threads(),
            max_pixels=config.render.max_pixels or MAX_PIXELS,
        )


def table(figures: Sequence[StageFigures], width: int | None = None) -> str:
    """Return the figures for people: ours, then the reference's, then how they compare; in lines of this width."""
    rows = [COLUMNS]
    rows += [
        (
            *(one.stage, str(one.processes), f"{one.pages_per_s:.1f}", f"{one.pages_per_s_per_process:.1f}"),
            *(f"{one.mb_per_s:.0f}", f"{1000 * one.cpu_s_per_page:.2f}", one.reference),
            *(f"{one.reference_pages_per_s:.1f}", f"{1000 * one.reference_cpu_s_per_page:.2f}"),
            *(f"{one.ratio:.2f} ({one.lowest_ratio:.2f}-{one.highest_ratio:.2f})", f"{one.cpu_ratio:.2f}"),
        )
        for one in figures
    ]
    return folded(rows, GROUPS, width)
