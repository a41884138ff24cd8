"""The report in a real browser: what it shows, where, and what it never does."""

import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from browser import Seen, seen
from made_records import commit, document, ok_page
from PIL import Image
from report_output import EVIL, Made, make_output

from pipeline.check import Audit
from pipeline.cli import main
from pipeline.render import Renderer
from pipeline.report.images import ImageLimits
from pipeline.report.writer import write_report
from pipeline.results import open_results
from pipeline.storage import open_storage

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow
NARROW: dict[str, Any] = {"viewport": {"width": 390, "height": 844}}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, renderer: Renderer) -> Made:
    """An output with its report."""
    made = make_output(tmp_path_factory.mktemp("report"), renderer)
    assert main(["report", str(made.output), "--workers", "1"]) == 0
    return made


@pytest.fixture(scope="module")
def index(made: Made) -> str:
    """Address of the report's first page."""
    return (made.output / "_report" / "index.html").as_uri()


@pytest.fixture(scope="module")
def real(made: Made) -> str:
    """Address of the view of real.pdf."""
    return address(made, "real.pdf")


@pytest.fixture
def on_index(chromium: "Browser", index: str) -> Iterator[Seen]:
    """The index, open."""
    with seen(chromium, index) as found:
        yield found


@pytest.fixture
def on_real(chromium: "Browser", real: str) -> Iterator[Seen]:
    """The view of real.pdf, open."""
    with seen(chromium, real) as found:
        yield found


def address(made: Made, name: str) -> str:
    """Return the address of a document's view, by what its name contains."""
    folder = made.output / "_report"
    text = (folder / "bill" / "documents.js").read_text("utf-8")
    rows = json.loads(text[text.index("=") + 1 :].rstrip(";\n"))
    return next((folder / str(row[1])).as_uri() for row in rows if name in row[0])


def copied(made: Made, place: Path) -> Path:
    """Return a copy of the report, whose pictures need not be drawn again."""
    return shutil.copytree(made.output / "_report", place)


def every_page(made: Made) -> list[str]:
    """Return the addresses of all pages."""
    return [path.as_uri() for path in sorted((made.output / "_report").rglob("*.html"))]


def rectangle(page: "Page", selector: str) -> dict[str, float]:
    """Return where an element stands, once the page is quiet."""
    box = page.locator(selector).first.bounding_box()
    assert box
    return {"x": box["x"], "y": box["y"], "width": box["width"], "height": box["height"]}


def darkest(page: "Page", clip: Any) -> int:
    """Return the least brightness in a part of the window, 0..255."""
    pixels = Image.open(io.BytesIO(page.screenshot(clip=clip))).convert("L")
    return min(pixels.tobytes())


def key_of(page: "Page", path: str) -> str:
    """Return what ties a value to its box."""
    key = page.locator(f'.field[data-path="{path}"]').first.get_attribute("data-key")
    assert key
    return key


def test_a_box_lies_over_the_page_where_the_value_is_printed(on_real: Seen, made: Made) -> None:
    """A box that is off by a few pixels points at another number."""
    page = on_real.page
    key = key_of(page, "total")
    box, image = rectangle(page, f"#b-{key} rect"), rectangle(page, "#p-1 .frame img")
    scale, expected = image["width"] / made.size[0], made.boxes["total"]
    assert box["x"] - image["x"] == pytest.approx(expected.x0 * scale, abs=1.5)
    assert box["y"] - image["y"] == pytest.approx(expected.y0 * scale, abs=1.5)
    assert box["width"] == pytest.approx((expected.x1 - expected.x0) * scale, abs=2)
    page.locator(f"#b-{key}").evaluate("one => one.remove()")
    clip: Any = box
    assert darkest(page, clip) < 90, "nothing is printed there"


def test_the_picture_fills_the_frame_of_its_boxes(on_real: Seen) -> None:
    """Else they would drift apart when the window is made narrower."""
    image, boxes = rectangle(on_real.page, "#p-1 .frame img"), rectangle(on_real.page, "#p-1 .boxes")
    assert image == pytest.approx(boxes, abs=1)
    assert on_real.page.locator("#p-1 img").evaluate("one => one.naturalWidth") > 500


