"""A picture of measured rows."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pipeline.bench.figures import Figures
from pipeline.errors import ConfigError

ROW_INCHES = 0.45


def check_plot(path: Path) -> None:
    """Raise ConfigError, before hours are measured, when no picture could be written."""
    if path.suffix not in {".png", ".svg", ".pdf"}:
        raise ConfigError(f"--plot {path}: the name must end in .png, .svg or .pdf.")
    if find_spec("matplotlib") is None:
        raise ConfigError("--plot needs matplotlib: `pip install 'pagemill[plot]'`, or leave --plot out.")


def draw(rows: Sequence[Figures], path: Path) -> None:
    """Write bars of requests a second, what `plan` says of them, and the 95th percentile of latency."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 1.6 + ROW_INCHES * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    rates, latencies = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    names = [_name(row) for row in rows]
    places = range(len(rows))
    bars = rates.barh(places, [row.requests_per_s for row in rows], color="#4c78a8")
    rates.bar_label(bars, [f" {row.requests_per_s:.2f}{'' if row.is_steady else '*'}" for row in rows])
    _mark_predictions(rates, rows)
    rates.set_yticks(places, names)
    rates.invert_yaxis()
    rates.set_xlabel("requests/s")
    rates.margins(x=0.15)
    latencies.barh(places, [row.latency_p95_s for row in rows], color="#f58518")
    latencies.set_xlabel("latency of 95 % of the pages, s")
    figure.suptitle(f"{rows[0].subject.device}, vLLM {rows[0].subject.vllm_version}", fontsize=10)
    figure.savefig(path, dpi=120)


def _mark_predictions(axes: Any, rows: Sequence[Figures]) -> None:
    found = [(row.predicted_requests_per_s, place) for place, row in enumerate(rows) if row.predicted_requests_per_s]
    if found:
        axes.plot(*zip(*found, strict=True), "k|", markersize=16, label="plan")
        axes.legend(loc="lower right")


def _name(row: Figures) -> str:
    return " ".join(filter(None, (row.subject.model, row.subject.settings, row.feed)))
