"""How sure a value is, by what is known of it."""

import math
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Annotated, ClassVar

import pytest
from pydantic import BaseModel

from pipeline.data import Box, FieldEvidence, TextLine, Verdict
from pipeline.errors import ConfigError
from pipeline.rules import Outcome
from pipeline.schema import Amount, Date, Printed, Role
from pipeline.trust.confidence import Calibration, WholeText, load_calibration, with_confidence, written
from pipeline.trust.features import FEATURES, vectors
from pipeline.trust.support import PageSupport

PLACE = Box(300, 100, 360, 120)


class _Position(BaseModel):
    price: Amount | None = None


class _Bill(BaseModel):
    seller: Annotated[str | None, Printed(role=Role.ISSUER_NAME)] = None
    total: Annotated[Amount | None, Printed("Total", "Zu zahlen")] = None
    day: Annotated[Date | None, Printed("Date")] = None
    positions: list[_Position] = []


class _Text(BaseModel):
    plain_text_field: ClassVar[str] = "text"
    text: str = ""


def _page(*lines: tuple[str, float, float]) -> PageSupport:
    """A page with lines of 20 px height at (x0, y0), ten pixels a letter."""
    return PageSupport([TextLine(text, Box(x, y, x + 10 * len(text), y + 20)) for text, x, y in lines], _Bill)


TOTAL = FieldEvidence("total", 1, Verdict.EXACT, "119.00", PLACE, 1.0, 0.99)
EMPTY = _page()
STATED = load_calibration("an engine that nobody measured")


def _confidence(
    one: FieldEvidence, page: PageSupport = EMPTY, outcomes: tuple[Outcome, ...] = (), logprob: float | None = None
) -> float:
    logprobs = {} if logprob is None else {one.path: logprob}
    (found,) = with_confidence((one,), page=page, outcomes=outcomes, logprobs=logprobs, calibration=STATED)
    assert found.confidence is not None
    return found.confidence


def _features(one: FieldEvidence, page: PageSupport = EMPTY, outcomes: tuple[Outcome, ...] = ()) -> dict[str, float]:
    (vector,) = vectors((one,), page=page, outcomes=outcomes)
    return {name: value for name, value in zip(FEATURES, vector, strict=True) if value and name != "base"}


def test_the_better_the_page_shows_a_value_the_surer_it_is() -> None:
    """The verdict is what an operator would go by, too."""
    fuzzy = replace(TOTAL, verdict=Verdict.FUZZY, similarity=0.9)
    vague = replace(fuzzy, similarity=0.7)
    absent = FieldEvidence("total", 1, Verdict.NOT_FOUND)
    found = [_confidence(one) for one in (TOTAL, fuzzy, vague, absent)]
    assert found == sorted(found, reverse=True)
    assert found[0] > 0.9
    assert found[-1] < 0.5


def test_an_unsure_model_or_reader_makes_a_value_less_sure() -> None:
    """What the engine itself says of its reading counts beside the page."""
    assert _confidence(TOTAL, logprob=-0.01) > _confidence(TOTAL, logprob=-2.0)
    assert _confidence(TOTAL) > _confidence(replace(TOTAL, score=0.7))


def test_rules_confirm_values_and_cast_doubt_on_them() -> None:
    """A total that is net and tax is right; where it is not, one of three is wrong."""
    holds = Outcome("net_plus_tax_is_total", ("net", "tax", "total"), None)
    broken = replace(holds, message="net + tax is not total.")
    alone = replace(broken, paths=("total",))
    of_others = replace(broken, paths=("net", "tax"))
    found = [_confidence(TOTAL, outcomes=said) for said in ((holds,), (), (broken,), (alone,))]
    assert found == sorted(found, reverse=True)
    assert _confidence(TOTAL, outcomes=(of_others,)) == _confidence(TOTAL)


def test_a_page_that_nobody_could_read_leaves_the_models_word() -> None:
    """A scan without CPU OCR: log-probabilities alone; with neither, nothing is claimed."""
    unchecked = FieldEvidence("total", 1)
    assert _confidence(unchecked, logprob=-0.001) > 0.9 > _confidence(unchecked, logprob=-1.5)
    (nothing_known,) = with_confidence((unchecked,), page=EMPTY, calibration=STATED)
    assert nothing_known.confidence is None


def test_evidence_keeps_what_it_had_and_its_order() -> None:
    """Places and verdicts are another's work."""
    other = FieldEvidence("positions[0].price", 1, Verdict.NOT_FOUND)
    found = with_confidence((TOTAL, other), page=EMPTY, logprobs={"total": -0.25}, calibration=STATED)
    assert [replace(one, confidence=None) for one in found] == [replace(TOTAL, logprob=-0.25), other]