def test_a_value_and_its_box_are_marked_together(on_real: Seen) -> None:
    """Whoever reads the record sees at once where a value stands, and the other way round."""
    page = on_real.page
    key = key_of(page, "seller")
    page.hover(f"#f-{key}")
    assert "on" in (page.locator(f"#b-{key}").get_attribute("class") or "").split()
    other = key_of(page, "total")
    page.hover(f"#b-{other} rect")
    assert "on" in (page.locator(f"#f-{other}").get_attribute("class") or "").split()
    assert "on" not in (page.locator(f"#b-{key}").get_attribute("class") or "").split()


def test_keys_go_from_value_to_value_and_from_document_to_document(on_real: Seen) -> None:
    """Somebody with a hundred documents to look at does not want to aim."""
    page = on_real.page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("j")
    assert page.evaluate("document.activeElement.closest('.field').dataset.path") == "seller"
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.closest('.field').dataset.path") == "date"
    page.keyboard.press("k")
    assert page.locator(".box.on").count() == 1
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    page.keyboard.press("Escape")
    assert (outline, page.locator(".on").count()) == ("solid", 0)
    here = page.url.partition("#")[0]
    page.keyboard.press("p")
    page.wait_for_url(lambda url: url.partition("#")[0] != here)


def test_a_value_of_a_far_page_is_brought_into_view(on_real: Seen) -> None:
    """Its page may be screens away."""
    page = on_real.page
    key = key_of(page, "line_items[1].description")
    page.locator(f"#f-{key} a").click()
    on_real.eventually("(id) => document.getElementById(id).getBoundingClientRect().bottom < innerHeight", f"b-{key}")


def test_the_record_says_what_is_to_be_known_of_a_value(on_real: Seen) -> None:
    """Doubt, rule, and what the page does not show; numbers as people write them."""
    page = on_real.page
    total, date = (page.locator(f'.field[data-path="{path}"]').inner_text() for path in ("total", "date"))
    assert ("12.50" in total, "62 %" in total, "breaks: lines add up" in total) == (True, True, True)
    assert "not on the page" in date
    assert "12,345" in page.locator('.field[data-path="count"]').inner_text()
    assert "The lines sum to 6.00" in page.locator(".notes").first.inner_text()
    assert page.locator("table.items tbody tr").count() == 2
    assert page.locator(".record h2").all_inner_texts() == ["Record 1 page 1", "Record 2 page 2"]
    assert "pages differ" in page.locator('.field[data-path="seller"]').first.inner_text()


def test_a_cut_out_shows_the_place_without_another_file(on_index: Seen, made: Made) -> None:
    """The picture of the page is loaded once, however many values stand on it."""
    page = on_index.page
    crop = page.locator(".card:has(rect):has-text('real.pdf') svg.crop").first
    crop.scroll_into_view_if_needed()
    crop.locator("img").evaluate("one => one.decode()")
    clip: Any = crop.bounding_box()
    assert darkest(page, clip) < 90, "the cut-out shows nothing"
    names = {url for url in on_index.asked if url.endswith(".webp")}
    assert len(names) <= len(list((made.output / "_report" / "images").iterdir()))


def test_the_night_is_told_at_a_glance(on_index: Seen) -> None:
    """Figures, how they compare, money, and the time zone."""
    page = on_index.page
    tiles = dict(zip(page.locator(".tile dt").all_inner_texts(), page.locator(".tile").all_inner_texts(), strict=True))
    assert "5" in tiles["Documents"]
    assert "+25% on the run before" in tiles["Pages per hour"]
    assert ("1.24" in tiles["Cost"], "USD" in tiles["Cost"]) == (True, True)
    rows = page.locator("section[aria-label='Runs of bill'] tbody tr").all_inner_texts()
    assert ["10,000" in rows[0], "8,000" in rows[1]] == [True, True]
    assert page.locator(".plot").count() == 2
    assert "UTC" in page.locator(".plot figcaption").first.inner_text()
    assert page.locator(".plot .bar").count() == 4
    assert "All times are UTC" in page.locator("footer").inner_text()


def test_doubtful_values_come_most_doubtful_first(on_index: Seen) -> None:
    """There is time for the first ones only."""
    sure = on_index.page.locator("#doubtful-bill .sure").all_inner_texts()
    assert sure == ["20 %", "50 %", "62 %"]


