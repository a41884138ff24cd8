"""What smaller page images save, and what they cost in accuracy: labelled documents, read at several page sizes.

Read by the CPU engine from pixels alone, on any machine. It is another reader than the model on the GPU: what it
cannot read any more is surely too small; what it still reads, the model has to be asked for itself.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import mean, median
from typing import Any, NamedTuple

from pipeline.bench.telling import put, say
from pipeline.capacity import PROFILES, Serving, Workload, load_price_book, predict
from pipeline.config import OcrConfig, RenderConfig, RunConfig, TriesConfig
from pipeline.engines.vllm import MAX_PIXELS
from pipeline.errors import ConfigError
from pipeline.eval.equality import shape_of
from pipeline.eval.labels import EXTRACTIONS, Labelled, read_labels
from pipeline.eval.readings import Reading
from pipeline.eval.scoring import score_document
from pipeline.eval.texts import character_errors, words_read
from pipeline.extraction import load_extraction
from pipeline.results import open_results
from pipeline.run import run

ADAPTIVE = "adaptive"
MODEL = "qwen2.5-vl-7b-awq"
PIXELS_PER_TOKEN = 28 * 28
CHANGED = 0.01
"""Of the F1 score of a document's words: less is no better and no worse."""


class Found(NamedTuple):
    """How many of the labelled fields were read."""

    correct: int
    labelled: int


class PageSize(NamedTuple):
    """A way to choose the size of page images."""

    name: str
    render: RenderConfig


@dataclass(frozen=True, slots=True)
class SizeFigures:
    """How documents of one kind were read at one size."""

    kind: str
    size: str
    documents: int
    pages: int
    pages_failed: int
    megapixels: float
    """Of a page, on average; all sizes are those of whole pages, padding included."""
    image_tokens: float
    saved: float
    """Share of the image tokens that the first size takes."""
    gpu_ms: float
    """What `pagemill plan` expects a page of the mean size to take of the card; see `expected_ms`."""
    words: float
    """Mean F1 score of the words of a document, against its label or, where it has none, its text layer."""
    cer: float | None
    """Median of the documents' character error rates; None where no text is labelled."""
    fields: Found
    worse: tuple[str, ...]
    """Names of the documents of which fewer words were read than at the first size."""
    better: tuple[str, ...]


class _Reading(NamedTuple):
    """What came of one document."""

    text: str
    record: Mapping[str, Any]


class _Read(NamedTuple):
    """What came of one run."""

    documents: dict[str, _Reading]
    pixels: list[int]
    """Of every page that was rendered."""
    failed: int


def parse_sizes(text: str, max_pixels: int) -> list[PageSize]:
    """Return the sizes in a list such as `1003520,500000,adaptive,adaptive@9`.

    A number is the pixels a page has at most; `adaptive` the smallest legible size below `max_pixels`, `@9` with an
    em of 9 px.

    Raises:
        ConfigError: it is no such list.
    """
    sizes = []
    for name in text.replace(" ", "").split(","):
        word, at, em = name.partition("@")
        try:
            if word == ADAPTIVE:
                legible = {"legible_px": float(em)} if at else {}
                render = RenderConfig.model_validate({"max_pixels": max_pixels, "adaptive": "on", **legible})
            else:
                render = RenderConfig(max_pixels=int(name), adaptive="off")
        except ValueError as error:
            raise ConfigError(f"{name!r} is no page size: a number of pixels, adaptive, or adaptive@9.") from error
        sizes.append(PageSize(name, render))
    return sizes


def run_page_sizes(arguments: argparse.Namespace) -> int:
    """Compare page sizes, print what came of it, and return the exit code.

    Raises:
        ConfigError: there are no labelled documents, or no such sizes.
    """
    labels = read_labels(arguments.page_sizes, limit=arguments.limit).by_kind
    sizes = parse_sizes(arguments.sizes, arguments.page_pixels or MAX_PIXELS)
    load_price_book().gpu(arguments.gpu)
    figures = []
    for one in compare_sizes(labels, sizes, gpu=arguments.gpu, workers=arguments.processes):
        figures.append(one)
        say(f"{one.kind} at {one.size}: {one.words:.3f} of the words")
        if arguments.json:
            put(json.dumps(as_json(one)))
    if not arguments.json:
        put(table(figures))
    return 0


def expected_ms(gpu: str, pixels: float) -> float:
    """Return the milliseconds that a page is expected to take of a card: the default model, 400 output tokens."""
    load = Workload(page_pixels=round(pixels), shared_tokens=416, own_tokens=16, output_tokens=400)
    card = load_price_book().gpu(gpu)
    return 1000 / predict(PROFILES[MODEL].shape, card, load, Serving(max_num_seqs=128, kv_bytes=1, cards=1)).pages_per_s


def compare_sizes(
    labels: Mapping[str, Sequence[Labelled]], sizes: Sequence[PageSize], *, gpu: str, workers: int | None = None
) -> Iterator[SizeFigures]:
    """Read documents of each kind at each size; yield the figures as they come, compared with the first size.

    Args:
        gpu: whose time is predicted, by its name in the price book.
        workers: OCR processes; by default one a core.
    """
    for kind, documents in labels.items():
        with tempfile.TemporaryDirectory(prefix="pagemill-sizes-") as folder:
            source = _linked(documents, Path(folder, "in"))
            reader = _Reader(source, Path(folder), EXTRACTIONS[kind], workers)
            truths = _true_texts(documents, reader)
            first: tuple[float, list[float]] | None = None
            for size in sizes:
                read = reader.read(size.name, size.render)
                words = [words_read(read.documents[one.name].text, truths[one.name]) for one in documents]
                tokens = mean(read.pixels) / PIXELS_PER_TOKEN if read.pixels else 0.0
                first = first or (tokens, words)
                figures = _figures(kind, size.name, documents, read, (words, *first))
                yield replace(figures, gpu_ms=expected_ms(gpu, figures.megapixels * 1e6))


