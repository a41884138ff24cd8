"""Reviewing in a real browser: with the keyboard alone, on a telephone, in the dark, and against hostile pages."""

import shutil
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from browser import Seen, seen
from made_records import Bill, commit, document, ok_page
from report_output import Made, make_output
from review_server import Client, serving

from pipeline.render import Renderer
from pipeline.results import Record, open_results
from pipeline.review.command import opening_page
from pipeline.storage import open_storage

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, renderer: Renderer) -> Made:
    """An output with a real PDF of two bills, of which the first is doubtful, and with hostile values."""
    return make_output(tmp_path_factory.mktemp("review"), renderer)


@pytest.fixture(scope="module")
def client(made: Made) -> Iterator[Client]:
    """Ann's server."""
    with serving(made.output) as found:
        yield found


@pytest.fixture
def afresh(made: Made) -> None:
    """Nobody has said anything yet."""
    shutil.rmtree(made.output / "bill" / "corrections", ignore_errors=True)


@pytest.fixture
def page(chromium: "Browser", client: Client) -> Iterator[Seen]:
    """The list, open."""
    with seen(chromium, client.server.url) as found:
        found.page.wait_for_url("**/e/bill/")
        yield found
        assert found.complaints == []


def first(made: Made) -> Record:
    """Return the first record of the real PDF as everybody reads it."""
    found = open_results(str(made.output))["bill"]
    return next(one for one in found.records() if one.name == str(made.pdf) and one.record_number == 1)


def open_real(found: Seen) -> None:
    """Follow the link to the real PDF."""
    found.page.get_by_role("link", name="real.pdf").click()
    found.page.wait_for_selector("#record .say")


def field(found: Seen, path: str, record: int = 0) -> "Locator":
    """Return where a value stands in the page."""
    return found.page.locator(f'.field[data-record="{record}"][data-path="{path}"]')


def press(found: Seen, key: str, note: str) -> None:
    """Press a key and wait until the page says so."""
    found.page.keyboard.press(key)
    found.page.locator(".tag.note", has_text=note).first.wait_for()


def test_a_record_is_reviewed_with_the_keyboard_alone(made: Made, page: Seen) -> None:
    """Accept, change, take back: each key works on the value in focus and goes on to the next one in doubt."""
    open_real(page)
    focus = "document.activeElement.closest('.field')?.dataset.path"
    assert page.page.evaluate(focus) == "seller"
    press(page, "a", "accepted by Ann")
    assert page.page.evaluate(focus) == "date"
    page.page.keyboard.press("j")
    page.page.keyboard.press("j")
    assert page.page.evaluate(focus) == "total"
    page.page.keyboard.press("e")
    assert page.page.locator(".edit input").input_value() == "12.50"
    page.page.keyboard.type("11,75")
    press(page, "Enter", "corrected by Ann, read: 12.5")
    found = first(made)
    assert (found.record or {})["total"] == Decimal("11.75")
    assert set(found.reviewed) == {"seller", "total"}
    field(page, "seller").locator("a.go").focus()
    page.page.keyboard.press("u")
    field(page, "seller").locator(".tag.note").wait_for(state="detached")
    assert first(made).reviewed == ("total",)


def test_a_value_that_does_not_fit_stays_open_with_the_reason(afresh: None, made: Made, page: Seen) -> None:
    """What was typed is not lost; Escape gives it up."""
    open_real(page)
    total = field(page, "total")
    total.locator("a.go").focus()
    page.page.keyboard.press("e")
    page.page.keyboard.type("a lot")
    page.page.keyboard.press("Enter")
    total.locator(".told").wait_for()
    assert "a number with at most 6 decimal places" in total.locator(".told").inner_text()
    assert total.locator("input").input_value() == "a lot"
    page.page.keyboard.press("Escape")
    assert (total.locator("input").count(), first(made).corrected) == (0, ())
    page.complaints.clear()  # Chromium itself tells of the refusal


def test_the_browser_that_the_command_opens_gets_in(chromium: "Browser", client: Client, tmp_path: Path) -> None:
    """It comes from a file, which is another site: the cookie must be sent all the same."""
    with seen(chromium, opening_page(client.server.url, tmp_path).as_uri()) as found:
        found.page.get_by_role("link", name="real.pdf").wait_for()
        assert "key=" not in found.page.url


