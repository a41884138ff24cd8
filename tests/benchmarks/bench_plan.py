"""How long a run takes to know what to do, and in how much memory: listing, reading what is committed, planning.

    python -m tests.benchmarks.bench_plan                        # 10,000 and 1,000,000 files, below TMPDIR
    python -m tests.benchmarks.bench_plan --files 1000000 --flat # all in one folder

The files are real and hold a byte; the parts have the invoice extraction's schema and 512 rows,
as a run writes them. Each plan is made in a fresh process: once with nothing committed, once
with every file committed and unchanged. `show` is what printing such an output takes.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import multiprocessing
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.catalog import Catalog, Selection
from pipeline.data import DocumentRef, RunIdentity
from pipeline.extraction import load_extraction
from pipeline.layout import part_key
from pipeline.sink import committed_parts, document_schema, page_schema, read_committed
from pipeline.source import list_input
from pipeline.storage import open_storage

FILES_PER_FOLDER = 1000
ROWS_PER_PART = 512
EXTRACTION = "invoice"
IDENTITY = RunIdentity(
    *("20260301T120000Z-abcdef", EXTRACTION, "p" * 64, "s" * 64, "f" * 16, "ocr", "rapidocr", "1", "1.0"),
    *(None, None, "0.1.0", "l" * 16),
)


def write_files(folder: Path, num_files: int, *, flat: bool) -> None:
    """Make the input."""
    for number in range(num_files):
        below = folder if flat else folder / f"supplier-{number // FILES_PER_FOLDER:05}"
        if number % FILES_PER_FOLDER == 0:
            below.mkdir(parents=True, exist_ok=True)
        (below / f"invoice-2026-{number:09}.pdf").write_bytes(b"x")


def write_parts(folder: Path, output: Path) -> None:
    """Commit every file of `folder` as one run would have left it."""
    model = load_extraction(EXTRACTION, ()).model
    for table, schema in (("documents", document_schema(model)), ("pages", page_schema(model))):
        (output / part_key(EXTRACTION, table, "0")).parent.mkdir(parents=True)
        for number, refs in enumerate(batches(list_input(str(folder), str(output)))):
            rows = {name: pa.nulls(len(refs), kind) for name, kind in zip(schema.names, schema.types, strict=True)}
            for name, values in columns(refs).items():
                if name in rows:
                    rows[name] = pa.array(values, schema.field(name).type)
            pq.write_table(pa.table(rows, schema), output / part_key(EXTRACTION, table, f"{number:016}"))


def batches(refs: Iterator[DocumentRef]) -> Iterator[list[DocumentRef]]:
    """Yield the documents of one part after another."""
    while batch := list(islice(refs, ROWS_PER_PART)):
        yield batch


def columns(refs: list[DocumentRef]) -> dict[str, list[object]]:
    """Return the values that planning and showing look at."""
    same = asdict(IDENTITY) | {
        "status": "ok",
        "num_pages": 1,
        "page_number": 1,
        "pages_ok": 1,
        "pages_failed": 0,
        "started_at": datetime(2026, 3, 1, tzinfo=UTC),
        "finished_at": datetime(2026, 3, 1, 1, tzinfo=UTC),
    }
    return {name: [value] * len(refs) for name, value in same.items()} | {
        "source_uri": [ref.uri for ref in refs],
        "source_size_bytes": [ref.size_bytes for ref in refs],
        "source_modified_at": [ref.modified_at for ref in refs],
        "sha256": [hashlib.sha256(ref.uri.encode()).hexdigest() for ref in refs],
    }


def plan(folder: str, output: str) -> str:
    """Do what a run does before it reads; return what came of it."""
    storage = open_storage(output)
    with tempfile.TemporaryDirectory() as scratch, closing(Catalog(Path(scratch, "catalog.db"), IDENTITY)) as catalog:
        for part in committed_parts(storage, EXTRACTION):
            catalog.add_committed(read_committed(storage, part), part)
        counts = catalog.plan(list_input(folder, output), Selection())
        taken = sum(1 for _ in catalog.pending())
        disk_mb = Path(scratch, "catalog.db").stat().st_size / 1e6
    if taken != counts.documents:
        raise SystemExit(f"{taken} documents came of {counts}")
    return f"{counts.documents:,} to read, {counts.documents_skipped:,} skipped, {disk_mb:,.0f} MB of disk"


def show(_: str, output: str) -> str:
    """Print an output as `pagemill show` does."""
    from pipeline.results import open_results
    from pipeline.show import print_results

    text = io.StringIO()
    print_results(open_results(output), text)
    return next(line for line in text.getvalue().splitlines() if "document" in line)


def measured(work: Callable[[str, str], str], folder: Path, output: Path) -> str:
    """Return a line with the time and the peak memory of `work` in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        seconds, cpu_s, peak_mb, outcome = pool.apply(measure, (work, str(folder), str(output)))
    return f"{seconds:7.1f} s ({cpu_s:5.1f} s of CPU)  peak {peak_mb:6.0f} MB  {outcome}"


def measure(work: Callable[[str, str], str], folder: str, output: str) -> tuple[float, float, float, str]:
    """Return seconds, those on a processor, peak resident memory in MB, and what `work` says."""
    started, cpu_started = time.perf_counter(), time.process_time()
    outcome = work(folder, output)
    seconds, cpu_s = time.perf_counter() - started, time.process_time() - cpu_started
    # ru_maxrss would also hold the peak of the process that started this one.
    peak_kb = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text("ascii"))[0]
    return seconds, cpu_s, int(peak_kb) / 1024, outcome


def main() -> None:
    """Print three lines for each number of files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, nargs="+", default=[10_000, 1_000_000])
    parser.add_argument("--flat", action="store_true", help="all files in one folder instead of a thousand in each")
    arguments = parser.parse_args()
    for num_files in arguments.files:
        with tempfile.TemporaryDirectory() as scratch:
            folder, output = Path(scratch, "in"), Path(scratch, "out")
            write_files(folder, num_files, flat=arguments.flat)
            print(f"{num_files:,} files")
            print("  nothing committed:", measured(plan, folder, output), flush=True)
            write_parts(folder, output)
            print("  all committed:    ", measured(plan, folder, output), flush=True)
            print("  show:             ", measured(show, folder, output), flush=True)


if __name__ == "__main__":
    main()
