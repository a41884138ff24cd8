"""Where the time of a run goes: every second once, under its name; and what is said of it."""

from __future__ import annotations

import json
import random
import re
import time
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pymupdf
import pytest
from made_records import NOON, document, identity, ok_page

from pipeline.config import CostConfig, RunConfig
from pipeline.data import AnsweredBy, EngineMetrics, PageRequest, Supply
from pipeline.engines import EngineChoice
from pipeline.engines.scripted import ScriptedEngine
from pipeline.run import run
from pipeline.show.spent import shares, verdict
from pipeline.show.statistics import hour_table, summary_lines
from pipeline.stats import OVERLAYS, PAGE_COLUMNS, PARTITION, Counts, HourRow, RunStats, hour_rows, total
from pipeline.storage import open_storage

BUSY = ("waiting_prepare_s", "prefill_s", "decode_s", "busy_other_s")


class Night:
    """A run in simulated time that begins half an hour before noon."""

    def __init__(self, *, slots: int = 4, price: int | None = None) -> None:
        self.now = NOON.timestamp() - 1800
        cost = CostConfig(price_per_hour=Decimal(price)) if price else CostConfig()
        self.stats = RunStats(identity(), cost, clock=lambda: self.now)
        self.stats.times.slots = slots

    def phase(self, name: str, seconds: float = 0) -> None:
        """Enter a phase and stay in it."""
        self.stats.times.enter(name)
        self.now += seconds

    def holds(self, pages: int, supply: Supply, seconds: float) -> None:
        """Have pages in the engine for a while."""
        self.stats.times.in_engine(pages, supply)
        self.now += seconds

    def engine_says(self, **counters: float) -> None:
        """Take an engine's counters."""
        self.stats.sample(EngineMetrics(counters=counters))

    def spent(self) -> dict[str, float]:
        """Return the parts that are not 0, overlays included."""
        row = self.stats.total()
        return {name: seconds for name in (*PARTITION, *OVERLAYS) if (seconds := getattr(row, name))}


def test_each_second_is_booked_under_what_the_run_did() -> None:
    """From the wait for the output to the last commit."""
    night = Night()
    night.phase("waiting", 1)
    night.phase("listing", 2)
    night.phase("loading the engine", 4)
    night.phase("checking the engine", 8)
    night.phase("reading", 16)  # no page yet
    night.holds(4, Supply.READY, 32)
    night.holds(0, Supply.LATE, 64)
    night.holds(9, Supply.LATE, 128)
    night.holds(3, Supply.LATE, 256)
    night.holds(3, Supply.NONE, 512)
    night.holds(0, Supply.NONE, 1024)
    night.phase("committing", 2048)
    assert night.spent() == {
        "starting_s": 1 + 2 + 4 + 8,
        "waiting_render_s": 16 + 64,
        "busy_other_s": 32 + 128 + 256 + 512,
        "ending_s": 1024 + 2048,
        "starved_render_s": 16 + 64 + 256,  # nine pages are more than the engine works on at once
        "tail_s": 512,
    }


def test_an_engine_that_is_loaded_again_is_starting() -> None:
    """Its death costs minutes that are no reading."""
    night = Night()
    night.phase("reading")
    night.holds(2, Supply.READY, 10)
    night.holds(0, Supply.LATE, 1)
    night.phase("loading the engine", 100)
    night.phase("reading")
    night.holds(2, Supply.READY, 10)
    assert night.spent() == {
        "starting_s": 100,
        "waiting_render_s": 1,
        "busy_other_s": 20,
        "starved_render_s": 1,
    }


def test_what_the_engine_tells_divides_the_time_in_which_it_held_pages() -> None:
    """What it did before, on known pages, is part of starting; a new engine counts from 0."""
    night = Night()
    night.phase("checking the engine", 50)
    night.engine_says(prefill_s=7, decode_s=9)
    night.phase("reading")
    night.holds(4, Supply.READY, 100)
    night.engine_says(waiting_prepare_s=5, prefill_s=37, decode_s=69, starved_prepare_s=20)
    night.holds(4, Supply.READY, 10)
    night.engine_says(prefill_s=10)
    assert night.spent() == {
        "starting_s": 50,
        "waiting_prepare_s": 5,
        "prefill_s": 30 + 10,
        "decode_s": 60,
        "busy_other_s": 5,
        "starved_prepare_s": 20,
    }


def test_an_hour_is_never_longer_than_it_was_whatever_the_engine_tells() -> None:
    """It tells of its time some moments late: after the hour, of the hour before."""
    night = Night()
    night.phase("reading")
    night.holds(4, Supply.READY, 1810)
    night.engine_says(prefill_s=600, decode_s=1200)
    before, after = night.stats.hours()
    assert (before.busy_other_s, before.busy_s) == (1800, 1800)
    assert (after.prefill_s, after.decode_s, after.busy_other_s) == pytest.approx((10 / 3, 20 / 3, 0))