def test_what_failed_has_its_page_and_what_helps(on_index: Seen) -> None:
    """The picture is the one that the engine was sent; a locked document has none and says why."""
    page = on_index.page
    failed = page.locator("#failed-bill")
    assert "raise `tries.max_tokens`" in failed.inner_text()
    assert "add the password" in failed.inner_text()
    assert failed.locator(".card:has-text('breaks.pdf') img").evaluate("one => one.complete && one.naturalWidth") > 0


def test_what_changed_since_the_run_before_is_told(on_index: Seen) -> None:
    """The same bytes read otherwise are a warning; so is a document that was ok."""
    changed = on_index.page.locator("#changed-bill").inner_text()
    assert "breaks.pdf" in changed
    assert ("Old name" in changed, "New name" in changed) == (True, True)
    assert "2 documents new, 1 document now failing" in changed


def test_a_source_that_is_gone_is_said_to_be(chromium: "Browser", made: Made) -> None:
    """A blank space would look like a fault of the report."""
    with seen(chromium, address(made, "gone.pdf")) as found:
        assert "no longer where it was read" in found.page.locator(".no-image").inner_text()


def test_what_somebody_corrected_is_what_counts(chromium: "Browser", made: Made) -> None:
    """The report shows the value of now, what was read, and who said so."""
    with seen(chromium, address(made, "gone.pdf")) as found:
        total = found.page.locator('.field[data-path="total"]').inner_text()
        assert ("2.50" in total, "corrected from 1.00 by Anna" in total) == (True, True), total


def test_documents_are_found_and_sorted_by_what_was_read(on_index: Seen) -> None:
    """By name or by value; the order is said to those who do not see it."""
    page = on_index.page
    page.keyboard.press("/")
    page.keyboard.type("new name")
    on_index.eventually("document.querySelector('.search output').textContent === '1 of 5'")
    assert "gone.pdf" in page.locator(".documents tbody").inner_text()
    page.fill(".search input[type=search]", "")
    page.get_by_role("button", name="Least sure").click()
    on_index.eventually("document.querySelectorAll('.documents tbody tr').length === 5")
    assert "real.pdf" in page.locator(".documents tbody tr").first.inner_text()
    assert page.locator("th[aria-sort=ascending]").inner_text().startswith("Least sure")
    page.check(".search input[type=checkbox]")
    on_index.eventually("document.querySelector('.search output').textContent === '4 of 5'")


def test_nothing_in_a_document_becomes_markup(chromium: "Browser", made: Made) -> None:
    """Names, values, messages and outputs are what others wrote."""
    with seen(chromium, address(made, "script")) as found:
        page = found.page
        assert (
            EVIL.replace("\x07", "\\x07").replace("\u202e", "\\u202e")
            in page.locator('.field[data-path="seller"] .value').inner_text()
        )
        assert page.locator("main script, main img[onerror], main b:has-text('bold')").count() == 0
        assert "<script>alert(1)<script> \\u202egpj.exe & \\x1b[2J.pdf" in page.locator("h1").inner_text()
        assert found.complaints == []


def test_no_page_complains_or_asks_for_anything_elsewhere(chromium: "Browser", made: Made) -> None:
    """It works from a disk without a network, under the policy that it sets itself."""
    root = (made.output / "_report").as_uri()
    for url in every_page(made):
        with seen(chromium, url) as found:
            policy = found.page.locator("meta[http-equiv=Content-Security-Policy]").get_attribute("content") or ""
            assert (found.complaints, "default-src 'none'" in policy) == ([], True), url
            assert [one for one in found.asked if not one.startswith((root, "data:"))] == []


def test_a_script_that_slips_in_is_not_run(chromium: "Browser", index: str, tmp_path: Path, made: Made) -> None:
    """Escaping is the first line; the page's own policy is the second."""
    copy = made.output / "_report" / "tampered.html"
    text = (made.output / "_report" / "index.html").read_text("utf-8")
    copy.write_text(text.replace("<main", "<img src=x onerror=alert(3)><script>alert(4)</script><main"), "utf-8")
    with seen(chromium, copy.as_uri()) as found:
        copy.unlink()
        assert not [one for one in found.complaints if one in {"3", "4"}]
        assert [one for one in found.complaints if "Content Security Policy" in one]


