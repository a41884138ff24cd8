"""The rows of a measurement, kept as they come: printed, written, drawn."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from pipeline.bench.case import Case, open_case
from pipeline.bench.figures import Figures
from pipeline.bench.plot import check_plot, draw
from pipeline.bench.report import notes_of, row_of, table_of, write_parquet
from pipeline.bench.telling import put, say
from pipeline.errors import ConfigError, PipelineError


class Results:
    """What was measured so far, and where it goes."""

    def __init__(self, table: Path | None, plot: Path | None, *, as_json: bool) -> None:
        """Write nothing yet.

        Raises:
            ConfigError: what is to be written cannot be; found before hours are measured.
        """
        for path in filter(None, (table, plot)):
            if path.exists():
                raise ConfigError(f"{path} exists: name another file, or delete it.")
            if not path.absolute().parent.is_dir():
                raise ConfigError(f"{path} cannot be written: there is no folder {path.absolute().parent}.")
        if plot:
            check_plot(plot)
        self.rows: list[Figures] = []
        self.failures: list[str] = []
        self._table = table
        self._plot = plot
        self._as_json = as_json

    def measure(self, case: Case, feeds: Sequence[str], seconds: float, scratch: Path) -> None:
        """Measure a case with each feed and keep each row at once.

        Raises:
            PipelineError: it cannot be measured; rows that it had are kept.
        """
        name = " ".join(filter(None, (case.model, case.settings)))
        say(f"{name}: rendering {case.pages:,} pages, then loading the model")
        with open_case(case, scratch) as opened:
            for feed in feeds:
                say(f"{name}: {feed}")
                self._add(opened.measure(feed, seconds))

    def fail(self, error: PipelineError, case: Case) -> None:
        """Keep that a case could not be measured, or not whole."""
        self.failures.append(f"{' '.join(filter(None, (case.model, case.settings)))}: {error}")
        say(self.failures[-1])

    def _add(self, row: Figures) -> None:
        self.rows.append(row)
        say(f"  {row.requests_per_s:.2f} requests/s, {row.pages_per_hour:,.0f} pages/hour")
        if self._as_json:
            put(json.dumps(row_of(row)))
        if self._table:
            write_parquet(self.rows, self._table)

    def show(self) -> None:
        """Print the table and draw the picture, if there is anything to be seen."""
        if not self.rows:
            return
        if self._plot:
            draw(self.rows, self._plot)
        if not self._as_json:
            notes = [*notes_of(self.rows), *(f"not measured: {failure}" for failure in self.failures)]
            put("\n".join((table_of(self.rows), "", *notes)))
