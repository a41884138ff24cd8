"""What a run would read, and with what: its input, one place a day where it says so, against what is committed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from pipeline.catalog import Catalog, PlanCounts, Selection
from pipeline.config import RunConfig
from pipeline.data import DocumentRef, RunIdentity
from pipeline.engines import EngineChoice, choose_engine
from pipeline.engines.base import EngineTask
from pipeline.errors import ConfigError
from pipeline.extraction import Extraction, load_extraction, load_model
from pipeline.identity import identify_run, window_pages
from pipeline.ready import Readiness
from pipeline.selection import parse_since
from pipeline.sink import committed_parts, read_committed
from pipeline.source import input_root, list_input

if TYPE_CHECKING:
    from pipeline.storage import Storage

_DATE = re.compile(r"\{date(?::([^{}]+))?\}")
_DAY_FORMAT = "%Y-%m-%d"
MOST_DAYS = 10_000


class Reading(NamedTuple):
    """What is read, by what, under which identity."""

    extraction: Extraction
    choice: EngineChoice
    identity: RunIdentity


def resolve(config: RunConfig, engine: EngineChoice | None = None) -> Reading:
    """Return what a run with this configuration is; nothing is loaded.

    Args:
        engine: used instead of the one `config.engine` names.

    Raises:
        ConfigError: the extraction or a setting is wrong.
        EngineStartError: the engine cannot work here.
    """
    extraction = load_extraction(config.extraction, config.prompts)
    choice = engine or choose_engine(config, engine_task(extraction, config))
    identity = identify_run(config, extraction, choice.info, choice.max_pixels, choice.legible_px)
    return Reading(extraction, choice, identity)


def plan_input(
    catalog: Catalog, config: RunConfig, readiness: Readiness, *, count_partitions: bool = False
) -> PlanCounts:
    """Enter the input into a catalog that has what is committed, and choose what is to be read.

    Args:
        count_partitions: afterwards `catalog.partitions()` tells of each day.

    Raises:
        ConfigError: no document is there, or `since` lacks for an input of one place per day.
        StorageError: the input cannot be listed.
    """
    now = datetime.now(UTC)
    listing = _Listing(config, readiness, now)
    selection = replace(select(config, now), partition=listing.partition_of if count_partitions else None)
    return catalog.plan(listing.refs(), selection)


def select(config: RunConfig, now: datetime) -> Selection:
    """Return which of the documents that `list_places` yields are looked at; ages count back from `now`."""
    selection = Selection.of(config, now)
    if has_days(config.input):  # these are chosen by name, whenever their files were changed
        return replace(selection, since=None, until=None)
    return selection


def has_days(location: str) -> bool:
    """Return whether an input is one place per day."""
    return _DATE.search(location) is not None


def list_places(config: RunConfig, readiness: Readiness) -> Iterator[DocumentRef]:
    """Return the documents of all places that the input names.

    Raises:
        ConfigError, StorageError: as `plan_input`.
    """
    return _Listing(config, readiness, datetime.now(UTC)).refs()


def enter_committed(catalog: Catalog, storage: Storage, extraction: str) -> None:
    """Enter what the output has.

    Raises:
        StorageError: it cannot be read.
    """
    for part in committed_parts(storage, extraction):
        catalog.add_committed(read_committed(storage, part), part)


def engine_task(extraction: Extraction, config: RunConfig) -> EngineTask:
    """Return what whoever reads pages is to make of each."""
    return EngineTask(
        name=extraction.name,
        prompt=extraction.prompt,
        json_schema=extraction.json_schema,
        load_model=partial(load_model, str(extraction.folder / "schema.py")),
        plain_text=extraction.plain_text_field is not None,
        date_order=config.date_order,
        window_pages=window_pages(config, extraction, config.engine),
    )


class _Listing:
    """The documents of an input; where it is one place per day, days without a place have none."""

    def __init__(self, config: RunConfig, readiness: Readiness, now: datetime) -> None:
        self.days = _days(config, now)
        self._day = ""
        """The one that is being listed."""
        self._config = config
        self._readiness = readiness

    def partition_of(self, ref: DocumentRef) -> str:
        """Return the day of the document that was listed last."""
        if self.days:
            return self._day
        return f"{ref.modified_at:{_DAY_FORMAT}}" if ref.modified_at else "unknown"

    def refs(self) -> Iterator[DocumentRef]:
        config = self._config
        may_be_empty = config.only_new or config.input_files.after == "move"  # all that came was read
        if self.days:
            return self._of_days(may_be_empty=may_be_empty)
        return list_input(config.input, config.output, self._readiness, may_be_empty=may_be_empty)

    def _of_days(self, *, may_be_empty: bool) -> Iterator[DocumentRef]:
        config, found = self._config, may_be_empty
        list_input(input_root(config.input), config.output, may_be_empty=True)  # days may be missing, all above not
        for place, day in self._places().items():
            self._day = day
            try:
                refs = list_input(place, config.output, self._readiness, may_be_empty=True)
            except ConfigError:
                continue
            for ref in refs:
                found = True
                yield ref
        if not found and not self._readiness.arriving:
            raise ConfigError(f"No document is in {config.input!r} from {self.days[0]} to {self.days[-1]}.")

    def _places(self) -> dict[str, str]:
        """Return the places in the order of their days, each with the first of these: a month may be one."""
        places: dict[str, str] = {}
        for day in self.days:
            places.setdefault(_place_of(self._config.input, day), f"{day:{_DAY_FORMAT}}")
        return places


def _days(config: RunConfig, now: datetime) -> list[date]:
    """Return the days of an input with a place for each; none where it has no `{date}`."""
    if not has_days(config.input):
        return []
    if config.since is None:
        raise ConfigError(f"The input {config.input!r} has a place per day: say by `since` from which day on.")
    first = parse_since(config.since, now).astimezone().date()
    end = parse_since(config.until, now).astimezone().date() if config.until else now.astimezone().date()
    end += timedelta(days=config.until is None)  # today is one of them
    if not 0 < (end - first).days <= MOST_DAYS:
        raise ConfigError(f"From {first} until {end}, which is not included, is no range of 1 to {MOST_DAYS:,} days.")
    return [first + timedelta(days=number) for number in range((end - first).days)]


def _place_of(location: str, day: date) -> str:
    return _DATE.sub(lambda match: f"{day:{match[1] or _DAY_FORMAT}}", location)
