"""How confidence does on documents that it was not fitted to: as text, and as a picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import ConfigError
from pipeline.eval.printing import table

if TYPE_CHECKING:
    from pipeline.eval.fitting import Fitted, Judged

EDGES = (0.0, 0.5, 0.7, 0.8, 0.85, 0.9, 0.92, 0.94, 0.96, 0.98, 1.0)
"""Narrow where most values are: nine in ten are right."""

THRESHOLDS = (0.8, 0.85, 0.9, 0.93, 0.95, 0.97)
_COLOURS = {"receipt": "#4c78a8", "invoice": "#f58518"}


@dataclass(frozen=True, slots=True)
class Bin:
    """Values of similar confidence."""

    low: float
    high: float
    values: int
    confidence: float
    """On average."""
    right: float
    """Share of them."""


def bins_of(judged: Sequence[Judged]) -> Iterator[Bin]:
    """Yield the bins between EDGES that hold anything."""
    for low, high in pairwise(EDGES):
        inside = [one for one in judged if low <= one.confidence < high or one.confidence == high == 1.0]
        if inside:
            sure = sum(one.confidence for one in inside) / len(inside)
            yield Bin(low, high, len(inside), sure, sum(one.sample.is_right for one in inside) / len(inside))


def reliability_text(fitted: Fitted) -> str:
    """Return a table of thresholds and one of bins, for people; made of cross-validated confidences only."""
    about = fitted.calibration
    judged = fitted.judged
    wrong = sum(not one.sample.is_right for one in judged)
    head = (
        f"confidence of {fitted.engine}: fitted to {about.fields} values of {about.documents} different documents, "
        f"{wrong} of them wrong; the figures are of documents that the weights were not fitted to"
    )
    cuts: list[tuple[str, ...]] = [("at least", "values", "share", "right", "wrong ones below")]
    for threshold in THRESHOLDS:
        above = [one.sample.is_right for one in judged if one.confidence >= threshold]
        below = 1 - (len(above) - sum(above)) / max(1, wrong)
        shares = (len(above) / len(judged), sum(above) / max(1, len(above)), below)
        cuts.append((f"{threshold}", f"{len(above)}", *(f"{share:.3f}" for share in shares)))
    bins: list[tuple[str, ...]] = [("confidence", "values", "on average", "right")]
    bins += [
        (f"{one.low:.2f}-{one.high:.2f}", f"{one.values}", f"{one.confidence:.3f}", f"{one.right:.3f}")
        for one in bins_of(judged)
    ]
    return "\n".join((head, table(cuts), table(bins)))


def check_picture(path: Path) -> None:
    """Raise ConfigError, before documents are read, when no picture could be written."""
    if path.suffix not in {".png", ".svg", ".pdf"}:
        raise ConfigError(f"--reliability {path}: the name must end in .png, .svg or .pdf.")
    if find_spec("matplotlib") is None:
        raise ConfigError("--reliability needs matplotlib: `pip install 'pagemill[plot]'`, or leave it out.")


def draw_reliability(fitted: Fitted, path: Path) -> None:
    """Draw the share of right values over confidence, by kind of document; the diagonal is perfect."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.4, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="#999999", linewidth=1, label="as claimed")
    for kind in sorted({one.kind for one in fitted.judged}):
        bins = list(bins_of([one for one in fitted.judged if one.kind == kind]))
        values = sum(one.values for one in bins)
        sizes = [20 + 400 * one.values / values for one in bins]
        points = [one.confidence for one in bins], [one.right for one in bins]
        axes.plot(*points, color=_COLOURS.get(kind, "#54a24b"), linewidth=1)
        axes.scatter(*points, s=sizes, alpha=0.7, color=_COLOURS.get(kind, "#54a24b"), label=f"{kind}: {values} values")
    axes.set_xlabel("confidence, by weights fitted to other documents")
    axes.set_ylabel("share that is right")
    axes.set_title(f"{fitted.engine}, {fitted.calibration.date}", fontsize=10)
    axes.legend(loc="upper left", markerscale=0.5)
    figure.savefig(path, dpi=90)
