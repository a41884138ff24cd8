"""Extraction folders: loading, schemas for constrained output, validation and salvage."""

from __future__ import annotations

import datetime as dt
import time
from decimal import Decimal
from pathlib import Path

import pytest

from pipeline.errors import ConfigError, GenerationInvalid
from pipeline.extraction import Extraction, list_extractions, load_extraction
from pipeline.values import DateOrder

SCHEMA = """
from typing import Annotated
from pydantic import BaseModel, Field
from pipeline.schema import Amount, Date, Printed, Merge

class Parcel(BaseModel):
    title: str | None = None
    default: str | None = None
    weight: Annotated[Amount | None, Printed("Weight")] = Field(None, description="kg")

class DeliveryNote(BaseModel):
    number: str
    day: Annotated[Date | None, Printed("Date")] = None
    total: Annotated[Amount | None, Printed("Total")] = None
    carrier: Annotated[str | None, Printed("Carrier", merge=Merge.LAST)] = None
    parcels: list[Parcel] = []
"""


def write_extraction(folder: Path, schema: str = SCHEMA) -> Path:
    """Write an extraction folder."""
    folder.mkdir(parents=True)
    (folder / "schema.py").write_text(schema)
    (folder / "prompt.md").write_text("Read the delivery note.")
    return folder


@pytest.fixture
def note(tmp_path: Path) -> Extraction:
    """Return the extraction above, loaded."""
    return load_extraction(str(write_extraction(tmp_path / "delivery_note")))


def test_a_folder_of_the_users_own_is_found_by_path_and_by_name(tmp_path: Path) -> None:
    """A new extraction needs no change to Pagemill."""
    folder = write_extraction(tmp_path / "mine" / "delivery_note")
    assert load_extraction(str(folder)).name == "delivery_note"
    assert load_extraction("delivery_note", [tmp_path / "mine"]).model.__name__ == "DeliveryNote"
    assert "delivery_note" in [found.name for found in list_extractions([tmp_path / "mine"])]


def test_shipped_extractions_load() -> None:
    """Every folder of prompts/ is usable as it is."""
    shipped = {found.name: found for found in list_extractions()}
    assert shipped.keys() >= {"invoice", "receipt", "transcript"}
    assert all(len(found.prompt) > 200 and found.json_schema["properties"] for found in shipped.values())


@pytest.mark.parametrize(
    ("schema", "complaint"),
    [
        ("import nonsense_module", "nonsense_module"),
        ("x = 1", "exactly one record model"),
        ("from pydantic import BaseModel\nclass A(BaseModel): pass\nclass B(BaseModel): pass", "found: A, B"),
        ("from pydantic import BaseModel\nclass A(BaseModel): max_output_tokens = 'all'", "non-annotated"),
        (
            "import pydantic as p\nimport typing as t\nclass A(p.BaseModel): max_output_tokens: t.ClassVar = 3",
            "16 or more",
        ),
    ],
)
def test_an_unusable_schema_says_what_is_wrong(tmp_path: Path, schema: str, complaint: str) -> None:
    """The author of a schema sees the cause, not a traceback from inside."""
    folder = write_extraction(tmp_path / "broken", schema)
    with pytest.raises(ConfigError, match=complaint):
        load_extraction(str(folder))


@pytest.mark.parametrize(
    ("field", "complaint"),
    [
        ('total: Annotated[Amount | None, Printed("Total", merge=Merge.JOIN)]', "total: merge=JOIN is for .* str"),
        ('carrier: Annotated[str | None, Printed("Carrier", merge=Merge.EXTEND)]', "carrier: merge=EXTEND .* list"),
    ],
)
def test_a_merge_rule_that_cannot_work_is_refused_before_anything_is_read(
    tmp_path: Path, field: str, complaint: str
) -> None:
    """The first document of two pages would end the run."""
    name = field.partition(":")[0]
    schema = "\n".join(
        f"    {field} = None" if line.startswith(f"    {name}:") else line for line in SCHEMA.split("\n")
    )
    with pytest.raises(ConfigError, match=complaint):
        load_extraction(str(write_extraction(tmp_path / "note", schema)))


def test_an_unknown_extraction_names_the_known_ones() -> None:
    """A typing error is cured without looking anything up."""
    with pytest.raises(ConfigError, match="invoice, receipt, transcript"):
        load_extraction("invoyce")


