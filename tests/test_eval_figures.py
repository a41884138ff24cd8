"""Figures of an evaluation: sums, intervals, confidences, comparisons, and how scores are kept."""

from __future__ import annotations

import argparse
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.arguments.eval import add_eval_arguments
from pipeline.data import Box, FieldEvidence, Status, Verdict
from pipeline.errors import ConfigError
from pipeline.eval.calibration import calibration_of
from pipeline.eval.comparing import compare
from pipeline.eval.equality import MIN_DESCRIPTION_LIKENESS, MIN_LIKENESS, Sort
from pipeline.eval.figures import ANY_RULE, Group, figures_of, groups
from pipeline.eval.intervals import DRAWS, SWAPS, Estimate, Ratio, changes, estimates, holm, median_estimate
from pipeline.eval.presence import stands_in
from pipeline.eval.printing import comparison_text, figures_text
from pipeline.eval.scoring import DocumentScore, ItemsScore, ScoredValue
from pipeline.eval.table import read_scores, write_scores
from pipeline.eval.texts import score_text

TEXT = score_text("abd", "abc", case_counts=True)


def value(field: str = "total", *, right: bool = True, confidence: float | None = None) -> ScoredValue:
    """Return a labelled value that was read."""
    evidence = FieldEvidence(field, 1, Verdict.EXACT, field, Box(1, 2, 3, 4), 1.0, 0.9, None, confidence)
    return ScoredValue(
        field, field, is_labelled=True, is_read=True, is_right=right, is_exact=right, expected="1", value="1",
        evidence=evidence,
    )  # fmt: skip


def missing(field: str = "total") -> ScoredValue:
    """Return a labelled value that was not read."""
    return ScoredValue(
        field, None, is_labelled=True, is_read=False, is_right=False, is_exact=False, expected="1", value=None
    )


def score(
    name: str, *values: ScoredValue, kind: str = "invoice", language: str = "en", **rest: object
) -> DocumentScore:
    """Return the score of a document."""
    return DocumentScore(name, kind, language, kind, Status.OK, values, **rest)  # type: ignore[arg-type]


def many(right: int, wrong: int) -> list[DocumentScore]:
    """Return documents of one value each."""
    return [score(str(number), value(right=number < right)) for number in range(right + wrong)]


def test_intervals_hold_what_they_promise() -> None:
    """Of samples from a reader that is right in 80 % of documents, most have 80 % inside."""
    generator = np.random.default_rng(5)
    inside = 0
    for seed in range(60):
        right = generator.random(80) < 0.8
        [found] = estimates([Ratio(list(right), [1] * 80)], seed=seed)
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        inside += found.low <= 0.8 <= found.high
    assert inside >= 51


def test_all_right_is_no_promise_that_nothing_is_ever_wrong() -> None:
    """A bootstrap of 30 faultless documents would say 1 to 1."""
    every, none = estimates([Ratio([1] * 30, [1] * 30), Ratio([0] * 30, [1] * 30)])
    assert every is not None
    assert none is not None
    assert [every.value, every.low, every.high] == pytest.approx([1, 0.886, 1], abs=0.001)
    assert [none.value, none.low, none.high] == pytest.approx([0, 0, 0.114], abs=0.001)


def test_one_document_has_no_interval_and_none_no_figure() -> None:
    """Nothing can be said of others."""
    assert estimates([Ratio([1], [2]), Ratio([0], [0])]) == [Estimate(0.5), None]
    assert str(Estimate(0.5)) == "0.500"
    assert median_estimate([]) is None
    assert median_estimate([0.25]) == Estimate(0.25)


def test_of_one_document_nobody_can_say_how_far_a_change_goes() -> None:
    """An interval without width would look like certainty."""
    [change] = changes([(Ratio([1, 1], [2, 2]), Ratio([2, 2], [2, 2]))], ["copy", "copy"])
    assert change
    assert (change.difference, change.p) == (Estimate(0.5), 1.0)


def test_copies_of_a_document_are_one_draw() -> None:
    """An invoice that ten programs have printed says no more of others than one."""
    alone = estimates([Ratio([1, 0, 1, 0], [1] * 4)])
    copied = estimates([Ratio([1, 0, 1, 0] * 10, [1] * 40)], list("abcd" * 10))
    assert alone == copied
    assert alone != estimates([Ratio([1, 0, 1, 0] * 10, [1] * 40)])
    assert median_estimate([0.1] * 5, list("aaaaa")) == Estimate(0.1)
    pair = Ratio([0] * 20, [1] * 20), Ratio([1] * 20, [1] * 20)
    [few], [several] = changes([pair], list("ab" * 10)), changes([pair])
    assert few is not None
    assert several is not None
    assert several.p < 0.001
    assert few.p > 0.3


