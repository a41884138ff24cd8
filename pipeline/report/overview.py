"""One extraction on the index: figures, the most urgent findings, and where the rest of them stands."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.data import Status, Verdict
from pipeline.report.night import hours_plot, nights_plot
from pipeline.show import what_helps
from pipeline.show.statistics import summary_lines
from pipeline.show.text import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import pyarrow as pa

    from pipeline.report.changes import Changes
    from pipeline.report.findings import Findings, Listed
    from pipeline.report.night import NightView
    from pipeline.report.plot import Plot

SHOWN = {"doubtful": 24, "failures": 8, "breaches": 6, "review": 20}
"""Of each list on the index; of failures and breaches: of each reason and rule."""
_VERDICTS = {
    Verdict.EXACT.value: "as printed",
    Verdict.NORMALISED.value: "printed otherwise",
    Verdict.COMPUTED.value: "follows from others",
    Verdict.FUZZY.value: "nearly so",
    Verdict.NOT_FOUND.value: "not on the page",
    "unchecked": "not checked",
}


@dataclass(frozen=True, slots=True)
class Tile:
    """A figure."""

    label: str
    value: str
    sub: str = ""
    state: str = ""
    """"warn" or "bad" where it calls for somebody."""
    href: str | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """The first of many findings."""

    name: str
    count: int
    shown: tuple[Any, ...] = ()
    helps: str | None = None
    more_href: str | None = None


@dataclass(frozen=True, slots=True)
class Share:
    """A part of a bar that is 1,000 wide."""

    kind: str
    label: str
    count: int
    start: float
    width: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractionView:
    """All of it."""

    name: str
    anchor: str
    headline: str
    tiles: tuple[Tile, ...]
    verdicts: tuple[Share, ...]
    night: NightView | None
    """The last run."""
    nights: tuple[NightView, ...]
    hours_plot: Plot | None
    nights_plot: Plot | None
    has_cost: bool
    spent: tuple[str, ...]
    failures: tuple[Group, ...]
    doubtful: Group
    breaches: tuple[Group, ...]
    review: Group
    changes: Changes
    hrefs: Callable[[str], tuple[str, str]]
    """Name and address of a document, by URI."""
    documents_count: int
    listed: Sequence[Listed]
    list_pages: int
    data_name: str
    data_href: str


def anchor_of(name: str) -> str:
    """Return an extraction's name as a part of addresses."""
    return re.sub(r"[^A-Za-z0-9-]+", "-", name).strip("-") or "x"


def groups(found: Mapping[str, Any], kind: str, more: Callable[[str], str]) -> tuple[Group, ...]:
    """Return findings by reason or rule, most first.

    Args:
        more: the address of all findings of a reason.
    """
    most_first = sorted(found.items(), key=lambda item: (-item[1].count, item[0]))
    return tuple(group(name, urgent, kind, more(name)) for name, urgent in most_first)


def group(name: str, urgent: Any, kind: str, more_href: str) -> Group:
    """Return the first findings, and the address of all where there are more."""
    items, most = tuple(urgent), SHOWN[kind]
    helps = what_helps(name) if kind == "failures" else None
    return Group(name, urgent.count, items[:most], helps, more_href if len(items) > most else None)


def shares(findings: Findings) -> tuple[Share, ...]:
    """Return how many values have which verdict, as parts of a bar; nothing where none was checked."""
    counts = findings.verdicts
    total = sum(counts.values())
    if not total or set(counts) <= {"unchecked"}:
        return ()
    found, start = [], 0.0
    for kind, label in _VERDICTS.items():
        if count := counts.get(kind, 0):
            width = 1000 * count / total
            found.append(Share(kind, label, count, round(start, 2), round(width, 2)))
            start += width
    return tuple(found)


def tiles(
    current: pa.Table, findings: Findings, nights: Sequence[NightView], anchor: str, least: float | None
) -> tuple[Tile, ...]:
    """Return the figures of the current rows, then those of the last run."""
    return (*_content_tiles(current, findings, anchor, least), *_run_tiles(nights))


