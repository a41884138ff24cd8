"""The documents a newcomer meets first: licensed, small, and with expected records that are right."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from pipeline.errors import ErrorType
from pipeline.extraction import Extraction, load_extraction

if TYPE_CHECKING:
    from pipeline.data import Json

SAMPLES = Path(__file__).parent.parent / "sample_docs"
EXPECTED = SAMPLES / "_expected"
EXTRACTIONS = {"receipts": "receipt", "invoices": "invoice"}
"""Which extraction reads which folder; letters have a transcript instead of a record."""

FILES = sorted(
    path.relative_to(SAMPLES).as_posix()
    for path in SAMPLES.rglob("*.*")
    if not any(part.startswith(("_", ".")) for part in path.relative_to(SAMPLES).parts)
)
RECORDS = [name for name in FILES if Path(name).parent.name in EXTRACTIONS and "damaged" not in name]


def expected(name: str) -> Json:
    """Return what a reader should make of the sample `name`: fields printed on the page, or an error type."""
    record: Json = json.loads((EXPECTED / f"{name}.json").read_text("utf-8"))
    return record


def extraction_of(name: str) -> Extraction:
    """Return the extraction that reads the folder of the sample `name`."""
    return load_extraction(EXTRACTIONS[Path(name).parent.name])


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
    assert ErrorType(expected("invoices/invoice-damaged.pdf")["error_type"]) is ErrorType.DAMAGED


def test_samples_stay_small_and_legible() -> None:
    """They are cloned by everyone, and photographs saved too small cannot be read by anyone."""
    assert sum(path.stat().st_size for path in SAMPLES.rglob("*") if path.is_file()) < 3_000_000
    for path in SAMPLES.rglob("*.jpg"):
        with Image.open(path) as image:
            assert max(image.size) >= 1000, path.name
