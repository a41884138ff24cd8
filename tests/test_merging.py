"""Merging the pages of a document: by rule, in page order whatever the order of arrival, within limits."""

from __future__ import annotations

import sys
import tracemalloc
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.data import Json
from pipeline.errors import GenerationInvalid
from pipeline.extraction import Extraction, load_extraction
from pipeline.merging import Limits
from pipeline.sink import page_schema

SCHEMA = """
from typing import Annotated
from pydantic import BaseModel, Field
from pipeline.schema import Amount, Date, Merge, Printed

class Parcel(BaseModel):
    title: str | None = None
    weight: Annotated[Amount | None, Printed("Weight")] = None

class DeliveryNote(BaseModel):
    number: str | None = None
    day: Annotated[Date | None, Printed("Date")] = None
    total: Annotated[Amount | None, Printed("Total")] = None
    carrier: Annotated[str | None, Printed("Carrier", merge=Merge.LAST)] = None
    remarks: Annotated[str, Printed("Remarks", merge=Merge.JOIN)] = ""
    parcels: list[Parcel] = []
    stamps: list[str] | None = Field(None, max_length=50)
"""

NO_LIMIT = {"characters": sys.maxsize, "items": sys.maxsize, "records": sys.maxsize}

words = st.text("ab\f", max_size=4)
weights = st.decimals(0, 10**6, places=2)
amounts = st.none() | weights
page_records = st.none() | st.fixed_dictionaries(
    {},
    optional={
        "number": st.none() | words,
        "total": amounts,
        "carrier": st.none() | words,
        "remarks": words,
        "parcels": st.lists(st.fixed_dictionaries({"title": st.none() | words, "weight": weights}), max_size=3),
    },
)


@pytest.fixture(scope="module")
def note(tmp_path_factory: pytest.TempPathFactory) -> Extraction:
    """Return the extraction above, loaded."""
    folder: Path = tmp_path_factory.mktemp("extractions") / "delivery_note"
    folder.mkdir()
    (folder / "schema.py").write_text(SCHEMA)
    (folder / "prompt.md").write_text("Read the delivery note.")
    return load_extraction(str(folder))


def merge(extraction: Extraction, pages: dict[int, Json | None], **limits: int) -> tuple[Json | None, bool]:
    """Merge pages in the order in which the dict has them."""
    merger = extraction.merger(Limits(**{**NO_LIMIT, **limits}))
    for page_number, record in pages.items():
        merger.add(page_number, record)
    merged = merger.result()
    if merged.error:
        raise merged.error
    return merged.record, merged.is_cut


def test_pages_merge_by_the_rule_of_each_field(note: Extraction) -> None:
    """Names stand on the first page, totals on the last, items on all of them."""
    pages: dict[int, Json | None] = {
        1: {"number": "7", "total": Decimal(1), "carrier": "A", "parcels": [{"title": "x"}]},
        2: {"number": "8", "total": None, "carrier": "B", "parcels": [], "stamps": ["paid"]},
        3: {"number": None, "total": Decimal(3), "carrier": None, "parcels": [{"title": "y"}], "stamps": ["sent"]},
    }
    merged, cut = merge(note, pages)
    assert merged
    assert (merged["number"], merged["total"], merged["carrier"]) == ("7", Decimal(3), "B")
    assert [parcel["title"] for parcel in merged["parcels"]] == ["x", "y"]
    assert merged["stamps"] == ["paid", "sent"]
    assert not cut


def test_transcripts_are_joined_by_page() -> None:
    """A reader can tell where pages end."""
    pages: dict[int, Json | None] = {2: {"text": "two"}, 1: {"text": "one"}}
    assert merge(load_extraction("transcript"), pages) == ({"text": "one\ftwo"}, False)


def test_a_single_record_stays_as_it_came(note: Extraction) -> None:
    """A partial record, which may not fit the schema, is still what its one page says."""
    record: Json = {"number": "7", "total": None, "parcels": None}
    assert merge(note, {1: None, 2: record, 3: None}) == (record, False)
    assert merge(note, {1: None, 2: None}) == (None, False)


def test_a_single_record_is_cut_at_the_limits_too(note: Extraction) -> None:
    """One page may hold more than a document row should; the page's own record is not touched."""
    record: Json = {"number": None, "remarks": "abcdef", "parcels": [{"title": "x"}, {"title": "y"}]}
    merged, cut = merge(note, {1: record}, characters=4, items=1)
    assert (merged, cut) == ({"number": None, "remarks": "abcd", "parcels": [{"title": "x"}]}, True)
    assert len(record["remarks"]) == 6


