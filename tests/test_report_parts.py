"""Parts of the report that need no browser: arithmetic, what a record becomes, what is kept of many findings."""

from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from made_records import commit, document, ok_page

from pipeline.data import Box, Breach, Conflict, FieldEvidence, RecordPart, Verdict
from pipeline.report.crops import ASPECT, crop_of
from pipeline.report.documents import document_view
from pipeline.report.findings import MOST_KEPT, Urgent
from pipeline.report.images import ImageLimits, Shot
from pipeline.report.pages import script_data
from pipeline.report.plot import HEIGHT, Value, bars
from pipeline.report.records import record_view, shown, typed
from pipeline.report.views import ImageView, name_of
from pipeline.report.words import label_of, reasons_told
from pipeline.report.writer import write_report
from pipeline.results import open_results
from pipeline.storage import open_storage

PAGE = {"page_number": 1, "status": "ok", "width_px": 840, "height_px": 1176, "full_pixels": 840 * 1176}
LANDSCAPE = ImageView("images/a.webp", 1176, 840)


@pytest.mark.parametrize(("highest", "top"), [(0, "1"), (7, "8"), (93, "100"), (47_400, "60,000"), (0.3, "0.3")])
def test_an_axis_ends_at_a_round_number_above_the_highest_value(highest: float, top: str) -> None:
    """People read 60,000 faster than 47,400."""
    plot = bars([Value("13:00", highest, "")], "pages per hour")
    assert plot.y_ticks[-1].label == top
    assert all(0 <= bar.y <= HEIGHT for bar in plot.bars)


def test_labels_of_an_axis_do_not_run_into_each_other() -> None:
    """A week has 168 hours."""
    ticks = bars([Value(f"{hour % 24:02}:00", 10.0, "") for hour in range(168)], "").x_ticks
    assert min(after.at - before.at for before, after in pairwise(ticks)) >= 60


@pytest.mark.parametrize("box", [Box(0, 0, 30, 10), Box(1100, 800, 1176, 840), Box(0, 0, 1176, 840)])
def test_a_cut_out_stays_within_the_page(box: Box) -> None:
    """Also of what stands in a corner, or fills the page."""
    cut = crop_of(box, LANDSCAPE)
    assert cut.x >= 0
    assert cut.y >= 0
    assert cut.x + cut.width <= LANDSCAPE.width_px + 0.2
    assert cut.y + cut.height <= LANDSCAPE.height_px + 0.2
    assert cut.width / cut.height == pytest.approx(ASPECT, rel=0.01)


def test_a_page_that_the_engine_turned_is_shown_upright_with_its_boxes() -> None:
    """Boxes lie on the image that was sent; people want to read the page."""
    shot = Shot.of(PAGE | {"rotation_deg": 90, "tries": [{"rotation_deg": 0, "max_pixels": 1_003_520}]})
    assert (shot.turn_deg, shot.spec.rotation_deg) == (90, 0)
    assert shot.upright(Box(10, 20, 40, 60)) == Box(1176 - 60, 10, 1176 - 20, 40)


def test_a_page_that_was_sent_turned_is_drawn_so() -> None:
    """A second try may have asked for the turn: then boxes lie on the turned image already."""
    shot = Shot.of(PAGE | {"rotation_deg": 90, "tries": [{"rotation_deg": 90, "max_pixels": 1_003_520}]})
    assert (shot.turn_deg, shot.spec.rotation_deg, shot.spec.max_pixels) == (0, 90, 1_003_520)
    assert shot.upright(Box(1, 2, 3, 4)) == Box(1, 2, 3, 4)


def test_a_page_that_was_made_smaller_is_drawn_that_small() -> None:
    """The size that it was allowed says nothing then; its own does."""
    shot = Shot.of(PAGE | {"full_pixels": 2_000_000, "tries": [{"rotation_deg": 0, "max_pixels": 2_000_000}]})
    assert shot.spec.max_pixels == 840 * 1176


def test_a_record_becomes_fields_and_tables_with_all_that_is_said_of_them() -> None:
    """Paths are the ones that evidence, rules and conflicts name."""
    record: dict[str, Any] = {"seller": "ACME", "party": {"name": "B"}, "tags": ["x"], "empty": None}
    record |= {"items": [{"text": "a", "price": None}, {"text": "b", "price": Decimal("1234.5")}]}
    part = RecordPart(
        1,
        2,
        record,
        (FieldEvidence("items[1].price", 2, Verdict.NOT_FOUND, confidence=0.2),),
        (Breach("sum", "No.", ("items[1].price", "total")),),
        (Conflict("seller", ((1, "ACME"), (2, "ACNE"))),),
        ("doubtful: items[1].price",),
    )
    view = record_view(part, notes={"seller": "accepted"})
    assert [field.path for field in view.fields] == ["seller", "party.name", "tags[0]"]
    assert (view.fields[0].is_conflicting, view.fields[0].note) == (True, "accepted")
    [table] = view.items
    assert table.columns == ("Text", "Price")
    assert table.rows[0][1] is None
    price = table.rows[1][1]
    assert price
    assert (price.value, price.raw, price.state, price.is_doubtful) == ("1,234.50", "1234.50", "breach", True)
    assert view.breaches[0].keys == (price.key, "")
    assert len({field.key for field in view.all_fields}) == 6


