"""Several records in one file are told apart, and one record over several pages is not."""

from __future__ import annotations

import datetime as dt
import itertools
import tracemalloc
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pymupdf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import OcrConfig, RunConfig
from pipeline.data import Box, FieldEvidence, Json, TextLine, Verdict
from pipeline.errors import ConfigError
from pipeline.extraction import Extraction, load_extraction
from pipeline.merging import Limits, Merged
from pipeline.merging.numbering import SheetNumber, sheet_number
from pipeline.results import open_results
from pipeline.run import run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LIMITS = Limits(characters=10**6, items=10**4, records=10**4)
Page = tuple[Json | None, str]
"""What is read from a page, and a line that stands on it."""

TERMS: Page = ({}, "Terms and conditions")
BLANK: Page = (None, "")


@pytest.fixture(scope="module")
def invoice() -> Extraction:
    """Return the shipped extraction."""
    return load_extraction("invoice")


@pytest.fixture(scope="module")
def receipt() -> Extraction:
    """Return the shipped extraction."""
    return load_extraction("receipt")


def head(number: int, **other: Any) -> Json:
    """Return what stands on top of an invoice."""
    day = dt.date(2026, 3, 1 + number % 20)
    sold = {"seller": f"{('Miller', 'Sanchez', 'Dubois')[number % 3]} Trading", "buyer": "Corner Shop", "date": day}
    return {"invoice_number": f"RE-{1000 + 37 * number}", **sold, **other}


def end(number: int) -> Json:
    """Return what stands at its end."""
    return {"total": Decimal(100 + number), "amount_due": Decimal(100 + number)}


def till(number: int, **other: Any) -> Json:
    """Return a receipt without its total."""
    shop = f"{('Orchard', 'Lake', 'Market', 'Wood')[number % 4]} Stores"
    return {"seller": shop, "address": f"{number} High Street", "date": dt.date(2026, 3, 1 + number % 20), **other}


def merged(extraction: Extraction, *pages: Page, split: bool = True, limits: Limits = LIMITS) -> Merged:
    """Merge pages, the last one first."""
    merger = extraction.merger(limits, split=split)
    for number in range(len(pages), 0, -1):
        record, text = pages[number - 1]
        merger.add(number, record, (), [TextLine(text, Box(0, 0, 90, 10))])
    return merger.result()


def ranges(extraction: Extraction, *pages: Page, split: bool = True) -> list[tuple[int, int]]:
    """Return first and last page of each record."""
    return [(part.first_page, part.last_page) for part in merged(extraction, *pages, split=split).parts]


def plain(*records: Json | None) -> list[Page]:
    """Return pages that say nothing else."""
    return [(record, "") for record in records]


def test_invoices_of_one_page_are_told_apart(invoice: Extraction) -> None:
    """A batch from the scanner is one file."""
    found = merged(invoice, *plain(*({**head(n), **end(n)} for n in range(3))))
    assert [(part.first_page, part.last_page) for part in found.parts] == [(1, 1), (2, 2), (3, 3)]
    assert [part.record and part.record["invoice_number"] for part in found.parts] == ["RE-1000", "RE-1037", "RE-1074"]
    assert found.record == found.parts[0].record


def test_further_pages_belong_to_their_invoice(invoice: Extraction) -> None:
    """Whether they repeat the head, misread or not, print a running total, or say nothing at all."""
    one = plain(head(1), {"seller": "Description"}, end(1))
    two = plain({**head(2), "total": Decimal(50)}, {**head(2), "invoice_number": "RE-I074", **end(2)})
    three = [*plain({**head(3), **end(3)}), TERMS, BLANK]
    assert ranges(invoice, BLANK, *one, *two, *three) == [(1, 4), (5, 6), (7, 9)]


def test_the_next_number_in_a_series_is_another_invoice(invoice: Extraction) -> None:
    """A landlord bills one tenant the same amount each month; only the last digit of the number tells."""
    same = {**head(1), **end(1)}
    pages = plain(*({**same, "invoice_number": f"R-2026-{number:04}"} for number in (17, 18, 19)))
    assert ranges(invoice, *pages) == [(1, 1), (2, 2), (3, 3)]


def test_an_invoice_of_which_the_number_was_not_read_still_begins(invoice: Extraction) -> None:
    """Another seller, another day and another total say so together."""
    unread = {**head(2), **end(2), "invoice_number": None}
    assert ranges(invoice, *plain({**head(1), **end(1)}, unread, {**head(3), **end(3)})) == [(1, 1), (2, 2), (3, 3)]


