"""`pagemill bench --sweep`: the fastest settings of a model on this machine, written where `run` finds them.

Each point is the whole pipeline, documents to Parquet, on an engine of its own: what is fastest with a renderer and
preparing threads beside it is what counts.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from math import sqrt
from pathlib import Path
from statistics import stdev
from typing import TYPE_CHECKING, Any

from pipeline.bench.case import Case, open_case
from pipeline.bench.sweep import Axis, Measured, Point, Search, Sweep
from pipeline.bench.telling import put, say
from pipeline.config import PIXEL_UNIT
from pipeline.engines.vllm import MAX_PIXELS, default_threads, find_place
from pipeline.engines.vllm.start import plan_engine
from pipeline.engines.vllm.tuned import OFF, TunedProfile, merge_engine_args, profile_path, write_profile

if TYPE_CHECKING:
    from pipeline.bench.figures import Figures
    from pipeline.config import VllmConfig

FEED = "pipeline"
SEQS = (1, 2, 4, 8, 16, 32, 64, 96, 128, 192, 256, 384, 512)
BATCHED_TOKENS = (512, 1024, 2048, 4096, 6144, 8192, 12288, 16384)
TOWER, CAPTURED = "vision tower", "captured"
GRAPHS, FITTED, COMPILED = "graphs", "graphs of page size", "compiled"
"""How the vision tower may run; by default it runs layer by layer. A vLLM that does not know one refuses it at once."""
IMAGES = 4
"""In one graph of the vision tower at most, when it fits pages: two whole ones, or four of half the size. vLLM's own
choice, the step's tokens by those of the smallest image, would size its buffers for a hundred."""
CAPTURED_TOKENS = (1024, 2048)
"""Largest steps in captured graphs: decoding alone beside a part of a page's prompt, or beside a whole one."""


def run_sweep(
    arguments: argparse.Namespace, make_case: Callable[[Path], Case], asked: VllmConfig, *, is_cpu: bool
) -> int:
    """Search, write the profile, print what was tried; return the exit code.

    Args:
        make_case: returns what is to be measured, given an empty folder.
        asked: what the user set is not searched.

    Raises:
        ConfigError, EngineStartError: nothing can be measured here; says what to change.
    """
    with tempfile.TemporaryDirectory(prefix="pagemill-sweep-") as name:
        tuning = Tuning(make_case(Path(name)), asked.model, arguments.profile, Path(name), arguments.seconds)
        axes = [axis for axis in tuning.axes(is_cpu=is_cpu) if axis.name not in asked.model_fields_set]
        say(f"trying {', '.join(axis.name for axis in axes)} for at most {arguments.budget:g} minutes")
        search = Search(axes, tuning.measure, budget_s=60 * arguments.budget, on_change=tuning.write)
        found = search.run()
    path = tuning.path if tuning.is_written else None
    put(json.dumps(asdict(found) | {"profile": path}, default=str) if arguments.json else told(found, path))
    return 0