def test_figures_are_the_same_each_time() -> None:
    """They are compared and cited."""
    ratio = Ratio([1, 0, 1, 1], [1, 1, 1, 1])
    assert estimates([ratio]) == estimates([ratio])


def test_fields_are_summed_up_over_documents() -> None:
    """Precision is of what was read, recall of what is labelled, failed documents and all."""
    scores = [score("a", value(), value("tax", right=False)), score("b", missing(), missing("tax"))]
    figures = figures_of(Group("invoice", None, scores), min_confidence=0.9)
    total = figures.fields["total"].normalised
    assert (total.precision, total.recall) == (Estimate(1.0), Estimate(0.5, 0.0, 1.0))
    assert figures.all_fields is not None
    assert (figures.all_fields.labelled, figures.all_fields.read, figures.all_fields.right) == (4, 2, 1)


def test_documents_are_grouped_by_kind_and_by_language_where_there_are_several() -> None:
    """A mean over all hides the language that is read badly."""
    scores = [score("a"), score("b", language="de"), score("c", kind="receipt")]
    assert [(one.name, one.language, len(one.scores)) for one in groups(scores)] == [
        ("all", None, 3),
        ("invoice", None, 2),
        ("invoice", "de", 1),
        ("invoice", "en", 1),
        ("receipt", None, 1),
    ]


def test_a_warning_is_measured_by_the_wrong_records_that_it_finds() -> None:
    """One that fires everywhere is no use, nor one that never does."""
    scores = [
        score("a", value(right=False), breaches=("adds_up",)),
        score("b", value(), breaches=("adds_up",)),
        score("c", value(right=False), needs_review=True),
        score("d", value()),
    ]
    flags = {flag.name: flag for flag in figures_of(Group("invoice", None, scores), min_confidence=0.9).flags}
    assert (flags[ANY_RULE].flagged, flags[ANY_RULE].flagged_wrong, flags[ANY_RULE].wrong) == (2, 1, 2)
    assert flags["adds_up"].precision is not None
    assert flags["adds_up"].precision.value == 0.5
    assert flags["marked for review"].flagged_wrong == 1


def test_confidences_that_say_what_comes_have_no_calibration_error() -> None:
    """Four of five at 0.8 are right; at the threshold, share and precision are told."""
    scores = [score(str(number), value(right=number % 5 != 0, confidence=0.8)) for number in range(50)]
    found = calibration_of([*scores, score("x", value(confidence=None))], min_confidence=0.75)
    assert found is not None
    assert (found.values, found.without) == (50, 1)
    assert found.ece == pytest.approx(0)
    assert (found.brier, found.brier_reference) == pytest.approx((0.16, 0.16))
    cuts = {cut.threshold: cut for cut in found.cuts}
    assert cuts[0.75].share.value == 1
    assert cuts[0.75].precision is not None
    assert cuts[0.75].precision.value == 0.8
    assert cuts[0.9].precision is None
    assert calibration_of([score("x", value())], min_confidence=0.9) is None


def test_overconfidence_shows() -> None:
    """All at 0.95, half of them right."""
    scores = [score(str(number), value(right=number % 2 == 0, confidence=0.95)) for number in range(20)]
    found = calibration_of(scores, min_confidence=0.9)
    assert found is not None
    assert found.ece == pytest.approx(0.45)
    assert found.brier > found.brier_reference


def test_a_large_difference_is_told_from_chance_and_a_small_one_is_not() -> None:
    """Both on the same documents."""
    before, after = Ratio([0] * 20 + [1] * 20, [1] * 40), Ratio([1] * 40, [1] * 40)
    nearly = Ratio([0] + [0] * 18 + [1] * 21, [1] * 40)
    large, small, none = changes([(before, after), (before, nearly), (before, before)])
    assert large is not None
    assert large.p < 0.001
    assert large.difference.low is not None
    assert large.difference.low > 0
    assert small is not None
    assert small.p > 0.3
    assert none is not None
    assert none.p == 1


def test_many_figures_are_corrected_for_being_many() -> None:
    """Of twenty, one in twenty would else be found by chance alone."""
    assert holm([0.01, 0.04, 0.03]) == [pytest.approx(0.03), pytest.approx(0.06), pytest.approx(0.06)]
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def test_two_readings_are_compared_document_by_document() -> None:
    """It names which document gained and which lost."""
    found = compare(many(10, 30), [*many(40, 0), score("new", value())])
    assert (found.documents, found.left_out) == (40, 1)
    assert len(found.better) == 30
    assert found.worse == ()
    assert all(one.is_better for one in found.figures)
    assert "better: 10 (+total)" in comparison_text(found)
    back = compare(many(40, 0), many(39, 1))
    assert [one.id for one in back.worse] == ["39"]
    assert {one.is_better for one in back.figures} == {None}
    assert "may be chance" in comparison_text(back)


