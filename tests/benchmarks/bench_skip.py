"""Which pages of a folder need no engine, and how well text layers are read where the truth is known.

    python -m tests.benchmarks.bench_skip FOLDER             # counts, and pages called blank that carry text
    python -m tests.benchmarks.bench_skip FOLDER --labels    # FOLDER has a manifest.jsonl, see eval/labels.py

Text layers are scored per document, of those documents all of whose pages are read from layers,
against OCR of the images of the same documents.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.config import OcrConfig, RenderConfig, RunConfig
from pipeline.data import DocumentRef, PageFacts, PageImage, RenderSpec
from pipeline.engines.ocr import LayerPage, is_whole_page, start_layer_worker
from pipeline.engines.ocr.text_layer import is_trustworthy
from pipeline.errors import ConfigError, GenerationInvalid, PageError
from pipeline.eval import readings
from pipeline.eval.equality import Shape, shape_of
from pipeline.eval.labels import EXTRACTIONS, Labelled, read_labels
from pipeline.eval.scoring import score_document
from pipeline.eval.texts import character_errors, words_read
from pipeline.extraction import Extraction, load_extraction
from pipeline.merging import Limits
from pipeline.planning import engine_task
from pipeline.render import Renderer
from pipeline.results import open_results
from pipeline.run import run
from pipeline.skip.duplicates import identity_of
from pipeline.source import list_documents, path_of

SPEC = RenderSpec(1_003_520)
FACTS = PageFacts(text_layer=True, digest=True, is_blank=True)
NO_LIMIT = Limits(characters=1 << 40, items=1 << 40, records=1 << 40)


class Reading(NamedTuple):
    """What came of a document."""

    text: str
    record: dict[str, Any]


def pages_of(renderer: Renderer, ref: DocumentRef) -> Iterator[PageImage]:
    """Yield the pages that can be rendered."""
    path = path_of(ref.uri)
    document = renderer.open(ref, path).result()
    for number in range(1, document.num_pages + 1):
        with suppress(PageError):
            yield renderer.render(document, path, number, SPEC).result()


def kind_of(image: PageImage) -> str:
    """Return what would become of a page for its own sake."""
    if image.is_blank:
        return "blank"
    if image.text_layer is None or not is_trustworthy(image.text_layer):
        return "no trusted text layer"
    return "whole in its text layer" if is_whole_page(image.text_layer) else "text layer beside pictures"


def count(folder: str) -> None:
    """Print how many pages are of which kind."""
    kinds: Counter[str] = Counter()
    seen: set[bytes] = set()
    with closing(Renderer(RenderConfig(), num_workers=2, facts=FACTS)) as renderer:
        for ref in list_documents(folder):
            with suppress(PageError):
                for image in pages_of(renderer, ref):
                    kinds[kind_of(image)] += 1
                    kinds["pages"] += 1
                    if image.is_blank and image.text_layer and image.text_layer.lines:
                        print(
                            f"blank with text: {ref.name} page {image.page_number}: {image.text_layer.lines[0].text!r}"
                        )
                    elif image.is_blank:
                        print(f"blank: {ref.name} page {image.page_number}")
                    elif key := identity_of(image):
                        kinds["of these, equal to an earlier page"] += key in seen
                        seen.add(key)
    for kind, number in kinds.most_common():
        print(f"{number:6} {kind}")


def read_layers(documents: Sequence[Labelled], extraction: Extraction, wanted: set[str]) -> dict[str, Reading]:
    """Return what the layers of those documents say of which every page is of a kind in `wanted`, and sufficient."""
    found = {}
    read = start_layer_worker(engine_task(extraction, RunConfig(input="", output="")))
    with closing(Renderer(RenderConfig(), num_workers=2, facts=FACTS)) as renderer:
        for document in documents:
            merger, texts = extraction.merger(NO_LIMIT), []
            ref = DocumentRef(document.path.resolve().as_uri(), 0, None)
            with suppress(PageError, GenerationInvalid, ConfigError):
                pages = list(pages_of(renderer, ref))
                for image in pages:
                    if kind_of(image) not in wanted or image.text_layer is None:
                        break
                    output = read(LayerPage(image.text_layer, image.width_px, image.height_px))
                    record = extraction.validate(output.text)
                    if not extraction.is_sufficient(record, is_whole=len(pages) == 1):
                        break
                    merger.add(image.page_number, record)
                    texts.append("\n".join(line.text for line in output.lines))
                else:
                    found[document.name] = Reading("\n".join(texts), merger.result().record or {})
    return found


def read_images(documents: Sequence[Labelled], extraction: str) -> dict[str, Reading]:
    """Return what OCR reads from pixels alone."""
    with tempfile.TemporaryDirectory() as scratch:
        inputs = Path(scratch, "in")
        inputs.mkdir()
        for document in documents:
            (inputs / f"{document.name}{document.path.suffix}").symlink_to(document.path.resolve())
        ocr = OcrConfig(text_layer="never", workers=2)
        run(RunConfig(input=str(inputs), output=f"{scratch}/out", extraction=extraction, engine="ocr", ocr=ocr))
        [results] = open_results(f"{scratch}/out").extractions
        texts: dict[str, list[str]] = {}
        rows = results.pages(("source_uri", "page_number", "page_text")).to_pylist()
        for row in sorted(rows, key=lambda row: row["page_number"] or 0):
            texts.setdefault(path_of(row["source_uri"]).stem, []).append(row["page_text"] or "")
        records = results.documents(("source_uri", "record")).to_pylist()
        return {
            (name := path_of(row["source_uri"]).stem): Reading("\n".join(texts[name]), row["record"] or {})
            for row in records
        }


def score(title: str, documents: Sequence[Labelled], read: dict[str, Reading], shape: Shape) -> None:
    """Print how much of the labels came out."""
    found, errors, length = Counter[str](), 0, 0
    missed: Counter[str] = Counter()
    words = []
    for document in documents:
        reading = read.get(document.name, Reading("", {}))
        for one in score_document(document, readings.Reading(record=reading.record), shape).fields:
            found.update(correct=one.is_right, labelled=one.is_labelled)
            missed[one.field] += one.is_labelled and not one.is_right
        if document.text:
            wrong, total = character_errors(reading.text, document.text)
            errors, length = errors + wrong, length + total
            words.append(words_read(reading.text, document.text))
    text = f"; words {sum(words) / len(words):.3f}, characters wrong {errors / max(length, 1):.4f}" if words else ""
    most = ", ".join(f"{name} {number}" for name, number in missed.most_common(4) if number)
    print(f"  {title}: fields {found['correct']} of {found['labelled']}{text}; missed: {most or 'none'}", flush=True)


def compare(folder: str) -> None:
    """Print how well layers are read, against images of the same documents."""
    for kind, documents in read_labels(Path(folder)).by_kind.items():
        pdfs = [document for document in documents if document.path.suffix == ".pdf"]
        extraction = load_extraction(EXTRACTIONS[kind])
        shape = shape_of(extraction.model)
        groups = {"whole": {"whole in its text layer"}}
        groups["pictures too"] = groups["whole"] | {"text layer beside pictures"}
        for name, wanted in groups.items():
            layers = read_layers(pdfs, extraction, wanted)
            chosen = [document for document in pdfs if document.name in layers]
            print(f"{kind}, {name}: {len(chosen)} of {len(pdfs)} PDFs", flush=True)
            if chosen:
                score("text layers", chosen, layers, shape)
                score("images     ", chosen, read_images(chosen, extraction.name), shape)


def main() -> None:
    """Count, or compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--labels", action="store_true", help="score text layers against labels")
    arguments = parser.parse_args()
    (compare if arguments.labels else count)(arguments.folder)


if __name__ == "__main__":
    main()
