"""Rows that sum up a table: subtotal, tax, total, payment."""

from __future__ import annotations

import re
from itertools import combinations

from pipeline.engines.ocr.labels import LabelIndex
from pipeline.engines.ocr.lexicon import LABELS, Clue
from pipeline.engines.ocr.page import PageLayout
from pipeline.engines.ocr.tables.cells import numbers_of
from pipeline.engines.ocr.tables.items import is_product
from pipeline.schema import Role
from pipeline.values import find_amounts

MIN_SHARE = 0.4
"""Share of a run's letters that a total's label has at least; "Tax guide 2020" is an article."""

_END, _SUM, _OTHER = "end", "sum", "other"
_COUNTS = ("tot", "gesamt", "summe", "item count", "number", "no of")
_CARRIED = (
    "Übertrag", "Zwischensumme Seite", "Seitensumme", "Carried forward", "Brought forward", "Carried over", "Report",
    "À reporter", "Suma y sigue", "Suma anterior", "A riportare", "Riporto", "Transport", "Transporteren",
)  # fmt: skip
"""What stands with the sum that goes over to the next page or came from the last."""

_LABELS = LabelIndex(
    {
        _END: (
            *LABELS[Role.TOTAL], *LABELS[Role.TAX], *LABELS[Role.DUE], *LABELS[Clue.TENDERED], *LABELS[Clue.CHANGE],
            *LABELS[Clue.ROUNDING], *LABELS[Clue.TAX_SUMMARY], *LABELS[Clue.PREPAID], "Rechnungssumme", "Bruttosumme",
            "Gesamtsumme", "Endsumme", "Summe", "Rechnungsbetrag", "Endbetrag", "Gesamtbeitrag", "Positionssumme",
            "Total taxes", "Total TVA",
        ),
        _SUM: (*LABELS[Role.NET], "Net total", "Total net"),
        _OTHER: (*(label for label in LABELS[Clue.OTHER_AMOUNT] if label.casefold().startswith(_COUNTS)), *_CARRIED),
    }
)  # fmt: skip


def sums_up(page: PageLayout, row: int) -> str | None:
    """What a row that prints such a label with its amount is to the items above it, None for any other row.

    "end" follows the last item; a "sum" may stand between items; "other" counts or adds up something else.
    """
    runs = page.rows[row]
    if _is_item(page, row):
        return None
    texts = [run for run in runs if re.search(r"[^\W\d_]{3}", run.text)]
    for run in runs:
        match = next(iter(_LABELS.find(run.text)), None)
        if match is None or re.search(r"\w", run.text[: match.start]):
            continue
        share = match.length / max(1, sum(char.isalpha() for char in run.text))
        total = re.match(r"(?i)\W*(?:sub|grand|net)?[\s-]*tota", run.text) is not None and len(texts) == 1
        beside = [run.text[match.end :], *(other.text for other in page.right_of(run)[:2])]
        if (share >= MIN_SHARE or total) and any(find_amounts(text) for text in beside):
            return match.owners[0]
    return None


def _is_item(page: PageLayout, row: int) -> bool:
    """Whether a row multiplies: an article may be called "Deposit" or "Shipping"."""
    values = [number.value for run in page.rows[row] for number in numbers_of(run) if not number.text.endswith("%")]
    return any(is_product(a, b, values[-1]) for a, b in combinations(values[:-1], 2)) if values else False
