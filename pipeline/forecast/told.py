"""What a run would do, in a few lines or as one JSON object."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, TextIO

from pipeline.show.text import counted, duration, printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.forecast.estimate import Forecast

MOST_PARTITIONS = 40
"""That are printed for people; JSON has all."""


def print_forecast(found: Forecast, file: TextIO) -> None:
    """Print what a run would read, how long that takes and what it costs, with what that is based on."""
    for line in forecast_lines(found):
        print(printable(line), file=file)
    open_partitions = [one for one in found.partitions if one.documents > one.documents_done]
    if len(found.partitions) < 2 or not open_partitions:
        return
    print("day          documents   done before", file=file)
    for one in open_partitions[:MOST_PARTITIONS]:
        print(f"{printable(one.name):<12} {one.documents:>9,}   {one.documents_done:>11,}", file=file)
    if len(open_partitions) > MOST_PARTITIONS:
        print(f"and {len(open_partitions) - MOST_PARTITIONS:,} more days; --json has all", file=file)


def print_forecast_json(found: Forecast, file: TextIO) -> None:
    """Print the forecast as one object; lengths of time in seconds."""
    values = asdict(found) | {"duration_s": found.duration.total_seconds() if found.duration is not None else None}
    del values["duration"]
    print(json.dumps({"event": "forecast", **values}, default=str), file=file)


def forecast_lines(found: Forecast) -> Iterator[str]:
    """Yield the forecast in sentences."""
    again = f", {found.documents_again:,} of them again" if found.documents_again else ""
    yield f"{counted(found.documents, 'document')} to read{again}; {found.documents_skipped:,} done before."
    if found.documents_arriving:
        yield f"{counted(found.documents_arriving, 'document')} still arriving are left to a later run."
    if not found.documents:
        return
    if found.page_budget is not None:
        yield f"The page budget of a run is {found.page_budget:,}."
    if found.pages is None:
        yield "No earlier run of this output tells how many pages that are and how long they take."
        return
    pace = found.pace
    yield (
        f"About {found.pages:,} pages: {counted(pace.runs, 'run')} before had "
        f"{pace.pages_per_document:.1f} pages a document."
    )
    if found.duration is None or found.finishes_at is None:
        yield "Their speed is not known; cost.expected_pages_per_hour may say it."
        return
    price = f", {found.cost:,.2f} {found.currency}" if found.cost is not None else ""
    yield (
        f"That takes {duration(found.duration.total_seconds())}, at {pace.pages_per_hour:,.0f} pages an hour once it "
        f"reads, until {found.finishes_at.astimezone():%Y-%m-%d %H:%M}{price}."
    )
    if found.pages_in_time is not None and found.pages_in_time < found.pages:
        nights = f", {counted(found.runs, 'run')} in all" if found.runs else ""
        yield f"This run would read about {found.pages_in_time:,} of these pages and leave the rest{nights}."
