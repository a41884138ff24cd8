"""What the pipeline costs around an engine: pages/s and peak memory with an engine that answers at once.

    python -m tests.benchmarks.bench_overhead            # both lengths, each in a process of its own
    taskset -c 0,1 python -m tests.benchmarks.bench_overhead

The input is one multi-frame TIFF for each 50 pages, of page images at the size at which they
are sent, no two of them equal. Each answer is a receipt of 20 line items and 40 lines of text
with boxes. Pages of one megapixel measure everything: open, decode, stream, validate, write,
commit. Tiny ones (`--sides 56 56`) leave out what decoding and moving pixels costs, which is the
renderer's. `--no-skip` tells what it costs to look for blank and equal pages, `--no-evidence` what it costs
to find each of the 83 values on its page.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import re
import tempfile
import time
from pathlib import Path

from PIL import Image, ImageDraw

from pipeline.config import RunConfig, SkipConfig, TrustConfig
from pipeline.data import Box, FinishReason, Generation, PageRequest, TextLine
from pipeline.engines import EngineChoice
from pipeline.engines.scripted import ScriptedEngine
from pipeline.run import run

PAGES_PER_FILE = 50
BITS = 16
ITEM = {"description": "Darjeeling first flush", "quantity": "2", "unit_price": "3,50", "line_total": "7,00"}
ANSWER = json.dumps({"seller": "Corner Shop", "date": "12/03/2018", "total": "140,00", "line_items": [ITEM] * 20})
LINES = tuple(
    TextLine("Darjeeling first flush 2 x 3,50 7,00", Box(10, y, 500, y + 20), 0.99) for y in range(0, 800, 20)
)


def answer(request: PageRequest) -> Generation:
    """A generation as full as a busy receipt's."""
    return Generation(request.request_id, ANSWER, FinishReason.STOP, output_tokens=400, lines=LINES)


def write_input(folder: Path, num_pages: int, sides_px: tuple[int, int]) -> None:
    """Write `num_pages` page images."""
    folder.mkdir()
    page = Image.new("RGB", sides_px, "white")
    for y in range(40, sides_px[1], 28):
        ImageDraw.Draw(page).text((40, y), "Darjeeling first flush   2 x 3,50   7,00", fill="black")
    for start in range(0, num_pages, PAGES_PER_FILE):
        first, *others = (numbered(page, number) for number in range(start, start + PAGES_PER_FILE))
        first.save(folder / f"{start:06}.tiff", save_all=True, append_images=others, compression="packbits")


def numbered(page: Image.Image, number: int) -> Image.Image:
    """Return a copy of a page with its number, which differs in eight pixels or more from any other."""
    copy = page.copy()
    for bit in range(BITS):
        if number >> bit & 1:
            copy.paste("black", (4 + 3 * bit, 4, 6 + 3 * bit, 8))
    return copy


def measure(
    scratch: str, num_pages: int, sides_px: tuple[int, int], skip: SkipConfig, trust: TrustConfig
) -> dict[str, float]:
    """Read `scratch`/in once; return pages/s of the whole run and peak memory of the main process in MB."""
    engine = ScriptedEngine(answer, capacity=16)
    places = {"input": f"{scratch}/in", "output": f"{scratch}/out", "extraction": "receipt"}
    config = RunConfig.model_validate({**places, "skip": skip, "trust": trust})
    started = time.perf_counter()
    report = run(config, engine=EngineChoice(engine.info, lambda: engine, max_pixels=sides_px[0] * sides_px[1]))
    seconds = time.perf_counter() - started
    if report.pages_ok != num_pages:
        raise SystemExit(f"only {report.pages_ok} of {num_pages} pages are ok")
    peak_mb = int(re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text("ascii"))[1]) / 1024
    cpu_ms = time.process_time() * 1000 / num_pages
    return {"pages": num_pages, "cpu_ms": cpu_ms, "pages_per_s": num_pages / seconds, "peak_mb": peak_mb}


def main() -> None:
    """Print one line a length, and how memory grew."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, nargs="+", default=[500, 5000])
    parser.add_argument("--sides", type=int, nargs=2, default=[896, 1120], help="width and height in pixels")
    parser.add_argument("--no-skip", action="store_true", help="send blank and equal pages to the engine, too")
    parser.add_argument("--no-evidence", action="store_true", help="find no value on its page")
    arguments = parser.parse_args()
    trust = TrustConfig(evidence=not arguments.no_evidence)
    skip = SkipConfig(blank=not arguments.no_skip, duplicates=not arguments.no_skip)
    results = []
    for num_pages in arguments.pages:
        with (
            tempfile.TemporaryDirectory() as scratch,  # filled here: drawing pages takes more memory than reading them
            multiprocessing.get_context("spawn").Pool(1) as pool,
        ):
            write_input(Path(scratch, "in"), num_pages, arguments.sides)
            results.append(pool.apply(measure, (scratch, num_pages, tuple(arguments.sides), skip, trust)))
        line = "{pages:6} pages  {pages_per_s:7.1f} pages/s  {cpu_ms:6.2f} ms of CPU a page  peak {peak_mb:6.1f} MB"
        print(line.format(**results[-1]), flush=True)
    print(f"peak memory, longest against shortest: {results[-1]['peak_mb'] / results[0]['peak_mb']:.3f}")


if __name__ == "__main__":
    main()
