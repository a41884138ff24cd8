"""A run's figures for Prometheus: over HTTP while it runs, in a file for node_exporter during it and after it.

Does not know what a run does: it is told of pages as they end, and looks at the rest when somebody
asks. Nothing here can end a run: what cannot be served or written is a warning.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

from pipeline.metrics.live import LiveRun, Metrics
from pipeline.stats import RunState

if TYPE_CHECKING:
    from pipeline.config import RunConfig
    from pipeline.data import RunIdentity
    from pipeline.stats import GpuSampler, Times
    from pipeline.tally import Tally

__all__ = ["Metrics", "open_metrics"]

log = logging.getLogger(__name__)


@contextmanager
def open_metrics(
    config: RunConfig,
    identity: RunIdentity,
    *,
    tally: Tally,
    gpu: GpuSampler | None = None,
    times: Times | None = None,
    deadline_at: datetime | None = None,
) -> Iterator[Metrics]:
    """Yield whom a run tells of its pages; without a port or a file in `config.metrics`, nobody who listens.

    Leaving it ends the run for the figures: as `Metrics.ended` said, else as failed. To be opened by
    the run that holds the output: two at once would write the same file.
    """
    run = LiveRun(config, identity, tally=tally, gpu=gpu, times=times, deadline_at=deadline_at)
    wanted = config.metrics.port is not None or config.metrics.file is not None
    metrics = Metrics(run if wanted else None)
    with ExitStack() as exports:
        if wanted:
            _export(run, config, exports)
        try:
            yield metrics
        except BaseException as error:
            run.end(RunState.INTERRUPTED if isinstance(error, KeyboardInterrupt) else RunState.FAILED)
            raise
        finally:
            if run.state is RunState.RUNNING:
                run.end(RunState.FAILED)


def _export(run: LiveRun, config: RunConfig, exports: ExitStack) -> None:
    """Serve and write what is wanted until `exports` is closed; the file gets its last word then."""
    from pipeline.metrics.exports import MetricsFile, serve  # prometheus_client is for those who want figures
    from pipeline.metrics.families import RunCollector

    wanted = config.metrics
    file = MetricsFile.of(wanted.file, run.labels) if wanted.file is not None else None
    collector = RunCollector(run, file.read() if file else {})
    if file:
        exports.enter_context(file.kept(collector))
    if wanted.port is not None:
        exports.enter_context(serve(collector, wanted.host, wanted.port))