def test_empty_fields_and_rows_that_were_missed_can_be_filled(made: Made, page: Seen) -> None:
    """What the model did not read is what people know."""
    open_real(page)
    field(page, "currency").locator("a.go").focus()
    page.page.keyboard.press("e")
    page.page.keyboard.type("EUR")
    press(page, "Enter", "corrected by Ann, read: nothing")
    field(page, "line_items[2].description", 1).locator("a.go").focus()
    page.page.keyboard.press("e")
    page.page.keyboard.type("Nägel")
    page.page.keyboard.press("Enter")
    field(page, "line_items[3].description", 1).wait_for()
    records = open_results(str(made.output))["bill"].records_at(made.pdf.as_uri())
    assert [(record.record or {})["currency"] for record in records] == ["EUR", None]
    assert [item["description"] for item in (records[1].record or {})["line_items"]][-1] == "Nägel"


def test_lists_and_texts_of_several_lines_can_be_reviewed(chromium: "Browser", tmp_path: Path) -> None:
    """To open a value and to leave it as it is changes nothing; a single value of a list can be taken out."""
    bill = Bill.model_validate({"tags": ("a", "b"), "line_items": [{"description": "two\nlines"}]})
    commit(open_storage(str(tmp_path)), "1", (ok_page(document("a.pdf"), record=bill.model_dump()),))
    with serving(tmp_path) as ann, seen(chromium, ann.server.url) as found:
        found.page.get_by_role("link", name="a.pdf").click()
        found.page.wait_for_selector("#record .whole")  # the script has begun
        field(found, "line_items[0].description").locator("a.go").focus()
        found.page.keyboard.press("e")
        found.page.keyboard.press("Control+Enter")
        field(found, "line_items[0].description").locator(".say.settled").wait_for(state="attached")
        field(found, "tags[0]").locator("a.go").focus()
        press(found, "x", "taken out by Ann")
        found.complaints.clear()  # there is no picture of this document
        assert (ann.record().record or {})["tags"] == ["b"]
    assert ann.record().corrected == ("tags[0]",)


def test_the_page_shows_the_picture_and_where_values_stand(made: Made, page: Seen) -> None:
    """It is drawn when somebody looks at it."""
    open_real(page)
    image = page.page.locator("#p-1 img")
    assert image.evaluate("(image) => image.decode().then(() => image.naturalWidth)") > 800
    frame, seller = image.bounding_box(), page.page.locator('#p-1 .box[data-path="seller"] rect').bounding_box()
    assert frame
    assert seller
    box, (width, height) = made.boxes["seller"], made.size
    assert (seller["x"] - frame["x"]) / frame["width"] == pytest.approx(box.x0 / width, abs=0.01)
    assert (seller["y"] - frame["y"]) / frame["height"] == pytest.approx(box.y0 / height, abs=0.01)


def test_nothing_hostile_runs_and_nothing_is_asked_of_others(client: Client, page: Seen) -> None:
    """Names and values would like to be scripts."""
    page.page.goto(client.server.url.partition("/?")[0] + "/e/bill/?show=all")
    links = page.page.locator("table a.go").evaluate_all("links => links.map((link) => link.href)")
    for link in links:
        page.page.goto(link)
        page.page.wait_for_load_state("networkidle")
    own = f"http://127.0.0.1:{client.server.port}/"
    assert [url for url in page.asked if not url.startswith((own, "data:"))] == []
    page.complaints[:] = [text for text in page.complaints if "500" not in text]  # pictures of sources that are gone


@pytest.mark.parametrize(
    "context", [{"viewport": {"width": 390, "height": 844}}, {"color_scheme": "dark"}], ids=["telephone", "dark"]
)
def test_it_can_be_read_anywhere(chromium: "Browser", client: Client, context: dict[str, Any]) -> None:
    """Nothing sticks out, and no text is faint."""
    with seen(chromium, client.server.url, **context) as found:
        found.page.wait_for_url("**/e/bill/")
        assert (found.overflow(), found.faint()) == ([], [])
        open_real(found)
        assert (found.overflow(), found.faint()) == ([], [])


def test_who_was_overtaken_is_told_and_may_insist(
    afresh: None, chromium: "Browser", made: Made, tmp_path: Path
) -> None:
    """Two people have the same document open."""
    with (
        serving(made.output) as ann,
        serving(made.output, "Bob") as bob,
        seen(chromium, ann.server.url) as hers,
        seen(chromium, bob.server.url) as his,
    ):
        open_real(hers)
        open_real(his)
        press(hers, "a", "accepted by Ann")
        his.page.keyboard.press("a")
        told = his.page.locator(".told")
        told.wait_for()
        assert "Ann accepted this value" in told.inner_text()
        his.page.get_by_role("button", name="do it anyway").click()
        his.page.locator(".tag.note", has_text="accepted by Bob").wait_for()
    assert first(made).reviews["seller"].reviewer == "Bob"
