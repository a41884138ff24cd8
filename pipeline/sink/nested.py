"""Columns of lists of structs: their types, and arrays of them made flat, as a page has dozens or hundreds of items."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from pipeline.sink.columns import to_column

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pipeline.data import Attempt, Breach, FieldEvidence, PageRecord
    from pipeline.errors import PageError

_TEXT, _INT, _LONG, _REAL, _SMALL_REAL, _BOOL = (
    *(pa.string(), pa.int32(), pa.int64()),
    *(pa.float64(), pa.float32(), pa.bool_()),
)
_SIDES = ("x0", "y0", "x1", "y1")

LINE = pa.struct([("text", _TEXT), *((name, _SMALL_REAL) for name in (*_SIDES, "confidence"))])
TOKEN_LOGPROB = pa.struct([("token", _TEXT), ("logprob", _SMALL_REAL)])
EVIDENCE = pa.struct(
    [
        *(("path", _TEXT), ("page_number", _INT), ("verdict", _TEXT), ("text", _TEXT)),
        *((name, _SMALL_REAL) for name in (*_SIDES, "similarity", "score", "logprob", "confidence")),
    ]
)
BREACH = pa.struct([("rule", _TEXT), ("message", _TEXT), ("paths", pa.list_(_TEXT))])
TRY = pa.struct(
    [
        ("number", _INT),
        ("max_tokens", _INT),
        ("temperature", _REAL),
        ("constrained", _BOOL),
        ("max_pixels", _LONG),
        ("rotation_deg", _INT),
        ("seed", _LONG),
        ("finish_reason", _TEXT),
        ("error_type", _TEXT),
        ("error_message", _TEXT),
        ("raw_text", _TEXT),
        ("prompt_tokens", _LONG),
        ("output_tokens", _LONG),
        ("cached_tokens", _LONG),
        ("queue_s", _REAL),
        ("prefill_s", _REAL),
        ("decode_s", _REAL),
    ]
)


def error_type(error: PageError | None) -> str | None:
    """Return an error's column of that name."""
    return error.error_type.value if error else None


def error_message(error: PageError | None) -> str | None:
    """Return an error's column of that name."""
    return str(error) if error else None


def counted_try(attempts: Sequence[Attempt]) -> int | None:
    """Return the index of the try that a row tells of: the one that was accepted, else the last; None without any."""
    accepted = (index for index, attempt in enumerate(attempts) if attempt.error is None)
    return next(accepted, len(attempts) - 1) if attempts else None


def lines_column(pages: Sequence[PageRecord]) -> pa.Array:
    """Return the lines of each page."""
    lines = list(chain.from_iterable(page.lines for page in pages))
    boxes = np.array([line.box for line in lines], dtype=np.float32).reshape(-1, 4)
    fields = [
        to_column([line.text for line in lines], _TEXT),
        *(pa.array(np.ascontiguousarray(boxes[:, side])) for side in range(4)),
        pa.array([line.confidence for line in lines], type=_SMALL_REAL),
    ]
    return _lists(LINE, [len(page.lines) for page in pages], fields)


def token_logprobs_column(pages: Sequence[PageRecord]) -> pa.Array:
    """Return the tokens of each page's last try."""
    tokens = list(chain.from_iterable(page.token_logprobs for page in pages))
    fields = [
        to_column([token for token, _ in tokens], _TEXT),
        pa.array([logprob for _, logprob in tokens], type=_SMALL_REAL),
    ]
    return _lists(TOKEN_LOGPROB, [len(page.token_logprobs) for page in pages], fields)


def tries_column(pages: Sequence[PageRecord]) -> pa.Array:
    """Return the tries of each page; the output of the one that counts is the row's `raw_text`, not kept twice."""
    return _structs(TRY, [_tries(page.attempts) for page in pages])


def evidence_column(found: Sequence[Sequence[FieldEvidence]]) -> pa.Array:
    """Return the evidence of each row."""
    return _structs(EVIDENCE, [[evidence_values(one) for one in row] for row in found])


def breaches_column(found: Sequence[Sequence[Breach]]) -> pa.Array:
    """Return the breaches of each row."""
    return _structs(BREACH, [[(one.rule, one.message, one.paths) for one in row] for row in found])


def evidence_values(one: FieldEvidence) -> tuple[Any, ...]:
    """Return the values of EVIDENCE in its order."""
    box = one.box or (None, None, None, None)
    of_text = (one.path, one.page_number, one.verdict, one.text)
    return (*of_text, *box, one.similarity, one.score, one.logprob, one.confidence)


def _structs(kind: pa.StructType, rows: Sequence[Sequence[tuple[Any, ...]]]) -> pa.Array:
    """Return lists of `kind` from the values of its items."""
    flat = list(chain.from_iterable(rows))
    columns: Iterable[Any] = zip(*flat, strict=True) if flat else [()] * len(kind)
    fields = [to_column(column, field.type) for column, field in zip(columns, kind, strict=True)]
    return _lists(kind, [len(row) for row in rows], fields)


def _lists(item: pa.StructType, lengths: Sequence[int], fields: Sequence[pa.Array]) -> pa.Array:
    """Return lists of these lengths over the items whose `fields` are given end to end."""
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int32))
    return pa.ListArray.from_arrays(offsets, pa.StructArray.from_arrays(fields, fields=list(item)))


def _tries(attempts: Sequence[Attempt]) -> list[tuple[Any, ...]]:
    counts = counted_try(attempts)
    return [_try_values(attempt, counts=index == counts) for index, attempt in enumerate(attempts)]


def _try_values(attempt: Attempt, *, counts: bool) -> tuple[Any, ...]:
    settings = attempt.settings
    return (
        settings.number,
        settings.max_tokens,
        settings.temperature,
        settings.constrained,
        settings.render.max_pixels,
        settings.render.rotation_deg,
        settings.seed,
        attempt.finish_reason,
        error_type(attempt.error),
        error_message(attempt.error),
        None if counts else attempt.raw_text,
        attempt.prompt_tokens,
        attempt.output_tokens,
        attempt.cached_tokens,
        attempt.queue_s,
        attempt.prefill_s,
        attempt.decode_s,
    )
