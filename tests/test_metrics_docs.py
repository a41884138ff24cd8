"""Alerts, dashboard and manual speak of figures that runs export, under the names they have there."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from made_records import document, document_of, identity, ok_page
from prometheus_client.parser import text_string_to_metric_families

from pipeline.config import RunConfig
from pipeline.data import EngineMetrics
from pipeline.engines.vllm.metrics import COUNTERS, GAUGES
from pipeline.metrics import open_metrics
from pipeline.stats import GpuSample, GpuSampler, Times
from pipeline.tally import Tally

ROOT = Path(__file__).parent.parent
PROMETHEUS = ROOT / "docker" / "prometheus"
ALERTS = (PROMETHEUS / "alerts.yml").read_text("utf-8")
DASHBOARD: dict[str, Any] = json.loads((ROOT / "docker/grafana/dashboards/pagemill.json").read_text("utf-8"))
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
MANUAL = (ROOT / "docs" / "metrics.md").read_text("utf-8")
OTHERS = {"up", "ALERTS", "node_textfile_scrape_error", "node_filesystem_avail_bytes", "node_filesystem_size_bytes"}
"""Names of Prometheus and node_exporter."""
NO_NAMES = re.compile(
    r'"[^"]*"|\{[^}]*\}|\[[^\]]*\]'  # texts, label matchers, ranges
    r"|\b(by|on|ignoring|group_left)\s*\([^)]*\)"  # lists of labels
    r"|\b[a-z_]+\s*(?=\()"  # functions
    r"|\b(and|or|unless|sum|max)\b|(?<![\w:])[0-9.]+"
)


class Waiting:
    """Pages on their way to an engine."""

    num_in_flight, num_ready = 2, 3


@pytest.fixture(scope="module")
def types() -> dict[str, str]:
    """Return types by name of all that runs can export: with vLLM, a GPU, a price, a deadline, running and ended."""
    samples = [GpuSample(time.time(), 0.97, 70, 80, 650.0, 0.25, temperature_c=61.0)]
    gpu = GpuSampler("1 x Test", lambda: samples.pop() if samples else None, interval_s=0.001)
    while gpu.latest is None:
        time.sleep(0.001)
    gpu.close()
    tally = Tally(lambda _: None)
    tally.planned(5, 1, 0)
    tally.report("reading")
    tally.page_read()
    tally.page_done(ok_page(document()))
    host = dict.fromkeys(["host_memory_bytes", "host_memory_limit_bytes"], 1.0)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    places = {"input": "in", "output": "out", "cost": {"price_per_hour": "0.62"}}
    config = RunConfig.model_validate({**places, "metrics": {"port": port}})
    found: dict[str, str] = {}
    with open_metrics(
        config, identity(), tally=tally, gpu=gpu, times=Times(time.time), deadline_at=datetime.now(UTC)
    ) as metrics:
        metrics.reads_from(Waiting())
        metrics.engine_sampled(
            EngineMetrics(dict.fromkeys(GAUGES.values(), 0.5) | host, dict.fromkeys(COUNTERS.values(), 100.0))
        )
        metrics.document_done(document_of(ok_page(document())))
        found |= exported(port)
        metrics.ended(End())
        found |= exported(port)
    return found


class End:
    """What a run says at its end."""

    interrupted, documents_carried_over = False, 0


def exported(port: int) -> dict[str, str]:
    """Return the type of each sample that a run serves, by name."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as response:
        families = list(text_string_to_metric_families(response.read().decode()))
    ours = [family for family in families if family.name.startswith("pagemill")]
    return {sample.name: family.type for family in ours for sample in family.samples}


def rules() -> Iterator[str]:
    """Yield the expression of each rule, recorded ones included."""
    for block, line in re.findall(r"^ +expr: (?:\|\n((?: {10}.*\n)+)|(.*)\n)", ALERTS, re.MULTILINE):
        yield block or line


