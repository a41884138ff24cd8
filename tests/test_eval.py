"""`pagemill eval` from end to end: sample documents made a labelled dataset, read once by OCR, scored in many ways."""

from __future__ import annotations

import json
import shutil
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pymupdf
import pytest
from made_records import Item, commit, document, identity, ok_page
from pydantic import create_model
from test_sample_docs import EXPECTED, SAMPLES, same, values_read, wanted

from pipeline.cli import main
from pipeline.eval import load_dataset, score_output
from pipeline.eval.labels import Labelled
from pipeline.eval.readings import read_output
from pipeline.extraction import load_extraction
from pipeline.results import open_results
from pipeline.storage import open_storage

if TYPE_CHECKING:
    from pipeline.data import Json

RECEIPTS = ("receipt-newsagent",)
INVOICES = ("invoice-de", "invoice-fr")
KINDS = {"receipts": "receipt", "invoices": "invoice"}
LETTER = ("Sehr geehrte Damen und Herren,", "anbei der Lieferschein 4711.", "Mit freundlichen Grüßen")

pytestmark = pytest.mark.slow


def labelled(folder: Path) -> Path:
    """Make a labelled dataset of sample documents, one of which is damaged."""
    entries = [
        _entry(folder, next((SAMPLES / kind).glob(f"{name}.*")), language)
        for kind, names, language in (
            ("receipts", RECEIPTS, "en"),
            ("invoices", ("invoice-de",), "de"),
            ("invoices", ("invoice-fr",), "fr"),
        )
        for name in names
    ]
    entries.append(_letter(folder))
    damaged = SAMPLES / "invoices" / "invoice-damaged.pdf"
    shutil.copy(damaged, folder)
    truth = json.loads((EXPECTED / "invoices" / "invoice-de.pdf.json").read_text())
    (folder / "damaged.json").write_text(json.dumps({"total": truth["total"], "tax": truth["tax"]}))
    entries.append({"id": "damaged", "kind": "invoice", "file": damaged.name, "ground_truth": "damaged.json"})
    entries.append({"id": "poem", "kind": "poem", "file": damaged.name})
    (folder / "manifest.jsonl").write_text("".join(f"{json.dumps(entry)}\n" for entry in entries))
    return folder


def _entry(folder: Path, sample: Path, language: str) -> Json:
    kind = sample.parent.name
    truth = EXPECTED / kind / f"{sample.name}.json"
    shutil.copy(sample, folder)
    shutil.copy(truth, folder)
    files = {"file": sample.name, "ground_truth": truth.name}
    return {"id": sample.stem, "kind": KINDS[kind], **files, "language": language}


def _letter(folder: Path) -> Json:
    with pymupdf.open() as document:  # type: ignore[no-untyped-call]
        page = document.new_page(width=400, height=200)
        for number, line in enumerate(LETTER):
            page.insert_text((20, 40 + 40 * number), line, fontsize=16)
        document.save(folder / "letter.pdf")
    (folder / "letter.txt").write_text("\n".join(LETTER))
    return {"id": "letter", "kind": "fulltext", "file": "letter.pdf", "ground_truth": "letter.txt", "language": "de"}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of labelled documents."""
    return labelled(tmp_path_factory.mktemp("labelled"))


@pytest.fixture(scope="module")
def output(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output that `eval` made and kept."""
    folder = tmp_path_factory.mktemp("output") / "kept"
    assert main(["eval", str(dataset), "--engine", "ocr", "--workers", "1", "--keep", str(folder), "--json"]) == 0
    return folder


