"""The flow `ocr`: a thin shell over pipeline.run, which knows nothing of Prefect.

A parameter that is left out comes from pagemill.toml and the PAGEMILL_* variables of the
worker. A run that is interrupted, or fails for a reason that may pass, puts itself back into
its queue and goes on from what is committed; see turn.py.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from prefect import flow
from prefect.states import Completed, Failed

from flows.surroundings import SETTLED
from flows.turn import AWAITING_RETRY, GAVE_WAY, INTERRUPTED, Turn
from flows.view import RunView, failed_share_allowed, final_state, flow_run_name, summary_line
from flows.view.forecasts import show_forecast
from pipeline.config import RunConfig
from pipeline.errors import ConfigError, EngineError, EngineStartError, LedgerError, PipelineError, StorageError
from pipeline.run import RunReport, run
from pipeline.selection import is_length, parse_deadline, parse_since
from pipeline.settings import Setting, load_config
from pipeline.signals import GracefulStop

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State

log = logging.getLogger("flows.ocr")  # Prefect loads this file as a script of another name

RETRY_AFTER_S = tuple(float(seconds) for seconds in os.environ.get("FLOWS_RETRY_AFTER_S", "60 300 900").split())
"""Pauses before a run that failed for a reason that may pass is tried again; as many tries."""
_OWN = frozenset({"settings", "give_way", "dry_run"})
"""Parameters that are no options of RunConfig."""


@flow(name="ocr", flow_run_name=flow_run_name, persist_result=False)
def ocr(
    *,
    input: str | None = None,  # noqa: A002 -- named as everywhere else
    output: str | None = None,
    extraction: str | None = None,
    engine: Literal["auto", "vllm", "ocr"] | None = None,
    since: str | None = None,
    until: str | None = None,
    limit: int | None = None,
    deadline: str | None = None,
    page_budget: int | None = None,
    only_new: bool | None = None,
    sample: str | int | None = None,
    force: bool | None = None,
    settings: dict[str, Any] | None = None,
    give_way: bool = False,
    dry_run: bool = False,
) -> State[Any]:
    """Read what is not read yet and commit its records.

    Args:
        input: a document, a folder, a glob or a bucket URL; may hold {date}.
        output: folder or bucket URL.
        extraction: what to read: invoice, receipt, transcript, or a folder of your own.
        engine: what reads; auto: vLLM with a GPU, else OCR.
        since: only documents changed since then: a date, a time, or an age such as 36h or 7d.
        until: only documents changed before then.
        limit: documents to take at most.
        deadline: when to be done: 06:00, a time, or a duration such as 8h; the rest is carried over.
        page_budget: pages to read at most; the rest is carried over.
        only_new: only documents that no earlier run read as they are now.
        sample: only some documents, always the same ones: 100 or 5%.
        force: read documents again that are done.
        settings: any other setting by its key, such as {"output_files.shard_pages": 256}.
        give_way: stop, and go on later, when a run of a more important queue is due.
        dry_run: only say what would be done, how long it takes and what it costs.
    """
    chosen = {name: value for name, value in locals().items() if name not in _OWN}
    with Turn.of_this_run() as turn:
        try:
            config = as_of_turn(read_config({**chosen, **(settings or {})}), turn)
            if dry_run:
                return Completed(message=show_forecast(config), name="DryRun")
            failed_share_allowed()  # a mistake in it is found before hours of reading
            return _read(config, turn, give_way=give_way)
        except (ConfigError, EngineStartError, LedgerError) as error:
            return _failed(error, turn)
        except (StorageError, EngineError) as error:
            if turn.can_go_back and turn.num_tries < len(RETRY_AFTER_S):
                _go_back(error, turn)
            return _failed(error, turn)


def read_config(parameters: dict[str, Any]) -> RunConfig:
    """Return the configuration that holds with these parameters, None being none given.

    Raises:
        ConfigError: names the parameter or the source of what is wrong.
    """
    flags = [
        Setting(key, value if isinstance(value, (str, list, dict)) else str(value).lower(), f"--param {key}")
        for key, value in parameters.items()
        if value is not None
    ]
    return load_config(flags, base=[SETTLED], environ=os.environ).config


def as_of_turn(config: RunConfig, turn: Turn) -> RunConfig:
    """Return the configuration of a run that may be a later try: its times and budgets are those of the first."""
    at = turn.began_at
    begins = turn.started_at if config.deadline and is_length(config.deadline) else at
    fixed = {
        "job": turn.job or config.job,
        "since": config.since and parse_since(config.since, at).isoformat(),
        "until": config.until and parse_since(config.until, at).isoformat(),
        "deadline": config.deadline and parse_deadline(config.deadline, begins).isoformat(),
    }
    return config.model_copy(update=fixed)


def _read(config: RunConfig, turn: Turn, *, give_way: bool) -> State[Any]:
    with GracefulStop() as signals, RunView(config) as view:
        gave_way = turn.watch(signals.event) if give_way else None
        signals.begin()
        try:
            report = run(config, on_progress=view.on_progress, stop=signals.event)
        except KeyboardInterrupt:
            if not turn.can_go_back:
                raise
            report = None
        signals.end()
        if report:
            view.finished(report)
    if signals.signal:
        _interrupted(report, turn)
    if report and report.interrupted and gave_way and gave_way.is_set() and turn.can_go_back:
        turn.go_back(GAVE_WAY, f"Gave way: {summary_line(report)} Goes on when nothing more important waits.")
    assert report, "a run without report was interrupted"
    return final_state(report)


def _interrupted(report: RunReport | None, turn: Turn) -> None:
    """Leave the flow as whoever sent the signal wants it; return when the run was done anyway."""
    if report and not report.interrupted:
        return
    done = summary_line(report) if report else "What is committed stays."
    if not turn.can_go_back:
        raise KeyboardInterrupt
    if turn.is_cancelled():
        turn.cancel(f"{done} The next run goes on from there.")
    turn.go_back(INTERRUPTED, f"Its worker was stopped: {done} Goes on when a worker is there.")


def _go_back(error: PipelineError, turn: Turn) -> NoReturn:
    after_s = RETRY_AFTER_S[turn.num_tries]
    log.warning("%s Tried again in %.0f s, from what is committed.", error, after_s)
    turn.go_back(AWAITING_RETRY, f"{error} Try {turn.num_tries + 2} follows.", after_s=after_s)


def _failed(error: PipelineError, turn: Turn) -> State[Any]:
    log.error(error)
    if turn.can_go_back:
        turn.fail(str(error))
    return Failed(message=str(error))
