"""What a dry run shows: a forecast as an artifact of its flow run."""

from __future__ import annotations

from prefect.artifacts import create_markdown_artifact

from flows.view.page import text
from pipeline.config import RunConfig
from pipeline.forecast import Forecast, forecast, forecast_lines
from pipeline.stats import without_userinfo


def show_forecast(config: RunConfig) -> str:
    """Put the forecast of a run where Prefect shows it; return it as one line.

    Raises:
        ConfigError, StorageError: as a run would.
    """
    found = forecast(config)
    line = " ".join(forecast_lines(found))
    create_markdown_artifact(as_markdown(found, config), key="ocr-forecast", description=line)
    return line


def as_markdown(found: Forecast, config: RunConfig) -> str:
    """Return a forecast as text with tables."""
    facts = [
        ("Documents to read", f"{found.documents:,}"),
        ("of these, read before", f"{found.documents_again:,}"),
        ("Documents that need no reading", f"{found.documents_skipped:,}"),
        ("Documents still arriving", f"{found.documents_arriving:,}"),
        *((name.capitalize(), value) for name, value in _estimates(found)),
    ]
    source, output = (text(without_userinfo(place)) for place in (config.input, config.output))
    lines = ["# Forecast", f"{source} to {output}, {text(config.extraction)}", "", "| | |", "| --- | ---: |"]
    lines += [f"| {name} | {value} |" for name, value in facts]
    if found.partitions:
        lines += ["", "| Day | Documents | Done |", "| --- | ---: | ---: |"]
        lines += [f"| {text(day.name)} | {day.documents:,} | {day.documents_done:,} |" for day in found.partitions]
    return "\n".join(lines)


def _estimates(found: Forecast) -> list[tuple[str, str]]:
    """Return what can be said of it, name and value."""
    known = [
        ("pages", found.pages is not None and f"about {found.pages:,}"),
        ("of reading", found.duration is not None and f"{found.duration.total_seconds() / 3600:.1f} h"),
        ("cost", found.cost is not None and f"{found.cost:,.2f} {found.currency}"),
        ("pages a run", found.pages_in_time is not None and f"{found.pages_in_time:,}"),
        ("runs", found.runs is not None and f"{found.runs:,}"),
    ]
    return [(name, value) for name, value in known if value]
