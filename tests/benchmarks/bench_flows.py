"""What Prefect costs around a run: 10,000 pages of an instant engine, with and without the flow.

    python -m tests.benchmarks.bench_flows                         # all parts, a quarter of an hour
    taskset -c 0,1 python -m tests.benchmarks.bench_flows cost --pages 10000 --rounds 3
    python -m tests.benchmarks.bench_flows arrival --drops 5
    python -m tests.benchmarks.bench_flows outage

cost: the same input through pipeline.run.run, through the flow called in a process of its own, and
through a deployment, all three with a process that starts from nothing, in turns. arrival: from a
file dropped to the run that reads it, everything at its defaults. outage: the server is killed in
the middle of a run for 30 s. Server on SQLite, worker and watcher are real processes.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pyarrow.dataset as ds

from tests.benchmarks.bench_overhead import write_input
from tests.prefect_flows.processes import ROOT, PrefectServer, Process, wait_until

ENTRYPOINT = "tests/benchmarks/instant_ocr.py:ocr"
OUTAGE_S = 30.0
GIVE_UP_S = 1800.0
PACES = (14.0, 2.0)
"""Pages a second of a run on a GPU and on a small machine."""
BATCH_WAIT = "looks every 10 s, a file settles for 10 s, a batch waits 20 s for others"


class Cost(NamedTuple):
    """What one run took."""

    wall_s: float
    """From when it was asked for to when its caller knew of its end."""
    cpu_s: float
    """Of its process and the render workers."""
    before_s: float
    """Of wall_s, until the run began."""
    run_s: float
    after_s: float


class Stage:
    """A Prefect server with the deployments of `ocr`, and a worker."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.costs = folder / "costs"
        self.server = PrefectServer(folder)
        self.environment = {**self.server.environment, "BENCH_FLOWS_COSTS": str(self.costs), **environment}
        self.worker = self.program("flows.worker")

    def program(self, *words: str) -> Process:
        """Return a module as a program that is not started yet."""
        return Process([sys.executable, "-m", *words], self.environment, self.folder / f"{words[0]}.log")

    @contextmanager
    def open(self) -> Iterator[None]:
        """Start all of it."""
        with self.server:
            environment = {**os.environ, **self.environment}
            subprocess.run([sys.executable, "-m", "flows.deploy"], cwd=ROOT, env=environment, check=True, stdout=-3)
            for name in ("nightly", "inbox"):
                made = f"{self.server.url}/deployments/{self.deployment(name)}"
                httpx.patch(made, json={"entrypoint": ENTRYPOINT}).raise_for_status()
            with self.worker:
                wait_until(lambda: self.server.ask("work_pools/gpu/workers/filter", {}), "a worker")
                yield

    def deployment(self, name: str) -> str:
        """Return a deployment's id."""
        return str(self.server.ask(f"deployments/name/ocr/{name}")["id"])

    def start(self, **parameters: object) -> str:
        """Ask for a nightly run and return its id."""
        path = f"deployments/{self.deployment('nightly')}/create_flow_run"
        return str(self.server.ask(path, {"parameters": parameters, "state": {"type": "SCHEDULED"}})["id"])

    def finished(self, flow_run: str) -> dict[str, Any]:
        """Return a flow run once it is over; AssertionError unless it completed."""

        def look() -> dict[str, Any] | None:
            found: dict[str, Any] = self.server.ask(f"flow_runs/{flow_run}")
            return found if found["state_type"] in {"COMPLETED", "FAILED", "CANCELLED"} else None

        run = wait_until(look, f"the end of {flow_run}", give_up_s=GIVE_UP_S)
        assert run["state_type"] == "COMPLETED", run["state"]["message"]
        return run


def run_row(output: Path) -> dict[str, Any]:
    """Return what a run says of itself in its output."""
    [row] = ds.dataset(output / "receipt" / "runs", format="parquet").to_table().to_pylist()
    return dict(row)


def cost_of(output: Path, asked_at: float, known_at: float, cpu_s: float) -> Cost:
    """Divide up the time of a run by what it says of itself."""
    row = run_row(output)
    began_at, ended_at = row["started_at"].timestamp(), row["finished_at"].timestamp()
    return Cost(known_at - asked_at, cpu_s, began_at - asked_at, ended_at - began_at, known_at - ended_at)


