"""What is counted: hours, shares, percentiles, money."""

import math
import random
import tempfile
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_records import NOON, attempt, commit, document, document_of, evidence, failed_page, identity, ok_page

from pipeline.config import CostConfig
from pipeline.data import DocumentRecord, EngineMetrics, PageRecord, Supply
from pipeline.errors import StorageError
from pipeline.settle import counts_of_parts
from pipeline.show.statistics import summary_lines
from pipeline.stats import (
    Counts,
    GpuSample,
    GpuSampler,
    HourRow,
    RunStats,
    hour_rows,
    open_gpu_sampler,
    total,
)
from pipeline.storage import open_storage


class Clock:
    """A clock that stands still until it is set forward."""

    def __init__(self, now: datetime = NOON) -> None:
        self.now = now.timestamp()

    def __call__(self) -> float:
        """Return the time it shows."""
        return self.now

    def forward(self, **duration: float) -> None:
        """Set the clock forward."""
        self.now += timedelta(**duration).total_seconds()


def run_stats(clock: Clock, *, cost: CostConfig | None = None, gpu: GpuSampler | None = None) -> RunStats:
    """Return the statistics of a run without a price."""
    return RunStats(identity(), cost or CostConfig(), clock=clock, gpu=gpu)


def counts(*records: PageRecord | DocumentRecord) -> Counts:
    """Return what these records come to."""
    counted = Counts()
    for record in records:
        if isinstance(record, PageRecord):
            counted.add_page(record)
        else:
            counted.add_document(record)
    return counted


def test_pages_and_documents_are_counted_by_status_and_tries() -> None:
    """A page that took two tries is retried, whatever its end."""
    stats = run_stats(Clock())
    pages = (
        ok_page(document()),
        ok_page(document(), 2, attempts=(attempt(1, prompt_tokens=7), attempt(2, prompt_tokens=9, cached_tokens=4))),
        failed_page(document(), 3),
    )
    stats.commit(counts(*pages, document_of(*pages), document_of(pages[0])))
    row = stats.total()
    assert (row.pages, row.pages_ok, row.pages_failed, row.pages_retried) == (3, 2, 1, 2)
    assert (row.documents, row.documents_ok, row.documents_failed) == (2, 1, 1)
    assert (row.prompt_tokens, row.output_tokens, row.cached_tokens) == (100 + 16 + 20, 20, 68)
    assert row.success_rate == pytest.approx(2 / 3)


def test_what_is_not_committed_is_not_counted() -> None:
    """A crash drops the pages of an open shard, and the next run reads and counts them."""
    stats = run_stats(Clock())
    shard, first, second = counts(), counts(ok_page(document())), counts(failed_page(document("b.pdf")))
    assert not shard
    shard.add(first)
    shard.add(second)
    assert stats.total().pages == 0
    stats.commit(shard)
    row = stats.total()
    assert (row.pages, row.pages_ok, row.prompt_tokens) == (2, 1, 120)
    assert sum(pages for _, pages in row.latency_histogram) == 2


def test_reused_pages_count_as_pages_of_the_hour_of_the_commit_and_not_as_work() -> None:
    """Rates, times and tokens are about reading; a copied page would make them look better than they are."""
    clock = Clock(NOON - timedelta(minutes=30))
    stats = run_stats(clock, cost=CostConfig(price_per_hour=Decimal(2)))
    read = ok_page(document(), finished_at=NOON - timedelta(seconds=1), started_at=NOON - timedelta(seconds=5))
    copies = [
        replace(made(document("b.pdf"), 1), reused_from=document().ref.uri, finished_at=NOON - timedelta(days=9))
        for made in (ok_page, failed_page)
    ]
    alone = run_stats(Clock(NOON - timedelta(minutes=30)))
    alone.commit(counts(read))
    clock.forward(hours=1)
    stats.commit(counts(read, *copies))
    before, after = stats.hours()
    assert (before.pages, before.pages_reused) == (1, 0)
    assert (after.pages_ok, after.pages_failed, after.pages_reused, after.pages_retried) == (1, 1, 2, 0)
    row = stats.total()
    assert (row.pages, row.pages_read, row.pages_per_hour) == (3, 1, 1.0)
    assert row.cost_per_1000_pages == 2000
    assert after.cost_per_1000_pages is None
    assert "2 pages not read again: their bytes were read before" in summary_lines(row)
    assert len(list(summary_lines(alone.total()))) == len(list(summary_lines(row))) - 3  # this, the time and the cost
    for name in ("prompt_tokens", "output_tokens", "cached_tokens", "latency_histogram"):
        assert getattr(row, name) == getattr(alone.total(), name)


