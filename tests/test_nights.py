"""What a run takes and in which order when time, pages or days are limited, and what is said about it beforehand."""

from __future__ import annotations

import json
import os
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from test_resume import RECEIPT, Night, night

from pipeline.admission import Admission
from pipeline.check import check_output
from pipeline.cli import main
from pipeline.config import RunConfig
from pipeline.data import PageRequest
from pipeline.errors import ConfigError
from pipeline.forecast import forecast, forecast_lines
from pipeline.planning import list_places
from pipeline.ready import Readiness
from pipeline.selection import parse_deadline, rank_of
from pipeline.stats import read_runs
from pipeline.storage import open_storage
from pipeline.tally import Tally

__all__ = ["night"]

NOW = datetime(2026, 11, 20, 22, 0, tzinfo=UTC)


def slowly(_: PageRequest) -> str:
    """Take a page in a twentieth of a second, one after the other."""
    time.sleep(0.05)
    return RECEIPT


def sources(night: Night) -> list[str]:
    """Return the documents in the order in which they were read."""
    return list(dict.fromkeys(row[0] for row in night.current("source, finished_at") if row))


def age(night: Night, **days: float) -> None:
    """Set the time of change of documents, by days ago."""
    for name, ago in days.items():
        at = time.time() - ago * 86400
        os.utime(night.input / f"{name}.pdf", (at, at))


# The page budget.


def test_a_page_budget_is_kept_and_the_next_runs_go_on(night: Night) -> None:
    """History is read again at a set number of pages a night, and every page once."""
    first = night.run(page_budget=3)
    assert (first.pages_ok, first.documents_carried_over, first.stopped_by) == (3, 1, "page budget")
    assert sum(night.asked.values()) == 3
    assert first.exit_code == 1
    assert not first.interrupted
    second = night.run(page_budget=3)
    assert (second.pages_ok, second.documents_carried_over, second.stopped_by) == (3, 0, None)
    assert len(night.current()) == 6
    assert check_output(str(night.output)) == []


def test_a_document_longer_than_the_budget_is_read_alone_instead_of_never(night: Night) -> None:
    """Otherwise no night would ever have room for it."""
    reports = [night.run(page_budget=1) for _ in range(3)]
    assert [report.pages_ok for report in reports] == [1, 3, 2]
    assert reports[-1].documents_carried_over == 0


def test_the_input_is_not_searched_for_what_would_fit_into_the_rest_of_a_budget() -> None:
    """Opening a document fetches it: one page is left, and a million documents of two pages follow."""
    admission = Clock(left_s=1e6, page_budget=3).admission
    assert admission.admits(2)
    opened = [number for number in admission.limited(range(10_000)) if not admission.admits(2)]
    assert len(opened) == 100
    assert admission.closed_by == "page budget"


def test_pages_that_need_not_be_read_do_not_count_against_the_budget(night: Night) -> None:
    """A copy costs nothing."""
    night.run()
    (night.input / "0-copy.pdf").write_bytes((night.input / "b.pdf").read_bytes())
    night.write("d.pdf", "d1")
    report = night.run(page_budget=3)
    assert (report.pages_ok, report.pages_reused, report.documents_carried_over) == (4, 3, 0)


def test_why_documents_are_carried_over_stands_in_the_runs_table(night: Night) -> None:
    """Who looks in the morning sees a plan that was kept, not a fault."""
    night.run(page_budget=3)
    (row,) = read_runs(open_storage(str(night.output)), "receipt")
    assert (row.state, row.stopped_by, row.documents_carried_over) == ("finished", "page budget", 1)


# The deadline.


def test_a_run_is_done_by_its_deadline_and_the_next_one_reads_the_rest(night: Night) -> None:
    """Twelve seconds are too few for four hundred pages; nothing is lost and nothing is read twice."""
    for number in range(40):
        night.write(f"d{number:02}.pdf", *(f"{number} {page}" for page in range(10)))
    due = datetime.now(UTC) + timedelta(seconds=12)
    first = night.run(slowly, deadline=due.isoformat())
    assert datetime.now(UTC) < due
    assert first.stopped_by == "deadline"
    assert 0 < first.documents_carried_over < 43
    asked = sum(night.asked.values())
    second = night.run()
    assert second.documents_carried_over == 0
    assert asked + sum(night.asked.values()) == 406
    assert len(night.current()) == 406
    assert check_output(str(night.output)) == []


