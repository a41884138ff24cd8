"""Weights for confidence from how a labelled dataset was read: for `pagemill eval --fit-confidence`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.data import Box, TextLine
from pipeline.errors import ConfigError
from pipeline.eval.calibration import judged_values
from pipeline.eval.readings import evidence_of, page_rows
from pipeline.extraction import load_extraction
from pipeline.rules import check_rules, rules_of
from pipeline.trust.confidence import Calibration, load_calibration, written
from pipeline.trust.features import vectors
from pipeline.trust.fitting import Sample, cross_validated, fit_weights
from pipeline.trust.support import PageSupport

if TYPE_CHECKING:
    from pipeline.data import FieldEvidence, Json
    from pipeline.eval.scoring import DocumentScore, ScoredValue
    from pipeline.extraction import Extraction
    from pipeline.trust.features import Vector

LEAST_WRONG = 10
"""Values that were read wrong, below which nothing can be said of what makes a value wrong."""

LEAST_GROUPS = 10
"""Of documents: each tenth is tested by weights from the others."""

_COLUMNS = ("page_number", "record", "evidence", "lines", "engine", "read_with")
_AMOUNT = re.compile(r"-?\d+(\.\d+)?")
_LABEL_FEATURES = ("labelled", "guessed")


@dataclass(frozen=True, slots=True)
class Judged:
    """A sample, what it was of, and its cross-validated probability."""

    sample: Sample
    document: str
    kind: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Fitted:
    """What was fitted, and how it does on documents that it was not fitted to."""

    engine: str
    calibration: Calibration
    judged: tuple[Judged, ...]


def fit_confidence(
    scores: Sequence[DocumentScore], output: str, *, source: str, prompts: Iterable[Path] = ()
) -> list[Fitted]:
    """Return weights for each engine that read documents, fitted to how right it was.

    Documents of a kind whose labelled amounts are the same count as one in the tests: many samples of invoices are
    made by several programs from the same one.

    Args:
        scores: of `output`.
        source: what the documents are, for whoever reads the file.

    Raises:
        ConfigError: too few values are wrong, or too few documents known, to say anything.
    """
    folders = list(prompts)
    found: dict[str, list[tuple[DocumentScore, Sample]]] = {}
    has_lines: set[str] = set()
    for name in sorted({score.extraction for score in scores}):
        some = [score for score in scores if score.extraction == name and score.uri]
        for row, score, sample in _samples(some, output, load_extraction(name, folders)):
            found.setdefault(row["engine"], []).append((score, sample))
            if row["lines"]:
                has_lines.add(row["engine"])
    if not found:
        raise ConfigError(f"{output} has no evidence for values of these documents; read them again with this version.")
    return [_fitted(engine, known, source, has_lines=engine in has_lines) for engine, known in sorted(found.items())]


def save_calibrations(file: Path, fitted: Sequence[Fitted]) -> None:
    """Write weights for `trust.calibration`."""
    file.write_text(written({one.engine: one.calibration for one in fitted}), "utf-8")


def _fitted(engine: str, known: Sequence[tuple[DocumentScore, Sample]], source: str, *, has_lines: bool) -> Fitted:
    samples = [sample for _, sample in known]
    groups = {sample.group for sample in samples}
    wrong = sum(not sample.is_right for sample in samples)
    if wrong < LEAST_WRONG or len(groups) < LEAST_GROUPS:
        raise ConfigError(
            f"{wrong} of the {len(samples)} values that {engine} read in {len(groups)} different documents are wrong. "
            f"To say what makes a value wrong takes {LEAST_WRONG} wrong ones and {LEAST_GROUPS} documents: label more."
        )
    prior = dict(load_calibration("prior").weights)
    if not has_lines:  # where labels stand is not known then, though it will be in a run
        prior |= dict.fromkeys(_LABEL_FEATURES, 0.0)
    confidences = cross_validated(samples, prior)
    calibration = Calibration(
        fit_weights(samples, prior),
        measured=True,
        date=datetime.now(UTC).date(),
        source=source,
        documents=len(groups),
        fields=len(samples),
        whole_text=load_calibration(engine).whole_text,
    )
    judged = (
        Judged(sample, score.id, score.kind, sure) for (score, sample), sure in zip(known, confidences, strict=True)
    )
    return Fitted(engine, calibration, tuple(judged))


def _samples(
    scores: Sequence[DocumentScore], output: str, extraction: Extraction
) -> Iterator[tuple[Json, DocumentScore, Sample]]:
    """Yield the judged values with what is known of them, and the row of the page that they are from."""
    if extraction.plain_text_field:
        return
    by_uri = {score.uri: score for score in scores if score.uri}
    for row in page_rows(output, extraction.name, set(by_uri), _COLUMNS):
        score = by_uri[row["source_uri"]]
        on_page = _known_on(row, extraction, whole=score.pages == len(row.get("read_with") or (1,)))
        for value in judged_values(score):
            if value.evidence and _is_telling(value, score) and (vector := on_page.get(_key(value.evidence))):
                yield row, score, Sample(_group(score), vector, value.is_right)


def _is_telling(value: ScoredValue, score: DocumentScore) -> bool:
    """Tell whether the labels can say that a value is wrong: of items without any amount they cannot."""
    name, is_item, _ = (value.path or "").partition("[")
    return not is_item or any(
        one.expected and _AMOUNT.fullmatch(one.expected) for one in score.values if one.field.startswith(f"{name}.")
    )


def _known_on(row: Json, extraction: Extraction, *, whole: bool) -> dict[object, Vector]:
    """Return what is known of each value of a page, by where it stands."""
    evidence = [evidence_of(one) for one in row["evidence"] or ()]
    lines = [
        TextLine(one["text"], Box(one["x0"], one["y0"], one["x1"], one["y1"]), one["confidence"])
        for one in row["lines"] or ()
    ]
    outcomes = check_rules(rules_of(extraction.model), row["record"] or {}, whole=whole)
    known = vectors(evidence, page=PageSupport(lines, extraction.model), outcomes=outcomes)
    return {_key(one): vector for one, vector in zip(evidence, known, strict=True)}


def _key(one: FieldEvidence) -> object:
    """Tell values apart by page, field and place: items have other numbers in the document than on their page."""
    return one.page_number, re.sub(r"\[\d+\]", "[]", one.path), one.box, one.text, one.verdict, one.logprob


def _group(score: DocumentScore) -> str:
    labelled = (one.expected or "" for one in score.fields)
    amounts = sorted(filter(_AMOUNT.fullmatch, labelled))
    return "|".join((score.kind, *amounts)) if amounts else score.id
