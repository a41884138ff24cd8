"""How fast the `ocr` engine reads real pages, whole run, against RapidOCR itself on the same page images.

    python -m tests.benchmarks.bench_ocr [FOLDER] --extraction receipt --workers 4

RapidOCR runs as it comes, on one thread, in as many processes; its start is not counted, that
of the run is. The text layer is not used unless asked for with --text-layer auto. On a machine that
does other work meanwhile, only CPU seconds a page say something.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from pipeline.bench.stages.ocr import start_rapidocr
from pipeline.config import OcrConfig, RenderConfig, RunConfig
from pipeline.data import PageImage, RenderSpec
from pipeline.engines.ocr import MAX_PIXELS
from pipeline.errors import PageError
from pipeline.render import Renderer
from pipeline.run import run
from pipeline.source import list_documents, path_of
from pipeline.workers import WorkerPool

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def _blank() -> npt.NDArray[np.uint8]:
    import numpy as np

    return np.full((280, 280, 3), 255, np.uint8)


def rendered(folder: str, max_pixels: int) -> list[PageImage]:
    """Return every page image that can be had from `folder`."""
    pages = []
    with closing(Renderer(RenderConfig(), num_workers=2)) as renderer:
        for ref in list_documents(folder):
            path = path_of(ref.uri)
            try:
                document = renderer.open(ref, path).result()
                numbers = range(1, document.num_pages + 1)
                pages += [
                    renderer.render(document, path, number, RenderSpec(max_pixels)).result() for number in numbers
                ]
            except PageError:
                continue
    return pages


def time_rapidocr(pages: list[PageImage], num_workers: int) -> float:
    """Return the seconds that RapidOCR alone takes."""
    with closing(WorkerPool(start_rapidocr, num_workers=num_workers, timeout_s=300, name="rapidocr")) as pool:
        for future in [pool.submit(_blank()) for _ in range(4 * num_workers)]:
            future.result()
        started = time.perf_counter()
        futures: list[Future[int]] = [pool.submit(page.pixels) for page in pages]
        for future in futures:
            future.result()
        return time.perf_counter() - started


def time_run(folder: str, extraction: str, ocr: OcrConfig) -> tuple[int, float]:
    """Return pages read and seconds of a whole run, start and Parquet included."""
    with tempfile.TemporaryDirectory() as out:
        config = RunConfig(input=folder, output=out, extraction=extraction, engine="ocr", ocr=ocr)
        started = time.perf_counter()
        report = run(config)
        return report.pages_ok, time.perf_counter() - started


@contextmanager
def peak_child_mb() -> Iterator[list[float]]:
    """Watch the resident memory of this process's children; the list holds the largest seen."""
    peak, done = [0.0], threading.Event()

    def watch() -> None:
        while not done.wait(0.2):
            for child in psutil.Process().children(recursive=True):
                try:
                    peak[0] = max(peak[0], child.memory_info().rss / 1e6)
                except psutil.NoSuchProcess:
                    continue

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        done.set()
        watcher.join()


def main() -> None:
    """Print pages/s of both and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", default="sample_docs", help="documents to read")
    parser.add_argument("--extraction", default="transcript")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--text-layer", choices=["auto", "never"], default="never")
    args = parser.parse_args()
    folder = str(Path(args.folder).resolve())
    with peak_child_mb() as peak:
        num_pages, seconds = time_run(
            folder, args.extraction, OcrConfig(workers=args.workers, text_layer=args.text_layer)
        )
    ours, ours_cpu_s = num_pages / seconds, children_cpu_s() / num_pages
    print(
        f"whole run: {num_pages} pages, {ours:.2f} pages/s, {ours_cpu_s:.2f} CPU s a page, {peak[0]:.0f} MB a process"
    )
    pages, before = rendered(folder, MAX_PIXELS), children_cpu_s()
    theirs = len(pages) / time_rapidocr(pages, args.workers)
    theirs_cpu_s = (children_cpu_s() - before) / len(pages)
    print(f"RapidOCR alone: {len(pages)} pages, {theirs:.2f} pages/s, {theirs_cpu_s:.2f} CPU s a page")
    print(f"ratio {ours / theirs:.2f} by the clock, {theirs_cpu_s / ours_cpu_s:.2f} by CPU time")


def children_cpu_s() -> float:
    """Return the CPU time of all processes started here that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
