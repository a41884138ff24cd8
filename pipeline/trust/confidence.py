"""What is known of a value -> the probability that it is right."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.data import FieldEvidence
from pipeline.errors import ConfigError
from pipeline.toml import toml_value
from pipeline.trust.features import FEATURES, Vector, vectors
from pipeline.trust.support import PageSupport

if TYPE_CHECKING:
    from pipeline.rules import Outcome

PRIOR = "prior"
"""Section of the stated weights, of engines that nobody fitted any for."""


@dataclass(frozen=True, slots=True)
class WholeText:
    """Weights for the share of a page's text that is right."""

    base: float
    poor_page: float

    def share(self, misread_share: float) -> float:
        """Return the expected share of right characters; see PageSupport.misread_share."""
        return logistic(self.base + self.poor_page * misread_share)


@dataclass(frozen=True)
class Calibration:
    """Weights, and where they are from."""

    weights: Mapping[str, float]
    """By name of the feature."""
    measured: bool
    """Whether they were fitted to labelled documents; else they are stated."""
    date: date
    source: str
    documents: int = 0
    fields: int = 0
    whole_text: WholeText | None = None
    """How right a page's text is; None where nobody measured it."""

    def probability(self, vector: Vector) -> float:
        """Return the probability that a value with these features is right."""
        return logistic(sum(weight * value for weight, value in zip(self._ordered, vector, strict=True)))

    @cached_property
    def _ordered(self) -> Vector:
        return tuple(self.weights[name] for name in FEATURES)


def logistic(log_odds: float) -> float:
    """Return the probability of log-odds, of any size."""
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, log_odds))))


def with_confidence(
    evidence: Sequence[FieldEvidence],
    *,
    page: PageSupport,
    outcomes: Sequence[Outcome] = (),
    logprobs: Mapping[str, float] | None = None,
    calibration: Calibration,
) -> tuple[FieldEvidence, ...]:
    """Return the evidence with log-probabilities and confidence, in its order.

    A value of which nothing is known, neither a text to hold it against nor how sure the engine was, has no confidence.
    That of a page's whole text is the share of its characters that is likely to be right.

    Args:
        page: the lines in which the evidence was found.
        outcomes: of the rules over the record.
        logprobs: by path, see field_logprobs.
    """
    logprobs = logprobs or {}
    known = vectors(evidence, page=page, outcomes=outcomes, logprobs=logprobs)
    return tuple(
        replace(one, logprob=logprobs.get(one.path), confidence=_confidence(one, vector, page, logprobs, calibration))
        for one, vector in zip(evidence, known, strict=True)
    )


def _confidence(
    one: FieldEvidence, vector: Vector, page: PageSupport, logprobs: Mapping[str, float], calibration: Calibration
) -> float | None:
    logprob = logprobs.get(one.path)
    if one.verdict is None and logprob is None:
        return None
    if one.path != page.plain_text_field:
        return calibration.probability(vector)
    if calibration.whole_text:
        return calibration.whole_text.share(page.misread_share) * (1.0 if one.similarity is None else one.similarity)
    known = [share for share in (one.similarity, None if logprob is None else math.exp(logprob)) if share is not None]
    return sum(known) / len(known) if known else None


def load_calibration(engine: str, file: Path | None = None) -> Calibration:
    """Return the weights for what an engine read: those fitted for it, or the stated ones.

    Args:
        engine: as in the rows: "ocr", "vllm".
        file: made by `pagemill eval --fit-confidence`; default the one that comes with Pagemill. What it lacks is
            taken from there.

    Raises:
        ConfigError: the file cannot be used; says why.
    """
    calibrations = _read(files("pipeline.trust").joinpath("calibration.toml").read_text("utf-8"), "calibration.toml")
    if file is not None:
        try:
            calibrations |= _read(file.read_text("utf-8"), str(file))
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"The calibration {file} cannot be read: {error}.") from error
    return calibrations.get(engine, calibrations[PRIOR])


def _read(text: str, name: str) -> dict[str, Calibration]:
    try:
        return {engine: _calibration(section) for engine, section in tomllib.loads(text).items()}
    except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"The calibration {name} cannot be used: {type(error).__name__}: {error}.") from error


def _calibration(section: dict[str, Any]) -> Calibration:
    given = section["weights"]
    if unknown := given.keys() ^ FEATURES.keys():
        raise ValueError(f"weights missing or unknown: {', '.join(sorted(unknown))}")
    weights = {name: float(given[name]) for name in FEATURES}
    if not all(map(math.isfinite, weights.values())):
        raise ValueError("a weight is no finite number")
    about = (bool(section["measured"]), section["date"], section["source"], section["documents"], section["fields"])
    whole_text = WholeText(**section["whole_text"]) if "whole_text" in section else None
    return Calibration(weights, *about, whole_text)


def written(calibrations: Mapping[str, Calibration]) -> str:
    """Return calibrations by engine as the text of a file for load_calibration."""
    lines = ["# Made by pagemill eval --fit-confidence; for the setting trust.calibration."]
    for engine, one in calibrations.items():
        about = {name: getattr(one, name) for name in ("measured", "date", "source", "documents", "fields")}
        lines += ["", f"[{engine}]", *(f"{name} = {toml_value(value)}" for name, value in about.items())]
        if one.whole_text:
            lines.append(f"whole_text = {toml_value(asdict(one.whole_text))}")
        lines += ["", f"[{engine}.weights]", *(f"{name} = {round(one.weights[name], 3)}" for name in FEATURES)]
    return "\n".join(lines) + "\n"


__all__ = ["Calibration", "PageSupport", "load_calibration", "logistic", "with_confidence", "written"]