def test_a_transcript_is_as_sure_as_the_share_of_it_that_is_right() -> None:
    """A page of text is never right as a whole; how much of it is can be said."""
    text = FieldEvidence("text", 1, Verdict.EXACT, similarity=0.9, score=0.3)
    (stated,) = with_confidence(
        (text,), page=PageSupport((), _Text), logprobs={"text": math.log(0.5)}, calibration=STATED
    )
    assert stated.confidence == pytest.approx((0.9 + 0.5) / 2)


@pytest.mark.parametrize(("score", "lowest", "highest"), [(0.995, 0.95, 0.99), (0.95, 0.85, 0.95), (0.8, 0.0, 0.5)])
def test_text_of_the_ocr_engine_is_as_sure_as_its_lines_on_average(score: float, lowest: float, highest: float) -> None:
    """Only a page that was read badly is in doubt, not each that has one faint line."""
    page = PageSupport([TextLine("a line", Box(0, 0, 60, 20), score)], _Text)
    text = FieldEvidence("text", 1, Verdict.EXACT, similarity=1.0, score=0.3)
    (found,) = with_confidence((text,), page=page, calibration=load_calibration("ocr"))
    assert found.confidence is not None
    assert lowest < found.confidence < highest


@pytest.mark.parametrize(
    ("lines", "known"),
    [
        ([("TOTAL:", 20, 102), ("119.00", 300, 100)], "labelled"),
        ([("zu zahlen EUR 119.00", 160, 100)], "labelled"),
        ([("Total", 300, 60)], "labelled"),
        ([("Subtotal", 20, 100)], "guessed"),
        ([("Total", 20, 160)], "guessed"),
        ([("Total", 400, 100)], "guessed"),
    ],
)
def test_a_label_stands_left_of_its_value_or_above(lines: list[tuple[str, float, float]], known: str) -> None:
    """A total below "Total" is more likely one than a number somewhere."""
    assert known in _features(TOTAL, _page(*lines))


def test_features_say_what_a_field_is() -> None:
    """Names are harder to read than dates; heads of columns are no labels beside a value."""
    assert _features(FieldEvidence("seller", 1, Verdict.NORMALISED, "A", PLACE)) == {"text": 1, "normalised": 1}
    assert _features(FieldEvidence("day", 1, Verdict.COMPUTED)) == {"computed": 1}
    item = FieldEvidence("positions[3].price", 1, Verdict.FUZZY, "1", PLACE, 0.75, 0.25, -9.0)
    assert _features(item) == {"item": 1, "fuzzy": 1, "difference": 0.25, "misreading": 0.5, "surprise": 5}
    assert _features(FieldEvidence("nobody.knows", 1)) == {"unchecked": 1}


def test_a_calibration_comes_back_from_its_file(tmp_path: Path) -> None:
    """It is fitted on one machine and used on others."""
    weights = {name: 0.125 * number for number, name in enumerate(FEATURES)}
    fitted = Calibration(
        weights,
        measured=True,
        date=date(2026, 11, 21),
        source='of "here"',
        documents=3,
        fields=9,
        whole_text=WholeText(3.5, -20.0),
    )
    file = tmp_path / "fitted.toml"
    file.write_text(written({"vllm": fitted}), "utf-8")
    assert load_calibration("vllm", file) == fitted
    assert load_calibration("ocr", file) == load_calibration("ocr")


@pytest.mark.parametrize(
    "text",
    [
        "no toml [",
        "[vllm]\nmeasured = true",
        '[vllm]\nmeasured = true\ndate = 2026-01-01\nsource = ""\ndocuments = 1\nfields = 1\nweights = {base = 1.0}',
    ],
)
def test_a_calibration_that_cannot_be_used_says_so(text: str, tmp_path: Path) -> None:
    """Wrong confidence for a whole night is worse than a run that does not begin."""
    file = tmp_path / "fitted.toml"
    file.write_text(text, "utf-8")
    with pytest.raises(ConfigError, match=r"fitted\.toml cannot be used"):
        load_calibration("vllm", file)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_calibration("vllm", tmp_path / "absent.toml")


def test_what_nobody_measured_says_that_it_is_stated() -> None:
    """There was no GPU to measure vLLM on; a probability must not look as if there had been."""
    assert not load_calibration("vllm").measured
    assert not STATED.measured
    assert STATED.documents == 0