@pytest.mark.parametrize(("one", "other"), [("INV-ACME-BERLIN-12", "INV-ACME-BERLIN-13"), ("26-01-03", "26-03-01")])
def test_numbers_of_many_letters_or_of_the_same_parts_are_told_apart(invoice: Extraction, one: str, other: str) -> None:
    """Names of so many letters would be the same one misread, or printed in another order."""
    same = {**head(1), **end(1)}
    assert ranges(invoice, *plain({**same, "invoice_number": one}, {**same, "invoice_number": other})) == [
        (1, 1),
        (2, 2),
    ]


def test_invoices_of_which_no_number_is_read_are_told_apart(invoice: Extraction) -> None:
    """Of some layouts none ever is: then another day and total begin the next one, and a further page does not."""
    unread = ({**head(1), "date": dt.date(2026, month, 1), "invoice_number": None} for month in (1, 2, 3))
    pages = [{**page, "total": Decimal(number)} for number, page in enumerate(unread, 1)]
    assert ranges(invoice, *plain(pages[0], pages[1], {"seller": "Description"}, pages[2])) == [(1, 1), (2, 3), (4, 4)]
    assert ranges(invoice, *plain({**pages[0], "total": None}, pages[0])) == [(1, 2)]


def test_fields_that_are_never_read_keep_no_invoices_together(invoice: Extraction) -> None:
    """Where no page has a buyer and a day, a page without them is no further page for that."""
    unread = {"buyer": None, "date": None}
    first, second = ({**head(1), **unread, **end(n), "invoice_number": f"RE-{n}000"} for n in (1, 2))
    assert ranges(invoice, *plain(first, second, {"seller": "Description"})) == [(1, 1), (2, 3)]


def test_receipts_without_a_day_are_told_apart_by_their_totals(receipt: Extraction) -> None:
    """The till of one shop prints a day that nobody can read."""
    pages = ({**till(1), "date": None, "total": Decimal(total)} for total in (5, 9))
    assert ranges(receipt, *plain(*pages)) == [(1, 1), (2, 2)]


def test_a_stray_number_on_a_further_page_begins_nothing(invoice: Extraction) -> None:
    """A column of a table is taken for an invoice number now and then."""
    assert ranges(invoice, *plain(head(1), {"invoice_number": "4", **end(1)})) == [(1, 2)]


def test_failed_pages_belong_to_the_record_before(invoice: Extraction) -> None:
    """A page that could not be read says nothing of another invoice."""
    assert ranges(invoice, *plain(head(1), None, end(1), {**head(2), **end(2)}, None)) == [(1, 3), (4, 5)]


def test_printed_page_numbers_tell_where_an_invoice_begins(invoice: Extraction) -> None:
    """They tell two printouts of one invoice apart, and keep an attachment numbered by itself with its invoice."""
    first, last = ({**head(1), "total": None}, "Page 1 of 2"), ({**head(1), **end(1)}, "Page 2 of 2")
    assert ranges(invoice, first, last, first, last) == [(1, 2), (3, 4)]
    attached: list[Page] = [({}, "Page 1 of 2"), ({}, "Page 2 of 2")]
    assert ranges(invoice, first, last, *attached) == [(1, 4)]


def test_a_page_that_was_scanned_twice_is_another_copy(invoice: Extraction) -> None:
    """Put together, its items would count twice."""
    items = [{"description": name, "line_total": Decimal(5)} for name in ("Tea", "Milk")]
    page = {**head(1), **end(1), "line_items": items}
    assert ranges(invoice, *plain(page, page)) == [(1, 1), (2, 2)]


def test_receipts_are_told_apart_and_one_over_two_pages_is_not(receipt: Extraction) -> None:
    """Nothing names a receipt: another shop, or another total of the same one, begins the next."""
    whole = [{**till(n), "total": Decimal(n)} for n in (1, 2)]
    again = {**till(2), "total": Decimal(77)}
    halves = [till(3), {"seller": "CASH", "total": Decimal(3)}]
    assert ranges(receipt, *plain(*whole, again, *halves, {**till(4), "total": Decimal(4)})) == [
        (1, 1),
        (2, 2),
        (3, 3),
        (4, 5),
        (6, 6),
    ]


def test_split_can_be_turned_off(invoice: Extraction) -> None:
    """Who knows that a file is one document says so."""
    pages = plain({**head(1), **end(1)}, {**head(2), **end(2)})
    assert ranges(invoice, *pages, split=False) == [(1, 2)]
    (part,) = merged(invoice, *pages, split=False).parts
    assert "invoice_number" in [conflict.path for conflict in part.conflicts]


