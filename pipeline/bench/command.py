"""`pagemill bench`: cases from the command line, measured one after the other."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from pathlib import Path

from pipeline.bench.case import FEEDS, SERVE, Case
from pipeline.bench.documents import write_documents
from pipeline.bench.figures import STAND_IN
from pipeline.bench.host import Host, find_host
from pipeline.bench.page_sizes import run_page_sizes
from pipeline.bench.results import Results
from pipeline.bench.stages.command import run_stages
from pipeline.bench.telling import say
from pipeline.bench.tuning import run_sweep
from pipeline.config import RunConfig
from pipeline.engines.vllm import MAX_PIXELS, host_memory_limit
from pipeline.engines.vllm.installed import VllmMissingError
from pipeline.errors import ConfigError, EngineStartError, PipelineError
from pipeline.extraction import load_extraction
from pipeline.signals import Terminated

INTERRUPTED, TERMINATED = 130, 143
"""Exit codes, as those of the other commands."""
MOST_PAGES, MOST_CPU_PAGES = 1024, 256
CPU_PIXELS = 200_000
TOKENS, CPU_TOKENS = (300, 500), (40, 80)
BYTES_PER_PIXEL = 14
"""Of a page that waits in memory: its image, and what the model takes of it with up to 11 bytes a pixel."""
MEMORY_SHARE = 0.5
WITHOUT_VLLM = "--stage render, --stage write, --stage ocr, --page-sizes"

Settings = Callable[[Sequence[str]], RunConfig]
"""Returns the configuration with some KEY=VALUE that win over the command line's."""


def bench(arguments: argparse.Namespace, settings: Settings) -> int:
    """Measure what the command line asks for, print it, and return the exit code.

    Raises:
        ConfigError, EngineStartError: nothing could be measured; says what to change.
        EngineError: the engine of the only case died.
    """
    _check(arguments)
    try:
        return _measure(arguments, settings)
    except VllmMissingError as missing:
        raise EngineStartError(f"{missing.what}, or measure what works without: {WITHOUT_VLLM}.") from None


def _check(arguments: argparse.Namespace) -> None:
    if arguments.tokens and arguments.tokens[0] > arguments.tokens[1]:
        low, high = arguments.tokens
        raise ConfigError(f"--tokens {low} {high}: the first number is the least; write --tokens {high} {low}.")


def _measure(arguments: argparse.Namespace, settings: Settings) -> int:
    if arguments.stages:
        return run_stages(arguments, settings)
    if arguments.page_sizes:
        return run_page_sizes(arguments)
    if arguments.sweep:
        return _sweep(arguments, settings)
    feeds = _feeds(arguments.feeds, arguments.rounds or 1)
    varied = list(_varied(arguments.models or [], arguments.vary))
    results = Results(arguments.table, arguments.plot, as_json=arguments.json)
    settings(varied[0])  # what is wrong there is found before documents are written
    host = find_host()
    try:
        with tempfile.TemporaryDirectory(prefix="pagemill-bench-") as name:
            for number, changes in enumerate(varied):
                scratch = Path(name, f"case-{number}")
                scratch.mkdir()
                case = _case(arguments, settings, changes, host, scratch)
                try:
                    results.measure(case, feeds, arguments.seconds, scratch)
                except PipelineError as error:
                    if not results.rows and len(varied) == 1:
                        raise
                    results.fail(error, case)
    except KeyboardInterrupt as stop:
        say("stopped; what was measured until now:")
        return TERMINATED if isinstance(stop, Terminated) else INTERRUPTED
    finally:  # stopped, or nothing more can be measured: what is known is worth its time
        results.show()
    return 1 if results.failures else 0


def _sweep(arguments: argparse.Namespace, settings: Settings) -> int:
    changes, *further = _varied(arguments.models or [], arguments.vary)
    if further:
        raise ConfigError("--sweep finds the settings of one model: name one, and leave out --vary.")
    asked = settings(changes).vllm
    host = find_host()
    return run_sweep(
        arguments, lambda scratch: _case(arguments, settings, changes, host, scratch), asked, is_cpu=host.is_cpu
    )


