"""Whether memory stays flat: peak resident memory at 1,000 and at 10,000 pages, main process and all processes.

    python -m tests.benchmarks.bench_memory                        # every case; half an hour on four cores
    python -m tests.benchmarks.bench_memory --cases transcript     # one long document, its text layer read
    python -m tests.benchmarks.bench_memory --cases documents      # as many documents of one page, scripted engine

Cases `transcript` and `invoice` read one PDF of 3 kB of text a page with `pagemill run --engine ocr`; `documents`
reads a folder of one-page PDFs with an engine that answers at once. Each run is a process of its own, looked at
ten times a second. Processes share the pages of their libraries, so the sum counts those several times.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil
import pyarrow.parquet as pq
import pymupdf

from pipeline.config import RunConfig
from pipeline.data import FinishReason, Generation, PageRequest
from pipeline.engines import EngineChoice
from pipeline.engines.scripted import ScriptedEngine
from pipeline.run import run

ALLOWED_GROWTH = 1.1
LINES_A_PAGE = 48
SAMPLE_EVERY_S = 0.1
SCRIPTED_PIXELS = 200_000
"""Moving pixels takes time and no memory that grows."""
ANSWER = json.dumps({"text": "Darjeeling first flush 2 x 3,50 7,00 " * 80})


class Peak(NamedTuple):
    """The most memory that was resident at one time, in MB."""

    main_mb: float
    all_mb: float


def lines(number: int) -> Iterator[str]:
    """Yield the text of a page, like no other's: words, and rows of an invoice's table."""
    yield f"Invoice No. {number:06}     Date: 12/03/2018     Page {number}"
    yield "Description                            Quantity     Unit price     Amount"
    for row in range(LINES_A_PAGE):
        yield f"Darjeeling first flush {number * LINES_A_PAGE + row:9}          2           3,50       7,00"
    yield f"Total {number},00 EUR"


def write_long(path: Path, num_pages: int) -> None:
    """Write one PDF with many pages."""
    with pymupdf.open() as document:
        for number in range(1, num_pages + 1):
            page = document.new_page(width=595, height=842)
            page.insert_text((40, 50), list(lines(number)), fontsize=9, fontname="cour")
        document.save(path, deflate=True)


def write_many(folder: Path, num_documents: int) -> None:
    """Write many PDFs of one page, no two with the same bytes."""
    folder.mkdir()
    write_long(folder / "first.pdf", 1)
    content = (folder / "first.pdf").read_bytes()
    (folder / "first.pdf").unlink()
    for number in range(num_documents):
        (folder / f"{number:06}.pdf").write_bytes(content + b"%%%d\n" % number)


def answer(request: PageRequest) -> Generation:
    """Return 3 kB of text."""
    return Generation(request.request_id, ANSWER, FinishReason.STOP)


def run_scripted(source: str, output: str) -> None:
    """Read a folder with an engine that answers at once."""
    engine = ScriptedEngine(answer, capacity=16)
    choice = EngineChoice(engine.info, lambda: engine, max_pixels=SCRIPTED_PIXELS)
    run(RunConfig(input=source, output=output), engine=choice)


def peak_of(command: list[str]) -> Peak:
    """Run a command to its end; return what it and its children held at most."""
    process = psutil.Popen(command, stdout=subprocess.DEVNULL)
    main = everything = 0
    while process.poll() is None:
        resident = [_resident_bytes(one) for one in [process, *_children(process)]]
        main, everything = max(main, resident[0]), max(everything, sum(resident))
        time.sleep(SAMPLE_EVERY_S)
    if process.returncode not in {0, 1}:  # 1: a document of which pages or the merged record failed
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return Peak(main / 1e6, everything / 1e6)


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return list(process.children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def _resident_bytes(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def measure(case: str, num_pages: int) -> Peak:
    """Write the input, read it, and check that every page has its row."""
    with tempfile.TemporaryDirectory() as scratch:
        source, output = Path(scratch, "in"), Path(scratch, "out")
        # Another process writes it: what that takes must not be part of what is measured.
        subprocess.run(_this("--write", case, str(num_pages), str(source)), check=True)
        if case == "documents":
            peak = peak_of(_this("--scripted", str(source), str(output)))
        else:
            options = ["--engine", "ocr", "--extraction", case, "--quiet"]
            peak = peak_of([sys.executable, "-m", "pipeline", "run", *options, str(source), str(output)])
        rows = sum(pq.read_metadata(part).num_rows for part in output.glob("*/pages/*.parquet"))
    if rows != num_pages:
        raise SystemExit(f"{rows} rows of {num_pages} pages")
    return peak


def _this(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "tests.benchmarks.bench_memory", *arguments]


def _write(case: str, num_pages: int, source: Path) -> None:
    if case == "documents":
        write_many(source, num_pages)
    else:
        source.mkdir()
        write_long(source / "long.pdf", num_pages)


def compare(case: str, lengths: list[int]) -> bool:
    """Print one line a length; return whether the longest stays within what is allowed of the shortest."""
    peaks = []
    for num_pages in lengths:
        started = time.monotonic()
        peaks.append(measure(case, num_pages))
        seconds = time.monotonic() - started
        print(
            f"{case:10} {num_pages:6} pages  main {peaks[-1].main_mb:6.0f} MB  all {peaks[-1].all_mb:6.0f} MB"
            f"  {seconds:4.0f} s",
            flush=True,
        )
    main = peaks[-1].main_mb / peaks[0].main_mb
    everything = peaks[-1].all_mb / peaks[0].all_mb
    print(f"{case:10} longest against shortest: main {main:.3f}, all {everything:.3f}", flush=True)
    return max(main, everything) <= ALLOWED_GROWTH


def main() -> None:
    """Measure, or do the part of a measurement that is a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", default=["transcript", "invoice", "documents"])
    parser.add_argument("--pages", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--write", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--scripted", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.write:
        _write(arguments.write[0], int(arguments.write[1]), Path(arguments.write[2]))
    elif arguments.scripted:
        run_scripted(*arguments.scripted)
    else:
        flat = [compare(case, arguments.pages) for case in arguments.cases]
        if not all(flat):
            sys.exit(f"memory grew by more than {ALLOWED_GROWTH}")


if __name__ == "__main__":
    main()