@pytest.mark.parametrize("seed", range(5))
def test_the_parts_of_every_hour_are_the_time_that_the_run_ran(seed: int) -> None:
    """Whatever happens, in whatever order."""
    draw, night = random.Random(seed), Night()
    begun, told = night.now, dict.fromkeys(("waiting_prepare_s", "prefill_s", "decode_s", "starved_prepare_s"), 0.0)
    for _ in range(400):
        night.now += draw.expovariate(1 / 40)
        match draw.randrange(4):
            case 0:
                night.phase(draw.choice(["listing", "loading the engine", "reading", "reading", "committing"]))
            case 1:
                told = {name: draw.uniform(0, 30) + draw.choice([0, seconds]) for name, seconds in told.items()}
                night.engine_says(**told)
            case _:
                night.holds(draw.choice([0, 1, 4, 9]), draw.choice(list(Supply)), draw.uniform(-1, 5))
    hours = night.stats.hours()
    assert len(hours) > 3
    for row in [*hours, total(hours)]:
        assert sum(getattr(row, name) for name in PARTITION) == pytest.approx(row.wall_s)
        assert sum(getattr(row, name) for name in BUSY) == pytest.approx(row.busy_s)
        assert all(0 <= getattr(row, name) <= row.wall_s for name in (*PARTITION, *OVERLAYS))
        assert sum(shares(row).values()) == pytest.approx(1)
    assert total(hours).wall_s == pytest.approx(night.now - begun, abs=400)  # where the clock was set back
    assert [row.wall_s for row in hours[1:-1]] == pytest.approx([3600] * (len(hours) - 2))


def test_hours_of_an_older_version_are_read_and_their_time_is_not_guessed(tmp_path: Path) -> None:
    """Beside newer ones, shares are of the time that is known."""
    night = Night()
    night.phase("reading")
    night.holds(4, Supply.READY, 90)
    night.stats.put(open_storage(str(tmp_path)))
    table = pq.read_table(tmp_path / "bill/stats/run-1.parquet")
    older = list(hour_rows(table.drop_columns([*PARTITION, *OVERLAYS, "pixels_full", "pages_blank", "page_queue_s"])))
    assert {getattr(older[0], name) for name in (*PARTITION, *OVERLAYS)} == {None}
    assert shares(total(older)) == {}
    assert not any(line.startswith("time:") for line in summary_lines(total(older)))
    assert shares(total([*older, *hour_rows(table)]))["busy_other"] == 1


HOUR: dict[str, Any] = {"hour": NOON, "pages_ok": 9, "wall_s": 100.0, "busy_s": 80.0, "page_render_s": 90.0}


@pytest.mark.parametrize(
    ("spent", "told"),
    [
        ({"starting_s": 60, "busy_other_s": 40}, "start-bound: 60% of the time"),
        ({"busy_other_s": 30, "ending_s": 70}, "output-bound: 70% of the time"),
        (
            {"waiting_render_s": 40, "busy_other_s": 40, "starved_render_s": 60},
            "render-bound: for 75% .* render.workers",
        ),
        ({"busy_other_s": 80, "starved_render_s": 40, "page_render_s": 9}, "input-bound: for 50%"),
        ({"decode_s": 80, "starved_prepare_s": 20}, "preparation-bound: for 25% .* vllm.prepare_threads"),
        ({"busy_other_s": 80, "tail_s": 20, "starved_render_s": 9}, "tail-bound: for 25%"),
        ({"prefill_s": 25, "decode_s": 50, "gpu_name": "1 x L4"}, "GPU-bound: prefill 33%, decode 67% .* outputs help"),
        ({"prefill_s": 50, "decode_s": 25}, "engine-bound: prefill 67%, decode 33% .* smaller pages help"),
        ({"prefill_s": 50, "decode_s": 25, "gpu_name": "1 x L4"}, "GPU-bound: .* bench --sweep.* render.max_pixels"),
        ({"starting_s": 3, "busy_other_s": 97}, "engine-bound: it takes the time.* more cores .*--engine vllm"),
        ({"busy_other_s": 97, "gpu_name": "1 x L4"}, "GPU-bound: it takes the time.* bench --sweep"),
    ],
)
def test_what_held_pages_up_is_said_with_what_helps(spent: dict[str, Any], told: str) -> None:
    """One line, whoever runs it need know nothing of columns."""
    line = verdict(HourRow(**(HOUR | spent)))
    assert line is not None
    assert re.match(told, line), line


def test_nothing_is_said_where_nothing_is_known_or_read() -> None:
    """A run that found everything done has no bottleneck."""
    assert verdict(HourRow(**HOUR)) is None
    assert verdict(HourRow(hour=NOON, wall_s=9, starting_s=9)) is None
    assert verdict(HourRow(hour=NOON, wall_s=9, starting_s=1, busy_other_s=8)) is None


