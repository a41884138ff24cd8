"""The seam between the pipeline and whatever reads pages.

An engine does not know where pages come from, what becomes of its outputs, or what a try
is for. It pulls requests when it has room; that pull is the pipeline's backpressure.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from pipeline.data import EngineMetrics, Generation, Json, PageRequest
from pipeline.values import DateOrder

if TYPE_CHECKING:
    from pydantic import BaseModel


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What reads the pages; every value enters the fingerprint and each row."""

    engine: str
    model: str
    revision: str
    version: str
    quantisation: str | None = None
    kv_cache_dtype: str | None = None
    deterministic: bool = False
    """Same pixels, same output: tries that change only sampling or the output limit are skipped."""


@dataclass(frozen=True, slots=True)
class EngineTask:
    """What an engine is to make of every page: an extraction in plain values."""

    name: str
    prompt: str
    json_schema: Json
    load_model: Callable[[], type[BaseModel]]
    """Returns the record's pydantic model; picklable, as worker processes load their own."""
    plain_text: bool
    """The output is the page's text itself, held to no schema."""
    date_order: DateOrder
    window_pages: int = 1
    """Pages of a document that one request shows at most."""


class Requests(Protocol):
    """Where an engine gets its pages from."""

    @property
    def exhausted(self) -> bool:
        """True when nothing is left and no generation still out can bring a new try."""
        ...

    def take(self, wait_s: float) -> PageRequest | None:
        """Return the next request, or None when none became ready within `wait_s` seconds.

        An engine with pages in flight passes 0 and goes on working; an idle one passes a
        short wait.
        """
        ...


class Engine(Protocol):
    """Reads pages. One engine a process; opening is slow, `close` releases everything."""

    @property
    def info(self) -> EngineInfo:
        """Name, model and versions."""
        ...

    @property
    def capacity(self) -> int:
        """How many requests the engine holds at once when it is full."""
        ...

    @property
    def slots(self) -> int:
        """How many of these it works on at once; with fewer it has nothing to do for a part of itself."""
        ...

    def generate(self, requests: Requests) -> Generator[Generation, None, None]:
        """Yield one generation for each request taken, in the order in which they finish.

        Ends when `requests.exhausted` and nothing is in flight. The consumer may add tries
        to `requests` between two yields.

        Raises:
            EngineError: the engine died; generations not yet yielded are lost and must be
                asked of a new engine.
        """
        ...

    def metrics(self) -> EngineMetrics:
        """Live figures; an empty one when the engine has none."""
        ...

    def close(self) -> None:
        """Release processes and memory; a second call does nothing."""
        ...