def test_merged_values_that_break_the_schema_are_refused(note: Extraction) -> None:
    """The document's record is held to the same rules as a page's."""
    pages: dict[int, Json | None] = {number: {"stamps": ["paid"] * 20} for number in (1, 2, 3)}
    with pytest.raises(GenerationInvalid, match="stamps"):
        merge(note, pages)


def test_what_no_page_says_is_said_of_the_document_neither(tmp_path: Path) -> None:
    """Pages say that there is no buyer and no country: a buyer without a name, or a default, would be made up."""
    folder = tmp_path / "order"
    folder.mkdir()
    (folder / "prompt.md").write_text("Read the order.")
    (folder / "schema.py").write_text(
        "from pydantic import BaseModel\n"
        "class Party(BaseModel):\n    name: str\n    city: str | None\n"
        "class Order(BaseModel):\n    buyer: Party | None\n    carrier: Party | None = None\n"
        '    country: str | None = "DE"\n    tags: list[str] = []\n'
    )
    order = load_extraction(str(folder))
    nothing: Json = {"buyer": None, "carrier": None, "country": None, "tags": []}
    assert merge(order, {1: nothing, 2: nothing}) == (nothing, False)
    unnamed = {"name": "", "city": None}
    assert merge(order, {1: nothing, 2: {**nothing, "buyer": unnamed}}) == ({**nothing, "buyer": unnamed}, False)
    named = {"name": "Ann", "city": None}
    assert merge(order, {1: {**nothing, "buyer": named}, 2: nothing}) == ({**nothing, "buyer": named}, False)


@settings(deadline=None)  # a busy machine is no fault
@given(
    pages=st.lists(page_records, max_size=6), limits=st.tuples(st.integers(0, 12), st.integers(0, 6)), data=st.data()
)
def test_the_order_in_which_pages_come_changes_nothing(
    note: Extraction, pages: list[Json | None], limits: tuple[int, int], data: st.DataObject
) -> None:
    """Pages are read ahead and retried: a document must not depend on which of them was quick."""
    arrival = data.draw(st.permutations(list(enumerate(pages, 1))))
    merged = merge(note, dict(arrival), characters=limits[0], items=limits[1])
    assert merged == _merged_plainly(note, pages, *limits)


@settings(deadline=None)  # a busy machine is no fault
@given(pages=st.lists(page_records, min_size=1, max_size=4))
def test_records_read_back_from_parquet_merge_like_fresh_ones(note: Extraction, pages: list[Json | None]) -> None:
    """A document whose pages were read by an earlier run gets the record it would have got then."""
    kind = page_schema(note.model).field("record").type
    column = pa.array(pages, kind).to_pylist()
    fresh, reread = (merge(note, dict(enumerate(records, 1))) for records in (pages, column))
    assert pa.array([fresh[0]], kind) == pa.array([reread[0]], kind)


def test_memory_is_bounded_by_the_limits(note: Extraction) -> None:
    """A document of 3,000 pages takes hardly more than one of 300: the place of each page in a file."""
    peaks = [_peak_bytes(note, num_pages) for num_pages in (500, 3000)]
    assert peaks[1] - peaks[0] < 24 * 2500


def _peak_bytes(note: Extraction, num_pages: int) -> int:
    merger = note.merger(Limits(characters=20_000, items=100, records=10))
    tracemalloc.start()
    try:
        for page_number in reversed(range(1, num_pages + 1)):  # the worst order: nothing is behind the limit
            merger.add(page_number, {"number": f"{page_number}", "remarks": f"{page_number:0500}", "parcels": [{}] * 9})
        assert merger.result().is_cut
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def _merged_plainly(note: Extraction, pages: list[Json | None], max_characters: int, max_items: int) -> Any:
    """Merge with everything in memory."""
    records = [page for page in pages if page is not None]
    if not records:
        return None, False
    values = {name: [r[name] for r in records if r.get(name) not in (None, [], "")] for name in note.model.model_fields}
    text, parcels = "\f".join(values["remarks"]), [parcel for found in values["parcels"] for parcel in found]
    joined: Json = {"remarks": text[:max_characters], "parcels": parcels[:max_items]}
    cut = {name for name, whole in (("remarks", text), ("parcels", parcels)) if joined[name] != whole}
    if len(records) == 1:
        return {**records[0], **{name: joined[name] for name in cut}}, bool(cut)
    first: Json = {name: found[0] for name in ("number", "day") for found in [values[name]] if found}
    last: Json = {name: found[-1] for name in ("total", "carrier") for found in [values[name]] if found}
    return note.model.model_validate(first | last | joined).model_dump(), bool(cut)