@pytest.mark.parametrize("name", ["", "real.pdf", "script", "breaks.pdf"])
def test_nothing_is_wider_than_a_telephone(chromium: "Browser", made: Made, index: str, name: str) -> None:
    """At 390 px tables scroll by themselves, the page does not."""
    with seen(chromium, address(made, name) if name else index, **NARROW) as found:
        assert found.overflow() == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read_by_day_and_by_night(chromium: "Browser", index: str, real: str, scheme: Any) -> None:
    """WCAG 2.2 asks for a contrast of 4.5."""
    for url in (index, real):
        with seen(chromium, url, color_scheme=scheme) as found:
            assert found.faint() == []
            dark = found.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(19, 22, 26)"
            assert dark == (scheme == "dark")


def test_everything_that_can_be_used_has_a_name(chromium: "Browser", index: str, real: str) -> None:
    """Screen readers say it; and whoever asks for no motion gets none."""
    for url in (index, real):
        with seen(chromium, url, reduced_motion="reduce") as found:
            unnamed = found.page.evaluate(
                """[...document.querySelectorAll("a, button, input, [role=img], [role=region], [role=group]")]
                .filter((one) => !(one.textContent.trim() || one.getAttribute("aria-label") || one.labels?.length))
                .map((one) => one.outerHTML)"""
            )
            assert unnamed == []
            assert found.page.locator("img:not([alt])").count() == 0
            assert found.page.evaluate("getComputedStyle(document.querySelector('a')).transitionDuration") == "0s"


def test_it_can_be_read_without_a_script(chromium: "Browser", real: str) -> None:
    """Links lead from a value to its box, and the style marks what the address names."""
    with seen(chromium, real, java_script_enabled=False) as found:
        link = found.page.locator('.field[data-path="total"] a').first.get_attribute("href")
        found.page.goto(f"{real}{link}")
        width = found.page.locator(f"{link} rect").evaluate("one => getComputedStyle(one).strokeWidth")
        assert width == "2.5px"


def test_no_reader_of_the_results_sees_the_report(made: Made) -> None:
    """It stands beside the tables, and is none."""
    assert [found.name for found in open_results(str(made.output)).extractions] == ["bill"]
    assert [problem for problem in Audit(str(made.output)).problems() if "_report" in problem.key] == []


def test_a_second_report_takes_the_first_ones_place(tmp_path: Path, made: Made) -> None:
    """Pictures are kept while they are of use; what no page leads to is deleted, and nothing else."""
    results, place = open_results(str(made.output)), copied(made, tmp_path / "there")
    (place / "notes.txt").write_text("mine")
    again = write_report(results, str(place), ["bill"], ImageLimits(workers=1))
    assert (again.images_rendered, again.images, len(list(place.glob("images/*")))) == (0, 3, 3)
    bare = write_report(results, str(place), ["bill"], ImageLimits(max_images=0))
    assert (bare.images, list(place.glob("images/*")), (place / "notes.txt").read_text()) == (0, [], "mine")
    assert not (place / ".new").exists()
    assert any("without pictures" in page.read_text("utf-8") for page in (place / "bill" / "d").glob("*.html"))


def test_failed_pages_and_those_to_review_get_the_pictures_that_there_are(tmp_path: Path, made: Made) -> None:
    """A night of 100,000 pages has no room for all."""
    written = write_report(
        open_results(str(made.output)), str(tmp_path), ["bill"], ImageLimits(max_images=1, workers=1)
    )
    index = (tmp_path / "index.html").read_text("utf-8")
    assert written.images == 1
    assert '<span class="shot"><img' in index


@pytest.mark.usefixtures("s3_server")
def test_it_is_written_into_a_bucket(bucket: str) -> None:
    """Beside the results, whole, with the index last."""
    storage = open_storage(bucket)
    commit(storage, "1", (ok_page(document("a.pdf")),))
    written = write_report(open_results(bucket), f"{bucket}/_report", ["bill"], ImageLimits(max_images=0))
    report = open_storage(f"{bucket}/_report")
    keys = set(report.keys())
    assert {"index.html", "manifest.json", "bill/documents.js"} <= keys
    assert written.index == f"{bucket}/_report/index.html"
    with report.open("index.html") as file:
        assert b"a.pdf" in file.read()
