"""Which failed pages can be read again, and with which settings they were read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.errors import ConfigError
from pipeline.log import printable
from pipeline.results import open_results
from pipeline.settings import Setting, recorded_settings
from pipeline.show import Failures
from pipeline.stats import read_runs
from pipeline.storage import open_storage

if TYPE_CHECKING:
    from collections.abc import Collection

    from pipeline.errors import ErrorType

NOT_REPEATED = frozenset(
    {
        *("output", "limit", "since", "until", "sample", "force", "only_new", "order", "priority", "deadline"),
        *("page_budget", "job", "input_files", "metrics"),
    }
)
"""Settings and sections that chose documents of an earlier run, not how they are read; and where it wrote to, which
may be another name of the place today."""
SAME_SECOND = 3
"""Runs that may begin within a second, which is what their files' names tell apart; the rows tell exactly."""


@dataclass(frozen=True, slots=True)
class FailedPages:
    """The current failures of one extraction that are to be read again."""

    extraction: str
    counts: dict[str, int]
    """Pages by reason; none when nothing failed."""
    run_id: str | None
    """The run whose settings these are; None when the output does not say."""
    settings: tuple[Setting, ...]


def choose_failed(output: str, extraction: str | None, reasons: Collection[ErrorType]) -> FailedPages:
    """Return what failed for one of these reasons, for any when there are none, and the latest run's settings.

    Raises:
        ConfigError: there are no results, failures of more than one extraction, or none for these reasons.
        StorageError: the output cannot be read.
    """
    found = [one for one in open_results(output).extractions if extraction in {None, one.name}]
    if not found:
        of = f" of {extraction!r}" if extraction else ""
        raise ConfigError(f"{output} holds no results{of}.")
    failures = [Failures(output, one, reasons) for one in found]
    failed = [one for one in failures if one.counts]
    if len(failed) > 1:
        names = " or ".join(printable(one.extraction) for one in failed)
        raise ConfigError(f"Pages of more than one extraction failed; choose one: --extraction {names}.")
    present = {reason: count for one in failures for reason, count in one.present.items()}
    if not failed and present:
        there = ", ".join(f"{printable(reason)} ({count:,})" for reason, count in present.items())
        raise ConfigError(f"No page failed with {' or '.join(reasons)}; there is {there}.")
    chosen = failed[0] if failed else failures[0]
    run_id, settings = _settings(output, chosen.extraction)
    return FailedPages(chosen.extraction, chosen.counts, run_id, settings)


def _settings(output: str, extraction: str) -> tuple[str | None, tuple[Setting, ...]]:
    """Return the latest run of an extraction and its settings, the engine by name: `auto` may choose another today."""
    runs = read_runs(open_storage(output), extraction, last=SAME_SECOND)
    if not runs:
        return None, (Setting("extraction", extraction, "the output"),)
    run = runs[-1]
    source = f"run {run.identity.run_id}"
    settings = [one for one in recorded_settings(run.settings, source) if one.key.split(".")[0] not in NOT_REPEATED]
    if run.identity.engine in {"vllm", "ocr"}:
        settings.append(Setting("engine", run.identity.engine, source))
    return run.identity.run_id, tuple(settings)
