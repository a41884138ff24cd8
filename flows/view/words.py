"""What an operator reads about a run: lines and the rows of tables. Knows nothing of Prefect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from pipeline.errors import WHAT_HELPS, ErrorType
from pipeline.results import open_results
from pipeline.run import RunReport
from pipeline.show import Failures
from pipeline.show.spent import spared_line, time_line, verdict
from pipeline.show.text import counted, duration, labels, money, printable
from pipeline.stats import HourRow
from pipeline.tally import Progress

Row = Mapping[str, Any]


def summary_line(report: RunReport) -> str:
    """Return what became of a run in one line, the most important first."""
    if not (report.documents or report.documents_carried_over):
        line = "Nothing to read"
        if report.documents_skipped:
            line += f", {counted(report.documents_skipped, 'document')} read before"
        if report.documents_arriving:
            line += f", {counted(report.documents_arriving, 'document')} still arriving"
        return line + "."
    failed = f", {report.pages_failed:,} failed" if report.pages_failed else ""
    cost = f", {price(report.total)}" if report.total.cost is not None else ""
    line = f"{counted(report.pages_ok, 'page')} ok{failed}, {counted(report.documents, 'document')}"
    line += f" in {duration(report.elapsed_s)}{cost}"
    if report.documents_carried_over:
        line += f"; {counted(report.documents_carried_over, 'document')} carried over ({why(report)})"
    return line + "."


def progress_line(progress: Progress, *, now: datetime, deadline: datetime | None, budget: int | None) -> str:
    """Return how far a run is, when it will be done, and what it will not get to."""
    parts = [f"**{progress.phase}**"]
    done = progress.pages_ok + progress.pages_failed
    if progress.phase == "reading" and progress.eta_s is not None:  # the first words are all that a card shows
        ends = now + timedelta(seconds=progress.eta_s)
        rest = f"{duration(progress.eta_s)} left, till {ends.astimezone(UTC):%H:%M} UTC"
        if left := round(_beyond(progress, now, deadline, budget)):
            rest = f"about {counted(left, 'page')} will be carried over to the next run"
        parts = [f"**{share_done(progress):.0%}**, {rest}"]
    if done:
        failed = f" ({progress.pages_failed:,} failed)" if progress.pages_failed else ""
        parts += [f"{_of_pages(progress, done)} pages{failed}", _speed(progress.pages_per_s)]
    if progress.documents_total:
        parts += [f"{progress.documents_done:,} of {counted(progress.documents_total, 'document')}"]
    return " · ".join(parts)


def share_done(progress: Progress) -> float:
    """Return which share of its pages a run has ended, 0..1; an estimate, and 0 as long as there is none."""
    if progress.phase == "done":
        return 1.0
    pages = 0.0 if _is_early(progress) else _pages(progress)
    return (progress.pages_ok + progress.pages_failed) / pages if pages else 0.0


def throughput_rows(report: RunReport) -> list[Row]:
    """Return a row per clock hour and one of all; columns that say nothing are left out."""
    rows = [_hour(f"{row.hour.astimezone(UTC):%Y-%m-%d %H:00}", row) for row in report.hours]
    rows.append(_hour("all", report.total))
    known = [name for name in rows[0] if any(row[name] not in {None, ""} for row in rows)]
    return [{name: row[name] if row[name] is not None else "" for name in known} for row in rows]


def failure_rows(report: RunReport) -> list[Row]:
    """Return a row per reason for which pages of this run failed, most frequent first, with what helps.

    Raises:
        StorageError: the output cannot be read.
    """
    results = next(
        found for found in open_results(report.output).extractions if found.name == report.identity.extraction
    )
    failures = Failures(report.output, results.of_run(report.identity.run_id))
    return [
        {
            "reason": reason,
            "pages": count,
            "documents": failures.documents(reason),
            "what helps": WHAT_HELPS[ErrorType(reason)].replace("`", "") if reason in set(ErrorType) else "",
            "for example": _example(next(failures.rows(reason, 1))),
        }
        for reason, count in failures.counts.items()
    ]


def cost_rows(report: RunReport) -> list[Row]:
    """Return what the run took: time, money, energy, tokens."""
    every = report.total
    per_1000 = every.cost_per_1000_pages
    values = {
        "machine time": duration(every.wall_s),
        "pages in the engine": f"{every.busy_share:.0%} of the time" if every.busy_share is not None else None,
        "where it went": time_line(every),
        "what held pages up": verdict(every),
        "cost": price(every) if every.cost is not None else "not known: set cost.price_per_hour",
        "cost of 1,000 pages read": f"{money(per_1000)} {every.currency or ''}" if per_1000 is not None else None,
        "energy of the GPU": f"{every.gpu_energy_wh / 1000:.3f} kWh" if every.gpu_energy_wh is not None else None,
        "GPU": _gpu(every),
        "tokens in": f"{every.prompt_tokens:,}" if every.prompt_tokens else None,
        "of these from the cache": f"{every.cached_tokens:,}" if every.cached_tokens else None,
        "tokens out": f"{every.output_tokens:,}" if every.output_tokens else None,
        "engines started again": every.engine_restarts or None,
        "pages without the engine": spared_line(every),
        "pages not read again": f"{every.pages_reused:,}: their bytes were read before" if every.pages_reused else None,
    }
    return [{"what": name, "value": value} for name, value in values.items() if value is not None]


def headline(rows: Sequence[Row]) -> str:
    """Return the reasons of failures in a line."""
    return ", ".join(f"{counted(row['pages'], 'page')} {row['reason']}" for row in rows)


def speed_line(report: RunReport) -> str:
    """Return how fast a run read."""
    every = report.total
    busy = f", engine busy {every.busy_share:.0%} of the time" if every.busy_share is not None else ""
    return f"{three_digits(every.pages_per_hour) or 0} pages/h over {duration(every.wall_s)}{busy}"


def cost_line(report: RunReport) -> str:
    """Return what a run cost, as far as that is known."""
    every = report.total
    if every.cost is None:
        return f"{duration(every.wall_s)} of the machine; no price is set"
    each = every.cost_per_1000_pages
    return price(every) + (f", {money(each)} per 1,000 pages" if each is not None else "")


def _hour(name: str, row: HourRow) -> dict[str, Any]:
    return {
        "hour (UTC)": name,
        "docs": f"{row.documents:,}",
        "pages": f"{row.pages:,}",
        "failed": f"{row.pages_failed:,}",
        "retried": f"{row.pages_retried:,}",
        "pages/h": three_digits(row.pages_per_hour),
        "busy": f"{row.busy_share:.0%}" if row.busy_share is not None else None,
        "p95": f"{row.latency_p95_s:.1f} s" if row.latency_p95_s is not None else None,
        "GPU": f"{row.gpu_utilisation:.0%}" if row.gpu_utilisation is not None else None,
        "cost": price(row) if row.cost is not None else None,
    }


def three_digits(rate: float | None) -> str:
    """Return a rate as far as it means something."""
    # The fourth would differ at the next run.
    return "" if rate is None else f"{float(f'{rate:.3g}'):,.0f}"


def _speed(pages_per_s: float) -> str:
    return f"{pages_per_s:.2f} pages/s" if pages_per_s >= 0.1 else f"{pages_per_s * 3600:.0f} pages/h"


def price(row: HourRow) -> str:
    """Return what it cost; empty when that is not known."""
    return f"{money(row.cost)} {printable(row.currency or '')}".rstrip() if row.cost is not None else ""


def _gpu(row: HourRow) -> str | None:
    if row.gpu_name is None:
        return None
    used = f", {row.gpu_utilisation:.0%} used" if row.gpu_utilisation is not None else ""
    power = f", {row.gpu_power_w:.0f} W" if row.gpu_power_w is not None else ""
    return f"{printable(row.gpu_name)}{used}{power}"


def _is_early(progress: Progress) -> bool:
    return progress.phase == "reading" and progress.eta_s is None


def _of_pages(progress: Progress, done: int) -> str:
    if _is_early(progress):
        return f"{done:,}"
    about = "about " * (progress.documents_done < progress.documents_total)
    return f"{done:,} of {about}{_pages(progress):,.0f}"


def _pages(progress: Progress) -> float:
    """Return the pages of a run; of documents not opened yet they are estimated."""
    done = progress.pages_ok + progress.pages_failed
    return done + (progress.eta_s or 0) * progress.pages_per_s if progress.phase == "reading" else progress.pages_found


def _beyond(progress: Progress, now: datetime, deadline: datetime | None, budget: int | None) -> float:
    """Return how many pages a run will not get to."""
    possible = _pages(progress)
    if deadline is not None:
        in_time = max((deadline - now).total_seconds(), 0) * progress.pages_per_s
        possible = min(possible, progress.pages_ok + progress.pages_failed + in_time)
    if budget is not None:
        possible = min(possible, budget)
    return _pages(progress) - possible


def why(report: RunReport) -> str:
    """Return why documents are carried over."""
    at = (
        f" {report.deadline_at.astimezone(UTC):%H:%M} UTC" * (report.stopped_by == "deadline")
        if report.deadline_at
        else ""
    )
    return f"{report.stopped_by or 'stopped'}{at}"


def _example(row: Row) -> str:
    page = f" page {row['page_number']}" if row["page_number"] is not None else ""
    return f"{labels([row['source_uri']])[0]}{page}: {printable(row['error_message'] or '')}"
