"""One clock hour of a run as a row, and several such rows as one."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from pipeline.stats.checks import CHECKED, FIELDS
from pipeline.stats.latency import merged, percentile
from pipeline.stats.times import OVERLAYS, PARTITION

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

_HOUR_S = 3600


def micros(money: Decimal) -> Decimal:
    """Return `money` to six decimal places, as its columns hold it."""
    return money.quantize(Decimal("0.000001"))


def run_cost(wall_s: float, price_per_hour: Decimal | None) -> Decimal | None:
    """Return what `wall_s` seconds cost; None without a price."""
    return micros(price_per_hour * Decimal(wall_s) / _HOUR_S) if price_per_hour is not None else None


@dataclass(frozen=True, slots=True, kw_only=True)
class HourRow:
    """What a run did in one clock hour (UTC), or in all of them; counts first, rates derived from them."""

    hour: datetime
    """Its beginning; of a total, that of the first hour."""
    wall_s: float = 0.0
    """Seconds of the hour during which the run ran."""
    busy_s: float = 0.0
    """Seconds of the hour with pages in the engine."""
    starting_s: float | None = None
    """This and the next six add up to `wall_s`; None where a version wrote the row that did not tell them apart."""
    waiting_render_s: float | None = None
    waiting_prepare_s: float | None = None
    """This and the next three add up to `busy_s`."""
    prefill_s: float | None = None
    decode_s: float | None = None
    busy_other_s: float | None = None
    """What the engine does not tell apart."""
    ending_s: float | None = None
    starved_render_s: float | None = None
    """Time in which a part of the engine had no page although some were to come; in the above, too."""
    starved_prepare_s: float | None = None
    """The same, of pages that the engine itself was preparing."""
    tail_s: float | None = None
    """Time in which a part of the engine had no page, as none was to come; in the above, too."""
    documents_ok: int = 0
    documents_failed: int = 0
    pages_ok: int = 0
    """Those that repeat another document's pages are counted, here and below."""
    pages_failed: int = 0
    pages_retried: int = 0
    """Pages, ok or failed, that took more than one try."""
    pages_reused: int = 0
    """Pages, ok or failed, that were not read, since a document with the same bytes was."""
    pages_blank: int = 0
    """Pages that the engine was spared, as are the next two."""
    pages_duplicate: int = 0
    pages_text_layer: int = 0
    pages_unchecked: int = 0
    """Pages with values of which none could be held against a text, as nobody read it."""
    fields_exact: int = 0
    """Values of the pages read, by what was found of each; this and the next five add up to all of them."""
    fields_normalised: int = 0
    fields_fuzzy: int = 0
    fields_computed: int = 0
    fields_not_found: int = 0
    fields_unchecked: int = 0
    fields_doubtful: int = 0
    """Of these, those whose confidence is too low."""
    records: int = 0
    """Of the documents."""
    records_to_review: int = 0
    breaches_by_rule: tuple[tuple[str, int], ...] = ()
    """(rule, times that a record broke it), by name."""
    prompt_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    pixels_sent: int = 0
    """Of the pages read: of each one's last image."""
    pixels_full: int = 0
    """What these images would have had if none had been made smaller than the limit."""
    page_render_s: float = 0.0
    """Sums over the pages read; 0 where nobody says."""
    page_queue_s: float = 0.0
    page_prefill_s: float = 0.0
    page_decode_s: float = 0.0
    engine_restarts: int = 0
    """Engines that took the place of a dead one."""
    pages_resent: int = 0
    """Times that a page was sent to an engine again because the one that held it died."""
    latency_histogram: tuple[tuple[float, int], ...] = ()
    """(upper bound in seconds, pages), see latency.py."""
    prefix_cache_queries: int | None = None
    prefix_cache_hits: int | None = None
    kv_cache_usage: float | None = None
    kv_cache_usage_max: float | None = None
    gpu_name: str | None = None
    gpu_utilisation: float | None = None
    gpu_memory_used_bytes: int | None = None
    """The most seen."""
    gpu_memory_total_bytes: int | None = None
    gpu_power_w: float | None = None
    gpu_energy_wh: float | None = None
    price_per_hour: Decimal | None = None
    currency: str | None = None
    cost: Decimal | None = None
    """Money for `wall_s`, to six decimal places."""

    @property
    def pages(self) -> int:
        """Pages with a terminal row, failed ones included."""
        return self.pages_ok + self.pages_failed

    @property
    def pages_read(self) -> int:
        """Pages that an engine or the renderer ended; what rates, times and money are about."""
        return self.pages - self.pages_reused - self.pages_spared

    @property
    def pages_spared(self) -> int:
        """Pages that were answered without the engine."""
        return self.pages_blank + self.pages_duplicate + self.pages_text_layer

    @property
    def fields(self) -> int:
        """Values of the pages read."""
        return sum(getattr(self, name) for name in FIELDS)

    @property
    def breaches(self) -> int:
        """Times that a record broke a rule."""
        return sum(times for _, times in self.breaches_by_rule)

    @property
    def documents(self) -> int:
        """Documents with a terminal row, failed ones included."""
        return self.documents_ok + self.documents_failed

    @property
    def pages_per_hour(self) -> float | None:
        """Rate of reading while the run ran."""
        return self.pages_read * _HOUR_S / self.wall_s if self.wall_s else None

    @property
    def documents_per_hour(self) -> float | None:
        """Rate while the run ran, documents with reused pages included."""
        return self.documents * _HOUR_S / self.wall_s if self.wall_s else None

    @property
    def busy_share(self) -> float | None:
        """Share of the run's time with pages in the engine, 0..1."""
        return self.busy_s / self.wall_s if self.wall_s else None

    @property
    def success_rate(self) -> float | None:
        """Share of pages that ended ok, 0..1."""
        return self.pages_ok / self.pages if self.pages else None

    @property
    def latency_p50_s(self) -> float | None:
        """Time from taking a page to its terminal row that half of the pages read did not pass."""
        return percentile(self.latency_histogram, 0.50)

    @property
    def latency_p95_s(self) -> float | None:
        """The same for 95 of 100 pages."""
        return percentile(self.latency_histogram, 0.95)

    @property
    def latency_p99_s(self) -> float | None:
        """The same for 99 of 100 pages."""
        return percentile(self.latency_histogram, 0.99)

    @property
    def prefix_cache_hit_rate(self) -> float | None:
        """Share of prompt tokens found in the prefix cache, 0..1."""
        return (self.prefix_cache_hits or 0) / self.prefix_cache_queries if self.prefix_cache_queries else None

    @property
    def cost_per_1000_pages(self) -> Decimal | None:
        """Money for reading a thousand pages at this rate, failed ones included, to six decimal places."""
        return micros(self.cost * 1000 / self.pages_read) if self.cost is not None and self.pages_read else None