def test_files_that_could_not_be_opened_make_no_rate_and_no_price() -> None:
    """Each has a row, but no page of them was read: 2,540 pages an hour would be told of a text file."""
    price: Any = {"price_per_hour": Decimal(2), "cost": Decimal("0.01"), "currency": "EUR"}
    row = HourRow(hour=NOON, pages_failed=3, wall_s=9, starting_s=8.5, ending_s=0.5, **price)
    assert verdict(row) is None
    table = hour_table([row], row)
    cells = {str(column.header): list(column.cells) for column in table.columns}
    assert cells["pages/h"] == ["", ""]
    assert "p50 s" not in cells
    assert "cost: 0.0100 EUR" in summary_lines(row)


def test_pages_that_the_engine_was_spared_make_no_rate_and_no_price_better() -> None:
    """Money is for what was read; the whole input is cheaper by the pages that were not."""
    night = Night(price=2)
    counted, made = Counts(), NOON - timedelta(minutes=29)
    counted.add_page(ok_page(document(), started_at=made, finished_at=made, full_pixels=4 * 840 * 1120))
    for number, answered_by in enumerate((AnsweredBy.BLANK, AnsweredBy.BLANK, AnsweredBy.TEXT_LAYER), 2):
        counted.add_page(ok_page(document(), number, finished_at=made, attempts=(), answered_by=answered_by))
    night.phase("reading")
    night.holds(1, Supply.READY, 900)
    night.stats.commit(counted)
    row = night.stats.total()
    assert (row.pages, row.pages_read, row.pages_spared) == (4, 1, 3)
    assert (row.pages_blank, row.pages_duplicate, row.pages_text_layer) == (2, 0, 1)
    assert (row.pages_per_hour, row.cost, row.cost_per_1000_pages) == (4, Decimal("0.5"), Decimal(500))
    assert sum(pages for _, pages in row.latency_histogram) == 1
    lines = list(summary_lines(row))
    assert "3 pages without the engine: 2 blank, 1 by their text" in lines
    assert "cost: 0.5000 USD, 500.00 per 1,000 pages read" in lines
    assert (
        "images: 0.94 megapixels a page, 75% less than at full size; tokens: 100 in (64 from the cache), 20 out"
        in lines
    )
    assert "a page on average: rendering 0.25 s, waiting in the engine 0.50 s, reading 2.00 s" in lines


def test_rows_of_an_older_version_are_counted() -> None:
    """After a kill the rows are counted anew, whoever wrote them; then every page was read at full size."""
    counted = Counts()
    row = dict.fromkeys(set(PAGE_COLUMNS) - {"answered_by", "full_pixels"}) | {"width_px": 28, "height_px": 56}
    counted.add_page_row(row | {"status": "ok", "started_at": NOON, "finished_at": NOON, "num_tries": 1})
    [(_, found)] = counted.hours()
    assert (found.numbers["pages_ok"], found.numbers["pixels_sent"], found.numbers["pixels_full"]) == (1, 1568, 1568)


def write_pdf(path: Path, *, num_pages: int, num_lines: int) -> None:
    """Write pages of lines, each of them other ones: so many that drawing them takes its time."""
    draw = random.Random(1)
    pdf: Any
    with pymupdf.open() as pdf:  # type: ignore[no-untyped-call]
        for _ in range(num_pages):
            page = pdf.new_page(width=400, height=400)
            page.insert_text((20, 40), "x")
            ends = (f"{draw.random() * 400:.1f} {draw.random() * 400:.1f}" for _ in range(2 * num_lines))
            strokes = "\n".join(f"{start} m {end} l S" for start, end in zip(ends, ends, strict=True))
            pdf.update_stream(page.get_contents()[0], strokes.encode())
        pdf.save(path)


def read(folder: Path, *, num_lines: int, engine_s: float) -> HourRow:
    """Read eight pages one at a time and return where the time went, without what begins and ends a run."""
    (folder / "in").mkdir()
    write_pdf(folder / "in" / "a.pdf", num_pages=8, num_lines=num_lines)

    def answer(_: PageRequest) -> str:
        time.sleep(engine_s)
        return json.dumps({"seller": "Corner Shop", "total": "12,50 €"})

    engine = ScriptedEngine(answer)
    values = {"input": str(folder / "in"), "output": str(folder / "out"), "extraction": "receipt"}
    config = RunConfig.model_validate({**values, "render": {"workers": 1}})
    report = run(config, engine=EngineChoice(engine.info, lambda: engine, max_pixels=600_000))
    assert report.pages_ok == 8
    assert sum(getattr(report.total, name) for name in PARTITION) == pytest.approx(report.total.wall_s)
    return replace(report.total, starting_s=0.0, ending_s=0.0)


def test_a_slow_render_is_told_as_waiting_for_it(tmp_path: Path) -> None:
    """With an engine that answers at once."""
    row = read(tmp_path, num_lines=500, engine_s=0)
    assert shares(row)["waiting_render"] > 0.6
    assert str(verdict(row)).startswith("render-bound")


def test_a_slow_engine_is_told_as_reading(tmp_path: Path) -> None:
    """With pages that are rendered in no time."""
    row = read(tmp_path, num_lines=1, engine_s=0.1)
    assert shares(row)["busy_other"] > 0.8
    assert str(verdict(row)).startswith("engine-bound")