def test_one_record_that_breaks_the_schema_costs_the_others_nothing(tmp_path: Path) -> None:
    """The file has failed, and says why; its other records are there."""
    folder = tmp_path / "slip"
    folder.mkdir()
    (folder / "prompt.md").write_text("Read the slip.")
    (folder / "schema.py").write_text(
        "from typing import ClassVar\nfrom pydantic import BaseModel, Field\nfrom pipeline.schema import Split\n"
        "class Slip(BaseModel):\n"
        '    split_on: ClassVar[Split] = Split(number="number")\n'
        "    number: str | None = None\n    stamps: list[str] = Field([], max_length=3)\n"
    )
    pages = plain({"number": "A1"}, *({"number": "B2", "stamps": ["x", "y"]} for _ in range(2)), {"number": "C3"})
    found = merged(load_extraction(str(folder)), *pages)
    assert [part.record and part.record["number"] for part in found.parts] == ["A1", None, "C3"]
    assert found.error
    assert "stamps" in str(found.error)


@pytest.mark.parametrize(
    ("split_on", "complaint"),
    [
        ('Split(number="no")', "fields that it lacks: no"),
        ('Split(head=("number",))', "or two fields of head"),
        ('("number",)', r"must be a pipeline\.schema\.Split"),
    ],
)
def test_a_split_that_cannot_work_is_refused_before_anything_is_read(
    tmp_path: Path, split_on: str, complaint: str
) -> None:
    """The first file of two pages would end the run."""
    (tmp_path / "prompt.md").write_text("Read.")
    (tmp_path / "schema.py").write_text(
        "from typing import Any, ClassVar\nfrom pydantic import BaseModel\nfrom pipeline.schema import Split\n"
        f"class Slip(BaseModel):\n    split_on: ClassVar[Any] = {split_on}\n    number: str | None = None\n"
    )
    with pytest.raises(ConfigError, match=complaint):
        load_extraction(str(tmp_path))


def test_a_file_of_more_records_than_its_row_takes_says_so(invoice: Extraction) -> None:
    """Its pages have them all; memory is bounded."""
    pages = plain(*({**head(n), **end(n)} for n in range(5)))
    found = merged(invoice, *pages, limits=Limits(characters=10, items=10, records=3))
    assert ([part.first_page for part in found.parts], found.is_cut) == ([1, 2, 3], True)


def test_items_of_all_records_together_keep_within_the_limit(invoice: Extraction) -> None:
    """A row of a thousand invoices holds no more than one of a long one; records behind it have no items."""
    items = [{"description": name} for name in ("Tea", "Milk", "Rice")]
    pages = plain(*({**head(n), **end(n), "line_items": items} for n in range(4)))
    found = merged(invoice, *pages, limits=Limits(characters=10, items=4, records=9))
    assert found.is_cut
    assert [len(part.record["line_items"]) for part in found.parts if part.record] == [3, 1, 0, 0]


def test_memory_is_bounded_by_the_limits(invoice: Extraction) -> None:
    """A file of 1,300 invoices takes hardly more than one of 300 where 100 records are kept."""
    peaks = [_peak_bytes(invoice, num_pages) for num_pages in (300, 1300)]
    assert peaks[1] - peaks[0] < 24 * 1000


def _peak_bytes(invoice: Extraction, num_pages: int) -> int:
    merger = invoice.merger(Limits(characters=100, items=300, records=100))
    tracemalloc.start()
    try:
        for number in reversed(range(1, num_pages + 1)):
            evidence = [FieldEvidence(name, number, Verdict.EXACT, "as printed" * 9) for name in (*head(0), *end(0))]
            items = [{"description": f"Tea {number}"}] * 9
            merger.add(number, {**head(number), **end(number), "line_items": items}, evidence)
        assert len(merger.result().parts) == 100
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


pages_of_files = st.lists(
    st.sampled_from(
        [
            *plain(*itertools.chain.from_iterable((head(n), end(n), {**head(n), **end(n)}) for n in (1, 2))),
            TERMS,
            BLANK,
            (end(1), "Page 2 of 2"),
            (head(1), "Page 1 of 2"),
        ]
    ),
    max_size=9,
)