class _Reader:
    """Reads one folder, again and again."""

    def __init__(self, source: Path, folder: Path, extraction: str, workers: int | None) -> None:
        self._source = source
        self._folder = folder
        self._extraction = extraction
        self._workers = workers

    def read(self, name: str, render: RenderConfig) -> _Read:
        """Read from pixels alone, each page once."""
        return self._run(name, self._extraction, render, OcrConfig(text_layer="never", workers=self._workers))

    def text_layers(self) -> dict[str, _Reading]:
        """Return what the documents' own text layers say."""
        return self._run("layers", "transcript", RenderConfig(), OcrConfig(text_layer="only", workers=1)).documents

    def _run(self, name: str, extraction: str, render: RenderConfig, ocr: OcrConfig) -> _Read:
        config = RunConfig(
            input=str(self._source),
            output=str(self._folder / name),
            extraction=extraction,
            engine="ocr",
            render=render,
            ocr=ocr,
            tries=TriesConfig(max_tries=1),
        )
        run(config)
        return _results(config)


def _results(config: RunConfig) -> _Read:
    (found,) = open_results(config.output).extractions
    pages = found.pages(("source_uri", "page_number", "page_text", "width_px", "height_px", "status")).to_pylist()
    texts: dict[str, list[str]] = {}
    for page in sorted(pages, key=lambda page: page["page_number"] or 0):
        texts.setdefault(_name(page["source_uri"]), []).append(page["page_text"] or "")
    records = {
        _name(row["source_uri"]): row["record"] or {} for row in found.documents(("source_uri", "record")).to_pylist()
    }
    return _Read(
        {name: _Reading("\n".join(texts[name]), record) for name, record in records.items()},
        [page["width_px"] * page["height_px"] for page in pages if page["width_px"]],
        sum(page["status"] != "ok" for page in pages),
    )


def _figures(
    kind: str,
    size: str,
    documents: Sequence[Labelled],
    read: _Read,
    words: tuple[list[float], float, list[float]],
) -> SizeFigures:
    """Args: words: those read, then tokens a page and words read at the first size."""
    ours, first_tokens, first_words = words
    pixels = mean(read.pixels) if read.pixels else 0.0
    errors = [
        wrong / max(1, length)
        for one in documents
        if one.text
        for wrong, length in [character_errors(read.documents[one.name].text, one.text)]
    ]
    shape = shape_of(load_extraction(EXTRACTIONS[kind], ()).model)
    found = [
        value
        for one in documents
        for value in score_document(one, Reading(record=dict(read.documents[one.name].record)), shape).fields
    ]
    both = list(zip(documents, ours, first_words, strict=True))
    return SizeFigures(
        kind=kind,
        size=size,
        documents=len(documents),
        pages=len(read.pixels),
        pages_failed=read.failed,
        megapixels=pixels / 1e6,
        image_tokens=pixels / PIXELS_PER_TOKEN,
        gpu_ms=0.0,
        saved=1 - pixels / PIXELS_PER_TOKEN / first_tokens if first_tokens else 0.0,
        words=mean(ours),
        cer=median(errors) if errors else None,
        fields=Found(sum(one.is_right for one in found), sum(one.is_labelled for one in found)),
        worse=tuple(one.name for one, now, before in both if now < before - CHANGED),
        better=tuple(one.name for one, now, before in both if now > before + CHANGED),
    )


def _true_texts(documents: Sequence[Labelled], reader: _Reader) -> dict[str, str]:
    if all(one.text for one in documents):
        return {one.name: one.text or "" for one in documents}
    layers = reader.text_layers()
    return {one.name: one.text or layers[one.name].text for one in documents}


def _linked(documents: Sequence[Labelled], folder: Path) -> Path:
    """Return a folder that holds just these documents, each under its own name."""
    folder.mkdir()
    for document in documents:
        (folder / f"{document.name}{document.path.suffix}").symlink_to(document.path.resolve())
    return folder


def _name(uri: str) -> str:
    return Path(uri).stem


def table(figures: Sequence[SizeFigures]) -> str:
    """Return the figures for people."""
    rows = [("kind", "size", "pages", "MP", "tokens", "saved", "GPU ms", "words", "CER", "fields", "worse", "better")]
    rows += [
        (
            *(one.kind, one.size, str(one.pages), f"{one.megapixels:.2f}", f"{one.image_tokens:.0f}"),
            *(f"{one.saved:.0%}", f"{one.gpu_ms:.0f}", f"{one.words:.3f}", "" if one.cer is None else f"{one.cer:.3f}"),
            f"{one.fields.correct}/{one.fields.labelled}" if one.fields.labelled else "",
            *(str(len(one.worse)), str(len(one.better))),
        )
        for one in figures
    ]
    return "\n".join("".join(_column(text, number) for number, text in enumerate(row)) for row in rows)


def _column(text: str, number: int) -> str:
    return f"{text:<12}" if number == 0 else f"{text:<14}" if number == 1 else f"{text:>9}"


def as_json(figures: SizeFigures) -> dict[str, Any]:
    """Return the figures for machines."""
    return asdict(figures) | {"fields": figures.fields._asdict()}
