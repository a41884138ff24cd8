"""How long a report of many pages takes to write, in how much memory, and how fast its first page opens.

    pagemill run sample_docs/invoices /tmp/out --extraction invoice --engine ocr
    python -m tests.benchmarks.bench_report /tmp/out              # its rows, repeated up to 5,000 pages

The rows are those of a real run under other names; copies of a document share its pictures, so that what is measured
is all but drawing, which `--pages` as many real documents would add. It opens in Chromium from file://.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import tempfile
from itertools import count
from pathlib import Path
from statistics import median

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.report.images import ImageLimits
from pipeline.report.writer import write_report
from pipeline.results import open_results

TIMINGS = """() => {
  const found = performance.getEntriesByType("navigation")[0];
  return [found.domContentLoadedEventEnd, found.loadEventEnd];
}"""
_OPENED = 5


def repeat(source: Path, target: Path, num_pages: int) -> None:
    """Write the parts of an output as often as it takes, with other names for the documents."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("_report"))
    parts = sorted(target.glob("*/documents/*.parquet"))
    have = sum(pq.read_metadata(pages_of(part)).num_rows for part in parts)
    for copy in count(1):
        for part in parts:
            if have >= num_pages:
                return
            for path in (part, pages_of(part)):
                table = pq.read_table(path)
                uris = [f"{uri}-{copy:04}" for uri in table["source_uri"].to_pylist()]
                table = table.set_column(table.column_names.index("source_uri"), "source_uri", pa.array(uris))
                pq.write_table(table, path.with_name(f"part-{copy:08}.parquet"))
            have += pq.read_metadata(pages_of(part)).num_rows


def pages_of(part: Path) -> Path:
    """Return the pages part of a documents part."""
    return part.parent.parent / "pages" / part.name


def opened(index: Path) -> list[tuple[float, float]]:
    """Return (DOMContentLoaded, load) in milliseconds, for each time the page was opened in a fresh window."""
    from playwright.sync_api import sync_playwright

    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        found = []
        for _ in range(_OPENED):
            page = browser.new_context().new_page()
            page.goto(index.as_uri())
            found.append(tuple(page.evaluate(TIMINGS)))
        browser.close()
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, help="of a run")
    parser.add_argument("--pages", type=int, default=5000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pagemill-bench-") as folder:
        output = Path(folder) / "out"
        repeat(arguments.output, output, arguments.pages)
        results, place = open_results(str(output)), output / "_report"
        names = [found.name for found in results.extractions]
        written = write_report(results, str(place), names, ImageLimits(workers=2))
        again = write_report(results, str(place), names, ImageLimits(workers=2))
        times = opened(place / "index.html")
        size_kb = (place / "index.html").stat().st_size / 1000
        memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
        print(f"{written.documents:,} documents, {written.pages:,} pages, {written.images:,} pictures")
        print(f"written in {written.took_s:.1f} s, again in {again.took_s:.1f} s, peak memory {memory_mb:,.0f} MB")
        print(f"{written.files:,} files, the first of {size_kb:,.0f} kB")
        for number, name in enumerate(("DOMContentLoaded", "load")):
            values = [one[number] for one in times]
            print(f"{name}: median {median(values):.0f} ms, slowest {max(values):.0f} ms of {_OPENED}")


if __name__ == "__main__":
    main()
