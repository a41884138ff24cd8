"""What is known of a value -> numbers that a calibration weighs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pipeline.data import FieldEvidence, Verdict

if TYPE_CHECKING:
    from pipeline.rules import Outcome
    from pipeline.trust.support import PageSupport

FEATURES = {
    "base": "1: an amount or a date that stands on the page as it was read",
    "normalised": "the page shows the value written otherwise",
    "fuzzy": "the page shows nearly the same text",
    "computed": "the value follows from others",
    "not_found": "the page does not show the value",
    "unchecked": "there was no text to hold the value against",
    "difference": "1 - similarity of what the page shows",
    "misreading": "1 - recognition score of the text, at most 0.5; 0 for a text layer",
    "surprise": "minus the log-probability of the least sure token of the value, at most 5; 0 when there is none",
    "confirmed": "a rule holds that the value is part of",
    "broken": "a rule is broken that the value is part of, divided by the number of its values",
    "labelled": "a label of the field stands beside the value or above it",
    "guessed": "the field has labels, and none stands there",
    "item": "the value belongs to an item of a list",
    "text": "the value is a text, such as a name or an address",
    "length": "words of such a text beyond the first, at most 20, divided by 10",
    "poor_page": "1 - mean recognition score of the page's lines, at most 0.5; 0 for a text layer",
}
"""By name, in the order of vectors."""

MOST_MISREADING = 0.5
MOST_SURPRISE = 5.0
"""Beyond e^-5 the model did not mean it; how much less it meant it says no more."""

_VERDICTS = {
    Verdict.EXACT: None,
    Verdict.NORMALISED: "normalised",
    Verdict.FUZZY: "fuzzy",
    Verdict.COMPUTED: "computed",
    Verdict.NOT_FOUND: "not_found",
    None: "unchecked",
}

Vector = tuple[float, ...]


def vectors(
    evidence: Sequence[FieldEvidence],
    *,
    page: PageSupport,
    outcomes: Sequence[Outcome] = (),
    logprobs: Mapping[str, float] | None = None,
) -> list[Vector]:
    """Return what is known of each value, in the order of FEATURES.

    Args:
        outcomes: of rules, over the record that the values are of.
        logprobs: by path; those in `evidence` where it is None.
    """
    confirmed, broken = _said(outcomes)
    if logprobs is None:
        logprobs = {one.path: one.logprob for one in evidence if one.logprob is not None}
    return [_vector(one, page, confirmed, broken, logprobs.get(one.path)) for one in evidence]


def _said(outcomes: Sequence[Outcome]) -> tuple[set[str], dict[str, float]]:
    """Return the paths that rules confirm, and how much of the blame of a broken one each path bears."""
    confirmed = {path for one in outcomes if one.message is None for path in one.paths}
    broken: dict[str, float] = {}
    for one in outcomes:
        for path in one.paths if one.message is not None else ():
            broken[path] = max(broken.get(path, 0.0), 1 / len(one.paths))
    return confirmed, broken


def _vector(
    one: FieldEvidence, page: PageSupport, confirmed: set[str], broken: Mapping[str, float], logprob: float | None
) -> Vector:
    known = {"base": 1.0}
    if name := _VERDICTS[one.verdict]:
        known[name] = 1.0
    if one.verdict is Verdict.FUZZY:
        known["difference"] = 1 - (one.similarity or 0.0)
    # What is no number makes a value no surer: min() keeps its first argument then.
    known["misreading"] = 0.0 if one.score is None else min(MOST_MISREADING, 1 - one.score)
    known["surprise"] = 0.0 if logprob is None else min(MOST_SURPRISE, -logprob)
    known["confirmed"] = float(one.path in confirmed and one.path not in broken)
    known["broken"] = broken.get(one.path, 0.0)
    if one.box is not None and (has_label := page.has_label(one.path, one.box)) is not None:
        known["labelled" if has_label else "guessed"] = 1.0
    known["item"] = float("[" in one.path)
    known["poor_page"] = page.misread_share
    if page.is_text(one.path):
        known["text"] = 1.0
        known["length"] = (min(len((one.text or "").split()), 21) - 1) / 10 if one.text else 0.0
    return tuple(known.get(feature, 0.0) for feature in FEATURES)
