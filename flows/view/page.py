"""The page of a run: what became of it, what there is to do, compared with the run before. Markdown."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC
from urllib.parse import quote

from flows.view.words import Row, price, three_digits, why
from pipeline.results import open_results
from pipeline.run import RunReport
from pipeline.running import what_became_of_pages
from pipeline.show.text import counted, duration, printable
from pipeline.stats import HourRow, RunRow, RunState, hour_rows, read_runs, total, without_userinfo
from pipeline.storage import open_storage

OUTPUT_URL_VARIABLE = "FLOWS_OUTPUT_URL"
"""How a browser gets at an output in a bucket: a URL with {bucket} and {path} in it."""
_CONSOLES = {
    "s3": "https://console.aws.amazon.com/s3/buckets/{bucket}?prefix={path}/",
    "gs": "https://console.cloud.google.com/storage/browser/{bucket}/{path}",
}
_LOOK_BACK = 20
"""Runs that are looked at for the one before: those on arrival often find little."""


@dataclass(frozen=True, slots=True)
class Before:
    """The latest earlier run that read something."""

    run: RunRow
    total: HourRow | None


def page_of_run(report: RunReport, name: str, source: str, failures: Sequence[Row] = ()) -> str:
    """Return the Markdown page of a run: what became of it, what there is to do, compared with the run before.

    Args:
        name: of the run.
        source: its input.
        failures: as `failure_rows` returns them.

    Raises:
        StorageError: the output cannot be read.
    """
    output = without_userinfo(report.output)
    shown = shlex.quote(printable(output))
    lines = [f"# {_verdict(report)}", "", f"**{text(name)}**", "", *_to_do(report, shown)]
    lines += [_failure(row) for row in failures]
    lines += ["", *_comparison(report, run_before(report)), ""]
    found = f"{report.pages_found:,} found = {what_became_of_pages(report)}"
    lines += [f"Every page is accounted for: {found}", ""]
    lines += [f"- input: `{_code(without_userinfo(source))}`", f"- output: {_linked(output)}"]
    extraction, run_id = report.identity.extraction, report.identity.run_id
    lines += [f"- look at it: `pagemill show {_code(shown)} --extraction {extraction}`"]
    engine = f"{report.identity.engine}, {report.identity.model}"
    lines += [f"- read by {text(engine)}; run `{run_id}`"]
    return "\n".join(lines)


def _failure(row: Row) -> str:
    helps = f": {text(row['what helps'])}" if row["what helps"] else ""
    pages = counted(row["pages"], "page")
    return f"  - **{pages} {text(row['reason'])}**{helps}. For example {text(row['for example'])}"


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
    extraction = report.identity.extraction
    runs = read_runs(open_storage(report.output), extraction, last=_LOOK_BACK)
    earlier = [run for run in runs if run.pages_ok + run.pages_failed and run.identity.run_id < report.identity.run_id]
    if not earlier:
        return None
    results = next(
        found for found in open_results(report.output).extractions if found.name == report.identity.extraction
    )
    stats = results.of_run(earlier[-1].identity.run_id).stats()
    return Before(earlier[-1], total(list(hour_rows(stats))) if stats.num_rows else None)


def text(value: str) -> str:
    """Return text of any origin such that Markdown shows it as it is."""
    return re.sub(r"([\\`*_{}\[\]<>|#~!&])", r"\\\1", printable(value))


def _verdict(report: RunReport) -> str:
    if report.documents_carried_over:
        return f"Not all was read: {counted(report.documents_carried_over, 'document')} carried over ({why(report)})"
    if report.pages_failed:
        return f"Done; {report.pages_failed:,} of {counted(report.pages_found, 'page')} failed"
    return "Done, every page is ok"


def _to_do(report: RunReport, output: str) -> Iterator[str]:
    if report.documents_carried_over:
        yield "- The next run goes on from here by itself."
    if report.documents_arriving:
        yield f"- {counted(report.documents_arriving, 'document')} still arriving: the next run reads what is complete."
    if report.pages_failed:
        again = f"pagemill retry {_code(output)} --extraction {report.identity.extraction}"
        yield f"- Read what failed again, once the cause is mended: `{again}`"
    if report.documents_skipped_failed:
        yield f"- Left alone: {counted(report.documents_skipped_failed, 'document')} that failed in earlier runs."
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
        "pages per hour": three_digits(hours.pages_per_hour) if hours else "",
        "time": duration(elapsed_s) if elapsed_s is not None else "",
        "cost": price(hours) if hours and hours.cost is not None else "",
    }


def _linked(output: str) -> str:
    url = browsable(output)
    return f"[{text(output)}]({url})" if url else f"`{_code(output)}`"


def _code(value: str) -> str:
    return printable(value).replace("`", "'")
