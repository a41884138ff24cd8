"""Scores as a Parquet file, a row a document: to be looked at with other tools, and to compare later readings with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.data import Box, FieldEvidence, Status, Verdict
from pipeline.errors import ConfigError
from pipeline.eval.scoring import DocumentScore, ItemsScore, ScoredValue
from pipeline.eval.texts import TextScore

if TYPE_CHECKING:
    from pathlib import Path

_STRICT = b"pagemill.eval.strict"
_EVIDENCE = pa.struct(
    [
        ("path", pa.string()),
        ("page_number", pa.int32()),
        ("verdict", pa.string()),
        ("text", pa.string()),
        ("box", pa.list_(pa.float64())),
        *((name, pa.float64()) for name in ("similarity", "score", "logprob", "confidence")),
    ]
)
_VALUE = pa.struct(
    [
        ("field", pa.string()),
        ("path", pa.string()),
        *((name, pa.bool_()) for name in ("is_labelled", "is_read", "is_right", "is_exact")),
        ("expected", pa.string()),
        ("value", pa.string()),
        ("evidence", _EVIDENCE),
        ("is_known", pa.bool_()),
    ]
)
_ITEMS = pa.struct([("name", pa.string()), *((name, pa.int32()) for name in ("labelled", "read", "found", "right"))])
_COUNTS = ("character_errors", "characters", "word_errors", "words")
_TEXT = pa.struct([*((name, pa.int64()) for name in _COUNTS), ("bag", pa.float64()), ("bag_alnum", pa.float64())])
_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("id", "kind", "language", "extraction", "status")),
        ("values", pa.list_(_VALUE)),
        ("items", pa.list_(_ITEMS)),
        ("text", _TEXT),
        ("breaches", pa.list_(pa.string())),
        ("needs_review", pa.bool_()),
        ("pages", pa.int32()),
        ("pages_failed", pa.int32()),
        ("error", pa.string()),
        ("uri", pa.string()),
        ("cluster", pa.string()),
    ]
)


def write_scores(file: Path, scores: Sequence[DocumentScore], *, strict: bool) -> None:
    """Write scores.

    Raises:
        ConfigError: the file cannot be written.
    """
    rows = [asdict(score) | {"text": score.text._asdict() if score.text else None} for score in scores]
    table = pa.Table.from_pylist(rows, _SCHEMA.with_metadata({_STRICT: str(strict)}))
    try:
        pq.write_table(table, file)
    except OSError as error:
        raise ConfigError(f"{file} cannot be written: {error.strerror or error}.") from error


def read_scores(file: Path, *, strict: bool) -> list[DocumentScore]:
    """Return scores that `write_scores` wrote.

    Args:
        strict: as they must have been counted.

    Raises:
        ConfigError: it is no such file, or was counted otherwise.
    """
    if not file.is_file():
        raise ConfigError(f"{file}: there is no such file.")
    try:
        table = pq.read_table(file)
    except (OSError, pa.ArrowException) as error:
        raise ConfigError(f"{file} cannot be read as scores of `pagemill eval --parquet`: {error}") from error
    if not table.schema.equals(_SCHEMA):
        raise ConfigError(f"{file} holds no scores of `pagemill eval --parquet`, or those of another version.")
    if (table.schema.metadata or {}).get(_STRICT) != str(strict).encode():
        raise ConfigError(f"{file} was counted {'without' if strict else 'with'} --strict; count both alike.")
    return [_score(row) for row in table.to_pylist()]


def _score(row: Mapping[str, Any]) -> DocumentScore:
    return DocumentScore(
        **{
            **row,
            "status": Status(row["status"]) if row["status"] else None,
            "values": tuple(ScoredValue(**{**one, "evidence": _evidence(one["evidence"])}) for one in row["values"]),
            "items": tuple(ItemsScore(**one) for one in row["items"]),
            "text": TextScore(**row["text"]) if row["text"] else None,
            "breaches": tuple(row["breaches"]),
        }
    )


def _evidence(row: Mapping[str, Any] | None) -> FieldEvidence | None:
    if row is None:
        return None
    verdict = Verdict(row["verdict"]) if row["verdict"] else None
    return FieldEvidence(**{**row, "verdict": verdict, "box": Box(*row["box"]) if row["box"] else None})