def test_after_its_deadline_a_run_loads_no_engine(night: Night) -> None:
    """A nightly run that queued until the morning must not begin then."""
    report = night.run(deadline=(datetime.now(UTC) - timedelta(minutes=1)).isoformat())
    assert not night.asked
    assert (report.documents, report.documents_carried_over, report.stopped_by) == (0, 3, "deadline")


class Clock:
    """A time that tests set, and a tally of an engine that reads two pages a second."""

    def __init__(self, *, left_s: float, pages_per_s: float | None = 2.0, page_budget: int | None = None) -> None:
        self.now = NOW
        self.stop = threading.Event()
        self.tally = Tally(lambda _: None)
        self.admission = Admission(
            self.tally,
            self.stop,
            deadline_at=NOW + timedelta(seconds=left_s),
            page_budget=page_budget,
            expected_pages_per_s=pages_per_s,
            now=lambda: self.now,
        )


def test_a_document_that_cannot_be_done_in_time_is_passed_over_for_shorter_ones() -> None:
    """Half an hour is left: room for 3,000 pages, and the night is not over because of one of 5,000."""
    clock = Clock(left_s=1800)
    assert clock.admission.admits(100)
    clock.tally.opened(100)
    assert not clock.admission.admits(5000)
    assert clock.admission.admits(200)
    assert clock.admission.closed_by == "deadline"
    assert not clock.admission.is_set()


def test_no_document_is_opened_that_could_not_be_read_any_more() -> None:
    """What is already open takes all the time that is left."""
    clock = Clock(left_s=60)
    assert list(clock.admission.limited([1, 2])) == [1, 2]
    clock.tally.opened(100)
    assert list(clock.admission.limited([3])) == []


def test_at_the_last_minute_the_engine_gets_no_more_pages() -> None:
    """Estimates err; what it holds must still be finished and committed."""
    clock = Clock(left_s=100)
    clock.admission.pages_in_engine = 100
    assert not clock.admission.is_set()
    clock.now += timedelta(seconds=50)
    assert clock.admission.is_set()


def test_without_a_rate_everything_is_taken_until_there_is_one() -> None:
    """The first run of an output knows nothing."""
    clock = Clock(left_s=100, pages_per_s=None)
    assert clock.admission.admits(1000)
    assert clock.admission.admits(1000)


def test_somebody_elses_stop_is_the_admissions_too() -> None:
    """Ctrl-C before the deadline."""
    clock = Clock(left_s=1000)
    assert not clock.admission.is_set()
    clock.stop.set()
    assert clock.admission.is_set()


@pytest.mark.parametrize(
    ("text", "hours"), [("8h", 8), ("90m", 1.5), ("2026-11-21T04:00Z", 6), ("2026-11-20T21:00+00:00", -1)]
)
def test_a_deadline_is_a_length_or_a_time(text: str, hours: float) -> None:
    """As people say it."""
    assert parse_deadline(text, NOW) == NOW + timedelta(hours=hours)


