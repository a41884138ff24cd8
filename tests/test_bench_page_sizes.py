"""What page sizes cost: the labelled documents, and a whole comparison on a few pages."""

import json
from pathlib import Path

import pymupdf
import pytest

from pipeline.bench.page_sizes import compare_sizes, expected_ms, parse_sizes, table
from pipeline.errors import ConfigError
from pipeline.eval.labels import read_labels

LINES = ("Delivery note 4711", "Two crates of apples", "Signed by the warehouse")


def write_labels(folder: Path, names: str, *, kind: str = "fulltext") -> Path:
    """Write one-page documents and their texts, as labels describes."""
    entries = []
    for name in names:
        with pymupdf.open() as document:  # type: ignore[no-untyped-call]
            page = document.new_page(width=300, height=200)
            for number, line in enumerate(LINES):
                page.insert_text((20, 40 + 40 * number), line, fontsize=16)
            document.save(folder / f"{name}.pdf")
        (folder / f"{name}.txt").write_text("\n".join(LINES))
        entries.append({"id": name, "kind": kind, "file": f"{name}.pdf", "ground_truth": f"{name}.txt"})
    (folder / "manifest.jsonl").write_text("".join(f"{json.dumps(entry)}\n" for entry in entries))
    return folder


def test_a_limit_takes_documents_from_all_over(tmp_path: Path) -> None:
    """The first few are often of one source."""
    labels = read_labels(write_labels(tmp_path, "abcdefgh"), limit=4)
    assert [one.name for one in labels.documents] == ["a", "c", "e", "g"]


def test_a_folder_without_labels_is_refused(tmp_path: Path) -> None:
    """There is nothing to score by."""
    with pytest.raises(ConfigError, match="no manifest"):
        read_labels(tmp_path)
    with pytest.raises(ConfigError, match="names no document"):
        read_labels(write_labels(tmp_path, "a", kind="poem"))


def test_sizes_are_pixels_or_adaptive() -> None:
    """With or without an em height."""
    fixed, adaptive, small = parse_sizes("500000, adaptive,adaptive@9", 1_003_520)
    assert (fixed.render.max_pixels, fixed.render.adaptive) == (500_000, "off")
    assert (adaptive.render.max_pixels, adaptive.render.adaptive) == (1_003_520, "on")
    assert (small.name, small.render.legible_px) == ("adaptive@9", 9)


@pytest.mark.parametrize("text", ["", "large", "adaptive@small", "3"])
def test_what_is_no_size_is_refused(text: str) -> None:
    """Before anything is read."""
    with pytest.raises(ConfigError, match="no page size"):
        parse_sizes(text, 1_003_520)


def test_larger_pages_take_longer() -> None:
    """On a card that computes more slowly than it is fed."""
    assert expected_ms("rtx-4000-ada", 1_003_520) > expected_ms("rtx-4000-ada", 500_000) > 0


@pytest.mark.slow
def test_sizes_are_compared_by_what_was_read(tmp_path: Path) -> None:
    """From pixels alone: at a size where nothing can be read, the text layer must not help."""
    labels = read_labels(write_labels(tmp_path, "ab")).by_kind
    usual, tiny = compare_sizes(labels, parse_sizes("250000,3136", 1_003_520), gpu="rtx-4000-ada", workers=1)
    assert usual.words > 0.9
    assert tiny.words < usual.words
    assert (usual.pages, usual.saved) == (2, 0)
    assert usual.cer == pytest.approx(0, abs=0.1)
    assert (tiny.worse, tiny.better, usual.worse) == (("a", "b"), (), ())
    assert tiny.saved > 0.9
    assert len(table([usual, tiny]).splitlines()) == 3
