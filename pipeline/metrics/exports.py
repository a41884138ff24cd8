"""Where a run's figures go: a port while it runs, a file that stays."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest, start_http_server
from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from prometheus_client.registry import Collector

    from pipeline.metrics.families import Earlier

log = logging.getLogger(__name__)

FILE_INTERVAL_S = 10.0
"""How old the file of a running run may be; a scrape every 15 s sees each page within half a minute."""
SUFFIX = ".prom"
"""Of the files that node_exporter reads."""


@contextmanager
def serve(collector: Collector, host: str, port: int) -> Iterator[None]:
    """Answer at http://host:port/metrics until the block ends; a port that cannot be had is a warning."""
    registry = CollectorRegistry()
    registry.register(collector)
    ProcessCollector(registry=registry)  # this process's memory, time and open files
    try:
        server, thread = start_http_server(port, addr=host, registry=registry)
    except OSError as error:
        reason = error.strerror or str(error)
        log.warning("no /metrics: %s:%s cannot be had (%s); the run goes on without", host, port, reason)
        yield
        return
    log.info("metrics are at http://%s:%s/metrics", host, server.server_port)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class MetricsFile:
    """A file for node_exporter's textfile collector; one writer at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._broken = False

    @classmethod
    def of(cls, place: Path, labels: Mapping[str, str]) -> MetricsFile:
        """Return the file for a run: `place` itself when it ends in .prom, else one of its own in that folder."""
        if place.suffix == SUFFIX:
            return cls(place)
        digest = hashlib.sha256(labels["output"].encode()).hexdigest()
        return cls(place / f"pagemill-{labels['extraction']}-{digest[:8]}{SUFFIX}")

    def read(self) -> Earlier:
        """Return what the last run left, by name and labels; nothing when there is no file or none that can be read."""
        try:
            families = list(text_string_to_metric_families(self._path.read_text("utf-8")))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            log.warning("counters begin at 0 again: %s cannot be read (%s)", self._path, error)
            return {}
        samples = (sample for family in families for sample in family.samples)
        return {(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples}

    @contextmanager
    def kept(self, collector: Collector) -> Iterator[None]:
        """Write the file now, every FILE_INTERVAL_S, and when the block ends."""
        registry = CollectorRegistry()
        registry.register(collector)
        stop = threading.Event()

        def write_until_stopped() -> None:
            while not stop.wait(FILE_INTERVAL_S):
                self._write(registry)

        self._write(registry)
        thread = threading.Thread(target=write_until_stopped, name="metrics-file", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            self._write(registry)

    def _write(self, registry: CollectorRegistry) -> None:
        """Replace the file whole; a disk that is full or not there is one warning."""
        unfinished = self._path.with_name(f"{self._path.name}.tmp")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            unfinished.write_bytes(generate_latest(registry))
            unfinished.replace(self._path)
        except OSError as error:
            if not self._broken:
                log.warning("no metrics file: %s cannot be written (%s)", self._path, error.strerror or error)
            self._broken = True
        else:
            self._broken = False
