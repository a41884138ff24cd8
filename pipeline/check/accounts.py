"""What runs say they did, held against itself, their statistics and the rows."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from pipeline.check.reading import DamagedError, Problem, read_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pipeline.check.parts import Rows
    from pipeline.storage import Storage

_RUN_COLUMNS = (
    "run_id",
    "state",
    "started_at",
    "pages_found",
    "pages_ok",
    "pages_failed",
    "pages_carried_over",
    "parts",
)
_STATS_COLUMNS = ("run_id", "documents", "pages_ok", "pages_failed")
_ENDED = frozenset({"finished", "interrupted"})
"""States of a run that closed its books; any other one died or still works."""

_Run = dict[str, Any]


def check_accounts(storage: Storage, tables: Mapping[str, Mapping[str, str]], rows: Rows) -> Iterator[Problem]:
    """Yield what is wrong with the accounts of an extraction's runs, given the keys of its tables' files by name.

    Raises:
        StorageError: a file cannot be reached.
    """
    problems: list[Problem] = []
    runs = {run["run_id"]: run for run in _read(storage, sorted(tables["runs"].values()), _RUN_COLUMNS, problems)}
    counted: dict[str, Counter[str]] = {}
    for row in _read(storage, sorted(tables["stats"].values()), _STATS_COLUMNS, problems):
        sums = {"documents": row["documents"], "ok": row["pages_ok"], "failed": row["pages_failed"]}
        counted.setdefault(row["run_id"], Counter()).update(sums)
    yield from problems
    last = max((run["started_at"] for run in runs.values()), default=None)
    for run_id, run in runs.items():
        for name in run["parts"]:  # a later run may have put others in their place, but none takes them away
            if name not in tables["documents"]:
                yield Problem(
                    run["key"], f"Its part {name} is gone from documents/; the next run reads its documents again."
                )
        if run["state"] in _ENDED:  # a run that died may lack the statistics of its last commit
            yield from _unbalanced(run)
            held = rows.of_run.get(run_id, Counter())
            yield from _uncounted(run, counted.get(run_id, Counter()), held, is_last=run["started_at"] == last)


def _read(storage: Storage, keys: Sequence[str], columns: Sequence[str], problems: list[Problem]) -> Iterator[_Run]:
    """Yield the rows of small files with the `key` of each; those that are damaged become problems."""
    for key in keys:
        try:
            for row in read_rows(storage, key, columns):
                yield row | {"key": key}
        except DamagedError as error:
            problems.append(error.problem)


def _unbalanced(run: _Run) -> Iterator[Problem]:
    found, ok, failed, carried_over = (run[name] for name in _RUN_COLUMNS[3:7])
    if found != ok + failed + carried_over:
        sums = f"{ok} ok + {failed} failed + {carried_over} carried over"
        yield Problem(run["key"], f"The run found {found} pages, but they are not {sums}.")


def _uncounted(run: _Run, counted: Mapping[str, int], held: Mapping[str, int], *, is_last: bool) -> Iterator[Problem]:
    """Yield where the run's statistics and its rows differ; rows of an earlier run may have been replaced since."""
    for what, label in (("documents", "documents"), ("ok", "pages that are ok"), ("failed", "failed pages")):
        there, told = held.get(what, 0), counted.get(what, 0)
        if there > told or (is_last and there < told):
            yield Problem(run["key"], f"Rows and statistics of the run differ in {label}: {there} and {told}.")
