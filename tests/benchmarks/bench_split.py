"""How often files of several documents are divided where one document ends and the next begins.

    pagemill run --extraction invoice --engine ocr DATASET/invoices OUT
    pagemill run --extraction receipt --engine ocr DATASET/receipts OUT
    python -m tests.benchmarks.bench_split OUT DATASET

Labelled documents are joined at random, two to eight a file, and merged from the rows of their pages as they are in
OUT. Half of the documents, told by the seller and number that their labels have, were looked at when the weights of
pipeline/merging/splitting.py were chosen; figures are of each half. Neighbours have different numbers unless `any
neighbours` says otherwise: copies of one invoice stand in the data under many names. `no page numbers` leaves out
those that are printed, as for an engine that reads no lines; `cut` are receipts cut in two between two lines of text,
each half read by itself. `disturbed` has a page of terms and a blank one behind three documents of ten, and a tenth of
further pages failed.
"""

from __future__ import annotations

import argparse
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.data import Box, Json, TextLine
from pipeline.engines.ocr.fields import fill_record
from pipeline.eval.labels import Labelled, read_labels
from pipeline.extraction import Extraction, load_extraction
from pipeline.merging import Limits
from pipeline.results import open_results
from pipeline.values import DateOrder

LIMITS = Limits(characters=1 << 30, items=1 << 30, records=1 << 30)
COLUMNS = ("sha256", "page_number", "record", "lines", "width_px", "height_px")
MOST_JOINED = 8
LEAST_PIXELS = 28


class Page(NamedTuple):
    """What was read from a page."""

    record: Json | None
    lines: tuple[TextLine, ...]
    width_px: int
    height_px: int


FAILED, FOLLOWED = 0.1, 0.3
NOTHING = Page(None, (), 0, 0)
TERMS = Page({"seller": "Terms and conditions"}, (TextLine("Terms and conditions", Box(0, 0, 300, 10)),), 0, 0)


class Score(NamedTuple):
    """Boundaries found, of those that there are; documents divided right, of all."""

    right: int
    found: int
    wanted: int
    whole: int
    documents: int

    def __str__(self) -> str:
        precision, recall = self.right / max(self.found, 1), self.right / max(self.wanted, 1)
        whole = f"documents right {self.whole:5} of {self.documents} ({self.whole / max(self.documents, 1):.1%})"
        if not self.wanted:
            return f"boundaries in documents left alone {self.found:4}  {whole}"
        return f"boundaries {self.wanted:5}  precision {precision:.3f}  recall {recall:.3f}  {whole}"


def read_pages(output: str, extraction: str) -> dict[str, list[Page]]:
    """Return the pages of each document in page order, by its SHA-256."""
    found: dict[str, list[tuple[int, Page]]] = defaultdict(list)
    for batch in open_results(output)[extraction].page_batches(COLUMNS):
        for row in batch.to_pylist():
            if row["page_number"]:
                found[row["sha256"]].append((row["page_number"], _page(row)))
    return {name: [page for _, page in sorted(pages, key=lambda one: one[0])] for name, pages in found.items()}


def _page(row: Mapping[str, Any]) -> Page:
    lines = (
        TextLine(line["text"], Box(*(line[side] for side in ("x0", "y0", "x1", "y1"))), line["confidence"])
        for line in row["lines"]
    )
    return Page(row["record"], tuple(lines), row["width_px"], row["height_px"])


def cut(page: Page, extraction: Extraction, rng: random.Random) -> list[Page]:
    """Return a page cut in two between lines of text, each half read by itself."""
    tops = sorted(line.box.y0 for line in page.lines)
    at = tops[int(len(tops) * rng.uniform(0.35, 0.7))] - 1
    upper = tuple(line for line in page.lines if line.box.y0 < at)
    lower = tuple(
        line.__class__(line.text, line.box._replace(y0=line.box.y0 - at, y1=line.box.y1 - at), line.confidence)
        for line in page.lines
        if line.box.y0 >= at
    )
    return [_read(extraction, upper, page.width_px, at), _read(extraction, lower, page.width_px, page.height_px - at)]


def _read(extraction: Extraction, lines: tuple[TextLine, ...], width_px: int, height: float) -> Page:
    height_px = max(int(height), LEAST_PIXELS)
    values = fill_record(lines, width_px, height_px, extraction.model, DateOrder.DAY_FIRST)
    return Page(extraction.model.model_validate(values).model_dump(), lines, width_px, height_px)


