"""Hour rows and runs -> a table and a few lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table

from pipeline.show.spent import has_read, image_words, spared_line, spent_lines
from pipeline.show.text import counted, duration, money, printable
from pipeline.stats import RunState

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pipeline.stats import HourRow

_GB = 1e9
_SHOWN_RULES = 5
_LATENCIES = (("p50 s", "latency_p50_s", 1), ("p95 s", "latency_p95_s", 20), ("p99 s", "latency_p99_s", 100))
"""Header, field, and the fewest pages of which this percentile is not just the slowest."""


def hour_table(hours: Sequence[HourRow], total: HourRow) -> Table:
    """Return one line per clock hour and one for all of them, without percentiles that need more pages."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold", show_edge=False)
    table.add_column("hour (UTC)", no_wrap=True)
    latencies = [(name, field) for name, field, fewest in _LATENCIES if has_read(total) and total.pages_read >= fewest]
    for name in ("docs", "pages", "failed", "retried", "pages/h", "busy", *(name for name, _ in latencies)):
        table.add_column(name, justify="right", no_wrap=True)
    fields = [field for _, field in latencies]
    for row in hours:
        table.add_row(f"{row.hour:%Y-%m-%d %H:00}", *_cells(row, fields))
    table.add_row("total", *_cells(total, fields), style="bold")
    return table


def _cells(row: HourRow, latencies: Sequence[str]) -> Iterator[str]:
    yield from (f"{count:,}" for count in (row.documents, row.pages, row.pages_failed, row.pages_retried))
    # Three digits: the fourth would differ at the next run.
    rate = row.pages_per_hour if has_read(row) else None
    yield "" if rate is None else f"{float(f'{rate:.3g}'):,.0f}"
    yield _number(row.busy_share, ".0%")
    yield from (_number(getattr(row, field), ".2f") for field in latencies)


def summary_lines(total: HourRow) -> Iterator[str]:
    """Yield what the table has no room for, as far as it is known."""
    yield f"{counted(total.pages, 'page')} and {counted(total.documents, 'document')} in {duration(total.wall_s)}"
    yield from spent_lines(total)
    if total.success_rate is not None:
        yield f"pages that are ok: {_share(total.success_rate)}"
    if spared := spared_line(total):
        yield f"{counted(total.pages_spared, 'page')} without the engine: {spared}"
    yield from checked_lines(total)
    if total.pages_reused:
        yield f"{counted(total.pages_reused, 'page')} not read again: their bytes were read before"
    if total.engine_restarts or total.pages_resent:
        times, pages = counted(total.engine_restarts, "time"), counted(total.pages_resent, "page")
        yield f"engine died and was started again: {times}, {pages} sent again"
    cached = f" ({total.cached_tokens:,} from the cache)" if total.cached_tokens else ""
    tokens = f"tokens: {total.prompt_tokens:,} in{cached}, {total.output_tokens:,} out"
    if told := [*filter(None, (image_words(total), tokens if total.prompt_tokens or total.output_tokens else None))]:
        yield "; ".join(told)
    if total.prefix_cache_hit_rate is not None:
        yield f"prefix cache: {_share(total.prefix_cache_hit_rate)} of prompt tokens found"
    if total.kv_cache_usage is not None:
        yield f"KV cache: {_share(total.kv_cache_usage)} in use on average, {_share(total.kv_cache_usage_max)} at most"
    if total.gpu_name:
        yield _gpu_line(total)
    if total.cost is not None:
        per_1000 = total.cost_per_1000_pages if has_read(total) else None
        read = " read" if total.pages > total.pages_read else ""
        each = f", {money(per_1000)} per 1,000 pages{read}" if per_1000 is not None else ""
        yield f"cost: {money(total.cost)} {printable(total.currency or '')}{each}"


def checked_lines(total: HourRow) -> Iterator[str]:
    """Yield how far the records can be trusted, as far as that was looked at."""
    if total.fields > total.fields_unchecked:
        told = {name: getattr(total, f"fields_{name}") for name in ("not_found", "doubtful", "unchecked")}
        rest = "".join(f", {number:,} {name.replace('_', ' ')}" for name, number in told.items() if number)
        yield f"values: {total.fields:,}{rest}"
    if total.pages_unchecked:
        yield f"{counted(total.pages_unchecked, 'page')} not checked: nobody had time to read the text"
    if total.breaches:
        often = sorted(total.breaches_by_rule, key=lambda one: -one[1])[:_SHOWN_RULES]
        yield "broken rules: " + ", ".join(f"{printable(rule)} {times:,}" for rule, times in often)
    if total.records_to_review:
        yield f"to be reviewed: {total.records_to_review:,} of {counted(total.records, 'record')}"


def run_line(run: Mapping[str, Any]) -> str | None:
    """Return what to know of a run that did not do all it was to do; None of one that did.

    Args:
        run: a row of the runs table.
    """
    pages, documents = counted(run["pages_carried_over"], "page"), counted(run["documents_carried_over"], "document")
    left = f"{pages} and {documents} left for the next run. {printable(run['error_message'] or '')}".rstrip()
    match run["state"]:
        case RunState.INTERRUPTED:
            return f"The last run was interrupted: {left}"
        case RunState.FAILED:
            return f"The last run failed: {left}"
        case RunState.RUNNING:
            place = f"process {run['pid']} on {printable(run['host'])}, since {run['started_at']:%Y-%m-%d %H:%M} UTC"
            return f"A run writes here ({place}), or was killed; then the next run goes on from what is here."
        case _:
            return None


def _gpu_line(total: HourRow) -> str:
    parts = [f"{_share(total.gpu_utilisation)} used"]
    if total.gpu_memory_used_bytes is not None and total.gpu_memory_total_bytes is not None:
        parts.append(f"{total.gpu_memory_used_bytes / _GB:.1f} of {total.gpu_memory_total_bytes / _GB:.1f} GB")
    if total.gpu_power_w is not None:
        parts.append(f"{total.gpu_power_w:.0f} W")
    if total.gpu_energy_wh is not None:
        parts.append(f"{total.gpu_energy_wh:.1f} Wh")
    return f"GPU: {printable(total.gpu_name or '')}: {', '.join(parts)}"


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"
