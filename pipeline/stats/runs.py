"""What is known of each run: a table with one row, written when the run begins and when it ends."""

from __future__ import annotations

import json
import os
import platform
import re
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import SecretStr

from pipeline.data import RunIdentity
from pipeline.errors import StorageError
from pipeline.layout import FORMAT_VERSION, is_part, run_key, table_prefix
from pipeline.stats.table import put_table

if TYPE_CHECKING:
    from pipeline.config import RunConfig
    from pipeline.storage import Storage


MOST_RUNS_OF_A_JOB = 200
"""And of other runs between them."""


class RunState(StrEnum):
    """How a run ended, if it did."""

    RUNNING = "running"
    """Or killed, when no process holds the output any more."""
    FINISHED = "finished"
    INTERRUPTED = "interrupted"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """One run: who, where, with which settings, and what became of it."""

    identity: RunIdentity
    started_at: datetime
    finished_at: datetime | None = None
    """None while it runs."""
    state: RunState = RunState.RUNNING
    stopped_by: str | None = None
    """Why documents are carried over: signal, deadline or page budget."""
    host: str
    pid: int
    input: str
    documents_planned: int | None = None
    """To be read, as the listing says; None until it is done."""
    documents_done: int = 0
    documents_skipped: int = 0
    """Done by earlier runs."""
    documents_carried_over: int = 0
    """Planned and not committed: the next run's."""
    documents_arriving: int = 0
    """Not whole yet when they were listed."""
    pages_found: int = 0
    pages_ok: int = 0
    pages_failed: int = 0
    pages_reused: int = 0
    """Of these two."""
    pages_spared: int = 0
    """The same: answered without the engine."""
    pages_carried_over: int = 0
    """Found and not committed; pages_found is the sum of ok, failed and carried over."""
    reading_s: float | None = None
    """Seconds with pages in the engine."""
    engine_restarts: int = 0
    pages_resent: int = 0
    canary_score: float | None = None
    """None when no known pages were read first."""
    canary_threshold: float | None = None
    kv_cache_fallback: bool = False
    """Whether the KV cache is a 16-bit one because known pages were not read well with FP8."""
    error_message: str | None = None
    """Why it failed."""
    settings: str
    """The configuration as JSON, without secrets."""
    parts: tuple[str, ...] = ()
    """Names of the documents parts that it committed; a later run that reads the same again replaces them."""

    @property
    def pages_read(self) -> int:
        """Committed pages that an engine or the renderer ended."""
        return self.pages_ok + self.pages_failed - self.pages_reused - self.pages_spared

    @classmethod
    def begun(cls, identity: RunIdentity, config: RunConfig) -> RunRow:
        """Return the row of a run that begins now, in this process."""
        return cls(
            identity=identity,
            started_at=datetime.now(UTC),
            host=platform.node(),
            pid=os.getpid(),
            input=without_userinfo(config.input),
            settings=settings_text(config),
        )


_TYPES = {"str": pa.string(), "int": pa.int64(), "float": pa.float64(), "bool": pa.bool_(), "RunState": pa.string()}
_TYPES["tuple[str, ...]"] = pa.list_(pa.string())
_TYPES["datetime"] = pa.timestamp("us", tz="UTC")
_IDENTITY = tuple(field.name for field in fields(RunIdentity))
_OWN = tuple(field for field in fields(RunRow) if field.name != "identity")

RUNS_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in _IDENTITY),
        *((field.name, _TYPES[str(field.type).removesuffix(" | None")]) for field in _OWN),
    ]
)
"""docs/output.md says what the columns mean."""


def write_run(storage: Storage, row: RunRow) -> None:
    """Replace what the output says of a run by `row`, whole or not at all.

    Raises:
        StorageError: what it said stays.
    """
    values = asdict(row)
    values |= values.pop("identity")
    metadata = {"pagemill.format": FORMAT_VERSION, "pagemill.table": "runs"}
    metadata |= {"pagemill.version": row.identity.pagemill_version, "pagemill.extraction": row.identity.extraction}
    columns = {name: _unicode(value) for name, value in values.items()}
    table = pa.Table.from_pylist([columns], schema=RUNS_SCHEMA.with_metadata(metadata))
    put_table(storage, run_key(row.identity.extraction, row.identity.run_id), table)


def read_runs(storage: Storage, extraction: str, *, last: int | None = None) -> list[RunRow]:
    """Return the runs of an extraction, oldest first; what an older version did not write is as if not known.

    Args:
        last: only so many of the latest ones; each is a file of its own.

    Raises:
        StorageError: the output cannot be read.
    """
    rows = []
    # Names begin with the time.
    for key in sorted(filter(is_part, storage.keys(table_prefix(extraction, "runs"))))[-(last or 0) :]:
        try:
            with storage.open(key) as file:
                rows += [_row(values) for values in pq.ParquetFile(file).read().to_pylist()]
        except (pa.ArrowException, LookupError, ValueError) as error:
            raise StorageError(f"The file {key} cannot be read ({error}). Where it is damaged, delete it.") from error
    return sorted(rows, key=lambda row: row.started_at)


def job_so_far(storage: Storage, extraction: str, job: str | None) -> tuple[int, int]:
    """Return how many documents and pages the runs of a job have read; none without a job.

    Raises:
        StorageError: the output cannot be read.
    """
    rows = read_runs(storage, extraction, last=MOST_RUNS_OF_A_JOB) if job else []
    mine = [row for row in rows if json.loads(row.settings).get("job") == job]
    return sum(row.documents_done for row in mine), sum(row.pages_read for row in mine)


def _row(values: dict[str, Any]) -> RunRow:
    identity = RunIdentity(**{name: values[name] for name in _IDENTITY if name in values})
    own = {field.name: values[field.name] for field in _OWN if values.get(field.name) is not None}
    return RunRow(identity=identity, **own | {"state": RunState(values["state"]), "parts": tuple(own.get("parts", ()))})


def settings_text(config: RunConfig) -> str:
    """Return the configuration as JSON, without secrets.

    Left out are secret fields, engine arguments that are secrets by their name, and the
    credentials of a URL.
    """
    return json.dumps(_public(config.model_dump()), default=str)


_SECRET_NAME = re.compile(r"(^|[_-])(token|secret|passwords?|credentials?|key|auth)([_-]|$)", re.IGNORECASE)
"""Such as `hf_token`; `max_tokens` and `tokenizer` are none."""


def _public(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _public(item) for name, item in value.items() if not _is_secret(name, item)}
    if isinstance(value, (list, tuple)):
        return [_public(item) for item in value if not _is_secret("", item)]
    return without_userinfo(value) if isinstance(value, str) else value


def _is_secret(name: str, value: Any) -> bool:
    return isinstance(value, SecretStr) or _SECRET_NAME.search(name) is not None


def without_userinfo(location: str) -> str:
    """Return a URL without the user and password that it may hold."""
    return re.sub(r"^([A-Za-z][A-Za-z0-9+.-]*://)[^/]*@", r"\1", location)


def _unicode(value: Any) -> Any:
    """Return text with what is no valid Unicode, as file names may hold, replaced by U+FFFD."""
    if not isinstance(value, str):
        return value
    return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
