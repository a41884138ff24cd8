"""What counts as read: texts, values, items, and documents that were not read at all."""

from __future__ import annotations

import itertools
import json
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pipeline.errors import ConfigError
from pipeline.eval.equality import Sort, is_exact, is_same, shape_of
from pipeline.eval.labels import Labelled, read_labels
from pipeline.eval.matching import assign
from pipeline.eval.readings import Reading
from pipeline.eval.scoring import DocumentScore, score_document
from pipeline.eval.texts import character_errors, score_text, without_markup, words_read
from pipeline.extraction import load_extraction

if TYPE_CHECKING:
    from pathlib import Path

INVOICE = shape_of(load_extraction("invoice").model)
PEN = {"description": "Pen", "quantity": "2.000", "unit_price": "1.50", "gross_unit_price": "2.00", "line_total": "3.0"}
INK = {"description": "Ink", "quantity": "1", "unit_price": "4", "line_total": "4.00"}
GHOST = {"description": "ghost", "line_total": "77"}
PEN_MISREAD = {"description": "pen", "quantity": 2, "unit_price": "2.00", "line_total": "3.01"}


def scored(truth: dict[str, Any], record: dict[str, Any], *, strict: bool = False, **label: Any) -> DocumentScore:
    """Return how a record of an invoice is scored against a label."""
    labelled = Labelled("a", "invoice", None, None, truth, "invoice", **label)  # type: ignore[arg-type]
    return score_document(labelled, Reading(record=record), INVOICE, strict=strict)


def sums(score: DocumentScore, field: str) -> tuple[int, int, int]:
    """Return how often a field is labelled, read and right."""
    values = [value for value in score.values if value.field == field]
    return (
        sum(one.is_labelled for one in values),
        sum(one.is_read for one in values),
        sum(one.is_right for one in values),
    )


def test_characters_count_but_white_space_and_case_do_not() -> None:
    """As readers are usually scored."""
    assert character_errors("ABC  def\n", "abc dex") == (1, 7)


def test_words_count_in_any_order() -> None:
    """Two columns may be read one after the other or line by line."""
    assert words_read("gross total: 12.50", "Total 12.50 gross") == 1
    assert words_read("total", "total net") == pytest.approx(2 / 3)
    assert words_read("", "total") == 0


def test_a_text_is_scored_by_characters_words_and_bags_of_words() -> None:
    """Case counts where the label is a transcript."""
    score = score_text("ABC  def", "abc dex", case_counts=False)
    assert (score.cer, score.wer, score.bag) == (1 / 7, 0.5, 0.5)
    assert score_text("ABC", "abc", case_counts=True).cer == 1
    assert score_text("b a!", "a b", case_counts=True).bag_alnum == 1


def test_markup_is_no_text() -> None:
    """A reader that writes a table as Markdown has read no pipes."""
    assert without_markup("# T\n| a | b |\n|---|---|\n| x | [1.5](u) |").split() == ["T", "a", "b", "x", "1.5"]


@pytest.mark.parametrize(
    ("sort", "value", "truth", "is_read"),
    [
        (Sort.AMOUNT, Decimal("26.6"), "26.60", True),
        (Sort.AMOUNT, Decimal("26.06"), "26.60", False),
        (Sort.AMOUNT, "7,00", "7.00", True),
        (Sort.AMOUNT, 9, "9.00", True),
        (Sort.AMOUNT, True, "1", False),
        (Sort.DATE, date(2018, 1, 18), "2018-01-18T00:00", True),
        (Sort.DATE, date(2018, 1, 8), "2018-01-18", False),
        (Sort.IDENTIFIER, "fa-2017 0010", "FA-20170010", True),
        (Sort.IDENTIFIER, "FA 2017 0010", "fa-2017-0010", False),
        (Sort.IDENTIFIER, "1O", "10", False),
        (Sort.CODE, "€", "EUR", True),
        (Sort.NAME, "CAFE\u0301 BAR SDN. BHD", "Café Bar SDN BHD", True),
        (Sort.NAME, "Foo", "Cafe Bar SDN BHD", False),
        (Sort.DESCRIPTION, "Kopierpapier A4", "Kopierpapier A4\n80 g, holzfrei, Karton zu 2.500 Blatt", True),
        (Sort.CHOICE, "paid", "Paid", True),
        (Sort.CODE, None, "EUR", False),
    ],
)
def test_amounts_dates_and_identifiers_must_be_equal_and_names_nearly(
    sort: Sort, value: object, truth: str, *, is_read: bool
) -> None:
    """A total with one digit wrong is wrong; a seller without its full stop is not."""
    assert is_same(sort, value, truth) is is_read