def evaluated(capsys: pytest.CaptureFixture[str], *arguments: object) -> Any:
    """Return what `pagemill eval --json` prints."""
    assert main(["eval", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def group(found: Any, name: str) -> Any:
    """Return the figures of a kind, all languages."""
    return next(one for one in found["figures"] if (one["group"], one["language"]) == (name, None))


def test_figures_agree_with_samples_compared_by_hand(dataset: Path, output: Path) -> None:
    """Two ways of counting, written apart, must not differ."""
    read = {
        Path(row["source_uri"]).stem: row["record"]
        for found in open_results(str(output)).extractions
        for row in found.documents(["source_uri", "record"]).to_pylist()
    }
    scores = {score.id: score for score in score_output(load_dataset(dataset), str(output))}
    for kind, names in (("receipts", RECEIPTS), ("invoices", INVOICES)):
        for name in names:
            sample = next((SAMPLES / kind).glob(f"{name}.*"))
            expected = wanted(f"{kind}/{sample.name}")
            by_hand = [hit for _, hit in values_read(read[name], {**expected, "line_items": []})]
            ours = [value.is_right for value in scores[name].fields]
            assert (sum(ours), len(ours)) == (sum(by_hand), len(by_hand)), name
            totals = [item["line_total"] for item in expected["line_items"]]
            found = sum(value.is_right for value in scores[name].values if value.field == "line_items.line_total")
            assert found == sum(same("line_total", one["line_total"], total) for one, total in zip(
                read[name]["line_items"], totals, strict=True
            )), name  # fmt: skip


def test_what_failed_counts_against_recall(dataset: Path, output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A damaged document has none of its values, and is told of."""
    invoices = group(evaluated(capsys, dataset, "--output", output), "invoice")
    total = invoices["fields"]["total"]
    assert (invoices["documents"], invoices["failed"], invoices["missing"]) == (3, 1, 0)
    assert (total["labelled"], total["read"], total["right"]) == (3, 2, 2)


def test_what_an_output_lacks_counts_against_recall(
    dataset: Path, output: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run over half of a dataset is not twice as good."""
    half = tmp_path / "half"
    shutil.copytree(output, half)
    shutil.rmtree(half / "receipt")
    receipts = group(evaluated(capsys, dataset, "--output", half), "receipt")
    assert (receipts["documents"], receipts["missing"], receipts["all_fields"]["read"]) == (1, 1, 0)
    assert receipts["all_fields"]["normalised"]["recall"]["value"] == 0


def test_a_kept_output_is_not_read_again(dataset: Path, output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Settings that change nothing cost nothing."""
    speeds = evaluated(capsys, dataset, "--engine", "ocr", "--workers", "1", "--keep", output)["speeds"]
    assert sum(one["pages"] for one in speeds) == 0


def test_people_see_fields_items_texts_and_what_was_left_out(
    dataset: Path, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All in one table a kind."""
    assert main(["eval", str(dataset), "--output", str(output)]) == 0
    told, aside = capsys.readouterr()
    assert "invoice: 3 documents, " in told
    assert "line_items, right" in told
    assert "fulltext: 1 document, 1 page; 0 failed" in told
    assert "of kind poem, for which there is no extraction" in aside


def test_limit_and_kind_choose_documents(dataset: Path, output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A first look need not take all."""
    found = evaluated(capsys, dataset, "--output", output, "--kind", "invoice", "--limit", "1")
    assert {one["group"]: one["documents"] for one in found["figures"]} == {"all": 1, "invoice": 1}


def test_an_output_is_compared_with_another_or_with_a_file_of_scores(
    dataset: Path, output: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of the same output nothing differs, and of one without receipts all of them do."""
    file, half = tmp_path / "scores.parquet", tmp_path / "half"
    same_ones = evaluated(capsys, dataset, "--output", output, "--against", output, "--parquet", file)["comparison"]
    assert (same_ones["documents"], same_ones["better"], same_ones["worse"]) == (5, [], [])
    assert pq.read_metadata(file).num_rows == 5
    shutil.copytree(output, half)
    shutil.rmtree(half / "receipt")
    worse = evaluated(capsys, dataset, "--output", half, "--against", file)["comparison"]["worse"]
    assert {one["id"] for one in worse} == set(RECEIPTS)


def test_the_worst_are_shown_with_pictures(
    dataset: Path, output: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Self-contained: nothing is fetched, nothing runs, and what a dataset says is text."""
    labels = tmp_path / "labels"
    shutil.copytree(dataset, labels)
    truth = labels / "invoice-de.pdf.json"
    truth.write_text(json.dumps({**json.loads(truth.read_text()), "seller": "<script>alert(1)</script>"}))
    evaluated(capsys, labels, "--output", output, "--html", tmp_path / "worst.html", "--worst", "2")
    page = (tmp_path / "worst.html").read_text()
    assert page.count("<article>") == 2
    assert "&lt;script&gt;alert(1)" in page
    assert "<script" not in page
    assert "data:image/webp;base64," in page
    assert "http" not in page.replace("http-equiv", "")


def test_tesseract_stands_beside(dataset: Path, output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where it is installed; else there is a word of it."""
    chosen = ("--kind", "fulltext", "--baselines", "tesseract,pymupdf", "--workers", "1")
    readers = {one["reader"]: one for one in evaluated(capsys, dataset, "--output", output, *chosen)["baselines"]}
    assert readers["pagemill"]["text"]["cer_micro"]["value"] == readers["pymupdf"]["text"]["cer_micro"]["value"] == 0
    if shutil.which("tesseract"):
        assert readers["tesseract"]["text"]["cer_micro"]["value"] < 0.2
    else:
        assert "not installed" in readers["tesseract"]["notes"][0]


def test_text_layers_stand_beside(dataset: Path, output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What PyMuPDF tells of PDFs; a damaged one has no text, and counts."""
    chosen = ("--kind", "invoice", "--baselines", "pymupdf", "--workers", "1")
    assert main(["eval", str(dataset), "--output", str(output), *chosen]) == 0
    told = capsys.readouterr().out
    [row] = [line.split() for line in told.splitlines() if line.split()[:2] == ["invoice", "pymupdf"]]
    assert int(row[2]) == 3
    assert 0.6 < float(row[3]) < 1


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--baselines", "abbyy"], "there are only tesseract and pymupdf"),
        (["--output", "nowhere"], "holds no results"),
        (["--output", "nowhere", "--engine", "ocr"], "would change nothing"),
        (["--output", "nowhere", "--kind", "poem"], "names no document of kind poem"),
        (["--html", "nowhere/worst.html"], "there is no folder nowhere"),
        (["--html", "/"], "it is a folder"),
        (["--against", "gone.parquet"], "there is no such file"),
        (["--reliability", "sure.png"], "give that, too"),
    ],
)
def test_what_cannot_be_measured_is_refused_first(
    dataset: Path, arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before hours of reading."""
    assert main(["eval", str(dataset), *arguments]) == 2
    assert complaint in capsys.readouterr().err


def test_values_count_also_where_schemas_of_an_output_contradict_each_other(tmp_path: Path) -> None:
    """Each record is JSON text there; nothing of it would look as if nothing had been read."""
    path, known = tmp_path / "a.pdf", identity(extraction="receipt")
    path.write_bytes(b"%PDF")
    output = open_storage(str(tmp_path))
    written: dict[str, tuple[Any, Any]] = {sha256(b"%PDF").hexdigest(): (str, "12.50"), "b" * 64: (Item, {})}
    for digest, (kind, total) in written.items():
        page = ok_page(document(f"{digest}.pdf", sha256=digest), record={"total": total})
        commit(output, digest, (page,), run=known, model=create_model("Old", total=(kind, None)))
    found = read_output(str(tmp_path), load_extraction("receipt"))
    label = Labelled("a", "receipt", path, None)
    assert found.of(label).record["total"] == "12.50"
