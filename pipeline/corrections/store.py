"""The files with corrections: written by one session each, read by all."""

from __future__ import annotations

import contextlib
import json
import secrets
import tempfile
import threading
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.data import Box
from pipeline.errors import StorageError
from pipeline.layout import is_part, table_prefix

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from pipeline.storage import Storage, StoredFile

ROWS_A_FILE = 500
"""A session's file is written anew for each row; then it begins the next one."""
NEVER = datetime.min.replace(tzinfo=UTC)
PUT_TRIES = 10
"""A run that begins sweeps away what is half written, be it ours."""

_TEXT = pa.string()
SCHEMA = pa.schema(
    [
        *((name, _TEXT) for name in ("id", "source_uri", "sha256")),
        ("first_page", pa.int32()),
        *((name, _TEXT) for name in ("path", "action", "seen", "value")),
        ("page_number", pa.int32()),
        *((name, pa.float32()) for name in ("x0", "y0", "x1", "y1")),
        ("verdict", _TEXT),
        ("confidence", pa.float64()),
        ("reviewer", _TEXT),
        ("at", pa.timestamp("us", tz="UTC")),
        ("run_id", _TEXT),
    ]
)


class Action(StrEnum):
    """What somebody does about a value; the `action` column."""

    ACCEPT = "accept"
    CORRECT = "correct"
    UNDO = "undo"
    """Take back what was said before; the value is as nobody had looked."""


@dataclass(frozen=True, slots=True)
class Correction:
    """What somebody said of one value."""

    sha256: str
    first_page: int
    path: str
    """Empty: the whole record."""
    action: Action
    reviewer: str
    source_uri: str = ""
    seen: str | None = None
    """JSON of the value that was read; of a whole record, of its digest."""
    value: str | None = None
    """JSON of what it is to be; "null": there is none, or the item is none."""
    page_number: int | None = None
    box: Box | None = None
    """Where its evidence was, in pixels of the page image."""
    verdict: str | None = None
    confidence: float | None = None
    """As they were when it was said; corrections tell how good they are."""
    run_id: str | None = None
    """Of the run that read the value."""
    at: datetime = NEVER
    id: str = ""


Key = tuple[str, int]
"""Sha256 of a document and first page of a record in it."""


class Corrections:
    """All corrections of one extraction; thread-safe. Memory: some 500 bytes for each."""

    def __init__(self, storage: Storage, extraction: str) -> None:
        """Begin empty; see `refresh`."""
        self._storage = storage
        self._prefix = table_prefix(extraction, "corrections")
        self._lock = threading.Lock()
        self._read: dict[str, StoredFile] = {}
        self._history: dict[Key, dict[str, Correction]] = {}
        """By id."""

    @classmethod
    def load(cls, storage: Storage, extraction: str) -> Corrections:
        """Return what stands in the files now.

        Raises:
            StorageError: one cannot be read.
        """
        corrections = cls(storage, extraction)
        corrections.refresh()
        return corrections

    def refresh(self) -> None:
        """Take in what was written since; files that are as they were are not read again.

        Raises:
            StorageError: one cannot be read.
        """
        for file in list(self._storage.files(self._prefix)):
            if is_part(file.key) and self._read.get(file.key) != file:
                self.add(_read(self._storage, file.key))
                self._read[file.key] = file

    def add(self, corrections: Iterable[Correction]) -> None:
        """Take in corrections; those that are known change nothing."""
        with self._lock:
            for one in corrections:
                self._history.setdefault((one.sha256, one.first_page), {})[one.id] = one

    def of(self, sha256: str | None, first_page: int | None) -> dict[str, Correction]:
        """Return the latest correction of each path of a record, those that take back included."""
        latest: dict[str, Correction] = {}
        for one in self.history(sha256, first_page):
            latest[one.path] = one
        return latest

    def strays(self, sha256: str | None, first_page: int | None, last_page: int | None) -> list[int]:
        """Return the pages within a record, its first one apart, with which a record began of which somebody spoke."""
        pages = range((first_page or 1) + 1, (last_page or 1) + 1)
        return [page for page in pages if any(one.action is not Action.UNDO for one in self.of(sha256, page).values())]

    def history(self, sha256: str | None, first_page: int | None) -> list[Correction]:
        """Return all that was said of a record, oldest first."""
        with self._lock:
            found = list(self._history.get((sha256 or "", first_page or 1), {}).values())
        return sorted(found, key=lambda one: (one.at, one.id))

    @property
    def documents(self) -> list[str]:
        """The sha256 of each document of which something was said."""
        with self._lock:
            return sorted({sha256 for sha256, _ in self._history})

    @property
    def latest_at(self) -> datetime | None:
        """When the last one was made."""
        with self._lock:
            return max((one.at for rows in self._history.values() for one in rows.values()), default=None)