@pytest.mark.parametrize(
    ("value", "as_shown", "as_typed"),
    [
        (Decimal("1234567.891000"), "1,234,567.891", "1234567.891"),
        (Decimal("NaN"), "NaN", "NaN"),
        (12345, "12,345", "12345"),
        (True, "yes", "true"),
        (float("inf"), "inf", "inf"),
    ],
)
def test_numbers_are_shown_with_separators_and_typed_without(value: object, as_shown: str, as_typed: str) -> None:
    """One is for reading, the other for correcting."""
    assert (shown(value), typed(value)) == (as_shown, as_typed)


@pytest.mark.parametrize(
    ("path", "label"),
    [
        ("invoice_number", "Invoice number"),
        ("seller.vat_id", "Seller, VAT ID"),
        ("line_items[2].tax_rate", "Line items 3: tax rate"),
        ("accounts[0].iban", "Accounts 1: IBAN"),
        ("tags[0]", "Tags 1"),
        ("a[0].b[1].c", "A 1: b 2: c"),
    ],
)
def test_rows_are_counted_in_words_as_the_table_counts_them(path: str, label: str) -> None:
    """The first row of a table has the number 1, in a path it has 0."""
    assert label_of(path) == label


def test_reasons_are_told_in_words_and_those_of_a_column_at_once() -> None:
    """A long table has dozens of doubtful cells; nobody reads as many tags."""
    cells = [f"doubtful: line_items[{row}].description" for row in range(9)]
    told = reasons_told(["doubtful: total", *cells, "not found: seller", "breach: lines_add_up", "strange"])
    assert [one.text for one in told] == [
        "doubtful: Total",
        "doubtful: Line items 1, 2, 3, 4, 5, 6 and 3 more: description",
        "not on the page: Seller",
        "breaks: lines add up",
        "strange",
    ]
    assert [one.state for one in told] == ["doubtful", "doubtful", "missing", "breach", "doubtful"]


def test_a_page_without_a_record_says_which_page_has_it() -> None:
    """Pages that were read in one request have one record, in the first one's row."""
    row = {"source_uri": "file:///a.pdf", "status": "ok", "num_pages": 2, "record": None}
    pages = [row | PAGE | {"page_number": number, "read_with": [1, 2]} for number in (1, 2)]
    view = document_view("bill", row, pages, {})
    assert [page.remark for page in view.pages] == [
        "Read together with the pages up to 2, in one request.",
        "Read together with page 1, which has the record.",
    ]


def test_of_many_findings_the_most_urgent_are_kept_and_all_are_counted() -> None:
    """Memory stays the same for a million of them."""
    found: Urgent[int] = Urgent()
    for number in range(3 * MOST_KEPT):
        found.add(number % MOST_KEPT, number)
    assert (found.count, len(found)) == (3 * MOST_KEPT, MOST_KEPT)
    assert list(found)[:3] == [999, 1999, 2999]


def test_a_long_list_goes_on_on_further_pages(tmp_path: Path) -> None:
    """The first page stays small however many documents there are."""
    documents = [(ok_page(document(f"{number:03}.pdf")),) for number in range(101)]
    commit(open_storage(str(tmp_path)), "1", *documents)
    written = write_report(open_results(str(tmp_path)), str(tmp_path / "to"), ["bill"], ImageLimits(max_images=0))
    first, second, last = (
        tmp_path / "to" / name for name in ("index.html", "bill/documents-2.html", "bill/review-2.html")
    )
    assert (written.documents, written.images) == (101, 0)
    assert 'href="bill/documents-2.html"' in first.read_text("utf-8")
    assert ("100.pdf" in second.read_text("utf-8"), "100.pdf" in first.read_text("utf-8")) == (True, False)
    assert 'rel="prev" href="review-1.html"' in last.read_text("utf-8")


def test_data_for_a_script_can_end_no_script() -> None:
    """It is in a file of its own, and safe wherever it would be put."""
    made = script_data("x", [["</script><!--", "\u2028", "&"]])
    assert not set(b"<>&") & set(made)
    assert made.isascii()


def test_a_name_that_is_no_unicode_is_shown_all_the_same() -> None:
    """File systems take any bytes."""
    assert name_of("file:///in/%FF%2Fa.pdf") == "\ufffd/a.pdf"