def test_a_time_of_day_is_the_next_one_on_the_local_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """06:00 is tomorrow's when it is 22:00, on the day that clocks change too."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        assert parse_deadline("06:00", NOW) == datetime(2026, 11, 21, 5, tzinfo=UTC)
        assert parse_deadline("23:30", NOW) == datetime(2026, 11, 20, 22, 30, tzinfo=UTC)
        assert parse_deadline("6:00", datetime(2026, 10, 24, 20, tzinfo=UTC)) == datetime(2026, 10, 25, 5, tzinfo=UTC)
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("text", ["", "soon", "25:00", "8", "0600"])
def test_what_is_no_deadline_is_told(text: str) -> None:
    """The message says what is accepted."""
    with pytest.raises(ValueError, match="06:00"):
        parse_deadline(text, NOW)


# Order.


def test_the_most_important_documents_come_first(night: Night) -> None:
    """Under a budget that ends the night early, order decides."""
    (night.input / "urgent").mkdir()
    night.write("urgent/z.pdf", "z1")
    assert night.run(page_budget=1, priority=["urgent/*"]).pages_ok == 1
    assert [row[0] for row in night.current()] == ["z.pdf"]


@pytest.mark.parametrize(("order", "first"), [("name", "a.pdf"), ("oldest", "c.pdf"), ("newest", "b.pdf")])
def test_documents_come_in_the_order_that_is_asked_for(night: Night, order: str, first: str) -> None:
    """One document is taken: the first of them."""
    age(night, a=2, b=1, c=3)
    night.run(limit=1, order=order)
    assert {row[0] for row in night.current()} == {first}


def test_what_nobody_has_read_comes_before_what_is_read_again(night: Night) -> None:
    """After a change of settings history fills the rest of the night, and does not delay what is new."""
    night.run()
    night.write("z.pdf", "z1")
    report = night.run(limit=2, date_order="month-first")
    assert (report.documents, report.pages_ok) == (2, 2)
    assert [row[0] for row in night.current()] == ["a.pdf", "b.pdf", "b.pdf", "b.pdf", "c.pdf", "c.pdf", "z.pdf"]


def test_patterns_fit_the_end_of_a_path_from_a_folder_on() -> None:
    """`urgent/*` means a folder of that name, wherever it lies, and no other."""
    assert rank_of("file:///in/urgent/a%20b.pdf", ["urgent/*"]) == 0
    assert rank_of("file:///in/noturgent/a.pdf", ["urgent/*"]) == 1
    assert rank_of("s3://bucket/2026/x.pdf", ["urgent/*", "s3://bucket/*"]) == 1


def test_only_new_leaves_everything_that_was_read_whatever_came_of_it(night: Night) -> None:
    """A watched folder is not read again and again because of a file that stays encrypted."""
    (night.input / "broken.pdf").write_bytes(b"no document")
    night.run()
    again = night.run(only_new=True, date_order="month-first")
    assert (again.documents, again.documents_skipped, again.documents_skipped_failed) == (0, 4, 1)
    night.write("d.pdf", "d1")
    assert night.run(only_new=True, date_order="month-first").pages_found == 1


def test_until_leaves_out_what_changed_then_or_later(night: Night) -> None:
    """A range of days: the first is in it, the last is not."""
    age(night, a=5, b=3, c=1)
    assert night.run(since="4d", until="2d").documents == 1
    assert {row[0] for row in night.current()} == {"b.pdf"}


# An input with a place per day.


def dated(night: Night) -> dict[str, Any]:
    """Lay the documents out by day; return an input that names the days."""
    for day, name in (("2026/11/18", "a"), ("2026/11/20", "b"), ("2026/11/21", "c")):
        place = night.input / day
        place.mkdir(parents=True)
        (night.input / f"{name}.pdf").rename(place / f"{name}.pdf")
    return {"input": f"{night.input}/{{date:%Y/%m/%d}}"}


def test_a_place_per_day_is_read_for_the_days_of_the_range(night: Night) -> None:
    """Days without a place have no documents; when the files were changed does not matter."""
    place = dated(night)
    report = night.run(**place, since="2026-11-18", until="2026-11-21")
    assert report.pages_ok == 4
    assert {row[0] for row in night.current()} == {"a.pdf", "b.pdf"}


def test_a_place_per_day_needs_to_know_from_which_day_on(night: Night) -> None:
    """Nobody means every day since 1970."""
    with pytest.raises(ConfigError, match="since"):
        night.run(**dated(night))


def test_days_without_any_document_are_told(night: Night) -> None:
    """A wrong format of the date looks like that."""
    with pytest.raises(ConfigError, match="2025-01-01 to 2025-01-02"):
        night.run(**dated(night), since="2025-01-01", until="2025-01-03")


def test_days_from_which_everything_was_moved_are_no_error(night: Night, tmp_path: Path) -> None:
    """Nothing came since: what is read does not lie there any more."""
    place: dict[str, Any] = {**dated(night), "since": "2026-11-18", "until": "2026-11-22"}
    place["input_files"] = {"after": "move", "moved_to": str(tmp_path / "done")}
    assert night.run(**place).documents == 3
    assert night.run(**place).documents == 0


def test_why_no_day_can_be_listed_is_told(night: Night) -> None:
    """A wrong place is not taken for days without documents."""
    with pytest.raises(ConfigError, match="no storage"):
        night.run(input="s4://bucket/{date}", since="2026-11-18")
    with pytest.raises(ConfigError, match="does not exist"):
        night.run(input=f"{night.input}/missing/{{date}}", since="2026-11-18", only_new=True)


def test_a_place_that_many_days_share_is_listed_once(night: Night) -> None:
    """A place per month."""
    (night.input / "2026-11").mkdir()
    (night.input / "a.pdf").rename(night.input / "2026-11" / "a.pdf")
    config = config_of(night, input=f"{night.input}/{{date:%Y-%m}}", since="2026-11-01", until="2026-11-30")
    assert [Path(ref.uri).name for ref in list_places(config, Readiness())] == ["a.pdf"]


def test_a_range_that_ends_before_it_begins_is_told(night: Night) -> None:
    """Both ends are said."""
    with pytest.raises(ConfigError, match="no range"):
        night.run(**dated(night), since="2026-11-20", until="2026-11-20")


# The forecast.


def config_of(night: Night, **settings: object) -> RunConfig:
    """Return a configuration like those of the night's runs, for the engine that a forecast finds here."""
    defaults = {"input": str(night.input), "output": str(night.output), "extraction": "receipt", "engine": "ocr"}
    return RunConfig.model_validate({**defaults, **settings})


