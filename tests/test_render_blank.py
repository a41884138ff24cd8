"""What counts as a blank page, and which pages count as equal."""

# mypy: disable-error-code="no-untyped-call"

import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pymupdf
import pytest
from PIL import Image, ImageDraw, ImageFont
from rendering import SPEC, open_file

from pipeline.data import PageFacts, PageImage
from pipeline.render import Renderer
from pipeline.render.blank import shows_nothing
from pipeline.render.digest import digest_of

WIDTH, HEIGHT = 840, 1176
PAPER = 238

Colour = tuple[int, int, int]


def font(size_px: int) -> Any:
    """Return a font of any size."""
    return ImageFont.load_default(size_px)


def scanned(page: Image.Image, *, noise: float = 4, shade: float = 20, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Return a page of paper as a scanner sees it: yellowish, unevenly lit, with noise, as JPEG of twice the size."""
    dice = np.random.default_rng(seed)
    grey = np.asarray(page.resize((2 * page.width, 2 * page.height)), float)
    across = np.linspace(0, 1, 2 * page.width)
    grey = grey - shade * across**3 + dice.normal(0, noise, grey.shape)
    coloured = np.clip(grey[..., None] + (0, -3, -12), 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(coloured).save(file, "JPEG", quality=75)
    return np.asarray(Image.open(file).resize(page.size, Image.Resampling.LANCZOS, reducing_gap=3))


def paper() -> Image.Image:
    """Return an empty sheet."""
    return Image.new("L", (WIDTH, HEIGHT), PAPER)


def punched(page: Image.Image) -> Image.Image:
    """Punch two holes, black as the lid of a scanner."""
    for y in (430, 746):
        ImageDraw.Draw(page).ellipse((36, y, 58, y + 22), fill=30)
    return page


def dusty(page: Image.Image) -> Image.Image:
    """Strew specks of one and of four pixels."""
    dice = np.random.default_rng(1)
    for x, y, size, grey in dice.integers((10, 10, 0, 60), (WIDTH - 10, HEIGHT - 10, 2, 200), (12, 4)):
        ImageDraw.Draw(page).rectangle((x, y, x + size, y + size), fill=int(grey))
    return page


def skewed(page: Image.Image, beside: int) -> Image.Image:
    """Lay the sheet down askew, so that what is beside it shows along all edges."""
    return page.rotate(1.1, resample=Image.Resampling.BICUBIC, fillcolor=beside)


BLANK = {
    "clean": paper(),
    "punched": punched(paper()),
    "dusty": dusty(paper()),
    "skewed before black": skewed(paper(), 20),
    "skewed before grey": skewed(paper(), 150),
    "all of it": skewed(dusty(punched(paper())), 40),
}


@pytest.mark.parametrize("name", BLANK)
@pytest.mark.parametrize(("noise", "shade"), [pytest.param(0, 0, marks=pytest.mark.slow), (4, 20)])
def test_paper_is_blank_however_it_was_scanned(name: str, noise: float, shade: float) -> None:
    """Backs of sheets are a third of a scanned archive; none is white."""
    assert shows_nothing(scanned(BLANK[name], noise=noise, shade=shade))


INK = {
    "page number": ((410, 1120), "7", 14, 30),
    "the thinnest digit": ((410, 1120), "1", 11, 150),
    "number at the edge": ((14, 1140), "12", 12, 30),
    "faint pencil": ((300, 500), "ok", 16, 210),
    "fainter pencil": ((300, 500), "see note 4", 18, 223),
    "one giant letter": ((100, 100), "A", 900, 20),
    "a faint giant letter": ((100, 100), "A", 900, 215),
    "round letter where holes are": ((30, 500), "O", 26, 20),
    "bold digit where holes are": ((30, 500), "8", 26, 20),
    "faint from top to bottom": ((40, 40), "\n".join(["some faint pencil words across the page"] * 45), 18, 218),
}


@pytest.mark.parametrize("name", INK)
@pytest.mark.parametrize("noise", [pytest.param(0, marks=pytest.mark.slow), 4, pytest.param(8, marks=pytest.mark.slow)])
def test_whatever_is_written_on_a_page_makes_it_not_blank(name: str, noise: float) -> None:
    """A page taken for blank is never read; holes, dust and dark edges beside the writing change nothing."""
    place, text, size_px, grey = INK[name]
    page = dusty(punched(paper()))
    ImageDraw.Draw(page).text(place, text, fill=grey, font=font(size_px))
    assert not shows_nothing(scanned(page, noise=noise))


@pytest.mark.parametrize(
    ("paper_colour", "ink_colour"),
    [
        ((255, 255, 0), (255, 0, 0)),
        ((255, 0, 0), (0, 0, 255)),
        ((200, 60, 60), (60, 200, 60)),
        ((255, 255, 255), (255, 255, 150)),
        ((180, 255, 180), (255, 180, 180)),
    ],
)
def test_coloured_print_on_coloured_paper_is_seen(paper_colour: Colour, ink_colour: Colour) -> None:
    """The darkest channel of such a page may be the same everywhere."""
    page = Image.new("RGB", (WIDTH, HEIGHT), paper_colour)
    assert shows_nothing(np.asarray(page))
    ImageDraw.Draw(page).text((200, 500), "note 42", fill=ink_colour, font=font(18))
    assert not shows_nothing(np.asarray(page))


@pytest.mark.parametrize("noise", [0, 2, 4])
def test_faint_print_without_a_margin_is_not_taken_for_paper(noise: float) -> None:
    """What is on most of a page is what a typical cell of it holds."""
    page = Image.new("L", (WIDTH, HEIGHT), 255)
    for y in range(0, HEIGHT, 24):
        ImageDraw.Draw(page).text((0, y), "some print that goes on from edge to edge " * 3, fill=240, font=font(24))
    assert not shows_nothing(scanned(page, noise=noise, shade=0))


FACTS = PageFacts(text_layer=False, digest=True, is_blank=True)


def facts_of(renderer: Renderer, path: Path, page_number: int = 1) -> PageImage:
    """Render a page with all that can be found out about it."""
    return renderer.render(open_file(renderer, path), path, page_number, SPEC, FACTS).result()


def test_born_digital_page_is_blank_when_nothing_is_drawn(renderer: Renderer, tmp_path: Path) -> None:
    """There is no noise to forgive: a hairline is a drawing. White print is text, if nobody sees it."""
    document = pymupdf.open()
    for _ in range(4):
        document.new_page(width=595, height=842)
    document[1].draw_line((50, 400), (550, 400), color=(0.99, 0.99, 0.99), width=0.3)
    document[2].insert_text((90, 120), "x", color=(1, 1, 1))
    document[3].insert_text((90, 120), "1", fontsize=6)
    document.save(tmp_path / "a.pdf")
    document.close()
    assert [facts_of(renderer, tmp_path / "a.pdf", number).is_blank for number in (1, 2, 3, 4)] == [True] + [False] * 3


def test_a_scan_in_a_pdf_is_blank_unless_a_program_read_something_on_it(renderer: Renderer, tmp_path: Path) -> None:
    """Invisible text over a scan says that someone found text there."""
    file = io.BytesIO()
    Image.fromarray(scanned(paper())).save(file, "JPEG")
    document = pymupdf.open()
    for _ in range(2):
        document.new_page(width=595, height=842).insert_image(pymupdf.Rect(0, 0, 595, 842), stream=file.getvalue())
    document[1].insert_text((90, 120), "x", render_mode=3)
    document.save(tmp_path / "a.pdf")
    document.close()
    assert [facts_of(renderer, tmp_path / "a.pdf", number).is_blank for number in (1, 2)] == [True, False]


def test_blank_image_that_was_cut_off_is_not_blank(renderer: Renderer, tmp_path: Path) -> None:
    """The lost half may have had text."""
    file = io.BytesIO()
    Image.fromarray(scanned(paper())).save(file, "JPEG")
    for name, content in (("whole.jpg", file.getvalue()), ("half.jpg", file.getvalue()[: len(file.getvalue()) // 2])):
        (tmp_path / name).write_bytes(content)
    assert facts_of(renderer, tmp_path / "whole.jpg").is_blank
    assert not facts_of(renderer, tmp_path / "half.jpg").is_blank


def test_facts_nobody_wants_are_not_found_out(renderer: Renderer, tmp_path: Path) -> None:
    """They cost time for every page."""
    paper().save(tmp_path / "a.png")
    document = open_file(renderer, tmp_path / "a.png")
    image = renderer.render(document, tmp_path / "a.png", 1, SPEC).result()
    assert (image.digest, image.is_blank) == (None, False)


@pytest.mark.parametrize("background", [255, 200])
def test_digests_are_equal_for_equal_pages_only(background: int) -> None:
    """A duplicate is recorded as the first page was read: one pixel more, or another shape, is another page."""
    page = np.full((56, 84, 3), background, np.uint8)
    other, moved = page.copy(), page.copy()
    other[10, 10, 1] = moved[10, 11, 1] = 254
    pages = [page, other, moved, page.reshape(84, 56, 3), np.full((56, 112, 3), background, np.uint8)]
    assert digest_of(page) == digest_of(page.copy())
    assert len({digest_of(page) for page in pages}) == len(pages)
    assert all(len(digest_of(page)) == 32 for page in pages)
