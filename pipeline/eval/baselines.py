"""What people read documents with on a CPU today, beside what was read here: Tesseract, and the text layers of PDFs.

These tell text, no fields: compared are characters, words, and how many of the labelled values stand in the text.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from pipeline.errors import WorkerError
from pipeline.eval.calibration import clusters_of
from pipeline.eval.equality import shape_of
from pipeline.eval.figures import TextFigures, text_figures
from pipeline.eval.intervals import Estimate, Ratio, estimates
from pipeline.eval.plain_readers import Plain, Wanted, start_pymupdf, start_tesseract
from pipeline.eval.presence import values_present
from pipeline.eval.readings import Reading, read_output
from pipeline.eval.scoring import score_document
from pipeline.extraction import load_extraction
from pipeline.workers import WorkerPool

if TYPE_CHECKING:
    from pipeline.config import RunConfig
    from pipeline.eval.labels import Dataset, Labelled
    from pipeline.eval.reading import Speed
    from pipeline.eval.scoring import DocumentScore

TESSERACT, PYMUPDF, OURS = "tesseract", "pymupdf", "pagemill"
BASELINES = (TESSERACT, PYMUPDF)
TIMEOUT_S = 300.0
"""For one document."""
_LANGUAGES = {
    "de": "deu",
    "en": "eng",
    "fr": "fra",
    "nl": "nld",
    "es": "spa",
    "it": "ita",
    "pt": "por",
    "da": "dan",
    "pl": "pol",
    "sv": "swe",
    "fi": "fin",
    "no": "nor",
    "cs": "ces",
    "ms": "msa",
    "ro": "ron",
    "hu": "hun",
}
_DEFAULT_LANGUAGE = "eng"


@dataclass(frozen=True, slots=True)
class BaselineFigures:
    """How one reader read the documents of one kind."""

    kind: str
    reader: str
    documents: int
    failed: int
    """Documents of which it read nothing because it broke down; they count as empty."""
    text: TextFigures | None
    """Of documents of which the text is labelled."""
    values_present: Estimate | None
    """Share of the labelled fields that stand in its text."""
    pages_per_s: float | None
    notes: tuple[str, ...] = ()


class _Texts(NamedTuple):
    """What a reader told of the documents of a kind, by their names."""

    reader: str
    texts: Mapping[str, str]
    failed: int
    pages_per_s: float | None
    notes: tuple[str, ...] = ()


def read_baselines(
    names: Sequence[str], dataset: Dataset, config: RunConfig, *, output: str, speeds: Sequence[Speed]
) -> list[BaselineFigures]:
    """Return how the readers did, kind by kind, after what an output has; one that is not installed has a note."""
    figures: list[BaselineFigures] = []
    workers = config.ocr.workers or len(os.sched_getaffinity(0))
    for kind, documents in dataset.by_kind.items() if names else ():
        ours = _ours(documents, output, config, next((one for one in speeds if one.kind == kind), None))
        others = [_READERS[name](documents, workers) for name in names]
        figures += [_figures(kind, documents, texts, config) for texts in (ours, *others) if texts]
    return figures


def _figures(kind: str, documents: Sequence[Labelled], read: _Texts, config: RunConfig) -> BaselineFigures:
    if not read.texts and read.notes:
        return BaselineFigures(kind, read.reader, 0, 0, None, None, None, read.notes)
    scores: list[DocumentScore] = []
    present: list[tuple[int, int]] = []
    for one in documents:
        shape = shape_of(load_extraction(one.extraction, config.prompts).model)
        text = read.texts.get(one.name, "")
        scores.append(score_document(one, Reading(text=text), shape))
        present.append(values_present(one, shape, text))
    found, labelled = ([pair[side] for pair in present] for side in (0, 1))
    [share] = estimates([Ratio(found, labelled)], clusters_of(scores))
    return BaselineFigures(
        kind, read.reader, len(documents), read.failed, text_figures(scores), share, read.pages_per_s, read.notes
    )


def _ours(documents: Sequence[Labelled], output: str, config: RunConfig, speed: Speed | None) -> _Texts | None:
    """Return what the output has; None where its reader tells no text."""
    texts: dict[str, str] = {}
    for name in {one.extraction for one in documents}:
        readings = read_output(output, load_extraction(name, config.prompts))
        if not readings.has_texts:
            return None
        texts |= {one.name: readings.of(one).text or "" for one in documents if one.extraction == name}
    return _Texts(OURS, texts, 0, speed.pages / speed.seconds if speed and speed.seconds else None)


def _tesseract(documents: Sequence[Labelled], workers: int) -> _Texts:
    if not shutil.which(TESSERACT):
        return _Texts(TESSERACT, {}, 0, None, ("tesseract is not installed: it is left out",))
    installed = _installed_languages()
    asked = {one.name: _tesseract_languages(one.language, installed) for one in documents}
    lacking = sorted({one.language for one in documents if set(_codes(one.language)) - set(asked[one.name].split("+"))})
    version = _tesseract_says("--version")[0]
    notes = [
        f"{version}: {workers} processes of one thread; PDFs at 300 dpi, images as they are; languages as labelled"
    ]
    if lacking:
        notes.append(f"tesseract has no data for all of {', '.join(lacking)}: read with what there is, else English")
    wanted = [Wanted(one.name, one.path, asked[one.name]) for one in documents]
    return _read(TESSERACT, wanted, start_tesseract, workers, tuple(notes))


def _pymupdf(documents: Sequence[Labelled], workers: int) -> _Texts:
    wanted = [Wanted(one.name, one.path, "") for one in documents]
    return _read(PYMUPDF, wanted, start_pymupdf, workers, ("pymupdf: text layers only, images have none",))


_READERS = {TESSERACT: _tesseract, PYMUPDF: _pymupdf}


def _read(reader: str, wanted: Sequence[Wanted], start: object, workers: int, notes: tuple[str, ...]) -> _Texts:
    pool: WorkerPool[Wanted, Plain] = WorkerPool(
        start,  # type: ignore[arg-type]
        num_workers=workers,
        timeout_s=TIMEOUT_S,
        name=reader,
    )
    try:
        began = time.monotonic()
        found = list(_results(pool, wanted))
        elapsed_s = time.monotonic() - began
    finally:
        pool.close()
    pages = sum(one.pages for one in found)
    texts = {one.name: one.text for one in found}
    has_read = any(text.strip() for text in texts.values())
    return _Texts(reader, texts, len(wanted) - len(found), pages / elapsed_s if has_read else None, notes)


def _results(pool: WorkerPool[Wanted, Plain], wanted: Sequence[Wanted]) -> Iterator[Plain]:
    for future in [pool.submit(one) for one in wanted]:
        try:
            yield future.result()
        except (WorkerError, OSError, RuntimeError, ValueError):
            continue  # it is counted as failed, and has no text


def _codes(language: str) -> list[str]:
    return [_LANGUAGES.get(code, code) for code in language.split(",")]


def _tesseract_languages(language: str, installed: frozenset[str]) -> str:
    return "+".join(code for code in _codes(language) if code in installed) or _DEFAULT_LANGUAGE


def _installed_languages() -> frozenset[str]:
    return frozenset(_tesseract_says("--list-langs")[1:])


def _tesseract_says(flag: str) -> list[str]:
    told = subprocess.run([TESSERACT, flag], capture_output=True, text=True, check=False)
    return told.stdout.splitlines()
