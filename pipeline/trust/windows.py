"""Evidence of a record that several pages make together: each value stands on the page that shows it best."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.data import FieldEvidence, TextLine, Verdict

NumberedText = tuple[int, Sequence[TextLine]]
"""A page's number and its text."""

_ORDER = (Verdict.EXACT, Verdict.NORMALISED, Verdict.FUZZY, Verdict.COMPUTED, Verdict.NOT_FOUND, None)


def best_shown(pages: Sequence[Sequence[FieldEvidence]]) -> tuple[FieldEvidence, ...]:
    """Return for each value the evidence of the page that shows it best.

    Pages that show a value equally well: an entry of a list stands on the page that shows most of its values, anything
    else on the first one.

    Args:
        pages: evidence of the same values in the same order, held against one page after the other.
    """
    shown = [_shown_of_entries(found) for found in pages]
    return tuple(
        min(
            zip(values, shown, strict=True),
            key=lambda one: (_ORDER.index(one[0].verdict), -one[1].get(_entry(one[0].path), 0)),
        )[0]
        for values in zip(*pages, strict=True)
    )


def _shown_of_entries(found: Sequence[FieldEvidence]) -> dict[str, int]:
    """Return how many values of each list entry a page shows."""
    counts: dict[str, int] = {}
    for one in found:
        if (entry := _entry(one.path)) and one.text is not None:
            counts[entry] = counts.get(entry, 0) + 1
    return counts


def _entry(path: str) -> str:
    """Return the list entry that a value is of: `line_items[0]`; empty for others."""
    return path.rpartition("]")[0]
