"""How long evidence takes: the text of PDF pages, and where each value of a record stands in it.

    taskset -c 0,1 python -m tests.benchmarks.bench_evidence                  # 1,000 invoices of 20 items, made here
    taskset -c 0,1 python -m tests.benchmarks.bench_evidence --folder FOLDER  # PDFs with text layers, again and again

Two processes open PDFs, extract the text of each page and hold a record against it. Records of a folder are
what the CPU reads in the text layers, before the clock starts. Nothing is rendered: pages that a GPU reads are
rendered anyway, and their text comes with the image. `--items` makes tables longer.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pymupdf

from pipeline.config import RunConfig
from pipeline.data import TextLayer
from pipeline.engines.ocr import LayerPage, start_layer_worker
from pipeline.engines.ocr.text_layer import is_trustworthy
from pipeline.errors import GenerationInvalid
from pipeline.extraction import load_extraction
from pipeline.planning import engine_task
from pipeline.render.text import PageText
from pipeline.trust.evidence import find_evidence

WORKERS = 2
PAGES_PER_FILE = 50
SCALE = 1.75
"""Pixels a point, as of a page of 1.5 megapixels."""

Page = tuple[str, int, dict[str, Any]]
"""File, index of the page, record."""


def made_pages(folder: Path, num_pages: int, num_items: int) -> list[Page]:
    """Write invoices, each with its own amounts, and return what they say."""
    pages: list[Page] = []
    for start in range(0, num_pages, PAGES_PER_FILE):
        path = folder / f"{start:06}.pdf"
        with pymupdf.open() as document:
            numbers = range(start, min(start + PAGES_PER_FILE, num_pages))
            pages += [(str(path), number - start, _invoice(document, number, num_items)) for number in numbers]
            document.save(path)
    return pages


def _invoice(document: Any, number: int, num_items: int) -> dict[str, Any]:
    prices = [Decimal(199 + (37 * number + 101 * item) % 9000) / 100 for item in range(num_items)]
    items = [
        {"description": f"Article {item:04} steel, blue", "quantity": Decimal(item % 5 + 1), "unit_price": price,
         "tax_rate": Decimal(19), "line_total": price * (item % 5 + 1)}
        for item, price in enumerate(prices)
    ]  # fmt: skip
    net = sum((item["line_total"] for item in items), Decimal(0))
    tax = (net * Decimal("0.19")).quantize(Decimal("0.01"))
    page = document.new_page(width=595, height=max(842, 300 + 14 * num_items))
    head = [(40, "Rosenbach Papier GmbH"), (40, "Am Alten Hafen 12"), (40, "20457 Hamburg")]
    for row, (x, text) in enumerate(head):
        page.insert_text((x, 60 + 14 * row), text)
    page.insert_text((360, 60), f"Invoice no: RP-{number:06}")
    page.insert_text((360, 74), "Date: 05.03.2026")
    rows = [("Description", "Qty", "Unit price", "VAT", "Amount")]
    rows += [
        (i["description"], *(f"{i[k]}" for k in ("quantity", "unit_price", "tax_rate", "line_total"))) for i in items
    ]
    rows += [("", "", "", "Subtotal", f"{net}"), ("", "", "", "Tax", f"{tax}"), ("", "", "", "Total", f"{net + tax}")]
    for row, cells in enumerate(rows):
        for x, text in zip((40, 250, 320, 420, 500), cells, strict=True):
            page.insert_text((x, 140 + 14 * row), text, fontsize=9)
    return {
        "seller": "Rosenbach Papier GmbH", "invoice_number": f"RP-{number:06}", "date": "2026-03-05", "subtotal": net,
        "tax": tax, "total": net + tax, "line_items": items,
    }  # fmt: skip


def pages_in(folder: Path, num_pages: int) -> list[Page]:
    """Return pages with a trustworthy text layer and what the CPU reads there, repeated up to `num_pages`."""
    extraction = load_extraction("invoice")
    read = start_layer_worker(engine_task(extraction, RunConfig(input="", output="")))
    found: list[Page] = []
    for path in sorted(folder.glob("**/*.pdf")):
        for index, layer in _layers(path):
            if is_trustworthy(layer):
                try:
                    record = extraction.validate(read(LayerPage(layer, 1, 1)).text)
                except GenerationInvalid:
                    continue
                found.append((str(path), index, record))
    return [found[number % len(found)] for number in range(num_pages)] if found else []


def _layers(path: Path) -> Iterator[tuple[int, TextLayer]]:
    with pymupdf.open(path) as document:
        for index, page in enumerate(document):
            if layer := PageText(page.get_displaylist(), 0.0).layer(SCALE, (0.0, 0.0)):
                yield index, layer


def hold(pages: list[Page]) -> tuple[Counter[str], float, float]:
    """Return verdicts on the records of some pages, the CPU seconds to find them in the text, and of everything."""
    model, verdicts, seconds = load_extraction("invoice").model, Counter[str](), 0.0
    begun = time.process_time()
    for name, index, record in pages:
        with pymupdf.open(name) as document:
            layer = PageText(document[index].get_displaylist(), 0.0).layer(SCALE, (0.0, 0.0))
        started = time.process_time()
        found = find_evidence(record, model, layer.lines if layer else (), page_number=index + 1)
        seconds += time.process_time() - started
        verdicts.update(str(one.verdict) for one in found)
    return verdicts, seconds, time.process_time() - begun


def main() -> None:
    """Print pages, seconds and verdicts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--pages", type=int, default=1000)
    parser.add_argument("--items", type=int, default=20)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        pages = (
            pages_in(arguments.folder, arguments.pages)
            if arguments.folder
            else made_pages(Path(scratch), arguments.pages, arguments.items)
        )
        chunks = [pages[start : start + PAGES_PER_FILE] for start in range(0, len(pages), PAGES_PER_FILE)]
        with ProcessPoolExecutor(WORKERS, multiprocessing.get_context("spawn")) as pool:
            list(pool.map(hold, [[pages[0]]] * WORKERS))  # started and warm
            started = time.perf_counter()
            parts = list(pool.map(hold, chunks))
            elapsed = time.perf_counter() - started
    verdicts = sum((verdicts for verdicts, _, _ in parts), Counter[str]())
    searching = sum(seconds for _, seconds, _ in parts)
    busy = sum(seconds for _, _, seconds in parts)
    print(f"{len(pages)} pages in {elapsed:.1f} s on {WORKERS} processes, {busy:.1f} s of CPU;")
    print(f"{1000 * searching / max(len(pages), 1):.1f} ms a page of it for evidence;")
    print(f"{verdicts.total()} values: " + ", ".join(f"{verdict} {n}" for verdict, n in verdicts.most_common()))


if __name__ == "__main__":
    main()
