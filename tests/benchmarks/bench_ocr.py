"""How fast the `ocr` engine reads real pages, whole run, against RapidOCR itself on the same page images.

    python -m tests.benchmarks.bench_ocr FOLDER --extraction receipt --workers 4

RapidOCR runs as it comes, on one thread, in as many processes; its start is not counted, that
of the run is. The text layer is not used unless asked for with --text-layer auto.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

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


def start_rapidocr() -> Callable[[npt.NDArray[np.uint8]], int]:
    """Return RapidOCR as it comes, on one thread; each call returns how many runs it read."""
    from rapidocr import RapidOCR

    threads = {f"EngineConfig.onnxruntime.{kind}_op_num_threads": 1 for kind in ("intra", "inter")}
    ocr = RapidOCR(params={"Global.log_level": "critical", **threads})

    def read(pixels: npt.NDArray[np.uint8]) -> int:
        return len(ocr(pixels[:, :, ::-1]).txts or ())

    read(_blank())
    return read


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
            except PageError as error:
                print(f"left out: {path.name}: {error}")
    return pages


def time_rapidocr(pages: list[PageImage], num_workers: int) -> float:
    """Return pages/s of RapidOCR alone."""
    from tests.benchmarks.bench_ocr import start_rapidocr as start  # under a name that workers can import

    with closing(WorkerPool(start, num_workers=num_workers, timeout_s=300, name="rapidocr")) as pool:
        for future in [pool.submit(_blank()) for _ in range(4 * num_workers)]:
            future.result()
        started = time.perf_counter()
        futures: list[Future[int]] = [pool.submit(page.pixels) for page in pages]
        for future in futures:
            future.result()
        return len(pages) / (time.perf_counter() - started)


def time_run(folder: str, extraction: str, ocr: OcrConfig) -> tuple[float, float]:
    """Return pages/s of a whole run, start and Parquet included, and the largest process's peak memory in MB."""
    with tempfile.TemporaryDirectory() as out, peak_child_mb() as peak:
        config = RunConfig(input=folder, output=out, extraction=extraction, engine="ocr", ocr=ocr)
        started = time.perf_counter()
        report = run(config)
        seconds = time.perf_counter() - started
    print(f"run: {report.pages_ok} pages ok, {report.pages_failed} failed, {seconds:.1f} s")
    return (report.pages_ok + report.pages_failed) / seconds, peak[0]


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
    parser.add_argument("folder", help="documents to read")
    parser.add_argument("--extraction", default="transcript")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--text-layer", choices=["auto", "never"], default="never")
    args = parser.parse_args()
    folder = str(Path(args.folder).resolve())
    ours, memory_mb = time_run(folder, args.extraction, OcrConfig(workers=args.workers, text_layer=args.text_layer))
    theirs = time_rapidocr(rendered(folder, MAX_PIXELS), args.workers)
    print(f"whole run {ours:.2f} pages/s, RapidOCR alone {theirs:.2f} pages/s, ratio {ours / theirs:.2f}")
    print(f"largest process {memory_mb:.0f} MB")


if __name__ == "__main__":
    main()