def in_process(program: str, stage: Stage, documents: Path, output: Path) -> Cost:
    """Run a few lines of Python in a new process."""
    code = program.format(input=str(documents), output=str(output))
    asked_at, before = time.time(), resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, **stage.environment}
    log = (stage.folder / "in-process.log").open("ab")
    with log:
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=True, stdout=log, stderr=log)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    return cost_of(output, asked_at, time.time(), cpu_s)


DIRECT = """
from pipeline.config import RunConfig
from pipeline.run import run
from tests.benchmarks.instant import instant_choice
run(RunConfig(input={input!r}, output={output!r}, extraction="receipt"), engine=instant_choice())
"""
FLOW = """
from tests.benchmarks.instant_ocr import ocr
ocr(input={input!r}, output={output!r}, extraction="receipt")
"""


def deployed(stage: Stage, documents: Path, output: Path) -> Cost:
    """Have the worker run it."""
    asked_at = time.time()
    flow_run = stage.start(input=str(documents), output=str(output), extraction="receipt")
    run = stage.finished(flow_run)
    known_at = datetime.fromisoformat(run["end_time"]).timestamp()
    cpu_s = float(wait_until(lambda: stage.costs.exists() and stage.costs.read_text(), "its process to end"))
    return cost_of(output, asked_at, known_at, cpu_s)


def assert_every_page_once(output: Path, num_pages: int) -> None:
    """Say so when one is lost or doubled."""
    rows = ds.dataset(output / "receipt" / "pages", format="parquet").to_table(columns=["source_uri", "page_number"])
    found = {(row["source_uri"], row["page_number"]) for row in rows.to_pylist()}
    assert len(rows) == len(found) == num_pages, f"{len(rows)} rows of {len(found)} pages, not {num_pages}"


def measure_costs(folder: Path, num_pages: int, rounds: int, sides_px: tuple[int, int]) -> None:
    """Print what a run costs in three ways, and what that is of runs of several speeds."""
    write_input(folder / "in", num_pages, sides_px)
    stage = Stage(folder, {})
    costs: dict[str, list[Cost]] = {"pipeline.run": [], "flow, in process": [], "flow, deployed": []}
    with stage.open():
        for turn in range(rounds):
            for name, found in costs.items():
                output = folder / f"{name} {turn}"
                stage.costs.unlink(missing_ok=True)
                match name:
                    case "pipeline.run":
                        found.append(in_process(DIRECT, stage, folder / "in", output))
                    case "flow, in process":
                        found.append(in_process(FLOW, stage, folder / "in", output))
                    case _:
                        found.append(deployed(stage, folder / "in", output))
                assert_every_page_once(output, num_pages)
                print(f"{name:17}", "  ".join(f"{key} {value:7.2f}" for key, value in found[-1]._asdict().items()))
    print()
    print_shares(num_pages, {name: median(found) for name, found in costs.items()})


def median(costs: list[Cost]) -> Cost:
    """Return the median of each figure."""
    return Cost(*(statistics.median(figures) for figures in zip(*costs, strict=True)))


def print_shares(num_pages: int, costs: dict[str, Cost]) -> None:
    """Print what a flow adds to a run, as seconds and shares."""
    direct = costs.pop("pipeline.run")
    for name, cost in costs.items():
        added = {
            "around the run": cost.before_s + cost.after_s - direct.before_s - direct.after_s,
            "within the run": cost.run_s - direct.run_s,
            "of CPU time": cost.cpu_s - direct.cpu_s,
        }
        for what, seconds in added.items():
            shares = [f"{seconds / direct.wall_s:7.2%} of this run"]
            shares += [f"{seconds / (num_pages / pace):6.2%} at {pace:g} pages/s" for pace in PACES]
            print(f"{name} adds {seconds:6.2f} s {what:14}  {'  '.join(shares)}")


