"""The documents a newcomer meets first: licensed, small, and with expected records that are right."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.dataset as ds
import pytest
from PIL import Image
from rapidfuzz import fuzz
from rapidfuzz.distance import Levenshtein

from pipeline.config import RunConfig
from pipeline.errors import ErrorType
from pipeline.extraction import Extraction, load_extraction
from pipeline.run import run

if TYPE_CHECKING:
    from pipeline.data import Json

SAMPLES = Path(__file__).parent.parent / "sample_docs"
EXPECTED = SAMPLES / "_expected"
EXTRACTIONS = {"receipts": "receipt", "invoices": "invoice", "letters": "transcript"}
"""Which extraction reads which folder."""

FILES = sorted(
    path.relative_to(SAMPLES).as_posix()
    for path in SAMPLES.rglob("*.*")
    if not any(part.startswith(("_", ".")) for part in path.relative_to(SAMPLES).parts)
)
DAMAGED = "invoices/invoice-damaged.pdf"
LETTER = "letters/letter-typewritten-fr.jpg"
RECORDS = [name for name in FILES if name not in {DAMAGED, LETTER}]

FUZZY_FIELDS = {"seller", "buyer", "address", "description"}
"""Compared by likeness: a letter misread in a long name is no different value. All others must be equal."""
LIKENESS = 0.9
MIN_SHARE = 0.9
"""Of the expected values, to be read by OCR."""
MAX_CHARACTER_ERRORS = 0.04
"""Edits per character of the letter, spaces and line ends counting as one."""


def expected(name: str) -> Json:
    """Return what a reader should make of the sample `name`: fields printed on the page, or an error type."""
    record: Json = json.loads((EXPECTED / f"{name}.json").read_text("utf-8"))
    return record


def extraction_of(name: str) -> Extraction:
    """Return the extraction that reads the folder of the sample `name`."""
    return load_extraction(EXTRACTIONS[Path(name).parent.name])


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folders of samples, each read by OCR with its own extraction."""
    folder = tmp_path_factory.mktemp("output")
    for name, extraction in EXTRACTIONS.items():
        run(RunConfig(input=str(SAMPLES / name), output=str(folder), extraction=extraction, engine="ocr"))
    return folder


def documents(output: Path, folder: str) -> dict[str, Json]:
    """Return the rows of the documents of one folder of samples by sample name."""
    table = ds.dataset(output / EXTRACTIONS[folder] / "documents", format="parquet").to_table()
    return {f"{folder}/{Path(row['source_uri']).name}": row for row in table.to_pylist()}


def wanted(name: str) -> Json:
    """Return the expected record of `name`, typed, with nothing but the fields it states."""
    stated, typed = expected(name), extraction_of(name).validate(json.dumps(expected(name)))
    items = zip(stated["line_items"], typed["line_items"], strict=True)
    record = {field: typed[field] for field in stated}
    return record | {"line_items": [{field: item[field] for field in keys} for keys, item in items]}


def same(field: str, found: object, printed: object) -> bool:
    """Return whether a value was read as it is printed."""
    if field not in FUZZY_FIELDS or not isinstance(found, str):
        return found == printed
    return fuzz.ratio(found.casefold(), str(printed).casefold()) >= 100 * LIKENESS


def values_read(found: Json, record: Json) -> list[tuple[str, bool]]:
    """Return for each value of `record` whether `found` has it; line items are paired by best likeness."""
    result = [(field, same(field, found[field], value)) for field, value in record.items() if field != "line_items"]
    for item in record.get("line_items", []):
        candidates = [values_read(other, item) for other in found["line_items"]]
        nothing = [(field, False) for field in item]
        result += max(candidates, key=lambda hits: sum(hit for _, hit in hits), default=nothing)
    return result


