"""Runs a configuration for whoever sits at the command line: progress, signals, and what became of every page."""

from __future__ import annotations

import json
import resource
import shlex
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from pipeline.log import printable
from pipeline.progress import show_progress
from pipeline.results import open_results
from pipeline.run import run
from pipeline.show import print_results
from pipeline.show.text import counted
from pipeline.signals import INTERRUPTED_MESSAGE, GracefulStop

if TYPE_CHECKING:
    from pipeline.config import RunConfig
    from pipeline.run import Retry, RunReport
    from pipeline.tally import Progress


def run_and_report(config: RunConfig, *, as_json: bool, quiet: bool, retry: Retry | None = None) -> int:
    """Run, print what became of every page, and return the exit code; raises what `run` does.

    Once pages are read, the first Ctrl-C or SIGTERM ends the run gracefully; see signals.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # every open shard holds three files
    with show_progress(as_json=as_json, quiet=quiet) as show, GracefulStop() as stop:

        def on_progress(progress: Progress) -> None:
            if progress.phase == "reading":
                stop.begin()
            elif progress.phase == "committing":
                stop.finish()
            elif progress.phase == "done":
                stop.end()
            show(progress)

        report = run(config, on_progress=on_progress, stop=stop.event, retry=retry)
    code = stop.exit_code if report.interrupted else report.exit_code
    if as_json:
        _print_json_report(report, code)
    elif not quiet:
        _print_report(report)
    if report.interrupted:
        print(INTERRUPTED_MESSAGE, file=sys.stderr)
    return code


def _print_json_report(report: RunReport, exit_code: int) -> None:
    print(json.dumps({"event": "report", **asdict(report), "exit_code": exit_code}, default=str))


def _print_report(report: RunReport) -> None:
    if report.documents_skipped:
        print(_skipped_line(report))
    if report.documents:
        extraction, run_id = report.identity.extraction, report.identity.run_id
        print_results(open_results(report.output), sys.stdout, extraction=extraction, run_id=run_id)
    elif not (report.documents_skipped or report.documents_carried_over):
        print("There was no document to read.")
    if report.canary_score is not None:
        print(f"words read on known pages, before the run: {report.canary_score:.1%}")
    if report.pages_found or report.documents_carried_over:
        print(_ledger_line(report))
    if report.total.records_to_review:
        output = shlex.quote(printable(report.output))
        print(f"`pagemill report {output}` shows these records, `pagemill review {output}` lets you correct them.")


def what_became_of_pages(report: RunReport) -> str:
    """Return the terms that the pages found are the sum of, as the run has verified."""
    terms = f"{report.pages_ok:,} ok + {report.pages_failed:,} failed"
    return terms + (f" + {report.pages_carried_over:,} carried over" if report.pages_carried_over else "")


def _ledger_line(report: RunReport) -> str:
    line = f"pages found {report.pages_found:,} = {what_became_of_pages(report)}"
    if report.pages_reused:
        line += f"; {report.pages_reused:,} need not be read: their bytes were"
    if report.pages_spared:
        line += f"; {report.pages_spared:,} without the engine"
    if report.total.records_to_review:
        line += f"; {counted(report.total.records_to_review, 'record')} to be reviewed"
    if report.documents_carried_over:
        why = f" ({report.stopped_by})" if report.stopped_by in {"deadline", "page budget"} else ""
        line += f"; {counted(report.documents_carried_over, 'document')} left for the next run{why}"
    if report.documents_arriving:
        line += f"; {counted(report.documents_arriving, 'document')} still arriving"
    return line


def _skipped_line(report: RunReport) -> str:
    failed = report.documents_skipped_failed
    of_these = f" ({failed:,} of them failed)" if failed else ""
    were = "was" if report.documents_skipped == 1 else "were"
    count = f"{counted(report.documents_skipped, 'document')}{of_these}"
    show = f"pagemill show {shlex.quote(printable(report.output))}"
    return f"{count} {were} read before with the same settings; `{show}` has all."
