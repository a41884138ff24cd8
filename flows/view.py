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
from collections import Counter
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from prefect.exceptions import MissingContextError
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.states import Completed

from flows import board, page, words
from flows.board import Board
from flows.names import artifact_key, flow_run_name, kind_of_run, run_name
from flows.words import summary_line
from pipeline.config import RunConfig
from pipeline.errors import ConfigError, PipelineError
from pipeline.run import RunReport
from pipeline.selection import parse_deadline
from pipeline.show.text import printable
from pipeline.stats import without_userinfo
from pipeline.tally import Progress

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State

__all__ = ["MANY_FAILED", "RunView", "final_state", "flow_run_name", "quiet_logs", "run_name", "summary_line"]

PROGRESS_S = 10.0
"""Between two states of the progress bar; each costs the server and its database a little."""
LOG_S = 900.0
"""Between two lines about a run that goes as it should."""
LINES_OF_A_KIND = 5
"""Warnings of one wording that a run's log holds; the others are counted."""
FAILED_SHARE_VARIABLE = "FLOWS_ALERT_FAILED_SHARE"
MANY_FAILED = "Pages failed"
"""Name of the final state, of type COMPLETED, of a run of which more pages failed than FLOWS_ALERT_FAILED_SHARE."""
_NOISY = ("httpx", "httpcore", "botocore", "RapidOCR", "rapidocr", "vllm", "transformers", "asyncio")

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


def quiet_logs() -> None:
    """Let libraries speak only of what is wrong."""
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)


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
        self._progress_due = self._log_due = 0.0
        self._latest: Progress | None = None
        self._report: RunReport | None = None
        self._lines: _RunLines | None = None

    def __enter__(self) -> Self:
        quiet_logs()
        self._board = Board()
        self._say: Callable[[str], None] = log.info
        try:
            run_log = get_run_logger()
        except MissingContextError:  # not in a flow run
            pass
        else:
            self._say = run_log.info
            self._lines = _RunLines(run_log)
            self._lines.attach()
        source, output = without_userinfo(self._config.input), without_userinfo(self._config.output)
        self._say(f"reading {printable(source)} ({self._config.extraction}) into {printable(output)}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None and self._latest is not None and self._report is None:
            self._show_progress(self._latest, f"**stopped**: {page.text(str(error) or type(error).__name__)} · ")
        self._board.close()
        if self._lines:
            self._lines.detach()

    def on_progress(self, progress: Progress) -> None:
        """Show how far the run is; what comes too often is passed over."""
        now = time.monotonic()
        self._latest = progress
        if progress.phase != self._phase:
            self._phase_began(progress, now)
        elif now < self._progress_due:
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
        self._phase = progress.phase

    def _show_progress(self, progress: Progress, head: str = "") -> None:
        shown = board.progress(self._key("progress"), words.share_done(progress), head + self._line(progress))
        self._board.show(shown)

    def _line(self, progress: Progress) -> str:
        now, config = datetime.now(UTC), self._config
        return words.progress_line(progress, now=now, deadline=self._deadline, budget=config.page_budget)

    def _key(self, what: str) -> str:
        return artifact_key(self._kind, what)


class _RunLines(logging.Handler):
    """Passes Pagemill's lines on to the log of the flow run, from any thread, without those about single pages."""

    def __init__(self, run_log: logging.LoggerAdapter[logging.Logger] | logging.Logger) -> None:
        super().__init__(logging.INFO)
        self._run_log = run_log
        self._seen: Counter[str] = Counter()
        self._logger = logging.getLogger("pipeline")
        self._before = self._logger.level, self._logger.propagate

    def attach(self) -> None:
        """Begin."""
        self._logger.setLevel(logging.INFO)
        self._logger.propagate = False  # the run's log goes to the console, too
        self._logger.addHandler(self)

    def detach(self) -> None:
        """End, and count what was left out."""
        self._logger.removeHandler(self)
        level, self._logger.propagate = self._before
        self._logger.setLevel(level)
        for wording, count in self._seen.items():
            if count > LINES_OF_A_KIND:
                self._run_log.warning(f"{count - LINES_OF_A_KIND:,} more such lines: {wording}")

    def emit(self, record: logging.LogRecord) -> None:
        about = vars(record)
        if record.levelno < logging.WARNING and "page" in about:
            return
        self._seen[str(record.msg)] += 1
        if self._seen[str(record.msg)] > LINES_OF_A_KIND:
            return
        named: MutableMapping[str, Any] = {name: about[name] for name in ("document", "why", "error") if name in about}
        tail = "".join(f" {name}={value}" for name, value in named.items())
        self._run_log.log(record.levelno, "%s", printable(record.getMessage() + tail), exc_info=record.exc_info)
