"""Nights from end to end: real Prefect server, worker, watcher and S3 server; programs are killed in the middle of it.

The worker, its flow runs and the servers are processes of their own. A gate before the S3 server holds back what
a run is about to read, so that each kill meets a run that has committed something and has something left to do.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from prefect_flows.night import Dropped, Night, drop, faults
from prefect_flows.processes import BUCKET, S3, PostgreSQL, PrefectServer, wait_until

from pipeline.check import Audit
from pipeline.storage.holder import from_json

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

GATE = "00[6-9].pdf"
"""What the gate holds back of ten documents: two shards before them can be committed."""
QUICK = ("--poll", "1", "--wait", "2", "--set", "input_files.settle_s=1")
"""A watcher that is in a hurry."""
CANCELLED_WITHIN_S = 20


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    """Start the S3 server."""
    with S3(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory, s3: S3) -> Iterator[Night]:
    """Start what a night needs, with PostgreSQL under the Prefect server."""
    folder = tmp_path_factory.mktemp("night")
    with PostgreSQL() as database, PrefectServer(folder, database.url) as server:
        night = Night(folder, server, s3)
        night.command("flows.deploy")
        with night.worker:
            yield night


def places(name: str) -> dict[str, str]:
    """Return the parameters that say where a test's input and output lie."""
    return {"input": f"s3://{BUCKET}/{name}/in", "output": f"s3://{BUCKET}/{name}/out"}


def assert_every_page_once(night: Night, output: str, dropped: list[Dropped]) -> None:
    """Hold an output against what was dropped, with readers of our own and of `pagemill check`; its lease is free."""
    assert faults(night.s3, output, dropped) == []
    with pytest.MonkeyPatch.context() as environment:
        for name, value in night.s3.environment.items():
            environment.setenv(name, value)
        assert [*Audit(f"s3://{BUCKET}/{output}").problems()] == []
    assert from_json(night.s3.read(f"{output}/transcript/_lease")) is None, "nobody may still hold the lease"


def test_dropped_files_start_a_run_that_outlives_its_worker(night: Night) -> None:
    """Nobody asks for it; the worker and all its processes die in the middle; later files are read too."""
    where = [word for place in places("arriving").items() for word in ("--set", "=".join(place))]
    with night.program("watch", "flows.watch", *QUICK, *where):
        night.s3.close_gate(f"arriving/in/{GATE}")
        dropped = drop(night.s3, "arriving/in", 10)
        first = night.wait_for("inbox", "RUNNING")
        night.wait_for_parts("inbox", "arriving/out", 2)
        night.worker.kill()
        night.s3.open_gate()
        night.worker.start()
        done = night.wait_for("inbox", "COMPLETED", give_up_s=120)
        assert done["id"] == first["id"], "the same run goes on"
        assert_every_page_once(night, "arriving/out", dropped)
        dropped += drop(night.s3, "arriving/in/later", 2)
        wait_until(lambda: len(night.runs("inbox")) == 2, "a second run")
        night.wait_for("inbox", "COMPLETED")
        assert_every_page_once(night, "arriving/out", dropped)


def test_a_nightly_run_reads_what_is_new(night: Night) -> None:
    """By the command of the documentation, and once more: what is read is not read again."""
    dropped = drop(night.s3, "nightly/in", 4)
    given = [word for place in places("nightly").items() for word in ("--param", "=".join(place))]
    night.command("prefect", "deployment", "run", "ocr/nightly", *given)
    night.wait_for("nightly", "COMPLETED")
    dropped += drop(night.s3, "nightly/in/later", 2)
    night.start("nightly", **places("nightly"))
    night.wait_for("nightly", "COMPLETED")
    assert_every_page_once(night, "nightly/out", dropped)


def test_a_backfill_reads_three_days(night: Night) -> None:
    """One place per day; the day after the last one is left alone."""
    days = [f"2026-11-{day}" for day in (17, 18, 19, 20)]
    dropped = [document for day in days for document in drop(night.s3, f"history/{day}", 2)]
    where = {**places("history"), "input": f"s3://{BUCKET}/history/{{date}}/"}
    night.start("backfill", **where, since=days[0], until=days[-1])
    night.wait_for("backfill", "COMPLETED")
    assert_every_page_once(night, "history/out", [document for document in dropped if days[-1] not in document.key])


def test_a_cancelled_run_leaves_no_process_and_another_goes_on(night: Night) -> None:
    """The GPU must be free for the next one, and what was read must count."""
    idle = {process.pid for process in night.worker.tree()}
    night.s3.close_gate(f"cancelled/in/{GATE}")
    dropped = drop(night.s3, "cancelled/in", 10)
    night.start("nightly", **places("cancelled"))
    night.wait_for_parts("nightly", "cancelled/out", 2)
    run = night.wait_for("nightly", "RUNNING")
    night.cancel(run)
    night.wait_for("nightly", "CANCELLED", give_up_s=CANCELLED_WITHIN_S)
    night.s3.open_gate()
    wait_until(lambda: {process.pid for process in night.worker.tree()} <= idle, "an idle worker", give_up_s=10)
    night.start("nightly", **places("cancelled"))
    night.wait_for("nightly", "COMPLETED")
    assert_every_page_once(night, "cancelled/out", dropped)


def test_a_server_that_dies_in_the_middle_of_a_run_loses_no_page(
    tmp_path_factory: pytest.TempPathFactory, s3: S3
) -> None:
    """On SQLite, as a laptop has it: the run goes on without a server and says so when there is one again."""
    folder = tmp_path_factory.mktemp("sqlite")
    with PrefectServer(folder) as server:
        night = Night(folder, server, s3)
        night.command("flows.deploy")
        with night.worker:
            s3.close_gate(f"alone/in/{GATE}")
            dropped = drop(s3, "alone/in", 10)
            night.start("nightly", **places("alone"))
            night.wait_for_parts("nightly", "alone/out", 2)
            server.kill()
            s3.open_gate()
            parts = "alone/out/transcript/documents/"
            wait_until(lambda: len(s3.keys(parts)) == 5, "all parts, without a server")
            server.start()
            night.wait_for("nightly", "COMPLETED", give_up_s=120)
            assert_every_page_once(night, "alone/out", dropped)