def total(hours: Sequence[HourRow]) -> HourRow:
    """Return the sum of at least one row; means are weighted by the time the run ran, peaks stay peaks."""
    paid = [row for row in hours if row.wall_s] or hours  # an hour without time costs nothing, whatever its price
    one_price = {(row.price_per_hour, row.currency) for row in paid}
    return HourRow(
        hour=min(row.hour for row in hours),
        **{name: sum(getattr(row, name) for row in hours) for name in _SUMS},
        **{name: _of_known(sum, hours, name) for name in _KNOWN_SUMS},
        **{name: _of_known(max, hours, name) for name in _PEAKS},
        **{name: _mean(hours, name) for name in _MEANS},
        latency_histogram=merged(row.latency_histogram for row in hours),
        breaches_by_rule=_by_rule(hours),
        gpu_name=next((row.gpu_name for row in hours if row.gpu_name), None),
        price_per_hour=paid[0].price_per_hour if len(one_price) == 1 else None,
        currency=paid[0].currency,
        cost=_cost(paid),
    )


COUNTED = (
    *("documents_ok", "documents_failed", "pages_ok", "pages_failed", "pages_retried", "pages_reused"),
    *("pages_blank", "pages_duplicate", "pages_text_layer", "prompt_tokens", "output_tokens", "cached_tokens"),
    *("pixels_sent", "pixels_full", "page_render_s", "page_queue_s", "page_prefill_s", "page_decode_s"),
    *CHECKED,
)
"""What rows of pages and documents say; the rest only the run knows."""
_SUMS = ("wall_s", "busy_s", *COUNTED, "engine_restarts", "pages_resent")
_KNOWN_SUMS = (*PARTITION, *OVERLAYS, "prefix_cache_queries", "prefix_cache_hits", "gpu_energy_wh")
_PEAKS = ("kv_cache_usage_max", "gpu_memory_used_bytes", "gpu_memory_total_bytes")
_MEANS = ("kv_cache_usage", "gpu_utilisation", "gpu_power_w")


def _of_known(fold: Callable[[list[Any]], Any], hours: Sequence[HourRow], name: str) -> Any:
    known = [value for row in hours if (value := getattr(row, name)) is not None]
    return fold(known) if known else None


def _by_rule(hours: Sequence[HourRow]) -> tuple[tuple[str, int], ...]:
    times: Counter[str] = Counter()
    for row in hours:
        times.update(dict(row.breaches_by_rule))
    return tuple(sorted(times.items()))


def _mean(hours: Sequence[HourRow], name: str) -> Any:
    known = [(getattr(row, name), row.wall_s) for row in hours if getattr(row, name) is not None]
    weight = sum(seconds for _, seconds in known)
    return sum(value * seconds for value, seconds in known) / weight if weight else None


def _cost(hours: Sequence[HourRow]) -> Decimal | None:
    """Return the sum of costs; None when one is unknown or they are of several currencies."""
    costs = [row.cost for row in hours if row.cost is not None]
    if len(costs) < len(hours) or len({row.currency for row in hours}) > 1:
        return None
    return sum(costs, Decimal(0))