def test_an_invented_value_makes_a_document_worse() -> None:
    """Else a reader that fills in every field would only gain."""
    invented = replace(value("tax", right=False), is_labelled=False, expected=None)
    found = compare([score("a", value())], [score("a", value(), invented)])
    assert [(one.id, one.fields_worse) for one in found.worse] == [("a", ("tax",))]


def test_texts_are_compared_by_their_errors() -> None:
    """Fewer wrong characters are better."""
    [found] = compare([score("a", text=TEXT)], [score("a", text=score_text("abc", "abc", case_counts=True))]).better
    assert found.cer_change == pytest.approx(-1 / 3)


def test_scores_come_back_from_their_file_as_they_were(tmp_path: Path) -> None:
    """A later reading is compared with them when the output has long gone."""
    items = (ItemsScore("line_items", 2, 1, 1, 0),)
    scores = [score("a", value(confidence=0.5), missing(), text=TEXT, items=items, breaches=("x",)), score("b")]
    scores.append(replace(scores[0], id="c", status=None))
    write_scores(tmp_path / "scores.parquet", scores, strict=False)
    assert read_scores(tmp_path / "scores.parquet", strict=False) == scores
    with pytest.raises(ConfigError, match="counted without --strict"):
        read_scores(tmp_path / "scores.parquet", strict=True)


def test_a_file_that_holds_no_scores_is_refused(tmp_path: Path) -> None:
    """With what it ought to be."""
    (tmp_path / "a.parquet").write_text("no")
    with pytest.raises(ConfigError, match="cannot be read as scores"):
        read_scores(tmp_path / "a.parquet", strict=False)
    with pytest.raises(ConfigError, match="there is no such file"):
        read_scores(tmp_path / "b.parquet", strict=False)


def test_what_is_printed_has_every_figure() -> None:
    """And no control characters of a dataset."""
    scores = [
        score("a", value(confidence=0.9), value("line_items.quantity"), breaches=("adds_up",), text=TEXT),
        score("b", value("we\x1bird", right=False, confidence=0.2), kind="receipt"),
    ]
    scores[0] = replace(scores[0], items=(ItemsScore("line_items", 1, 1, 1, 1),))
    text = figures_text([figures_of(group, min_confidence=0.9) for group in groups(scores)])
    assert "invoice: 1 document, " in text
    assert "line_items, right" in text
    assert "expected calibration error" in text
    assert "characters wrong 0.333" in text
    assert "\x1b" not in text


@pytest.mark.parametrize(
    ("sort", "wanted", "text", "is_there"),
    [
        (Sort.AMOUNT, "1234.50", "Summe:\n1.234,50 EUR", True),
        (Sort.AMOUNT, "-5.00", "Gutschrift 5,00", True),
        (Sort.AMOUNT, "5.00", "15.00", False),
        (Sort.DATE, "2018-03-05", "vom 5. März 2018", True),
        (Sort.DATE, "2018-03-05", "03/05/2018", True),
        (Sort.IDENTIFIER, "RE-2024 1", "No. re-20241", True),
        (Sort.NAME, "Bürobedarf Sonnleitner GmbH", "An\nBürobedarf\nSonnleitner GmbH, Köln", True),
        (Sort.NAME, "Bürobedarf Sonnleitner GmbH", "Bür", False),
        (Sort.CODE, "EUR", "12 €", True),
    ],
)
def test_a_value_stands_in_a_text_in_any_printed_form(sort: Sort, wanted: str, text: str, *, is_there: bool) -> None:
    """A reader of text has done its part when the value can be found there."""
    assert stands_in(sort, wanted, text) is is_there


def test_figures_can_be_written_as_json() -> None:
    """For machines."""
    from dataclasses import asdict

    figures = figures_of(Group("invoice", None, many(3, 1)), min_confidence=0.9)
    assert json.loads(json.dumps(asdict(figures)))["fields"]["total"]["normalised"]["recall"]["value"] == 0.75


def test_the_manual_names_flags_that_there_are_and_rules_that_hold() -> None:
    """A figure is worth what is known of how it was taken."""
    manual = (Path(__file__).parent.parent / "docs" / "quality.md").read_text("utf-8")
    parser = argparse.ArgumentParser()
    add_eval_arguments(parser)
    flags = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", manual)) - {"--format", "--json"}
    assert flags <= set(re.findall(r"--[a-z][a-z-]+", parser.format_help()))
    [example] = re.findall(r"```json\n(.+)\n```", manual)
    assert json.loads(example)["ground_truth"]
    for figure in (f"{MIN_LIKENESS}", f"{MIN_DESCRIPTION_LIKENESS}", f"{DRAWS:,} draws", f"{SWAPS:,} times"):
        assert figure in manual