def disturb(pages: Sequence[Page], rng: random.Random) -> list[Page]:
    """Return a document with further pages that failed, terms and conditions and a blank page, now and then."""
    disturbed = [page if rng.random() > FAILED else NOTHING for page in pages[1:]]
    extra = [page for page in (TERMS, NOTHING) if rng.random() < FOLLOWED]
    return [pages[0], *disturbed, *extra]


def starts_of(extraction: Extraction, pages: Sequence[Page], *, with_lines: bool) -> set[int]:
    """Return the first pages of the records that pages are merged into."""
    merger = extraction.merger(LIMITS)
    for number, page in enumerate(pages, 1):
        merger.add(number, page.record, (), page.lines if with_lines else ())
    return {part.first_page for part in merger.result().parts}


def score(extraction: Extraction, files: Sequence[Sequence[Sequence[Page]]], *, with_lines: bool) -> Score:
    """Merge files, each of several documents, and count."""
    right = found = wanted = whole = documents = 0
    for file in files:
        first, true = 1, []
        for document in file:
            true.append(first)
            first += len(document)
        got = starts_of(extraction, [page for document in file for page in document], with_lines=with_lines)
        inner, ends = set(true[1:]), [*true[1:], first]
        right, found, wanted = right + len(inner & got), found + len(got - {1}), wanted + len(inner)
        for start, end in zip(true, ends, strict=True):
            documents += 1
            whole += start in got and (end in got or end == first) and not got & set(range(start + 1, end))
    return Score(right, found, wanted, whole, documents)


def join(labelled: Sequence[Labelled], num_files: int, rng: random.Random, *, apart: bool) -> list[list[str]]:
    """Return the documents of each file, at random, none twice in one file."""
    files = []
    while len(files) < num_files:
        left = rng.sample(labelled, len(labelled))
        chosen = [left.pop()]
        size = rng.randint(2, MOST_JOINED)
        while left and len(chosen) < size:
            one = left.pop()
            if not apart or group_of(one) != group_of(chosen[-1]):
                chosen.append(one)
        files.append([one.sha256 for one in chosen])
    return files


def group_of(document: Labelled) -> str:
    """Return what copies of one document have in common."""
    seller = document.fields.get("seller")
    return f"{document.fields.get('invoice_number') if document.kind == 'invoice' else seller}|{seller}"


def is_held_out(document: Labelled) -> bool:
    """Tell whether a document was not looked at when weights were chosen."""
    return bool(sha256(f"h{group_of(document)}".encode()).digest()[-1] & 1)


def measure(kind: str, output: str, documents: Sequence[Labelled], num_files: int, seed: int) -> None:
    """Print the figures of one kind."""
    extraction = load_extraction(kind)
    pages = read_pages(output, kind)
    rng = random.Random(seed)
    halved = (
        {name: cut(all_pages[0], extraction, rng) for name, all_pages in pages.items()} if kind == "receipt" else {}
    )
    for label, held_out in (("looked at", False), ("held out", True)):
        half = [one for one in documents if one.sha256 in pages and is_held_out(one) is held_out]
        several = sum(len(pages[one.sha256]) > 1 for one in half)
        print(f"{kind}, {label}: {len(half)} documents, {several} of several pages")
        apart = join(half, num_files, rng, apart=kind == "invoice")
        kinds = {"joined": [[pages[name] for name in file] for file in apart]}
        if kind == "invoice":
            kinds["any neighbours"] = [
                [pages[name] for name in file] for file in join(half, num_files, rng, apart=False)
            ]
        if halved:
            kinds["cut"] = [[halved[name] for name in file] for file in apart]
            kinds["cut, alone"] = [[halved[one.sha256]] for one in half]
        kinds["disturbed"] = [[disturb(document, rng) for document in file] for file in kinds["joined"]]
        kinds["alone"] = [[pages[one.sha256]] for one in half]
        for name, files in kinds.items():
            print(f"  {name:16} {score(extraction, files, with_lines=True)}")
        print(f"  {'no page numbers':16} {score(extraction, kinds['joined'], with_lines=False)}")


def main() -> None:
    """Print the figures of invoices and receipts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output")
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--files", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    labelled = read_labels(arguments.dataset).by_kind
    for kind in ("invoice", "receipt"):
        measure(kind, arguments.output, labelled[kind], arguments.files, arguments.seed)


if __name__ == "__main__":
    main()
