"""How well labelled documents are read: score an output, sum scores up, hold two outputs against each other."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import cache
from pathlib import Path

from pipeline.eval.equality import shape_of
from pipeline.eval.labels import Dataset, Labelled, read_labels
from pipeline.eval.readings import Reading, Readings, read_output
from pipeline.eval.scoring import DocumentScore, ScoredValue, score_document
from pipeline.extraction import list_extractions, load_extraction

__all__ = ["Dataset", "DocumentScore", "Labelled", "Reading", "ScoredValue", "load_dataset", "score_output"]


def load_dataset(
    folder: Path, *, kinds: Collection[str] = (), limit: int | None = None, prompts: Iterable[Path] = ()
) -> Dataset:
    """Return the labelled documents of a folder; see `read_labels`, which says what it raises."""
    names = [found.name for found in list_extractions(prompts)]
    return read_labels(folder, limit=limit, kinds=kinds, extractions=names)


def score_output(
    dataset: Dataset, output: str, *, prompts: Iterable[Path] = (), strict: bool = False
) -> list[DocumentScore]:
    """Return how an output has each document, in the order of the dataset; those that it lacks count as not read.

    Args:
        strict: count only values of which it is known that they stand on the page.

    Raises:
        ConfigError: there is no output, or an extraction is unknown.
        StorageError: the output cannot be read.
    """
    folders = list(prompts)
    extractions = {name: load_extraction(name, folders) for name in {one.extraction for one in dataset.documents}}

    @cache
    def readings(name: str) -> Readings:
        return read_output(output, extractions[name])

    return [
        score_document(
            label,
            readings(label.extraction).of(label),
            shape_of(extractions[label.extraction].model),
            strict=strict,
        )
        for label in dataset.documents
    ]