@settings(deadline=None)  # a busy machine is no fault
@given(pages=pages_of_files, data=st.data())
def test_records_do_not_depend_on_the_order_in_which_pages_come(
    invoice: Extraction, pages: list[Page], data: st.DataObject
) -> None:
    """Pages are read ahead and retried; together the records have every page once."""
    merger = invoice.merger(LIMITS)
    for number, (record, text) in data.draw(st.permutations(list(enumerate(pages, 1)))):
        merger.add(number, record, (), [TextLine(text, Box(0, 0, 90, 10))])
    found = merger.result()
    assert found == merged(invoice, *pages)
    if found.parts:
        covered = [page for part in found.parts for page in range(part.first_page, part.last_page + 1)]
        assert covered == list(range(1, len(pages) + 1))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Page 2 of 3", SheetNumber(2, 3)),
        ("Seite 1 von 4", SheetNumber(1, 4)),
        ("Página: 1 / 1", SheetNumber(1, 1)),
        ("Rechnung 4711, Blatt 2", SheetNumber(2)),
        ("- 2/3 -", SheetNumber(2, 3)),
        ("Continued on page 2", None),
        ("Übertrag von Seite 1:", None),
        ("Stylesheet-Version 2.0", None),
        ("Page 3 of 2", None),
        ("The charges shown on page 2 do not include usage of the days before", None),
        ("Homepage 1and1.example", None),
    ],
)
def test_page_numbers_are_read_as_they_are_printed(text: str, expected: SheetNumber | None) -> None:
    """In the words of several languages; not out of prose."""
    lines = [TextLine("Invoice", Box(0, 0, 90, 10)), TextLine(text, Box(0, 980, 90, 990))]
    assert sheet_number(lines) == expected


def test_pages_that_name_several_numbers_have_none() -> None:
    """A table of contents names them all."""
    lines = [TextLine(f"Page {number} of 9", Box(0, number, 90, number + 1)) for number in (1, 2)]
    assert sheet_number(lines) is None


def write_invoice(path: Path, number: int, num_items: int) -> Path:
    """Write an invoice of as many pages as its items need."""
    starts = range(0, num_items, ITEMS_A_PAGE)
    with pymupdf.open() as document:  # type: ignore[no-untyped-call]
        for sheet, start in enumerate(starts, 1):
            page = document.new_page(width=595, height=842)
            for x, y, text in _texts(number, num_items, range(start, min(start + ITEMS_A_PAGE, num_items))):
                page.insert_text((x, y), text, fontsize=10)
            page.insert_text((450, 820), f"Page {sheet} of {len(starts)}", fontsize=8)
        document.save(path)
    return path


ITEMS_A_PAGE = 15


def _texts(number: int, num_items: int, items: range) -> Iterator[tuple[float, float, str]]:
    """Yield the texts of one page and their places: the head on the first one, the total on the last."""
    if items.start == 0:
        yield from ((50, 50, f"{('Northern', 'Eastern')[number % 2]} Trading Ltd"), (50, 64, "12 Mill Lane, Leeds"))
        yield from ((350, 50, f"Invoice number: RE-{4000 + 37 * number}"), (350, 64, f"Date: {number + 10}/03/2026"))
        yield from ((50, 120, "Bill to:"), (50, 134, "Corner Shop Ltd"))
    yield from zip((50, 300, 380, 480), (180,) * 4, ("Description", "Qty", "Unit price", "Amount"), strict=True)
    for row, item in enumerate(items):
        cells = (f"Tea of sort {chr(97 + item)}", "2", "3.50", "7.00")
        yield from zip((50, 300, 380, 480), (200 + 18 * row,) * 4, cells, strict=True)
    if items.stop == num_items:
        yield from ((380, 700, "Total EUR"), (480, 700, f"{7 * num_items}.00"))


@pytest.mark.slow
def test_a_real_file_of_several_invoices_has_as_many_records_in_its_row(tmp_path: Path) -> None:
    """From the PDF to the table: items go on over pages, records have their own evidence, pages and checks."""
    joined = tmp_path / "in" / "batch.pdf"
    joined.parent.mkdir()
    with pymupdf.open() as batch:  # type: ignore[no-untyped-call]
        for number, num_items in enumerate((20, 3, 16)):
            with pymupdf.open(write_invoice(tmp_path / f"{number}.pdf", number, num_items)) as one:  # type: ignore[no-untyped-call]
                batch.insert_pdf(one)
        batch.save(joined)
    ocr = OcrConfig(workers=1, text_layer="only")
    run(RunConfig(input=str(joined), output=str(tmp_path / "out"), extraction="invoice", engine="ocr", ocr=ocr))
    (row,) = open_results(str(tmp_path / "out"))["invoice"].documents().to_pylist()
    records = row["records"]
    assert [(one["first_page"], one["last_page"]) for one in records] == [(1, 2), (3, 3), (4, 5)]
    assert [one["record"]["invoice_number"] for one in records] == ["RE-4000", "RE-4037", "RE-4074"]
    assert [len(one["record"]["line_items"]) for one in records] == [20, 3, 16]
    assert [one["record"]["total"] for one in records] == [Decimal(140), Decimal(21), Decimal(112)]
    assert [one["conflicts"] for one in records] == [[], [], []]
    assert row["record"] == records[0]["record"]
    places = {one["path"]: one["page_number"] for one in records[2]["evidence"]}
    assert (places["invoice_number"], places["total"], places["line_items[15].description"]) == (4, 5, 5)
