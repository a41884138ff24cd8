"""Confidence fitted to a labelled dataset and its output."""

import hashlib
import json
from decimal import Decimal
from pathlib import Path

import pytest
from made_records import commit, document, identity, ok_page

from pipeline.cli import main
from pipeline.data import Box, FieldEvidence, PageRecord, TextLine, Verdict
from pipeline.eval import load_dataset, score_output
from pipeline.eval.fitting import Fitted, fit_confidence
from pipeline.extraction import load_extraction
from pipeline.storage import open_storage
from pipeline.trust.confidence import load_calibration

MODEL = load_extraction("receipt").model
NUMBER = 60


def _is_misread(number: int) -> bool:
    return number % 3 == 0


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Receipts of different totals."""
    folder = tmp_path_factory.mktemp("labelled")
    entries = []
    for number in range(NUMBER):
        (folder / f"{number}.pdf").write_bytes(b"receipt %d" % number)
        (folder / f"{number}.json").write_text(json.dumps({"total": f"{number}.50"}))
        entries.append(
            {"id": f"r{number}", "kind": "receipt", "file": f"{number}.pdf", "ground_truth": f"{number}.json"}
        )
    (folder / "manifest.jsonl").write_text("".join(f"{json.dumps(entry)}\n" for entry in entries))
    return folder


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An output that has every third total wrong, most of them where recognition was unsure."""
    folder = tmp_path_factory.mktemp("output")
    run = identity(extraction="receipt", engine="ocr")
    commit(open_storage(str(folder)), "1", *((_page(number),) for number in range(NUMBER)), run=run, model=MODEL)
    return str(folder)


def _page(number: int) -> PageRecord:
    wrong = _is_misread(number)
    score = 0.625 if wrong and number % 15 else 1.0
    total, box = Decimal(f"{number}.50") + wrong, Box(0, 0, 64, 16)
    found = FieldEvidence("total", 1, Verdict.EXACT, str(total), box, 1.0, score, None, 0.9375)
    sha256 = hashlib.sha256(b"receipt %d" % number).hexdigest()
    return ok_page(
        document(f"{number}.pdf", sha256=sha256),
        record=MODEL.model_validate({"total": total}).model_dump(),
        lines=(TextLine(f"Total {total}", box, score),),
        evidence=(found,),
        breaches=(),
        review_reasons=(),
    )


def _fitted(dataset: Path, output: str) -> Fitted:
    (fitted,) = fit_confidence(score_output(load_dataset(dataset), output), output, source="a test")
    return fitted


def test_what_was_wrong_where_recognition_was_unsure_makes_that_count(dataset: Path, output: str) -> None:
    """The weights are of the values that were read, and say where they are from."""
    about = _fitted(dataset, output).calibration
    stated = load_calibration("prior").weights
    assert about.weights["misreading"] + about.weights["poor_page"] < stated["misreading"] + stated["poor_page"]
    assert about.weights["not_found"] == pytest.approx(stated["not_found"])
    assert (about.measured, about.source, about.documents, about.fields) == (True, "a test", NUMBER, NUMBER)


def test_every_value_is_judged_by_weights_of_other_documents(dataset: Path, output: str) -> None:
    """Each has one confidence, lower where most were wrong."""
    judged = _fitted(dataset, output).judged
    assert len({one.document for one in judged}) == NUMBER
    unsure = [one.confidence for one in judged if not one.sample.is_right]
    sure = [one.confidence for one in judged if one.sample.is_right]
    assert sum(unsure) / len(unsure) < 0.7 < sum(sure) / len(sure)


@pytest.mark.slow
def test_the_command_writes_weights_that_a_run_can_load(
    dataset: Path, output: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """This is what is run on a host with a GPU, where nobody measured before."""
    file, picture = tmp_path / "fitted.toml", tmp_path / "fitted.png"
    arguments = ("--output", output, "--fit-confidence", str(file), "--reliability", str(picture))
    assert main(["eval", str(dataset), *arguments]) == 0
    assert load_calibration("ocr", file).fields == NUMBER
    assert f"fitted to {NUMBER} values of {NUMBER} different documents, 20 of them wrong" in capsys.readouterr().err
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_too_few_wrong_values_say_nothing(
    dataset: Path, output: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Weights from three documents would be believed as others are."""
    file = tmp_path / "fitted.toml"
    assert main(["eval", str(dataset), "--output", output, "--limit", "9", "--fit-confidence", str(file)]) == 2
    assert "To say what makes a value wrong takes 10 wrong ones" in capsys.readouterr().err
    assert not file.exists()
