"""Measured rows as a table for people, JSON for machines, and Parquet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.bench.figures import STAND_IN, Figures, Gpu, Subject

if TYPE_CHECKING:
    import pyarrow as pa

_DERIVED = ("pages_per_hour", "cost_per_1000", "energy_wh_per_1000", "prediction_error")


class _Column(NamedTuple):
    header: str
    text: Callable[[Figures], str]
    is_text: bool = False


_COLUMNS = (
    _Column("model", lambda row: row.subject.model, is_text=True),
    _Column("weights", lambda row: f"{row.subject.quantisation}, {row.subject.weights}", is_text=True),
    _Column("settings", lambda row: row.subject.settings, is_text=True),
    _Column("feed", lambda row: row.feed, is_text=True),
    _Column("requests/s", lambda row: f"{row.requests_per_s:.2f}{'' if row.is_steady else '*'}"),
    _Column("mean s", lambda row: f"{row.latency_mean_s:.2f}"),
    _Column("p95 s", lambda row: f"{row.latency_p95_s:.2f}"),
    _Column("ok", lambda row: f"{row.success_rate:.1%}"),
    _Column("tokens", lambda row: f"{row.completion_tokens_mean:.0f}"),
    _Column("pages/hour", lambda row: f"{row.pages_per_hour:,.0f}"),
    _Column("tokens/s", lambda row: f"{row.tokens_per_s:,.0f}"),
    _Column("cached", lambda row: f"{row.cached_share:.0%}"),
    _Column("GPU", lambda row: _maybe(row.gpu.busy, "{:.0%}")),
    _Column("W", lambda row: _maybe(row.gpu.power_w, "{:.0f}")),
    _Column("GiB", lambda row: _maybe(row.gpu.memory_gib, "{:.1f}")),
    _Column("per 1,000", lambda row: _maybe(row.cost_per_1000, "{:.3f}")),
    _Column("plan", lambda row: _maybe(row.predicted_requests_per_s, "{:.2f}")),
    _Column("of stream", lambda row: _maybe(row.of_stream, "{:.3f}")),
    _Column("whole", lambda row: _maybe(row.of_stream_whole, "{:.3f}")),
)


def table_of(rows: Sequence[Figures]) -> str:
    """Return the rows as a text table; columns that say nothing are left out."""
    texts = [[column.text(row) for row in rows] for column in _COLUMNS]
    shown = [(column, cells) for column, cells in zip(_COLUMNS, texts, strict=True) if any(cells)]
    columns = [_aligned([column.header, *cells], to_left=column.is_text) for column, cells in shown]
    return "\n".join("  ".join(cells).rstrip() for cells in zip(*columns, strict=True))


def notes_of(rows: Sequence[Figures]) -> list[str]:
    """Return what has to be said below the table."""
    first = rows[0].subject
    pages = f"pages of {first.page_px / 1e6:.2f} MP, KV cache {first.kv_cache_dtype}"
    notes = [f"{first.device}, vLLM {first.vllm_version}, {pages}"]
    if first.model.startswith(STAND_IN):
        notes.append(
            "a tiny model stands for the one asked for: ratios of feeds mean something, speed and texts do not"
        )
    elif first.weights == "random":
        notes.append("random weights: speed is that of real ones, texts mean nothing")
    if remarks := dict.fromkeys(row.remark for row in rows if row.remark):
        notes.append(f"* of all of the time: {'; '.join(remarks)}")
    return notes


def row_of(figures: Figures) -> dict[str, Any]:
    """Return a row as flat columns; docs/bench.md says what they mean."""
    values = asdict(figures)
    subject, gpu = values.pop("subject"), values.pop("gpu")
    row: dict[str, Any] = subject | values | {f"gpu_{name}": value for name, value in gpu.items()}
    derived = {name: getattr(figures, name) for name in _DERIVED}
    return {**row, **derived}


def write_parquet(rows: Iterable[Figures], path: Path) -> None:
    """Write all rows, whole or not at all."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pylist([_storable(row_of(row)) for row in rows], schema=_schema())
    unfinished = path.with_name(f".{path.name}.unfinished")
    pq.write_table(table, unfinished)
    unfinished.replace(path)


def _storable(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"engine": list(row["engine"].items())}


def _schema() -> pa.Schema:
    import pyarrow as pa

    kinds = {"str": pa.string(), "int": pa.int64(), "float": pa.float64(), "bool": pa.bool_()}
    kinds["tuple[float, ...]"] = pa.list_(pa.float64())
    kinds["dict[str, float]"] = pa.map_(pa.string(), pa.float64())
    columns = [(field.name, str(field.type)) for field in fields(Subject)]
    columns += [(field.name, str(field.type)) for field in fields(Figures) if field.name not in {"subject", "gpu"}]
    columns += [(f"gpu_{field.name}", str(field.type)) for field in fields(Gpu)]
    columns += [(name, "float") for name in _DERIVED]
    return pa.schema([(name, kinds[kind.removesuffix(" | None")]) for name, kind in columns])


def _maybe(value: float | None, form: str) -> str:
    return "" if value is None else form.format(value)


def _aligned(cells: Sequence[str], *, to_left: bool) -> list[str]:
    width = max(map(len, cells))
    return [cell.ljust(width) if to_left else cell.rjust(width) for cell in cells]
