"""Why somebody should look at a record, in words that a query can filter by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.data import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pipeline.data import Breach, Conflict, FieldEvidence

DOUBTFUL, NOT_FOUND, BREACH, CONFLICT = "doubtful: ", "not found: ", "breach: ", "conflict: "
"""How reasons begin; a path or the name of a rule follows."""


def review_reasons(
    evidence: Sequence[FieldEvidence],
    breaches: Iterable[Breach],
    conflicts: Iterable[Conflict] = (),
    *,
    min_confidence: float,
) -> tuple[str, ...]:
    """Return the reasons, each once: values in doubt in their order, then breaches, then conflicts."""
    reasons = [
        *(reason for one in evidence if (reason := _doubt(one, min_confidence))),
        *(BREACH + breach.rule for breach in breaches),
        *(CONFLICT + conflict.path for conflict in conflicts),
    ]
    return tuple(dict.fromkeys(reasons))


def _doubt(one: FieldEvidence, min_confidence: float) -> str | None:
    if one.confidence is not None and one.confidence < min_confidence:
        return DOUBTFUL + one.path
    return NOT_FOUND + one.path if one.verdict is Verdict.NOT_FOUND else None