def test_engines_that_died_are_counted_at_once() -> None:
    """The statistics of a run that ends with a dead engine tell how often it died."""
    clock = Clock(NOON - timedelta(minutes=30))
    stats = run_stats(clock)
    for _ in range(2):
        stats.engine_restarted()
        stats.pages_resent(16)
        clock.forward(hours=1)
    assert [(row.engine_restarts, row.pages_resent) for row in stats.hours()] == [(1, 16), (1, 16), (0, 0)]
    assert (stats.total().engine_restarts, stats.total().pages_resent) == (2, 32)
    assert "engine died and was started again: 2 times, 32 pages sent again" in summary_lines(stats.total())


def test_statistics_of_an_older_version_are_read(tmp_path: Path) -> None:
    """What they do not tell counts as 0, also beside newer ones."""
    storage, stats = open_storage(str(tmp_path)), run_stats(Clock())
    stats.commit(counts(ok_page(document())))
    stats.put(storage)
    table = pq.read_table(tmp_path / "bill/stats/run-1.parquet")
    older = table.drop_columns(["pages_reused", "engine_restarts", "pages_resent"])
    both = pa.concat_tables([older, table], promote_options="default")
    assert list(hour_rows(older)) == stats.hours()
    assert list(hour_rows(both)) == stats.hours() * 2


def test_time_is_split_at_the_hour() -> None:
    """A run from 11:45 to 13:30 has three rows of a quarter, a whole and half an hour."""
    clock = Clock(NOON - timedelta(minutes=15))
    stats = run_stats(clock)
    clock.forward(hours=1, minutes=45)
    rows = stats.hours()
    assert [row.hour for row in rows] == [NOON + timedelta(hours=offset) for offset in (-1, 0, 1)]
    assert [row.wall_s for row in rows] == [900, 3600, 1800]


def test_pages_count_in_the_hour_in_which_they_finished() -> None:
    """One second before the hour is another row than one after."""
    clock = Clock(NOON - timedelta(minutes=30))
    stats = run_stats(clock)
    clock.forward(hours=1)
    for offset in (-1, 1, 2):
        finished = NOON + timedelta(seconds=offset)
        stats.commit(counts(ok_page(document(), started_at=finished - timedelta(seconds=2), finished_at=finished)))
    before, after = stats.hours()
    assert (before.pages, after.pages) == (1, 2)
    assert after.pages_per_hour == pytest.approx(4)


def test_busy_share_is_the_time_with_pages_in_the_engine() -> None:
    """Loading and waiting for rendering are idle time somebody pays for."""
    clock = Clock()
    stats = run_stats(clock)
    clock.forward(minutes=6)
    stats.times.enter("reading")
    stats.times.in_engine(8, Supply.READY)
    clock.forward(minutes=12)
    stats.times.in_engine(0, Supply.READY)
    clock.forward(minutes=6)
    assert stats.total().busy_share == pytest.approx(0.5)


def test_a_clock_that_goes_back_takes_no_time_away() -> None:
    """Time servers correct clocks in the middle of a night."""
    clock = Clock()
    stats = run_stats(clock)
    clock.forward(minutes=10)
    stats.times.in_engine(1, Supply.READY)
    clock.forward(minutes=-5)
    assert stats.total().wall_s == 600


def test_time_stands_still_after_closing() -> None:
    """A report printed later is that of the run."""
    clock = Clock()
    stats = run_stats(clock)
    clock.forward(minutes=1)
    stats.close()
    clock.forward(hours=5)
    assert [row.wall_s for row in stats.hours()] == [60]


def test_percentiles_are_within_one_percent_of_the_exact_ones() -> None:
    """Bounded memory must not cost the figures their meaning."""
    draw = random.Random(1)
    seconds = [draw.lognormvariate(1, 1.2) for _ in range(5000)]
    stats = run_stats(Clock())
    for taken in seconds:
        stats.commit(counts(ok_page(document(), started_at=NOON, finished_at=NOON + timedelta(seconds=taken))))
    row, exact = stats.total(), sorted(seconds)
    for share, found in ((0.50, row.latency_p50_s), (0.95, row.latency_p95_s), (0.99, row.latency_p99_s)):
        assert found == pytest.approx(exact[math.ceil(share * len(exact)) - 1], rel=0.0101)


def test_one_page_is_all_percentiles() -> None:
    """The smallest run has figures too."""
    stats = run_stats(Clock())
    stats.commit(counts(ok_page(document())))
    row = stats.total()
    assert (row.latency_p50_s, row.latency_p50_s) == (row.latency_p95_s, row.latency_p99_s)
    assert row.latency_p50_s == pytest.approx(3, rel=0.01)


