"""The table of runs: one row each, with the settings and without their secrets."""

import io
import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from made_records import NOON, identity

from pipeline.config import RunConfig
from pipeline.results import open_results
from pipeline.show import print_results
from pipeline.show.statistics import run_line
from pipeline.stats import RUNS_SCHEMA, RunRow, RunState, read_runs, settings_text, write_run
from pipeline.storage import open_storage


def config(**changes: Any) -> RunConfig:
    """Return the settings of a run."""
    return RunConfig(**{"input": "in", "output": "out"} | changes)


def test_a_run_begins_with_what_is_known_then(tmp_path: Path) -> None:
    """Whoever finds its row after a power cut knows which process on which machine it was."""
    storage = open_storage(str(tmp_path))
    write_run(storage, RunRow.begun(identity(), config()))
    [row] = pq.read_table(tmp_path / "bill/runs/run-1.parquet").to_pylist()
    assert (row["run_id"], row["fingerprint"], row["limits_fingerprint"]) == ("run-1", "f" * 16, "l" * 16)
    assert (row["state"], row["pid"], row["input"], row["finished_at"]) == ("running", os.getpid(), "in", None)
    assert row["host"]
    assert (row["documents_planned"], row["pages_found"], row["canary_score"]) == (None, 0, None)


def test_its_end_replaces_its_beginning(tmp_path: Path) -> None:
    """One row a run; every field comes back."""
    storage = open_storage(str(tmp_path))
    first = replace(RunRow.begun(identity(), config()), started_at=NOON)
    write_run(storage, first)
    ended = replace(
        first,
        state=RunState.INTERRUPTED,
        finished_at=NOON + timedelta(hours=1),
        documents_planned=9,
        documents_done=7,
        documents_skipped=1,
        documents_carried_over=2,
        pages_found=30,
        pages_ok=20,
        pages_failed=3,
        pages_reused=4,
        pages_carried_over=7,
        engine_restarts=1,
        pages_resent=16,
        canary_score=0.97,
        canary_threshold=0.9,
        kv_cache_fallback=True,
        error_message="interrupted",
    )
    write_run(storage, ended)
    write_run(storage, replace(first, identity=identity(run_id="run-0"), started_at=NOON - timedelta(days=1)))
    assert [row.identity.run_id for row in read_runs(storage, "bill")] == ["run-0", "run-1"]
    assert read_runs(storage, "bill")[1] == ended
    assert read_runs(storage, "never-run") == []


def test_a_run_of_an_older_version_is_read(tmp_path: Path) -> None:
    """What it did not write is as if not known."""
    storage = open_storage(str(tmp_path))
    row = RunRow.begun(identity(), config())
    write_run(storage, row)
    path = tmp_path / "bill/runs/run-1.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["limits_fingerprint", "pages_resent", "canary_score"]), path)
    assert read_runs(storage, "bill") == [replace(row, identity=identity(limits_fingerprint=""))]


SECRET = "open-sesame"


@pytest.mark.parametrize(
    "changes",
    [
        {"render": {"passwords": [SECRET, SECRET]}},
        {"input": f"s3://key:{SECRET}@bucket/in"},
        {"vllm": {"engine_args": {"hf_token": SECRET, "api_key": SECRET, "Auth": SECRET}}},
    ],
)
def test_no_secret_gets_into_a_row(tmp_path: Path, changes: dict[str, Any]) -> None:
    """The output is copied, shared and kept for years; not even how many passwords there were is told."""
    settings = config(**changes)
    row = RunRow.begun(identity(), settings)
    write_run(open_storage(str(tmp_path)), row)
    told = str(pq.read_table(tmp_path / "bill/runs/run-1.parquet").to_pylist())
    assert SECRET not in told
    assert "***" not in told


def test_settings_are_those_that_can_be_given_again(tmp_path: Path) -> None:
    """Whoever wants the same run once more reads them from the table."""
    given = config(limit=5, vllm={"engine_args": {"max_tokens": 3, "tokenizer_mode": "auto"}}, prompts=("a", "b"))
    assert RunConfig.model_validate_json(settings_text(given)) == given


def test_names_that_are_no_unicode_do_not_cost_the_row(tmp_path: Path) -> None:
    """File names are bytes."""
    storage = open_storage(str(tmp_path))
    write_run(storage, replace(RunRow.begun(identity(), config(input="in/\udcff")), error_message="\ud800"))
    [row] = read_runs(storage, "bill")
    assert (row.input, row.error_message) == ("in/\ufffd", "\ufffd")


def told(**changes: Any) -> str | None:
    """Return what is shown of a run; its columns as a reader gets them."""
    row = {"state": None, "pages_carried_over": 0, "documents_carried_over": 0, "error_message": None}
    return run_line(row | {"pid": 7, "host": "node-1", "started_at": NOON} | changes)


def test_a_run_that_did_not_end_well_is_shown_with_what_it_left() -> None:
    """In the morning one looks at the output first, not at the log."""
    assert told(state="finished") is None
    left = {"pages_carried_over": 2000, "documents_carried_over": 1}
    assert told(state="interrupted", **left) == (
        "The last run was interrupted: 2,000 pages and 1 document left for the next run."
    )
    failed = told(state="failed", error_message="disk full\x1b[2J", **left) or ""
    assert failed.endswith("left for the next run. disk full\\x1b[2J")
    assert "process 7 on node-1, since 2026-03-01 12:00 UTC" in (told(state="running") or "")


def test_the_last_run_is_shown_above_the_records(tmp_path: Path) -> None:
    """Only the last: what an earlier one left has been done since. Looked at alone, any run tells."""
    storage = open_storage(str(tmp_path))
    for number, state in enumerate((RunState.FAILED, RunState.INTERRUPTED), 1):
        row = RunRow.begun(identity(run_id=f"run-{number}"), config())
        write_run(storage, replace(row, state=state, documents_carried_over=number))
    for run_id, text in ((None, "interrupted: 0 pages and 2 documents"), ("run-1", "failed: 0 pages and 1 document ")):
        stream = io.StringIO()
        print_results(open_results(str(tmp_path)), stream, run_id=run_id)
        assert text in stream.getvalue()
        assert stream.getvalue().count("The last run") == 1


def test_parts_say_what_wrote_them(tmp_path: Path) -> None:
    """As the other tables do."""
    write_run(open_storage(str(tmp_path)), RunRow.begun(identity(), config()))
    schema = pq.read_schema(tmp_path / "bill/runs/run-1.parquet")
    assert schema.equals(RUNS_SCHEMA)
    assert schema.metadata[b"pagemill.table"] == b"runs"