def test_every_sample_has_one_expected_file() -> None:
    """An expectation without its document, or the reverse, would silently go untested."""
    found = {path.relative_to(EXPECTED).with_suffix("").as_posix() for path in EXPECTED.rglob("*.*")}
    assert found == set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_every_sample_states_its_source_and_licence(name: str) -> None:
    """We publish these files: one whose licence nobody wrote down must not slip in."""
    rows = [line.split("|") for line in (SAMPLES / "_LICENSES.md").read_text("utf-8").splitlines()]
    [row] = [row for row in rows if len(row) == 6 and row[1].strip() == f"`{name}`"]
    assert row[3].strip()
    assert row[4].strip() in {"CC-BY-4.0", "Apache-2.0", "CC0-1.0"}


@pytest.mark.parametrize("name", RECORDS)
def test_expected_records_fit_the_schema(name: str) -> None:
    """A misspelt field would never be compared; pydantic ignores fields it does not know."""
    record = expected(name)
    typed = extraction_of(name).validate(json.dumps(record))
    assert record.keys() <= typed.keys()
    for item, typed_item in zip(record["line_items"], typed["line_items"], strict=True):
        assert item.keys() <= typed_item.keys()


@pytest.mark.parametrize("name", [name for name in RECORDS if name.startswith("invoices/")])
def test_expected_invoices_add_up(name: str) -> None:
    """Catches a slip of the pen in an expectation; every sample invoice adds up on the page."""
    record = expected(name)
    net, tax, total = (Decimal(record[field]) for field in ("subtotal", "tax", "total"))
    assert net + tax == total
    assert sum(Decimal(item["line_total"]) for item in record["line_items"]) == net


def test_the_damaged_file_expects_an_error_type_that_exists() -> None:
    """Error types are part of the output format; this one is shown to every newcomer."""
    assert expected(DAMAGED).keys() == {"error_type"}
    assert ErrorType(expected(DAMAGED)["error_type"])


def test_samples_stay_small_and_legible() -> None:
    """They are cloned by everyone, and photographs saved too small cannot be read by anyone."""
    assert sum(path.stat().st_size for path in SAMPLES.rglob("*") if path.is_file()) < 3_000_000
    for path in SAMPLES.rglob("*.jpg"):
        with Image.open(path) as image:
            assert max(image.size) >= 1000, path.name


def spaced(text: str) -> str:
    """Return `text` with all white space as single spaces."""
    return " ".join(text.split())


@pytest.mark.slow
@pytest.mark.parametrize("part", ["header", "items"])
def test_ocr_reads_the_samples(output: Path, part: str) -> None:
    """The first impression of Pagemill, held to a figure; which values are missed is shown when it fails."""
    rows = documents(output, "receipts") | documents(output, "invoices")
    hits = [
        (name, *hit)
        for name in RECORDS
        for hit in values_read(
            rows[name]["record"],
            {field: value for field, value in wanted(name).items() if (field == "line_items") == (part == "items")},
        )
    ]
    missed = [hit[:-1] for hit in hits if not hit[-1]]
    assert 1 - len(missed) / len(hits) >= MIN_SHARE, missed


@pytest.mark.slow
def test_ocr_transcribes_the_letter(output: Path) -> None:
    """Accents, ordinals and typewriter letters: what a default reader loses first."""
    printed = spaced((EXPECTED / f"{LETTER}.txt").read_text("utf-8"))
    read = spaced(documents(output, "letters")[LETTER]["record"]["text"])
    assert Levenshtein.distance(read, printed) <= MAX_CHARACTER_ERRORS * len(printed)


@pytest.mark.slow
def test_only_the_damaged_sample_fails(output: Path) -> None:
    """One bad file costs one row that says what is wrong, and nothing else."""
    rows = {name: row for folder in EXTRACTIONS for name, row in documents(output, folder).items()}
    assert rows.keys() == set(FILES)
    assert {name for name, row in rows.items() if row["status"] != "ok"} == {DAMAGED}
    assert rows[DAMAGED]["error_type"] == expected(DAMAGED)["error_type"]
    assert "damaged" in rows[DAMAGED]["error_message"]