def test_a_forecast_says_what_earlier_runs_tell(night: Night) -> None:
    """Pages per document and speed are those of the run before; money follows."""
    main(["run", str(night.input), str(night.output), "--extraction", "receipt", "--engine", "ocr", "--limit", "2"])
    (row,) = read_runs(open_storage(str(night.output)), "receipt")
    found = forecast(config_of(night, cost={"price_per_hour": "3.6"}))
    assert (found.documents, found.documents_skipped, found.pages) == (1, 2, 2)
    assert found.pace.pages_per_document == 2
    assert row.reading_s is not None
    assert found.pace.pages_per_hour == pytest.approx(4 * 3600 / row.reading_s)
    assert found.duration is not None
    assert float(found.cost or 0) == pytest.approx(found.duration.total_seconds() / 1000)


def test_a_forecast_counts_the_nights_of_a_budget(night: Night) -> None:
    """A new prompt re-reads history at so many pages a night."""
    main(["run", str(night.input), str(night.output), "--extraction", "receipt", "--engine", "ocr"])
    found = forecast(config_of(night, date_order="month-first", page_budget=4))
    assert (found.documents, found.documents_again, found.pages, found.pages_in_time, found.runs) == (3, 3, 6, 4, 2)


def test_a_first_forecast_claims_nothing(night: Night) -> None:
    """What nothing is known of is not made up."""
    found = forecast(config_of(night))
    assert (found.documents, found.pages, found.duration, found.cost) == (3, None, None, None)
    assert any("No earlier run" in line for line in forecast_lines(found))


def test_a_forecast_counts_by_day(night: Night) -> None:
    """Progress of a backfill: what is done of each day."""
    place = dated(night)
    night.run(**place, since="2026-11-18", until="2026-11-19")
    found = forecast(config_of(night, **place, since="2026-11-18", until="2026-11-22", only_new=True))
    assert [(one.name, one.documents, one.documents_done) for one in found.partitions] == [
        ("2026-11-18", 1, 1),
        ("2026-11-20", 1, 0),
        ("2026-11-21", 1, 0),
    ]


def test_a_dry_run_reads_and_writes_nothing(night: Night, capsys: pytest.CaptureFixture[str]) -> None:
    """It may be asked on any machine at any time."""
    assert main(["run", str(night.input), str(night.output), "--extraction", "receipt", "--dry-run", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["event"], said["documents"]) == ("forecast", 3)
    assert not Path(night.output).exists()


def test_runs_of_one_job_share_its_budget_and_limit(night: Night) -> None:
    """A run that gave way or was killed goes on with what it has left, and not with as much again."""
    assert night.run(page_budget=4, job="backfill", limit=2).pages_ok == 4
    again = night.run(page_budget=4, job="backfill")
    assert (again.pages_ok, again.documents_carried_over, again.stopped_by) == (0, 1, "page budget")
    assert night.run(limit=2, job="backfill").documents == 0
    assert night.run(page_budget=4, job="another").pages_ok == 2
