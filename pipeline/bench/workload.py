"""The pages that are measured with: what a run hands to its engine, caught before an engine sees it.

All feeds get the same pages, each with the same output length; only the identity that vLLM caches images by differs,
or the second feed would find the work of the first one done.
"""

from __future__ import annotations

import tempfile
from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from pipeline.config import CanaryConfig, RunConfig, SkipConfig
from pipeline.data import EngineMetrics, FinishReason, Generation, PageRequest
from pipeline.engines import EngineChoice
from pipeline.engines.base import EngineInfo, Requests
from pipeline.errors import ConfigError
from pipeline.planning import Reading, resolve
from pipeline.run import run

AHEAD = 64
"""Pages that may be rendered at once while they are collected."""
IDLE_WAIT_S = 0.1
_TEXT = " ".join(f"{number:07}" for number in range(10_000))
"""What random weights write repeats itself, and a run refuses that; this has as many characters and does not."""
_CHARACTERS = 4
"""Of a token."""


def measured_config(config: RunConfig, output: str, pages: int, *, is_exact: bool) -> RunConfig:
    """Return the settings of a measured run: every page is read by the engine, and nothing else is.

    Args:
        is_exact: output lengths are set, so that no answer can be wrong and none is asked for again.
    """
    tries = config.tries.model_copy(update={"max_tries": 1}) if is_exact else config.tries
    changes = {
        "output": output,
        "page_budget": pages,
        "force": True,
        "skip": SkipConfig(blank=False, duplicates=False, text_layer=False),
        "canary": CanaryConfig(mode="off"),
        "tries": tries,
        "trust": config.trust.model_copy(update={"evidence": False}),
    }
    return config.model_copy(update=changes)


@dataclass(frozen=True, slots=True)
class Asking:
    """Turns a request of the run's into one of a measured feed's."""

    feed: str
    """Pages of one feed have nothing in common with those of another in any cache."""
    tokens: tuple[int, int] | None
    """Range of exact output lengths, drawn for each page; None: as long as the model writes."""

    def __call__(self, request: PageRequest) -> PageRequest:
        """Return the request with its own identity and output length."""
        settings = request.settings
        if self.tokens:
            length = Random(request.image_key).randint(*self.tokens)
            settings = replace(settings, max_tokens=length, exact_tokens=True)
        return replace(request, image_key=f"{self.feed}:{request.image_key}", settings=settings)

    def answer(self, generation: Generation) -> Generation:
        """Return what the run is told: a text of exact length counts as whole, whatever it says."""
        if not self.tokens or generation.finish_reason is FinishReason.ERROR:
            return generation
        text = _TEXT[: _CHARACTERS * (generation.output_tokens or 1)]
        return replace(generation, text=text, finish_reason=FinishReason.STOP)


def read_settings(config: RunConfig, tokens: tuple[int, int] | None) -> Reading:
    """Return extraction and engine that `config` asks for, nothing of it loaded.

    Raises:
        ConfigError: the settings are wrong, or exact lengths are asked for where the answer is held to a schema.
        EngineStartError: they cannot work here.
    """
    reading = resolve(config)
    if tokens and not reading.extraction.plain_text_field:
        raise ConfigError(
            f"Output lengths cannot be set for {reading.extraction.name!r}, whose answers are held to a schema: "
            "measure with --extraction transcript, or with --weights real and without --tokens."
        )
    return reading


def collect(config: RunConfig, choice: EngineChoice) -> list[PageRequest]:
    """Return every page of a run's input as the run would hand it to the engine; 3 MB for each megapixel.

    Raises:
        ConfigError: there is no document, or none that has a page.
    """
    collector = _Collector(choice.info)
    with tempfile.TemporaryDirectory(prefix="pagemill-bench-") as output:
        once = config.tries.model_copy(update={"max_tries": 1})
        config = config.model_copy(update={"output": str(Path(output, "collected")), "tries": once})
        run(config, engine=replace(choice, open=lambda: collector))
    if not collector.collected:
        raise ConfigError(f"No document of {config.input!r} has a page that can be rendered.")
    return collector.collected


class _Collector:
    """An engine that keeps what it is given and answers at once."""

    capacity = slots = AHEAD

    def __init__(self, info: EngineInfo) -> None:
        self.info = info
        self.collected: list[PageRequest] = []

    def generate(self, requests: Requests) -> Generator[Generation, None, None]:
        """Take all pages."""
        while not requests.exhausted:
            request = requests.take(IDLE_WAIT_S)
            if request is not None:
                self.collected.append(request)
                yield Generation(request.request_id, _TEXT[:_CHARACTERS], FinishReason.STOP, output_tokens=1)

    def metrics(self) -> EngineMetrics:
        """Nothing to report."""
        return EngineMetrics()

    def close(self) -> None:
        """Nothing to release."""
