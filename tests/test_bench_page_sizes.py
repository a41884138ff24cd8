"""What page sizes cost: the scores, the labelled documents, and a whole comparison on a few pages."""

import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pymupdf
import pytest

from pipeline.bench.accuracy import character_errors, fields_read, words_read
from pipeline.bench.labels import read_labels
from pipeline.bench.page_sizes import compare_sizes, expected_ms, parse_sizes, table
from pipeline.errors import ConfigError

LINES = ("Delivery note 4711", "Two crates of apples", "Signed by the warehouse")


def test_characters_count_but_white_space_and_case_do_not() -> None:
    """As readers are usually scored."""
    assert character_errors("ABC  def\n", "abc dex") == (1, 7)


def test_words_count_in_any_order() -> None:
    """Two columns may be read one after the other or line by line."""
    assert words_read("gross total: 12.50", "Total 12.50 gross") == 1
    assert words_read("total", "total net") == pytest.approx(2 / 3)
    assert words_read("", "total") == 0


@pytest.mark.parametrize(
    ("value", "truth", "is_read"),
    [
        (Decimal("26.6"), "26.60", True),
        (Decimal("26.06"), "26.60", False),
        (date(2018, 1, 18), "2018-01-18", True),
        (date(2018, 1, 8), "2018-01-18", False),
        ("FA 2017 0010", "fa-2017-0010", False),
        ("fa-2017 0010", "FA-20170010", True),
        ("CAFE BAR SDN. BHD", "Cafe Bar SDN BHD", True),
        ("Foo", "Cafe Bar SDN BHD", False),
        (None, "EUR", False),
    ],
)
def test_amounts_dates_and_identifiers_must_be_equal_and_names_nearly(value: object, truth: str, is_read: bool) -> None:
    """A total with one digit wrong is wrong; a seller without its full stop is not."""
    assert fields_read({"x": value}, {"x": truth}, ["x"]) == (is_read, 1)


def test_what_is_not_labelled_or_not_on_the_page_is_not_scored() -> None:
    """Nobody knows whether it was read."""
    truth: dict[str, Any] = {"total": "1.00", "tax": None, "seller": "A", "visible_on_page": {"seller": False}}
    assert fields_read({}, truth, ["total", "tax", "seller", "buyer"]) == (0, 1)


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
    assert [one.name for one in labels["fulltext"]] == ["a", "c", "e", "g"]


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
    labels = read_labels(write_labels(tmp_path, "ab"))
    usual, tiny = compare_sizes(labels, parse_sizes("250000,3136", 1_003_520), gpu="rtx-4000-ada", workers=1)
    assert usual.words > 0.9
    assert tiny.words < usual.words
    assert (usual.pages, usual.saved) == (2, 0)
    assert usual.cer == pytest.approx(0, abs=0.1)
    assert (tiny.worse, tiny.better, usual.worse) == (("a", "b"), (), ())
    assert tiny.saved > 0.9
    assert len(table([usual, tiny]).splitlines()) == 3