class Tuning:
    """One case, measured with one set of settings after another."""

    def __init__(self, case: Case, model: str, path: Path | None, scratch: Path, seconds: float) -> None:
        """Load nothing yet.

        Args:
            model: as it was asked for.
            path: of the profile; by default where `run` looks for it.
        """
        vllm = case.config.vllm.model_copy(update={"profile": OFF})
        self._case = replace(case, config=case.config.model_copy(update={"vllm": vllm}))
        self._place = find_place(vllm)
        self._default = plan_engine(vllm, None).settings
        self._max_pixels = case.config.render.max_pixels or MAX_PIXELS
        self._model = model
        self._scratch = scratch
        self._seconds = seconds
        self._tried = 0
        self.path = path or profile_path(self._place, model)
        self.is_written = False

    def axes(self, *, is_cpu: bool) -> list[Axis]:
        """Return the settings to try, those with the largest effect first."""
        threads = self._case.config.vllm.prepare_threads or default_threads()
        steps = [
            Axis("max_num_batched_tokens", BATCHED_TOKENS, self._default.max_num_batched_tokens),
            Axis("max_num_seqs", SEQS, self._default.max_num_seqs),
        ]
        graphs = [
            Axis(TOWER, (GRAPHS, FITTED, COMPILED), "layer by layer", is_ordered=False),
            Axis(CAPTURED, CAPTURED_TOKENS, 0),
        ]
        feeding = [
            Axis("admission", ("bursts",), self._case.config.vllm.admission, is_ordered=False),
            Axis("prepare_threads", _around(threads), threads),
        ]
        return [*steps, *([] if is_cpu else graphs), *feeding]

    def measure(self, settings: Mapping[str, Any]) -> Measured:
        """Load an engine with these settings and run the pipeline on it.

        Raises:
            PipelineError: it cannot run with them.
        """
        self._tried += 1
        say(f"{self._tried}. {_named(settings)}")
        scratch = self._scratch / f"point-{self._tried}"
        scratch.mkdir()
        vllm, changes = self._case.config.vllm, self._settings_of(settings)
        if "engine_args" in changes:
            changes["engine_args"] = merge_engine_args(changes["engine_args"], vllm.engine_args)
        config = self._case.config.model_copy(update={"vllm": vllm.model_copy(update=changes)})
        with open_case(replace(self._case, config=config, settings=_named(settings)), scratch) as opened:
            measured = _measured(opened.measure(FEED, self._seconds))
        say(f"   {measured.pages_per_s:.2f} pages/s, give or take {measured.error:.2f}")
        return measured

    def write(self, found: Sweep) -> None:
        """Write the best so far; that the defaults are the best only when all was tried, or another was written."""
        best, default = found.best.measured, found.default.measured
        if best is None or default is None or not (found.best.settings or found.is_complete or self.is_written):
            return
        tokens = "as many as the model writes" if self._case.tokens is None else "{} to {}".format(*self._case.tokens)
        profile = TunedProfile(
            place=self._place,
            model=self._model,
            measured_on=datetime.now(UTC).date(),
            workload=f"{self._case.pages} pages of at most {self._max_pixels} pixels, {tokens} output tokens",
            settings=self._settings_of(found.best.settings),
            default_pages_per_s=round(default.pages_per_s, 3),
            pages_per_s=round(best.pages_per_s, 3),
            spread=round(best.error / best.pages_per_s, 4),
        )
        write_profile(profile, self.path)
        self.is_written = True

    def _settings_of(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        return vllm_settings(settings, max_pixels=self._max_pixels, max_num_seqs=self._default.max_num_seqs)


def vllm_settings(settings: Mapping[str, Any], *, max_pixels: int, max_num_seqs: int) -> dict[str, Any]:
    """Return a point's settings by their names in VllmConfig.

    Args:
        max_pixels: of a page.
        max_num_seqs: what holds where the point says nothing.
    """
    changes = dict(settings)
    compilation: dict[str, Any] = {}
    tower, captured = changes.pop(TOWER, None), changes.pop(CAPTURED, None)
    if tower == COMPILED:
        compilation["compile_mm_encoder"] = True
    elif tower is not None:
        compilation["cudagraph_mm_encoder"] = True
    if tower == FITTED:
        page_tokens = -(-max_pixels // PIXEL_UNIT**2)
        compilation["encoder_cudagraph_token_budgets"] = [quarters * page_tokens // 4 for quarters in (2, 3, 4, 8)]
        compilation["encoder_cudagraph_max_vision_items_per_batch"] = IMAGES
    if captured:
        sizes = capture_sizes(changes.get("max_num_seqs", max_num_seqs), captured)
        compilation["cudagraph_capture_sizes"] = sizes
    return changes | ({"engine_args": {"compilation_config": compilation}} if compilation else {})


def capture_sizes(max_num_seqs: int, most_tokens: int) -> list[int]:
    """Return the step sizes to capture: fine up to as many pages as decode at once, coarse up to `most_tokens`."""
    fine = range(8, max_num_seqs + 1, 8 if max_num_seqs <= 256 else 16)
    return sorted({1, 2, 4, *fine, max_num_seqs, *range(256, most_tokens + 1, 128)})


def told(found: Sweep, path: Path | None) -> str:
    """Return what was tried, and the profile that was written, for people."""
    lines = [f"{_speed(point):>24}  {_named(point.settings)}" for point in found.points]
    if found.best.settings:
        sure = "measured twice" if found.is_confirmed else "measured once: the budget was too short for a second time"
        lines.append(f"fastest: {_named(found.best.settings)}, {found.gain:+.1%} pages/s ({sure})")
    else:
        lines.append("nothing is faster than the defaults by more than the measurements differ")
    if not found.is_complete:
        lines.append("the budget ended the search; --budget gives it more minutes")
    if path:
        lines.append(f"written to {path}")
    return "\n".join(lines)


def _measured(figures: Figures) -> Measured:
    """Return the rate of the steady state with its standard error, from the rates of equal parts of it."""
    parts = figures.requests_per_s_parts
    return Measured(figures.requests_per_s, stdev(parts) / sqrt(len(parts)))


def _around(threads: int) -> tuple[int, ...]:
    cores = os.cpu_count() or 1
    return tuple(sorted({max(1, min(cores, threads * share // 4)) for share in (2, 3, 4, 6, 8)}))


def _named(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in settings.items()) or "defaults"


def _speed(point: Point) -> str:
    if point.measured is None:
        return "refused"
    return f"{point.measured.pages_per_s:.2f} ± {point.measured.error:.2f} pages/s"