class CorrectionWriter:
    """One session's files; thread-safe."""

    def __init__(self, storage: Storage, extraction: str, corrections: Corrections) -> None:
        """Begin a session.

        Args:
            corrections: what is known; takes in what is saved.
        """
        self._storage = storage
        self._corrections = corrections
        self._name = (
            f"{table_prefix(extraction, 'corrections')}{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
        )
        self._number = 1
        self._rows: list[Correction] = []
        self._last_at = corrections.latest_at
        self._lock = threading.Lock()

    def save(self, corrections: Sequence[Correction]) -> list[Correction]:
        """Make corrections durable, all or none, and return them with their `id` and `at`.

        Later ones are later by `at`, too, than all that was known when the session began, whatever the clock says.

        Raises:
            StorageError: they could not be written; nothing is changed.
        """
        with self._lock:
            saved = [self._stamped(one) for one in corrections]
            rows = [*self._rows, *saved]
            self._put(f"{self._name}-{self._number:04}.parquet", rows)
            self._rows = rows
            if len(rows) >= ROWS_A_FILE:
                self._rows, self._number = [], self._number + 1
        self._corrections.add(saved)
        return saved

    def _stamped(self, one: Correction) -> Correction:
        now = datetime.now(UTC)
        known = self._corrections.of(one.sha256, one.first_page).get(one.path)
        before = max(filter(None, (self._last_at, known.at if known else None)), default=None)
        self._last_at = max(now, before + timedelta(microseconds=1)) if before else now
        return replace(one, id=secrets.token_hex(8), at=self._last_at)

    def _put(self, key: str, rows: Sequence[Correction]) -> None:
        with tempfile.TemporaryDirectory(prefix="pagemill-corrections-") as folder:
            file = Path(folder, "rows.parquet")
            pq.write_table(pa.Table.from_pylist([_row(one) for one in rows], schema=SCHEMA), file, compression="zstd")
            for _ in range(PUT_TRIES - 1):
                with contextlib.suppress(FileNotFoundError):
                    self._storage.put(key, file)
                    return
            self._storage.put(key, file)


def _row(one: Correction) -> dict[str, Any]:
    sides = zip(("x0", "y0", "x1", "y1"), one.box or (None,) * 4, strict=True)
    values = {name: getattr(one, name) for name in SCHEMA.names if name not in {"x0", "y0", "x1", "y1"}}
    return {**values, **dict(sides), "action": one.action.value}


def _read(storage: Storage, key: str) -> Iterator[Correction]:
    try:
        with storage.open(key) as file:
            rows = pq.read_table(file).to_pylist()
        return iter([_correction(row) for row in rows])
    except FileNotFoundError:
        return iter(())
    except (pa.ArrowException, OSError, KeyError, ValueError, TypeError) as error:
        raise StorageError(f"The file {key} cannot be read: {type(error).__name__}: {error}.") from error


def _correction(row: Mapping[str, Any]) -> Correction:
    for name in ("seen", "value"):
        json.loads(row[name] or "null")
    sides = [row.get(name) for name in ("x0", "y0", "x1", "y1")]
    others: dict[str, Any] = {
        name: row.get(name) for name in SCHEMA.names if name not in {"action", "x0", "y0", "x1", "y1"}
    }
    return Correction(action=Action(row["action"]), box=None if None in sides else Box._make(sides), **others)
