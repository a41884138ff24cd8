"""The runs of an extraction as figures: what the last one did, and how that compares."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from pipeline.report.plot import Plot, Value, bars
from pipeline.show.statistics import run_line
from pipeline.show.text import duration, money
from pipeline.stats import HourRow, RunRow, hour_rows, total

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    import pyarrow as pa

MOST_NIGHTS = 30
_HOURS_SHOWN = 48


@dataclass(frozen=True, slots=True)
class NightView:
    """One run."""

    run_id: str
    started_at: datetime
    finished_at: datetime | None
    state: str
    source: str
    engine: str
    model: str
    hours: tuple[HourRow, ...]
    whole: HourRow | None
    """All hours together; None for a run without statistics."""
    warning: str | None
    """What a person must know of a run that did not do all it was to do."""

    @property
    def took(self) -> str:
        """How long it ran."""
        return duration(self.whole.wall_s) if self.whole else ""

    @property
    def rate(self) -> str:
        """Pages per hour, to three digits: the fourth differs from night to night."""
        rate = self.whole.pages_per_hour if self.whole and self.whole.pages_read else None
        return "" if rate is None else f"{float(f'{rate:.3g}'):,.0f}"

    @property
    def cost(self) -> str:
        """What it cost, with the currency."""
        if self.whole is None or self.whole.cost is None:
            return ""
        return f"{money(self.whole.cost)} {self.whole.currency or ''}".rstrip()

    @property
    def cost_per_1000(self) -> str:
        """What a thousand pages cost."""
        each: Decimal | None = self.whole.cost_per_1000_pages if self.whole else None
        return "" if each is None or self.whole is None else f"{money(each)} {self.whole.currency or ''}".rstrip()


def nights(runs: Sequence[RunRow], stats: pa.Table) -> list[NightView]:
    """Return the latest runs, newest first; one without a row in the runs table is as its statistics say."""
    hours: defaultdict[str, list[HourRow]] = defaultdict(list)
    if stats.num_rows:
        for run_id, row in zip(stats["run_id"].to_pylist(), hour_rows(stats), strict=True):
            hours[run_id].append(row)
    found = [_night(run, tuple(hours.get(run.identity.run_id, ()))) for run in runs]
    return sorted(found, key=lambda night: night.started_at, reverse=True)[:MOST_NIGHTS]


def hours_plot(night: NightView) -> Plot | None:
    """Return pages per hour over the last hours of a run; None where nothing was read."""
    rows = [row for row in night.hours if row.wall_s and row.pages][-_HOURS_SHOWN:]
    if not rows:
        return None
    days = {row.hour.date() for row in rows}
    return bars([_hour_value(row, with_day=len(days) > 1) for row in rows], "pages per hour")


def nights_plot(found: Sequence[NightView]) -> Plot | None:
    """Return pages per hour of the runs, oldest first; None for fewer than two."""
    days = {night.started_at.date() for night in found}
    form = "%d %b" if len(days) == len(found) else "%d %b %H:%M" if len(days) > 1 else "%H:%M"
    values = [
        Value(
            f"{night.started_at:{form}}",
            night.whole.pages_per_hour or 0.0,
            f"{night.started_at:%Y-%m-%d %H:%M} UTC: {night.rate} pages per hour, {night.whole.pages:,} pages",
            night.whole.pages_failed / night.whole.pages,
        )
        for night in reversed(found)
        if night.whole and night.whole.pages
    ]
    return bars(values, "pages per hour") if len(values) > 1 else None


def min_confidence(runs: Sequence[RunRow]) -> float | None:
    """Return the confidence below which the last run called a field doubtful; None where it does not say."""
    for run in reversed(runs):
        trust: dict[str, Any] = json.loads(run.settings).get("trust") or {}
        if (least := trust.get("min_confidence")) is not None:
            return float(least)
    return None


def _hour_value(row: HourRow, *, with_day: bool) -> Value:
    rate = row.pages_per_hour or 0.0
    failed = f", {row.pages_failed:,} failed" if row.pages_failed else ""
    title = f"{row.hour:%Y-%m-%d %H:00} UTC: {rate:,.0f} pages per hour; {row.pages:,} pages{failed}"
    label = f"{row.hour:%d %b %H:00}" if with_day and row.hour.hour == 0 else f"{row.hour:%H:00}"
    return Value(label, rate, title, row.pages_failed / row.pages if row.pages else 0.0)


def _night(run: RunRow, hours: tuple[HourRow, ...]) -> NightView:
    facts = {name: getattr(run, name) for name in ("state", "error_message", "pid", "host", "started_at")}
    facts |= {name: getattr(run, name) for name in ("pages_carried_over", "documents_carried_over")}
    return NightView(
        run_id=run.identity.run_id,
        started_at=run.started_at,
        finished_at=run.finished_at,
        state=run.state.value,
        source=run.input,
        engine=run.identity.engine,
        model=run.identity.model,
        hours=hours,
        whole=total(hours) if hours else None,
        warning=run_line(facts),
    )