def measure_arrival(folder: Path, drops: int) -> None:
    """Print how long it takes from a file in the input to the run that reads it."""
    (folder / "inbox").mkdir()
    where = {"PAGEMILL_INPUT": f"{folder}/inbox", "PAGEMILL_OUTPUT": f"{folder}/out", "PAGEMILL_EXTRACTION": "receipt"}
    stage = Stage(folder, where)
    took = []
    with stage.open(), stage.program("flows.watch"):
        time.sleep(15)
        for number in range(drops):
            time.sleep(3.7 * number % 10)  # at another moment between two looks
            write_input(folder / f"made {number}", 50, (56, 56))
            [made] = (folder / f"made {number}").iterdir()
            made.write_bytes(made.read_bytes() + str(number).encode())
            made.rename(folder / "inbox" / f"{number}.tiff")
            took.append(arrival(stage, time.time(), number + 1))
            print(f"dropped -> run started {took[-1][0]:5.1f} s  pages being read {took[-1][1]:5.1f} s", flush=True)
    print(f"longest: {max(took)[0]:.1f} s; {BATCH_WAIT}")


def arrival(stage: Stage, dropped_at: float, number: int) -> tuple[float, float]:
    """Return the seconds until the flow run is Running, and until the pipeline in it has begun."""
    asked = {"deployments": {"name": {"any_": ["inbox"]}}, "sort": "EXPECTED_START_TIME_DESC"}

    def look() -> dict[str, Any] | None:
        found = stage.server.ask("flow_runs/filter", asked)
        return found[0] if len(found) == number and found[0]["state_type"] == "COMPLETED" else None

    run = wait_until(look, f"run {number} of ocr/inbox", give_up_s=180)
    rows = ds.dataset(stage.folder / "out" / "receipt" / "runs", format="parquet").to_table().to_pylist()
    began_at = max(row["started_at"] for row in rows).timestamp()
    return datetime.fromisoformat(run["start_time"]).timestamp() - dropped_at, began_at - dropped_at


def measure_outage(folder: Path, num_pages: int, sides_px: tuple[int, int]) -> None:
    """Kill the server in the middle of a run, bring it back, and count the pages."""
    write_input(folder / "in", num_pages, sides_px)
    stage = Stage(folder, {"BENCH_FLOWS_PAGES_PER_S": "100"})
    output = folder / "out"
    with stage.open():
        flow_run = stage.start(input=f"{folder}/in", output=str(output), extraction="receipt")
        pages = output / "receipt" / "pages"
        wait_until(lambda: pages.exists() and any(pages.iterdir()), "the first part", give_up_s=GIVE_UP_S)
        stage.server.kill()
        killed_at = datetime.now(UTC)
        time.sleep(OUTAGE_S)
        stage.server.start()
        away_s = (datetime.now(UTC) - killed_at).total_seconds()
        run = stage.finished(flow_run)
    row = run_row(output)
    assert_every_page_once(output, num_pages)
    assert row["started_at"] < killed_at < row["finished_at"], "the run was over before"
    began, ended = row["started_at"], row["finished_at"]
    late_s = (datetime.fromisoformat(run["end_time"]) - ended).total_seconds()
    into_s = (killed_at - began).total_seconds()
    print(f"server away for {away_s:.0f} s, {into_s:.0f} s into a run of {(ended - began).total_seconds():.0f} s:")
    print(f"{run['state_name']}, all {num_pages} pages once; the server knew of the end {late_s:.1f} s after it")


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help="cost, arrival, outage (default: all)")
    parser.add_argument("--pages", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--drops", type=int, default=3)
    parser.add_argument("--sides", type=int, nargs=2, default=[896, 1120], help="width and height in pixels")
    arguments = parser.parse_args()
    sides = tuple(arguments.sides)
    for part in arguments.parts or ["cost", "arrival", "outage"]:
        with tempfile.TemporaryDirectory(prefix="bench-flows-") as folder:
            match part:
                case "cost":
                    measure_costs(Path(folder), arguments.pages, arguments.rounds, sides)
                case "arrival":
                    measure_arrival(Path(folder), arguments.drops)
                case "outage":
                    measure_outage(Path(folder), arguments.pages, sides)
                case _:
                    parser.error(f"{part}: choose cost, arrival or outage")


if __name__ == "__main__":
    main()