def test_rates_are_unknown_without_pages_or_time() -> None:
    """Nothing is divided by zero, and nothing unknown is shown as zero."""
    row = run_stats(Clock()).total()
    assert (row.pages_per_hour, row.busy_share, row.success_rate, row.latency_p99_s) == (None,) * 4


def test_cost_follows_price_and_time() -> None:
    """Two dollars an hour, half an hour, two pages."""
    clock = Clock()
    stats = run_stats(clock, cost=CostConfig(price_per_hour=Decimal(2)))
    clock.forward(minutes=30)
    stats.commit(counts(ok_page(document())))
    stats.commit(counts(failed_page(document())))
    row = stats.total()
    assert (row.cost, row.cost_per_1000_pages, row.currency) == (Decimal("1.000000"), Decimal("500.000000"), "USD")


def test_cost_of_runs_in_several_currencies_is_not_added() -> None:
    """A sum of dollars and euros is no figure."""
    rows = []
    for currency in ("USD", "EUR"):
        clock = Clock()
        stats = run_stats(clock, cost=CostConfig(price_per_hour=Decimal(2), currency=currency))
        clock.forward(hours=1)
        rows += stats.hours()
    assert total(rows).cost is None


def test_an_hour_without_time_does_not_hide_what_the_others_cost() -> None:
    """A page finished in it, but the run that is counted anew had no time there."""
    clock = Clock()
    stats = run_stats(clock, cost=CostConfig(price_per_hour=Decimal(2)))
    clock.forward(hours=1)
    stats.close()
    row = total([HourRow(hour=NOON - timedelta(hours=1), pages_ok=1), *stats.hours()])
    assert (row.cost, row.price_per_hour, row.currency, row.pages) == (Decimal(2), Decimal(2), "USD", 1)


def metrics(hits: float, queries: float, usage: float) -> EngineMetrics:
    """Return figures as the vLLM engine gives them."""
    return EngineMetrics(
        gauges={"kv_cache_usage": usage}, counters={"prefix_cache_hits": hits, "prefix_cache_queries": queries}
    )


def test_prefix_cache_counters_are_booked_by_hour_and_survive_a_new_engine() -> None:
    """A rebuilt engine counts from zero again."""
    clock = Clock()
    stats = run_stats(clock)
    stats.sample(metrics(50, 100, 0.2))
    clock.forward(minutes=50)
    stats.sample(metrics(80, 200, 0.6))
    clock.forward(minutes=20)
    stats.sample(metrics(10, 20, 0.1))
    first, second = stats.hours()
    assert (first.prefix_cache_hits, first.prefix_cache_queries, first.prefix_cache_hit_rate) == (80, 200, 0.4)
    assert (second.prefix_cache_hits, second.prefix_cache_queries) == (10, 20)
    assert first.kv_cache_usage == pytest.approx(0.4)
    assert first.kv_cache_usage_max == 0.6


def test_gpu_columns_are_null_without_a_gpu() -> None:
    """Null says "not measured"; zero would say "idle"."""
    row = run_stats(Clock()).total()
    assert {getattr(row, name) for name in dir(row) if name.startswith("gpu_")} == {None}


def test_gpu_samples_are_folded_into_their_hour() -> None:
    """Means of shares and watts, the peak of memory, the sum of energy."""
    clock = Clock()
    waiting = [
        GpuSample(clock.now, 0.5, 10, 24, 200.0, 1.0),
        GpuSample(clock.now + 1, 1.0, 20, 24, 300.0, 2.0),
    ]
    all_read = threading.Event()

    def read() -> GpuSample | None:
        """Return the next sample."""
        if waiting:
            return waiting.pop(0)
        all_read.set()
        return None

    stats = run_stats(clock, gpu=GpuSampler("1 x Test", read, interval_s=0.001))
    clock.forward(minutes=1)
    all_read.wait()
    stats.close()
    row = stats.total()
    assert (row.gpu_name, row.gpu_utilisation, row.gpu_power_w) == ("1 x Test", 0.75, 250.0)
    assert (row.gpu_memory_used_bytes, row.gpu_memory_total_bytes, row.gpu_energy_wh) == (20, 24, 3.0)


