"""Figures of an evaluation for people."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pipeline.eval.figures import ALL
from pipeline.log import printable
from pipeline.show.text import counted

if TYPE_CHECKING:
    from pipeline.eval.baselines import BaselineFigures
    from pipeline.eval.calibration import Calibration
    from pipeline.eval.comparing import Comparison, DocumentChange
    from pipeline.eval.figures import FieldFigures, Figures, ItemFigures, TextFigures
    from pipeline.eval.intervals import Estimate

GAP = "  "
MOST_NAMED = 8
_FIELD_HEADS = ("", "labelled", "read", "right", "precision", "recall", "F1", "exact F1")


def say(text: str) -> None:
    """Tell whoever waits, on standard error."""
    sys.stderr.write(f"{printable(text)}\n")
    sys.stderr.flush()


def put(text: str) -> None:
    """Print a result."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def figures_text(figures: Sequence[Figures]) -> str:
    """Return figures of groups; those of languages in one line each."""
    whole = [one for one in figures if one.language is None]
    languages = [one for one in figures if one.language is not None]
    blocks = ["\n".join(_group(one)) for one in whole if one.group != ALL or len(whole) > 2]
    if languages:
        blocks.append("by language\n" + table([_LANGUAGE_HEADS, *map(_language, languages)]))
    note = "in brackets: 95 % confidence intervals, different documents drawn anew 2,000 times"
    return "\n\n".join([*blocks, note])


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as columns; the first row has the headers."""
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    lines = (GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _group(figures: Figures) -> Iterator[str]:
    missing = f", {figures.missing} not in the output" if figures.missing else ""
    documents, pages = counted(figures.documents, "document"), counted(figures.pages, "page")
    distinct = f" ({figures.distinct:,} different ones)" if figures.distinct < figures.documents else ""
    yield f"{figures.group}: {documents}{distinct}, {pages}; {figures.failed} failed{missing}"
    rows = [_FIELD_HEADS, *(_field(name, one) for name, one in figures.fields.items())]
    if figures.all_fields:
        rows.append(_field("all fields", figures.all_fields))
    for name, items in figures.items.items():
        rows += _items(name, items)
    if len(rows) > 1:
        yield table(rows)
    if figures.all_right:
        yield f"documents with all fields right: {figures.all_right}"
    if figures.text:
        yield from _text(figures.text)
    if figures.verdicts:
        told = ", ".join(
            f"{one.verdict} {one.right}/{one.values} ({_share(one.precision)})" for one in figures.verdicts
        )
        yield f"values right by what their page shows: {told}"
    for flag in figures.flags:
        yield (
            f"{printable(flag.name)}: marks {counted(flag.flagged, 'record')}, {_share(flag.precision)} rightly; "
            f"of {counted(flag.wrong, 'record')} with a wrong value it marks {_share(flag.recall)}"
        )
    if figures.calibration:
        yield from _calibration(figures.calibration)


def _field(name: str, figures: FieldFigures) -> tuple[str, ...]:
    counts = (str(figures.labelled), str(figures.read), str(figures.right))
    rates = figures.normalised
    return (printable(name), *counts, *map(_shown, (rates.precision, rates.recall, rates.f1, figures.exact.f1)))


def _items(name: str, items: ItemFigures) -> Iterator[tuple[str, ...]]:
    for what, rates in (("found", items.found), ("right", items.right)):
        cells = map(_shown, (rates.precision, rates.recall, rates.f1))
        yield (f"{printable(name)}, {what}", "", "", "", *cells, "")
    for column, figures in items.columns.items():
        yield _field(f"{name}.{column}", figures)


def _text(text: TextFigures) -> Iterator[str]:
    yield (
        f"text of {counted(text.documents, 'document')}: characters wrong {text.cer_micro} of all, "
        f"{text.cer_median} in the median document"
    )
    yield f"words wrong {text.wer_micro}; words found in any order {text.bag}, without punctuation {text.bag_alnum}"


def _calibration(found: Calibration) -> Iterator[str]:
    yield (
        f"confidence of {counted(found.values, 'value')} ({found.without} have none): "
        f"expected calibration error {found.ece:.3f}, Brier score {found.brier:.4f} "
        f"({found.brier_reference:.4f} for the mean alone)"
    )
    rows = [("confidence", "values", "on average", "right")]
    rows += [
        (f"{one.low:.1f}-{one.high:.1f}", str(one.values), f"{one.confidence:.3f}", f"{one.right:.3f}")
        for one in found.bins
    ]
    yield table(rows)
    rows = [("at least", "values", "share", "right")]
    rows += [(f"{one.threshold:g}", str(one.values), str(one.share), _shown(one.precision)) for one in found.cuts]
    yield table(rows)


_LANGUAGE_HEADS = ("", "documents", "all fields, F1", "all fields right", "characters wrong")


def _language(figures: Figures) -> tuple[str, ...]:
    f1 = figures.all_fields.normalised.f1 if figures.all_fields else None
    cer = figures.text.cer_micro if figures.text else None
    return (
        printable(f"{figures.group}, {figures.language}"),
        str(figures.documents),
        _shown(f1),
        _shown(figures.all_right),
        _shown(cer),
    )


def comparison_text(found: Comparison) -> str:
    """Return what changed between two readings."""
    rows = [("", "before", "after", "difference", "p", "")]
    for one in found.figures:
        if one.change.difference.value or one.is_better is not None:
            verdict = {True: "better", False: "worse", None: "may be chance"}[one.is_better]
            before, after = f"{one.change.before:.3f}", f"{one.change.after:.3f}"
            name = printable(f"{one.group}: {one.figure}")
            rows.append((name, before, after, str(one.change.difference), f"{one.p_corrected:.3f}", verdict))
    only = f"; {counted(found.left_out, 'document')} only in one of them" if found.left_out else ""
    head = f"compared: {counted(found.documents, 'document')}{only}"
    body = table(rows) if len(rows) > 1 else "no figure changed"
    note = (
        "p: permutation test over documents, two-sided, corrected for all figures together (Holm); "
        "better or worse where p < 0.05"
    )
    named = (f"{word}: {_named(changed)}" for word, changed in (("better", found.better), ("worse", found.worse)))
    return "\n".join([head, body, *named, note])


def _named(changed: Sequence[DocumentChange]) -> str:
    told = [printable(f"{one.id} ({_what(one)})") for one in changed[:MOST_NAMED]]
    rest = len(changed) - len(told)
    return ("; ".join(told) or "no document") + (f"; and {rest} more" if rest else "")


def _what(change: DocumentChange) -> str:
    fields = [f"+{name}" for name in change.fields_better] + [f"-{name}" for name in change.fields_worse]
    text = [f"characters wrong {change.cer_change:+.3f}"] if abs(change.cer_change) > 0 else []
    return ", ".join([*fields, *text])


def baselines_text(figures: Sequence[BaselineFigures]) -> str:
    """Return readers side by side."""
    heads = ("kind", "reader", "documents", "characters wrong", "median", "words", "values in the text", "pages/s")
    rows = [
        (
            *(one.kind, one.reader, str(one.documents), _shown(one.text.cer_micro if one.text else None)),
            *(_shown(one.text.cer_median if one.text else None), _shown(one.text.bag_alnum if one.text else None)),
            _shown(one.values_present),
            f"{one.pages_per_s:.2f}" if one.pages_per_s else "",
        )
        for one in figures
    ]
    notes = dict.fromkeys(note for one in figures for note in one.notes)
    return "\n".join(["side by side", table([heads, *rows]), *notes])


def _shown(estimate: Estimate | None) -> str:
    return "" if estimate is None else str(estimate)


def _share(estimate: Estimate | None) -> str:
    return "none" if estimate is None else f"{estimate.value:.1%}"