def headline(current: pa.Table, findings: Findings) -> str:
    """Return the state of things in a sentence or two."""
    documents, failed = current.num_rows, _failed_documents(current)
    bad_pages = _sum(current, "pages_failed")
    told = f"{counted(documents, 'document')}, {counted(num_pages(current), 'page')}: "
    if not failed:
        told += "all of them were read."
    else:
        whole_or_part = f", in whole or in part ({counted(bad_pages, 'page')})" if bad_pages else ""
        told += f"{counted(failed, 'document')} failed{whole_or_part}."
    if findings.review.count:
        verb = "wants" if findings.review.count == 1 else "want"
        told += f" {counted(findings.review.count, 'record')} {verb} a look."
    return told


def figures(nights: Sequence[NightView]) -> dict[str, Any]:
    """Return what the index shows of runs."""
    last = nights[0] if nights else None
    return {
        "night": last,
        "nights": tuple(nights),
        "hours_plot": hours_plot(last) if last else None,
        "nights_plot": nights_plot(nights),
        "has_cost": any(night.cost for night in nights),
        "spent": tuple(summary_lines(last.whole))[1:] if last and last.whole else (),
    }


def _content_tiles(current: pa.Table, findings: Findings, anchor: str, least: float | None) -> Iterable[Tile]:
    failed, bad_pages = _failed_documents(current), _sum(current, "pages_failed")
    broken = sum(urgent.count for urgent in findings.breaches.values())
    yield Tile(
        "Documents", f"{current.num_rows:,}", f"{failed:,} failed" if failed else "all ok", "", f"#documents-{anchor}"
    )
    href = f"#failed-{anchor}" if bad_pages or failed else None
    yield Tile("Pages failed", f"{bad_pages:,}", f"of {num_pages(current):,} pages", "bad" if bad_pages else "", href)
    review = findings.review.count
    yield Tile(
        "To review",
        f"{review:,}",
        f"of {counted(findings.records, 'record')}",
        "warn" if review else "",
        f"#review-{anchor}" if review else None,
    )
    doubtful = findings.doubtful.count
    below = f", below {least:.0%}" if least is not None else ""
    yield Tile(
        "Doubtful values",
        f"{doubtful:,}",
        f"of {findings.fields:,}{below}",
        "warn" if doubtful else "",
        f"#doubtful-{anchor}" if doubtful else None,
    )
    differ = f"; pages differ on {findings.conflicts:,}" if findings.conflicts else ""
    yield Tile(
        "Rules broken",
        f"{broken:,}",
        (counted(len(findings.breaches), "rule") if broken else "none") + differ,
        "warn" if broken else "",
        f"#rules-{anchor}" if broken else None,
    )


def _run_tiles(nights: Sequence[NightView]) -> Iterable[Tile]:
    if not nights or nights[0].whole is None:
        return
    last, before = nights[0], nights[1] if len(nights) > 1 else None
    if last.rate:
        yield Tile("Pages per hour", last.rate, _compared(last, before))
    yield Tile("Last run took", last.took, f"{last.started_at:%a %d %b, %H:%M} UTC")
    if last.cost:
        value, _, currency = last.cost.partition(" ")
        yield Tile(
            "Cost", value, f"{currency}; {last.cost_per_1000} per 1,000 pages" if last.cost_per_1000 else currency
        )


def _compared(last: NightView, before: NightView | None) -> str:
    now, then = (night.whole.pages_per_hour if night and night.whole else None for night in (last, before))
    if not now or not then:
        return "in the last run"
    change = now / then - 1
    return "as in the run before" if abs(change) < 0.005 else f"{change:+.0%} on the run before"


def num_pages(current: pa.Table) -> int:
    """Count the pages of documents, failed ones included."""
    return _sum(current, "pages_ok") + _sum(current, "pages_failed")


def _sum(current: pa.Table, name: str) -> int:
    import pyarrow.compute as pc

    return int(pc.sum(current[name]).as_py() or 0) if current.num_rows else 0


def _failed_documents(current: pa.Table) -> int:
    import pyarrow.compute as pc

    return int(pc.sum(pc.equal(current["status"], Status.FAILED.value)).as_py() or 0) if current.num_rows else 0