def test_exact_admits_no_likeness() -> None:
    """It is the stricter of two figures."""
    assert is_exact(Sort.NAME, "Cafe  Bar", "Cafe Bar")
    assert not is_exact(Sort.NAME, "CAFE BAR", "Cafe Bar")
    assert is_exact(Sort.AMOUNT, Decimal("26.6"), "26.60")


def test_the_schema_says_how_a_field_is_compared() -> None:
    """Extractions of your own need no further word."""
    assert INVOICE.fields["invoice_number"] is Sort.IDENTIFIER
    assert INVOICE.fields["due_date"] is Sort.DATE
    assert INVOICE.lists["line_items"]["description"].sort is Sort.DESCRIPTION


def test_what_is_not_labelled_or_not_on_the_page_is_not_scored() -> None:
    """Nobody knows whether it was read."""
    truth = {"total": "1.00", "tax": None, "seller": "A"}
    score = scored(truth, {"tax": "3.00"}, visible={"seller": False})
    assert [value.field for value in score.values] == ["total"]


def test_strict_counts_only_what_is_known_to_stand_on_the_page() -> None:
    """Values from a file's XML need not be printed."""
    truth, visible = {"total": "1.00", "seller": "A"}, {"total": True, "seller": None}
    assert [value.field for value in scored(truth, {}, visible=visible, strict=True).values] == ["total"]
    assert len(scored(truth, {}, visible=visible).values) == 2


def test_a_value_that_is_known_to_be_absent_counts_against_precision() -> None:
    """Else inventing values would cost nothing."""
    score = scored({"total": "1.00"}, {"total": "1", "tax": "9"}, absent=frozenset({"tax"}))
    assert sums(score, "tax") == (0, 1, 0)
    assert not score.is_all_right
    assert scored({"total": "1.00"}, {"total": "1"}, absent=frozenset({"tax"})).is_all_right


def test_a_document_that_was_not_read_lacks_all_its_values() -> None:
    """It is counted, never dropped."""
    score = scored({"total": "1.00", "line_items": [PEN]}, {})
    assert (sums(score, "total"), sums(score, "line_items.line_total")) == ((1, 0, 0), (1, 0, 0))
    assert score.items[0].labelled == 1
    assert score.status is None


def test_a_broken_rule_counts_where_it_is_about_labelled_values() -> None:
    """Of receipts whose items nobody labelled, nobody can say whether an item is wrong."""
    label = Labelled("a", "invoice", None, None, {"total": "1.00"}, "invoice")  # type: ignore[arg-type]
    broken = (("adds_up", ("total", "tax")), ("per_item", ("line_items[3].quantity",)), ("whole", ()))
    score = score_document(label, Reading(record={"total": "1.00"}, breaches=broken), INVOICE)
    assert score.breaches == ("adds_up", "whole")


def test_copies_are_told_by_their_amounts_or_their_text() -> None:
    """Names and layouts differ from program to program; one amount alone is a coincidence."""
    truth = {"total": "119.00", "tax": "19.00", "seller": "A"}
    assert scored(truth, {}).cluster == scored({**truth, "seller": "B"}, {"total": "1"}).cluster
    assert scored(truth, {}).cluster != scored({**truth, "tax": "18.00"}, {}).cluster
    assert scored({"total": "119.00"}, {}).cluster == "a"
    pages = [Labelled(name, "fulltext", None, text) for name, text in (("a", "An  Odd Text"), ("b", "an odd text"))]  # type: ignore[arg-type]
    assert len({score_document(page, Reading(), INVOICE).cluster for page in pages}) == 1