def test_sampling_is_off_where_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """CUDA_VISIBLE_DEVICES="" hides what a machine has; most machines have nothing."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert open_gpu_sampler() is None


def test_statistics_come_back_from_parquet_and_are_replaced_whole(tmp_path: Path) -> None:
    """They are put at each commit; the last ones stand."""
    storage, clock = open_storage(str(tmp_path)), Clock(NOON - timedelta(minutes=1))
    stats = run_stats(clock, cost=CostConfig(price_per_hour=Decimal("1.5"), currency="EUR"))
    stats.put(storage)
    clock.forward(minutes=2)
    stats.commit(counts(ok_page(document())))
    stats.put(storage)
    table = pq.read_table(tmp_path / "bill/stats/run-1.parquet")
    assert list(hour_rows(table)) == stats.hours()
    assert table["run_id"].to_pylist() == ["run-1", "run-1"]
    assert table["hour"].to_pylist() == [datetime(2026, 3, 1, hour, tzinfo=UTC) for hour in (11, 12)]
    assert table["pages"].to_pylist() == [0, 1]


def test_total_of_hours_is_that_of_the_run() -> None:
    """Percentiles over hours come from the merged counts, not from means of percentiles."""
    clock = Clock(NOON - timedelta(minutes=30))
    stats = run_stats(clock)
    clock.forward(hours=1)
    for number in range(100):
        finished = NOON + timedelta(seconds=-1 if number < 50 else 1)
        stats.commit(
            counts(ok_page(document(), started_at=finished - timedelta(seconds=number + 1), finished_at=finished))
        )
    row = total(stats.hours())
    assert row.latency_p50_s == pytest.approx(50, rel=0.0101)
    assert row.latency_p95_s == pytest.approx(95, rel=0.0101)
    assert row.pages_per_hour == pytest.approx(100)


def test_without_room_for_temporary_files_there_is_a_storage_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It must not hide what ended the run under a traceback: a full disk, likely enough."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(StorageError, match=r"gone.*TMPDIR"):
        run_stats(Clock()).put(open_storage(str(tmp_path)))


def test_rows_of_a_killed_run_count_as_its_records_did(tmp_path: Path) -> None:
    """Values by verdict, doubts, records to review and broken rules are read from parts where a run cannot say them."""
    storage = open_storage(str(tmp_path))
    unchecked = replace(evidence()[0], verdict=None, confidence=None)
    pages = (
        ok_page(document(num_pages=2)),
        ok_page(document(num_pages=2), 2, evidence=(unchecked,), breaches=(), review_reasons=()),
    )
    commit(storage, "1", pages)
    counted = counts_of_parts(storage, ["bill/documents/part-1.parquet"])
    of_rows, of_records = run_stats(Clock()), run_stats(Clock())
    of_rows.commit(counted)
    of_records.commit(counts(*pages, document_of(*pages)))
    assert of_rows.total() == of_records.total()
    row = of_rows.total()
    assert (row.fields, row.fields_exact, row.fields_not_found, row.fields_unchecked, row.fields_doubtful) == (
        *(3, 1, 1, 1, 1),
    )
    assert (row.pages_unchecked, row.records, row.records_to_review) == (1, 2, 1)
    assert row.breaches_by_rule == (("total_is_sum", 1),)
    told = "\n".join(summary_lines(row))
    assert "values: 3, 1 not found, 1 doubtful, 1 unchecked" in told
    assert "to be reviewed: 1 of 2 records" in told


def test_the_only_record_of_a_killed_run_s_document_counts(tmp_path: Path) -> None:
    """It stands in the row itself."""
    storage, page = open_storage(str(tmp_path)), ok_page(document())
    commit(storage, "1", (page,))
    of_rows, of_records = run_stats(Clock()), run_stats(Clock())
    of_rows.commit(counts_of_parts(storage, ["bill/documents/part-1.parquet"]))
    of_records.commit(counts(page, document_of(page)))
    assert of_rows.total() == of_records.total()
    row = of_rows.total()
    assert (row.records, row.records_to_review, row.breaches_by_rule) == (1, 1, (("total_is_sum", 1),))


def test_older_rows_have_no_checks_to_count(tmp_path: Path) -> None:
    """Their run was killed before the program was replaced by this one."""
    storage = open_storage(str(tmp_path))
    commit(storage, "1", (ok_page(document()),))
    for table, newer in {"pages": ["evidence", "review_reasons"], "documents": ["records"]}.items():
        part = tmp_path / f"bill/{table}/part-1.parquet"
        pq.write_table(pq.read_table(part).drop_columns(newer), part)
    stats = run_stats(Clock())
    stats.commit(counts_of_parts(storage, ["bill/documents/part-1.parquet"]))
    assert (stats.total().pages, stats.total().documents, stats.total().fields) == (1, 1, 0)
