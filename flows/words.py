"""What an operator reads about a run: lines, tables and the page of a night. Text only; nothing of Prefect."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from pipeline.errors import WHAT_HELPS, ErrorType
from pipeline.results import open_results
from pipeline.run import RunReport
from pipeline.show import Failures
from pipeline.show.text import counted, duration, labels, money, printable
from pipeline.stats import HourRow, RunRow, RunState, hour_rows, read_runs, total, without_userinfo
from pipeline.storage import open_storage
from pipeline.tally import Progress

OUTPUT_URL_VARIABLE = "FLOWS_OUTPUT_URL"
"""How a browser gets at an output in a bucket: a URL with {bucket} and {path} in it."""
_CONSOLES = {
    "s3": "https://console.aws.amazon.com/s3/buckets/{bucket}?prefix={path}/",
    "gs": "https://console.cloud.google.com/storage/browser/{bucket}/{path}",
}
_LOOK_BACK = 20
"""Runs that are looked at for the one before: those on arrival often find little."""

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Before:
    """The latest earlier run that read something."""

    run: RunRow
    total: HourRow | None


def summary_line(report: RunReport) -> str:
    """Return what became of a run in one line, the most important first."""
    if not (report.documents or report.documents_carried_over):
        arriving = f"; {counted(report.documents_arriving, 'document')} still arriving" * bool(
            report.documents_arriving
        )
        skipped = f", {counted(report.documents_skipped, 'document')} read before" * bool(report.documents_skipped)
        return f"Nothing to read{skipped}{arriving}."
    failed = f", {report.pages_failed:,} failed" if report.pages_failed else ""
    cost = f", {_price(report.total)}" if report.total.cost is not None else ""
    line = f"{counted(report.pages_ok, 'page')} ok{failed}, {counted(report.documents, 'document')}"
    line += f" in {duration(report.elapsed_s)}{cost}"
    if report.documents_carried_over:
        line += f"; {counted(report.documents_carried_over, 'document')} carried over ({_why(report)})"
    return line + "."


def progress_line(progress: Progress, *, now: datetime, deadline: datetime | None, budget: int | None) -> str:
    """Return how far a run is, when it will be done, and what it will not get to."""
    parts = [f"**{progress.phase}**"]
    if progress.documents_total:
        parts += [f"{progress.documents_done:,} of {counted(progress.documents_total, 'document')}"]
    if done := progress.pages_ok + progress.pages_failed:
        about = "about " * (progress.documents_done < progress.documents_total and progress.eta_s is not None)
        failed = f" ({progress.pages_failed:,} failed)" if progress.pages_failed else ""
        parts += [f"{done:,} of {about}{_pages(progress):,.0f} pages{failed}", _speed(progress.pages_per_s)]
    if progress.phase == "reading" and progress.eta_s is not None:
        ends = now + timedelta(seconds=progress.eta_s)
        parts += [f"{duration(progress.eta_s)} left, done by {ends.astimezone(UTC):%H:%M} UTC"]
        if left := _beyond(progress, now, deadline, budget):
            parts += [f"about {left:,.0f} pages will be carried over to the next run"]
    return " · ".join(parts)


def share_done(progress: Progress) -> float:
    """Return which share of its pages a run has ended, 0..1; an estimate while documents are unopened."""
    if progress.phase == "done":
        return 1.0
    pages = _pages(progress)
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
    results = next(found for found in open_results(report.output).extractions if found.name == _extraction(report))
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
        "cost": _price(every) if every.cost is not None else "not known: set cost.price_per_hour",
        "cost of 1,000 pages": f"{money(per_1000)} {every.currency or ''}" if per_1000 is not None else None,
        "energy of the GPU": f"{every.gpu_energy_wh / 1000:.3f} kWh" if every.gpu_energy_wh is not None else None,
        "GPU": _gpu(every),
        "tokens in": f"{every.prompt_tokens:,}" if every.prompt_tokens else None,
        "of these from the cache": f"{every.cached_tokens:,}" if every.cached_tokens else None,
        "tokens out": f"{every.output_tokens:,}" if every.output_tokens else None,
        "engines started again": every.engine_restarts or None,
        "pages not read again": f"{every.pages_reused:,}: their bytes were read before" if every.pages_reused else None,
    }
    return [{"what": name, "value": value} for name, value in values.items() if value is not None]


def page_of_run(report: RunReport, name: str, source: str) -> str:
    """Return the Markdown page of a run: what became of it, what there is to do, compared with the run before.

    Args:
        name: of the run.
        source: its input.

    Raises:
        StorageError: the output cannot be read.
    """
    output = without_userinfo(report.output)
    shown = shlex.quote(printable(output))
    lines = [f"# {_verdict(report)}", "", f"**{text(name)}** · {summary_line(report)}", "", *_to_do(report, shown)]
    lines += ["", *_comparison(report, run_before(report)), ""]
    lines += [f"Every page is accounted for: {ledger_line(report)}", ""]
    lines += [f"- input: `{_code(without_userinfo(source))}`", f"- output: {_linked(output)}"]
    extraction, run_id = _extraction(report), report.identity.run_id
    lines += [f"- look at it: `pagemill show {_code(shown)} --extraction {extraction}`"]
    engine = f"{report.identity.engine}, {report.identity.model}"
    lines += [f"- read by {text(engine)}; run `{run_id}`"]
    return "\n".join(lines)


def ledger_line(report: RunReport) -> str:
    """Return what became of each page that was found; the run has verified that it adds up."""
    terms = f"{report.pages_ok:,} ok + {report.pages_failed:,} failed"
    if report.pages_carried_over:
        terms += f" + {report.pages_carried_over:,} carried over"
    return f"{report.pages_found:,} found = {terms}"


def browsable(output: str) -> str | None:
    """Return where a browser shows the output; None where there is no such place."""
    scheme, _, rest = without_userinfo(output).partition("://")
    bucket, _, path = rest.strip("/").partition("/")
    elsewhere = scheme == "s3" and any(name in os.environ for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"))
    form = os.environ.get(OUTPUT_URL_VARIABLE) or (None if elsewhere else _CONSOLES.get(scheme))
    if not rest or not form or scheme == "file":
        return None
    return form.replace("{bucket}", quote(bucket)).replace("{path}", quote(path))


def run_before(report: RunReport) -> Before | None:
    """Return the latest earlier run of the same extraction into the same output that read something.

    Raises:
        StorageError: the output cannot be read.
    """
    runs = read_runs(open_storage(report.output), _extraction(report), last=_LOOK_BACK)
    earlier = [run for run in runs if run.pages_ok + run.pages_failed and run.identity.run_id < report.identity.run_id]
    if not earlier:
        return None
    results = next(found for found in open_results(report.output).extractions if found.name == _extraction(report))
    stats = results.of_run(earlier[-1].identity.run_id).stats()
    return Before(earlier[-1], total(list(hour_rows(stats))) if stats.num_rows else None)


def text(value: str) -> str:
    """Return text of any origin such that Markdown shows it as it is."""
    return re.sub(r"([\\`*_{}\[\]<>|#~!&])", r"\\\1", printable(value))


def _verdict(report: RunReport) -> str:
    if report.documents_carried_over:
        return f"Not all was read: {counted(report.documents_carried_over, 'document')} carried over ({_why(report)})"
    if report.pages_failed:
        return f"Done; {report.pages_failed:,} of {counted(report.pages_found, 'page')} failed"
    return "Done, every page is ok"


def _to_do(report: RunReport, output: str) -> Iterator[str]:
    if report.documents_carried_over:
        yield "- The next run goes on from here by itself."
    if report.documents_arriving:
        yield f"- {counted(report.documents_arriving, 'document')} still arriving: the next run reads what is complete."
    if report.pages_failed:
        extraction = _extraction(report)
        yield (
            "- The table of failures says what helps. Afterwards: "
            f"`pagemill retry {_code(output)} --extraction {extraction}`"
        )
    if report.documents_skipped_failed:
        yield f"- {counted(report.documents_skipped_failed, 'document')} that failed in earlier runs were left alone."
    if not (report.documents_carried_over or report.pages_failed or report.documents_skipped_failed):
        yield "There is nothing to do."


def _comparison(report: RunReport, before: Before | None) -> Iterator[str]:
    now = _column(report.total, report.documents_carried_over, report.pages_failed, report.elapsed_s)
    if before is None:
        yield from ("| | this run |", "| --- | ---: |", *(f"| {name} | {value} |" for name, value in now.items()))
        return
    run = before.run
    elapsed_s = (run.finished_at - run.started_at).total_seconds() if run.finished_at else None
    then = _column(before.total, run.documents_carried_over, run.pages_failed, elapsed_s)
    state = "" if run.state is RunState.FINISHED else f", {run.state}"
    yield f"| | this run | the one before ({run.started_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC{state}) |"
    yield "| --- | ---: | ---: |"
    for name, value in now.items():
        yield f"| {name} | {value} | {then[name]} |"


def _column(hours: HourRow | None, carried_over: int, failed: int, elapsed_s: float | None) -> dict[str, str]:
    pages = hours.pages if hours else 0
    share = f" ({failed / pages:.1%})" if pages and failed else ""
    return {
        "pages": f"{pages:,}",
        "failed": f"{failed:,}{share}",
        "documents": f"{hours.documents:,}" if hours else "",
        "documents carried over": f"{carried_over:,}",
        "pages per hour": _three_digits(hours.pages_per_hour) if hours else "",
        "time": duration(elapsed_s) if elapsed_s is not None else "",
        "cost": _price(hours) if hours and hours.cost is not None else "",
    }


def _hour(name: str, row: HourRow) -> dict[str, Any]:
    return {
        "hour (UTC)": name,
        "documents": f"{row.documents:,}",
        "pages": f"{row.pages:,}",
        "failed": f"{row.pages_failed:,}",
        "tried again": f"{row.pages_retried:,}",
        "pages/h": _three_digits(row.pages_per_hour),
        "engine busy": f"{row.busy_share:.0%}" if row.busy_share is not None else None,
        "95 % within": f"{row.latency_p95_s:.1f} s" if row.latency_p95_s is not None else None,
        "GPU used": f"{row.gpu_utilisation:.0%}" if row.gpu_utilisation is not None else None,
        "cost": _price(row) if row.cost is not None else None,
    }


def _three_digits(rate: float | None) -> str:
    # The fourth would differ at the next run.
    return "" if rate is None else f"{float(f'{rate:.3g}'):,.0f}"


def _speed(pages_per_s: float) -> str:
    return f"{pages_per_s:.2f} pages/s" if pages_per_s >= 0.1 else f"{pages_per_s * 3600:.0f} pages/h"


def _price(row: HourRow) -> str:
    return f"{money(row.cost)} {printable(row.currency or '')}".rstrip() if row.cost is not None else ""


def _gpu(row: HourRow) -> str | None:
    if row.gpu_name is None:
        return None
    used = f", {row.gpu_utilisation:.0%} used" if row.gpu_utilisation is not None else ""
    power = f", {row.gpu_power_w:.0f} W" if row.gpu_power_w is not None else ""
    return f"{printable(row.gpu_name)}{used}{power}"


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


def _why(report: RunReport) -> str:
    at = (
        f" {report.deadline_at.astimezone(UTC):%H:%M} UTC" * (report.stopped_by == "deadline")
        if report.deadline_at
        else ""
    )
    return f"{report.stopped_by or 'stopped'}{at}"


def _example(row: Row) -> str:
    page = f" page {row['page_number']}" if row["page_number"] is not None else ""
    return f"{labels([row['source_uri']])[0]}{page}: {printable(row['error_message'] or '')}"


def _linked(output: str) -> str:
    url = browsable(output)
    return f"[{text(output)}]({url})" if url else f"`{_code(output)}`"


def _code(value: str) -> str:
    return printable(value).replace("`", "'")


def _extraction(report: RunReport) -> str:
    return report.identity.extraction