def queries() -> Iterator[str]:
    """Yield the expression of each panel, variable and annotation of the dashboard."""
    for panel in PANELS:
        yield from (target["expr"] for target in panel["targets"])
    yield from (one["expr"] for one in DASHBOARD["annotations"]["list"] if "expr" in one)
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["query"]["query"].removeprefix("label_values(").rpartition(",")[0]


def names(expression: str) -> set[str]:
    """Return the metrics that an expression asks for."""
    return set(re.findall(r"[a-zA-Z_:][a-zA-Z0-9_:]*", NO_NAMES.sub(" ", expression)))


def test_rules_and_panels_ask_for_what_runs_export(types: dict[str, str]) -> None:
    """An alert on a name that does not exist never fires."""
    recorded = set(re.findall(r"- record: (\S+)", ALERTS))
    expressions = [*rules(), *queries()]
    assert len(expressions) > 50
    assert set().union(*map(names, expressions)) - set(types) - recorded - OTHERS == set()


def test_rates_are_taken_of_counters_and_of_nothing_else(types: dict[str, str]) -> None:
    """A counter as it stands says how long the file exists; the rate of a gauge says nothing."""
    counters = {name for name, kind in types.items() if kind in {"counter", "histogram"}}
    for expression in [*rules(), *queries()]:
        rated = re.findall(r"\b(?:rate|increase)\((\w+)", expression)
        asked = [name for name in re.findall(r"\bpagemill_\w+", expression) if name in counters]
        assert sorted(rated) == sorted(asked), expression


def test_every_figure_stands_in_the_manual_with_its_type_and_no_other_does(types: dict[str, str]) -> None:
    """What is not documented is not found."""
    rows = re.findall(r"^\| `(pagemill_\w+)[^`]*` \| (\w+) \|", MANUAL, re.MULTILINE)
    histogram = {name for name, kind in types.items() if kind == "histogram"}
    families = {(name, kind) for name, kind in types.items() if kind != "histogram"}
    families |= {(name.removesuffix("_count"), "histogram") for name in histogram if name.endswith("_count")}
    assert set(rows) == families
    assert len(rows) == len(set(rows))


def test_every_alert_stands_in_the_manual() -> None:
    """Whoever is woken wants to know what to do."""
    alerts = re.findall(r"- alert: (\w+)", ALERTS)
    assert [name for name in alerts if f"| `{name}` |" not in MANUAL] == []
    assert re.findall(r"^\| `(\w+)` \| (?:critical|warning)", MANUAL, re.MULTILINE) == alerts


def test_every_alert_has_a_test() -> None:
    """Its test says when it fires; `promtool test rules` runs it."""
    tested = set(re.findall(r"alertname: (\w+)", (PROMETHEUS / "alerts_test.yml").read_text("utf-8")))
    assert set(re.findall(r"- alert: (\w+)", ALERTS)) - tested == set()


def test_panels_do_not_overlap_and_have_ids_of_their_own() -> None:
    """Grafana shows one of two panels that share an id, and moves those that share a place."""
    cells = [
        (panel["gridPos"]["x"] + x, panel["gridPos"]["y"] + y)
        for panel in DASHBOARD["panels"]
        for x in range(panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["h"])
    ]
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert max(x for x, _ in cells) < 24
    assert (len(set(cells)), len(set(ids))) == (len(cells), len(ids))


def test_each_panel_asks_the_prometheus_that_is_chosen() -> None:
    """The uid of a data source is another one on each Grafana."""
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    assert all(panel["datasource"] == chosen for panel in PANELS)
    assert all(target["datasource"] == chosen for panel in PANELS for target in panel["targets"])
    assert DASHBOARD["templating"]["list"][0]["name"] == "datasource"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool comes with Prometheus")
@pytest.mark.parametrize(
    "command", ["check config prometheus.yml", "check rules alerts.yml", "test rules alerts_test.yml"]
)
def test_promtool_accepts_configuration_and_rules_and_alerts_fire_when_they_should(command: str) -> None:
    """Prometheus itself says so, where it is installed."""
    done = subprocess.run(["promtool", *command.split()], cwd=PROMETHEUS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