def _feeds(text: str, rounds: int) -> list[str]:
    """Return the feeds that are named, in the order in which they can be measured: the server ends the engine."""
    wanted = set(FEEDS) if text == "all" else {name.strip() for name in text.split(",")}
    if unknown := wanted - set(FEEDS):
        raise ConfigError(f"--feeds {text}: {', '.join(sorted(unknown))} is none of {', '.join(FEEDS)}, all.")
    chosen = [name for name in FEEDS if name in wanted]
    return [name for name in chosen if name != SERVE] * rounds + [SERVE] * (SERVE in chosen)


def _varied(models: Sequence[str], vary: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Yield what each case has of its own, as KEY=VALUE."""
    axes = [[f"vllm.model={model}" for model in models]] if models else []
    for text in vary:
        key, equals, values = text.partition("=")
        if not equals or not values:
            raise ConfigError(f"--vary {text}: write it as KEY=A,B, for example --vary vllm.max_num_seqs=128,256.")
        axes.append([f"{key.strip()}={value.strip()}" for value in _split(values)])
    return product(*axes)


def _split(text: str) -> Iterator[str]:
    """Yield what stands between commas, but for those within brackets."""
    depth, start = 0, 0
    for place, letter in enumerate(text):
        depth += (letter in "[{") - (letter in "]}")
        if letter == "," and not depth:
            yield text[start:place]
            start = place + 1
    yield text[start:]


def _case(arguments: argparse.Namespace, settings: Settings, changes: Sequence[str], host: Host, scratch: Path) -> Case:
    is_random = host.is_cpu or arguments.weights == "random"
    config = settings([*_common(arguments), *changes])
    if host.is_cpu and config.render.max_pixels is None:
        config = settings([*_common(arguments), *_page_size(CPU_PIXELS), *changes])
    pages = arguments.pages or _default_pages(host, config)
    if not config.input:
        say(f"writing documents of {pages:,} pages")
        documents = write_documents(scratch / "documents", pages, seed=arguments.seed)
        config = config.model_copy(update={"input": str(documents)})
    prompt = load_extraction(config.extraction, config.prompts).prompt
    asked = config.vllm.model
    return Case(
        model=f"{STAND_IN}{asked}" if host.is_cpu else asked,
        config=config.model_copy(update={"vllm": host.model_for(config.vllm, scratch, prompt)}),
        pages=pages,
        tokens=tuple(arguments.tokens) if arguments.tokens else _default_tokens(host) if is_random else None,
        device=host.device,
        engine_cores=host.engine_cores,
        settings=" ".join(change for change in changes if not change.startswith("vllm.model=")),
        batch_size=arguments.batch,
        concurrency=arguments.concurrency,
    )


def _common(arguments: argparse.Namespace) -> Iterator[str]:
    yield "engine=vllm"
    if arguments.weights == "random":
        yield "vllm.load_format=dummy"
    if arguments.page_pixels:
        yield from _page_size(arguments.page_pixels)
    if arguments.price_per_hour:
        yield f"cost.price_per_hour={arguments.price_per_hour}"


def _page_size(pixels: int) -> tuple[str, str]:
    return f"render.max_pixels={pixels}", "render.adaptive=off"


def _default_pages(host: Host, config: RunConfig) -> int:
    """As many as a GPU reads in the time, if they find room in memory."""
    page_bytes = BYTES_PER_PIXEL * (config.render.max_pixels or MAX_PIXELS)
    fitting = int(MEMORY_SHARE * host_memory_limit(config.vllm.host_memory_mb) / page_bytes)
    return min(fitting, MOST_CPU_PAGES if host.is_cpu else MOST_PAGES)


def _default_tokens(host: Host) -> tuple[int, int]:
    return CPU_TOKENS if host.is_cpu else TOKENS
