"""How fast the vLLM engine reads a stream of pages, against the same engine fed in fixed batches.

    PYTHONPATH=tests python -m benchmarks.bench_vllm --model qwen2.5-vl-7b-awq --pages 384

Weights are random unless --load-format auto is given, since speed does not depend on their
values; output lengths are drawn from --tokens. With vLLM's CPU build a tiny model stands in
for the named one: that checks this file and the engine's feeding, and says nothing about GPUs.
Pages are noise made in advance, so rendering is not measured.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
from pydantic import BaseModel
from vllm_engine.page_requests import PageList, make_request
from vllm_engine.shims import put_shims_first
from vllm_engine.tiny_model import build_tiny_model

from pipeline.config import VllmConfig
from pipeline.data import Generation, PageRequest
from pipeline.engines.base import EngineTask
from pipeline.engines.vllm import VllmEngine
from pipeline.engines.vllm.installed import find_installed
from pipeline.values import DateOrder

NUM_IMAGES = 16
"""Different images; more would only fill memory. Each page has its own key all the same."""


def make_pages(arguments: argparse.Namespace) -> list[PageRequest]:
    """Return pages with equal sizes and drawn output lengths; the same ones at every call."""
    width_px, height_px = arguments.size
    low, high = arguments.tokens
    draw = np.random.default_rng(0)
    images = [draw.integers(0, 255, (height_px, width_px, 3), dtype=np.uint8) for _ in range(NUM_IMAGES)]
    return [
        make_request(
            pixels=images[number % NUM_IMAGES],
            max_tokens=int(draw.integers(low, high + 1)),
            # Random weights loop when sampled greedily, and loops are stopped.
            temperature=1.0,
            seed=number,
            constrained=False,
        )
        for number in range(arguments.pages)
    ]


def in_batches(engine: VllmEngine, pages: list[PageRequest], size: int) -> Iterator[Generation]:
    """Read batch after batch, each to its end, as scripts around `LLM.generate` do."""
    for start in range(0, len(pages), size):
        yield from engine.generate(PageList(pages[start : start + size]))


def measure(name: str, generations: Iterable[Generation]) -> None:
    """Print pages and tokens a second."""
    started = time.perf_counter()
    done = list(generations)
    elapsed_s = time.perf_counter() - started
    tokens = sum(generation.output_tokens or 0 for generation in done)
    failed = sum(generation.error is not None for generation in done)
    print(
        f"{name:24} {len(done) / elapsed_s:7.2f} pages/s {tokens / elapsed_s:8.0f} tokens/s"
        f"   {len(done)} pages in {elapsed_s:.1f} s, {tokens / len(done):.0f} tokens each, {failed} failed"
    )


def make_config(arguments: argparse.Namespace, folder: Path) -> VllmConfig:
    """Return the engine's settings: the named model on a GPU, the tiny one on a CPU."""
    if not find_installed().is_cpu:
        return VllmConfig(model=arguments.model, load_format=arguments.load_format, max_num_seqs=arguments.seqs)
    put_shims_first()
    return VllmConfig(
        model=str(build_tiny_model(folder / "tiny")), load_format="dummy", max_num_seqs=arguments.seqs or 8
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="qwen2.5-vl-7b-awq", help="profile, hub id or folder")
    parser.add_argument("--load-format", default="dummy")
    parser.add_argument("--pages", type=int, default=384)
    parser.add_argument("--size", type=int, nargs=2, default=(896, 1148), metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--tokens", type=int, nargs=2, default=(300, 800), metavar=("LOW", "HIGH"))
    parser.add_argument("--seqs", type=int, help="pages in the model at once; default by card")
    parser.add_argument("--batch", type=int, default=32, help="size of the fixed batches")
    arguments = parser.parse_args()
    task = EngineTask(
        name="benchmark",
        prompt="Write down what stands on the page, line by line, as it stands there. " * 24,
        json_schema={},
        load_model=lambda: BaseModel,
        plain_text=True,
        date_order=DateOrder.DAY_FIRST,
    )
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        with closing(VllmEngine(make_config(arguments, Path(folder)), task)) as engine:
            print(f"{engine.info}\nloaded in {time.perf_counter() - started:.0f} s, capacity {engine.capacity}")
            measure("warm-up", engine.generate(PageList(make_pages(arguments)[: engine.capacity])))
            measure("stream", engine.generate(PageList(make_pages(arguments))))
            measure(f"batches of {arguments.batch}", in_batches(engine, make_pages(arguments), arguments.batch))
            print(engine.metrics())


if __name__ == "__main__":
    main()