def test_items_are_paired_one_to_one_wherever_they_stand() -> None:
    """An item that was invented costs precision, one that was missed recall; a price before discounts is right."""
    score = scored({"line_items": [PEN, INK]}, {"line_items": [INK, PEN_MISREAD, GHOST]})
    (items,) = score.items
    assert (items.labelled, items.read, items.found, items.right) == (2, 3, 2, 1)
    assert sums(score, "line_items.unit_price") == (2, 2, 2)
    assert sums(score, "line_items.line_total") == (2, 3, 1)


def test_a_column_that_nobody_labelled_is_not_known_to_be_wrong() -> None:
    """Where only descriptions are labelled, prices may be right; precision counts them, confidence does not."""
    score = scored({"line_items": [{"description": "Something else"}]}, {"line_items": [INK]})
    known = {value.field: value.is_known for value in score.values if value.is_read}
    assert known == {
        "line_items.description": True,
        "line_items.quantity": False,
        "line_items.unit_price": False,
        "line_items.line_total": False,
    }


def test_columns_that_the_page_does_not_show_in_full_are_not_scored() -> None:
    """Descriptions in XML are often longer than those printed."""
    score = scored({"line_items": [PEN]}, {"line_items": [PEN]}, visible={"line_desc": [0, 1]})
    assert sums(score, "line_items.description") == (0, 0, 0)
    assert score.items[0].right == 1


def test_assignments_are_the_best_there_are() -> None:
    """Against trying all of them."""
    numbers = np.random.default_rng(3)
    for rows, columns in itertools.product(range(1, 5), range(1, 5)):
        weights = numbers.random((rows, columns)).round(1)
        best = max(
            sum(weights[i, j] for i, j in zip(chosen, taken, strict=True))
            for chosen in itertools.combinations(range(rows), min(rows, columns))
            for taken in itertools.permutations(range(columns), min(rows, columns))
        )
        pairs = assign(weights)
        assert sum(weights[i, j] for i, j in pairs) == pytest.approx(best)
        assert len({i for i, _ in pairs}) == len({j for _, j in pairs}) == min(rows, columns)


def test_hundreds_of_items_are_paired_in_a_second_or_two() -> None:
    """A long invoice must not stop an evaluation."""
    weights = np.random.default_rng(1).random((300, 300))
    assert len(assign(weights)) == 300


def write_manifest(folder: Path, *entries: dict[str, Any]) -> Path:
    """Write a folder of labels; nobody reads its documents."""
    (folder / "a.pdf").touch()
    (folder / "a.json").write_text(json.dumps({"total": "1.00", "tax": None, "text": "Total 1.00", "absent": ["iban"]}))
    (folder / "manifest.jsonl").write_text("".join(f"{json.dumps(entry)}\n" for entry in entries))
    return folder


def test_a_manifest_may_name_extractions_of_ones_own(tmp_path: Path) -> None:
    """What review exports can be scored as it is; what nobody can use is counted, with the reason."""
    entry = {"id": "a/1", "kind": "slip", "file": "a.pdf", "ground_truth": "a.json", "language": "en (Malaysia)"}
    others = {"id": "b", "kind": "poem", "file": "b.pdf"}, {"id": "c", "kind": "slip", "file": "c.pdf"}
    found = read_labels(write_manifest(tmp_path, entry, *others), extractions=["slip"])
    (label,) = found.documents
    assert (label.name, label.extraction, label.language, label.text) == ("a-1", "slip", "en", "Total 1.00")
    assert label.absent == {"iban"}
    assert sorted(found.left_out.values()) == [1, 1]


def test_ids_must_be_unique(tmp_path: Path) -> None:
    """One of two would be lost."""
    entry = {"id": "a", "kind": "receipt", "file": "a.pdf", "ground_truth": "a.json"}
    with pytest.raises(ConfigError, match="several documents with the id 'a'"):
        read_labels(write_manifest(tmp_path, entry, entry))
