"""What the operator sees of a run in Prefect: its name, a progress bar, tables, the page of the night, its log.

    with RunView(config) as view:
        report = run(config, on_progress=view.on_progress)
        view.finished(report)
    return final_state(report)

A server that is away costs the run nothing but what would have been seen.
"""

from __future__ import annotations

import logging
import os
import time
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Self

from prefect.runtime import flow_run
from prefect.states import Completed

from flows.view import board, page, words
from flows.view.board import Board
from flows.view.logs import run_log
from flows.view.names import artifact_key, flow_run_name, kind_of_run, run_name
from flows.view.words import summary_line
from pipeline.config import RunConfig
from pipeline.errors import ConfigError, PipelineError
from pipeline.run import RunReport
from pipeline.selection import parse_deadline
from pipeline.show.text import printable
from pipeline.stats import without_userinfo
from pipeline.tally import Progress

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State

__all__ = ["MANY_FAILED", "RunView", "final_state", "flow_run_name", "run_log", "run_name", "summary_line"]

PROGRESS_S = 10.0
"""Between two states of the progress bar; each costs the server and its database a little."""
LOG_S = 900.0
"""Between two lines about a run that goes as it should."""
FAILED_SHARE_VARIABLE = "FLOWS_ALERT_FAILED_SHARE"
MANY_FAILED = "Pages failed"
"""Name of the final state, of type COMPLETED, of a run of which more pages failed than FLOWS_ALERT_FAILED_SHARE."""

log = logging.getLogger(__name__)


def final_state(report: RunReport) -> State[None]:
    """Return the state a run ends in: completed, whatever its pages are; alerts tell by its name that many failed.

    Raises:
        ConfigError: FLOWS_ALERT_FAILED_SHARE is no share.
    """
    pages = report.pages_ok + report.pages_failed
    many = pages > 0 and report.pages_failed / pages > failed_share_allowed()
    return Completed(message=summary_line(report), name=MANY_FAILED if many else None)


def failed_share_allowed() -> float:
    """Return the share of failed pages, 0..1, above which a run ends as MANY_FAILED.

    Raises:
        ConfigError: FLOWS_ALERT_FAILED_SHARE is no share.
    """
    given = os.environ.get(FAILED_SHARE_VARIABLE) or "0.2"
    try:
        share = float(given)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise ConfigError(f"{FAILED_SHARE_VARIABLE} = {given!r}: give a share of pages from 0 to 1, such as 0.05.")
    return share


class RunView:
    """Shows one run. To be entered in the flow's own thread."""

    def __init__(self, config: RunConfig, *, kind: str | None = None) -> None:
        """Begin.

        Args:
            kind: the deployment, which artifacts are named after; default: that of the flow run.
        """
        self._config = config
        self._kind = kind or kind_of_run()
        self._began = time.monotonic()
        self._deadline = parse_deadline(config.deadline, datetime.now(UTC)) if config.deadline else None
        self._phase = ""
        self._phase_at = 0.0
        self._progress_due = self._log_due = 0.0
        self._latest: Progress | None = None
        self._report: RunReport | None = None

    def __enter__(self) -> Self:
        self._log = ExitStack()
        self._say = self._log.enter_context(run_log()).info
        self._board = Board()
        source, output = without_userinfo(self._config.input), without_userinfo(self._config.output)
        self._say(f"reading {printable(source)} ({self._config.extraction}) into {printable(output)}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None and self._latest is not None and self._report is None:
            self._show_progress(self._latest, f"**stopped**: {page.text(str(error) or type(error).__name__)} · ")
        self._board.close()
        self._log.close()

    def on_progress(self, progress: Progress) -> None:
        """Show how far the run is; what comes too often is passed over."""
        now = time.monotonic()
        is_new = progress.phase != self._phase
        if is_new:
            self._phase_began(progress, now)
        if now - self._phase_at < PROGRESS_S:  # the first pages, such as those that cannot be opened, tell nothing
            progress = replace(progress, eta_s=None)
        self._latest = progress
        if now < self._progress_due and not is_new:
            return
        self._progress_due = now + PROGRESS_S
        if progress.documents_total:  # a run that finds nothing leaves nothing behind
            self._show_progress(progress)
        if progress.phase == "reading" and now >= self._log_due:
            self._log_due = now + LOG_S
            self._say(self._line(progress).replace("**", ""))

    def finished(self, report: RunReport) -> None:
        """Show what became of the run."""
        self._report = report
        self._say(summary_line(report))
        if not (report.documents or report.documents_carried_over):
            return
        if self._latest:
            share = report.documents / (report.documents + report.documents_carried_over)
            self._board.show(board.progress(self._key("progress"), share, summary_line(report)))
        if report.documents:
            hours, costs = words.throughput_rows(report), words.cost_rows(report)
            self._board.show(board.table(self._key("throughput"), hours, words.speed_line(report)))
            self._board.show(board.table(self._key("cost"), costs, words.cost_line(report)))
        try:
            self._show_what_is_in_the_output(report)
        except (PipelineError, OSError) as error:
            log.warning("the run is done, but its page is not: %s", error)

    def _show_what_is_in_the_output(self, report: RunReport) -> None:
        failures = words.failure_rows(report) if report.pages_failed else []
        if failures:
            self._board.show(board.table(self._key("failures"), failures, words.headline(failures)))
        name = flow_run.name or self._kind
        text = page.page_of_run(report, name, self._config.input, failures)
        self._board.show(board.markdown(self._key("summary"), text, summary_line(report)))
        if url := page.browsable(report.output):
            self._board.show(board.link(self._key("output"), url))

    def _phase_began(self, progress: Progress, now: float) -> None:
        if progress.phase == "reading":
            self._say(f"the engine is ready after {now - self._began:.0f} s")
            self._log_due = now + LOG_S
        elif progress.phase == "loading the engine":
            self._say("loading the engine")
        self._phase, self._phase_at = progress.phase, now

    def _show_progress(self, progress: Progress, head: str = "") -> None:
        shown = board.progress(self._key("progress"), words.share_done(progress), head + self._line(progress))
        self._board.show(shown)

    def _line(self, progress: Progress) -> str:
        now, config = datetime.now(UTC), self._config
        return words.progress_line(progress, now=now, deadline=self._deadline, budget=config.page_budget)

    def _key(self, what: str) -> str:
        return artifact_key(self._kind, what)