def test_the_json_schema_closes_objects_and_bounds_arrays_and_keeps_user_names(note: Extraction) -> None:
    """Open objects and arrays let a model run on; a field may be called title or default."""
    parcel = note.json_schema["$defs"]["Parcel"]
    assert list(parcel["properties"]) == ["title", "default", "weight"] == parcel["required"]
    assert parcel["additionalProperties"] is False
    assert note.json_schema["properties"]["parcels"]["maxItems"] > 0


def test_printed_values_become_typed_ones(note: Extraction) -> None:
    """Models copy what they see; records hold numbers and days."""
    record = note.validate('```json\n{"number": "7", "day": "12/03/2018", "total": "1.234,50 €"}\n```')
    assert (record["day"], record["total"]) == (dt.date(2018, 3, 12), Decimal("1234.50"))
    swapped = note.validate('{"number": "7", "day": "12/03/2018"}', DateOrder.MONTH_FIRST)
    assert swapped["day"] == dt.date(2018, 12, 3)


def test_an_invalid_output_names_the_field_at_fault(note: Extraction) -> None:
    """The message ends up in error_message, where a person looks for the cause."""
    with pytest.raises(GenerationInvalid, match=r"total.*many"):
        note.validate('{"number": "7", "total": "many"}')
    with pytest.raises(GenerationInvalid, match="not JSON"):
        note.validate("I cannot read this page.")


def test_a_cut_off_output_keeps_the_fields_it_has(note: Extraction) -> None:
    """A page that never validates still yields what it did print, without what is wrong."""
    cut = (
        '{"total": "12.00", "day": "yesterday", "parcels": [{"weight": "1"}, {"weight": "heavy"}, {"weight": "3"}, {"we'
    )
    record = note.salvage(cut)
    assert record is not None
    assert (record["total"], record["day"], record["number"]) == (Decimal("12.00"), None, None)
    assert [parcel["weight"] for parcel in record["parcels"]] == [Decimal(1), Decimal(3), None]
    assert note.salvage("nothing to see") is None


def test_a_validator_that_breaks_fails_its_page_only(tmp_path: Path) -> None:
    """Users write `value.strip()` and meet null; that must not end a night's run."""
    broken = (
        SCHEMA
        + """
    @field_validator("carrier", mode="before")
    def _strip(cls, value):
        return value.strip()
"""
    )
    broken = broken.replace("import BaseModel, Field", "import BaseModel, Field, field_validator")
    note = load_extraction(str(write_extraction(tmp_path / "note", broken)))
    with pytest.raises(GenerationInvalid, match="NoneType"):
        note.validate('{"number": "1", "carrier": null}')
    salvaged = note.salvage('{"number": "1", "carrier": null')
    assert salvaged is not None
    assert salvaged["number"] == "1"


def test_remarks_around_json_are_passed_over(note: Extraction) -> None:
    """Unconstrained models like to talk; backticks inside a value are no fence."""
    assert note.validate('{"number": "a ```b"}\nHope this helps!')["number"] == "a ```b"


def test_an_output_that_is_all_one_token_is_refused_at_once(note: Extraction) -> None:
    """A model that loops writes thousands of spaces, and the run must not stand still over them."""
    started = time.monotonic()
    for loop in (" ", "\n", "1,", "[", '{"a":', "```"):
        output = '{"number": "7", "parcels": [' + loop * 50_000
        with pytest.raises(GenerationInvalid):
            note.validate(output)
        note.salvage(output)
    assert time.monotonic() - started < 5


def test_lone_surrogates_cost_their_page_at_most(note: Extraction) -> None:
    """They are no characters, but Python and JSON can write them down; the parser's own error would end the run."""
    assert note.validate('{"number": "a\ud800b"}')["number"] == "a?b"
    assert note.validate('{"number": "a\\ud800b"}')["number"] == "a\ud800b"
    assert note.salvage('{"number": "a\ud800b", "total') == note.salvage('{"number": "a?b"}')


def test_transcripts_are_plain_text() -> None:
    """A page of text needs no JSON around it."""
    assert load_extraction("transcript").validate(" Dear Sir \n") == {"text": "Dear Sir"}
