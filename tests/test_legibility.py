"""Pages are made as small as their print allows, and no smaller."""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import io
import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pymupdf
import pytest
from PIL import Image, ImageFilter
from rendering import SPEC, render

from pipeline.config import PIXEL_UNIT, RenderConfig, RunConfig
from pipeline.data import PageImage, PageRequest
from pipeline.engines import EngineChoice, legible_px
from pipeline.engines.scripted import ScriptedEngine
from pipeline.planning import resolve
from pipeline.render import Renderer
from pipeline.render.grid import fit, legible_budget
from pipeline.render.legibility import em_of_layer, em_of_pixels
from pipeline.render.text import Span
from pipeline.run import run

LEGIBLE_PX = 11.0
ADAPTIVE = replace(SPEC, legible_px=LEGIBLE_PX)
MIN_PIXELS = RenderConfig().min_pixels
A4 = (595, 842)
PROSE = (
    "The quick brown fox jumps over the lazy dog while 1,234.50 EUR are paid to Messrs Grey & Sons, Bridge Street 7. "
)
HIDDEN = 3
WITHIN = 0.3
"""Share by which heights in scans are measured wrong at most; sizes are chosen with a margin of 0.5."""


def write_page(*blocks: tuple[str, float], hidden: bool = False, size: tuple[int, int] = A4) -> pymupdf.Document:
    """Return a document of one page with these texts at these font sizes, one below the other."""
    document = pymupdf.open()
    page = document.new_page(width=size[0], height=size[1])
    top = 40.0
    for text, points in blocks:
        left = page.insert_textbox(
            pymupdf.Rect(50, top, size[0] - 50, size[1] - 40), text, fontsize=points, render_mode=HIDDEN * hidden
        )
        assert left >= 0, "the text does not fit"
        top = size[1] - 40 - left + points
    return document


def saved(document: pymupdf.Document, path: Path) -> Path:
    """Save and close a document."""
    document.save(path)
    document.close()
    return path


def num_pixels(image: PageImage) -> int:
    """Return how many pixels are sent."""
    return image.width_px * image.height_px


def scanned(document: pymupdf.Document, dpi: int, *, blur: float = 0, noise: float = 0, skew: float = 0) -> Image.Image:
    """Return the first page as a scanner of that resolution sees it."""
    pixmap = document[0].get_pixmap(dpi=dpi, colorspace=pymupdf.csGRAY)
    image = Image.frombytes("L", (pixmap.width, pixmap.height), pixmap.samples)
    image = image.rotate(skew, Image.Resampling.BILINEAR, fillcolor=255).filter(ImageFilter.GaussianBlur(blur))
    grain = np.random.default_rng(1).normal(0, noise, (image.height, image.width))
    return Image.fromarray(np.clip(np.asarray(image) * 0.9 + grain, 0, 255).astype(np.uint8)).convert("RGB")


@pytest.fixture
def adapt(renderer: Renderer, tmp_path: Path) -> Any:
    """Return a function that renders the first page of a new document, or an image, as small as its print allows."""

    def adapted(source: pymupdf.Document | Image.Image, spec: Any = ADAPTIVE) -> PageImage:
        if isinstance(source, Image.Image):
            path = tmp_path / "page.png"
            source.save(path, compress_level=1)
        else:
            path = tmp_path / "page.pdf"
            path.write_bytes(source.tobytes())
        return render(renderer, path, spec=spec)

    return adapted


def test_pages_shrink_as_their_print_grows(adapt: Any) -> None:
    """Print of 8 pt needs the full size at which it is just legible; larger print needs less of it."""
    sizes = (6, 8, 10, 14, 20)
    pages = {points: adapt(write_page((PROSE * 10, points))) for points in sizes}
    sent = [num_pixels(pages[points]) for points in sizes]
    assert sent == sorted(sent, reverse=True)
    assert sent[0] == sent[1] == pages[8].full_pixels == 840 * 1176
    assert sent[2] < 0.75 * sent[1]
    assert all(page.glyph_px >= LEGIBLE_PX for points, page in pages.items() if points > 8)
    assert sent[-1] < 1.3 * MIN_PIXELS
    assert min(sent) >= MIN_PIXELS


def test_glyph_height_is_that_of_the_font_in_the_image(adapt: Any) -> None:
    """It is recorded for people who ask why a page was sent at its size."""
    page = adapt(write_page((PROSE * 10, 12)))
    assert page.glyph_px == pytest.approx(12 * page.dpi / 72, rel=0.01)


def test_no_page_is_larger_than_before_and_all_share_a_few_grids() -> None:
    """An engine keeps tables for every size that it has seen."""
    grids = set()
    for em, jitter in itertools.product(np.linspace(1, 60, 40), range(-3, 4)):
        size = (A4[0] + jitter, A4[1] - jitter)
        full = fit(*size, max_pixels=1_003_520, max_scale=4)
        budget = legible_budget(*size, scale=LEGIBLE_PX / em, min_pixels=MIN_PIXELS)
        grid = fit(*size, max_pixels=min(budget, 1_003_520), max_scale=4)
        assert grid.num_pixels <= full.num_pixels
        assert grid.num_pixels >= MIN_PIXELS
        assert grid.width_px % PIXEL_UNIT == grid.height_px % PIXEL_UNIT == 0
        assert grid.scale * em >= LEGIBLE_PX or grid == full
        grids.add(grid[:2])
    assert len(grids) <= 12


def test_turned_pages_have_the_same_size_on_its_side(renderer: Renderer, tmp_path: Path) -> None:
    """A page's own rotation, and the turn of a later try, change nothing about its print."""
    document = write_page((PROSE * 10, 12))
    upright = render(renderer, saved(document, tmp_path / "upright.pdf"), spec=ADAPTIVE)
    document = write_page((PROSE * 10, 12))
    document[0].set_rotation(90)
    turned = render(renderer, saved(document, tmp_path / "turned.pdf"), spec=ADAPTIVE)
    again = render(renderer, tmp_path / "turned.pdf", spec=replace(ADAPTIVE, rotation_deg=270))
    assert (turned.width_px, turned.height_px) == (upright.height_px, upright.width_px)
    assert (again.width_px, again.height_px) == (upright.width_px, upright.height_px)


@pytest.mark.parametrize(("small", "is_full"), [(PROSE, True), ("\N{REGISTERED SIGN} 1", False)])
def test_a_line_of_small_print_counts_and_a_raised_sign_does_not(adapt: Any, small: str, *, is_full: bool) -> None:
    """The footer holds bank account and tax number; a trademark sign holds nothing."""
    page = adapt(write_page((PROSE * 20, 12), (small, 6)))
    assert (num_pixels(page) == page.full_pixels) is is_full


def test_the_least_print_of_mixed_sizes_decides(adapt: Any) -> None:
    """A headline does not make the terms below it legible."""
    mixed, small = adapt(write_page((PROSE * 4, 20), (PROSE * 4, 9))), adapt(write_page((PROSE * 4, 9)))
    assert num_pixels(mixed) == num_pixels(small) < small.full_pixels


@pytest.mark.parametrize("points", [10, 16])
def test_hidden_text_is_not_believed(adapt: Any, points: float) -> None:
    """The layer under a scan states sizes that an OCR program guessed; the scan itself is measured."""
    document = write_page((PROSE * 10, points))
    scan = io.BytesIO()
    scanned(document, 200).save(scan, "PNG", compress_level=1)
    searchable = write_page((PROSE * 4, 20), hidden=True)
    searchable[0].insert_image(searchable[0].rect, stream=scan.getvalue())
    page = adapt(searchable)
    assert page.glyph_px == pytest.approx(points * page.dpi / 72, rel=WITHIN)
    assert num_pixels(page) == page.full_pixels if points == 10 else num_pixels(page) < page.full_pixels
    line = page.text_layer.lines[0]
    assert line.box.x1 <= page.width_px


def test_a_picture_of_small_print_beside_large_text_keeps_full_size(adapt: Any) -> None:
    """A receipt glued onto a form: the text layer does not know what stands in it."""
    picture = io.BytesIO()
    scanned(write_page((PROSE * 20, 6), size=(300, 400)), 200).save(picture, "PNG", compress_level=1)
    document = write_page((PROSE * 5, 20))
    document[0].insert_image(pymupdf.Rect(50, 400, 350, 800), stream=picture.getvalue())
    page = adapt(document)
    assert num_pixels(page) == page.full_pixels


SCANS: list[dict[str, Any]] = [
    {"dpi": 100},
    {"dpi": 150, "blur": 0.7},
    {"dpi": 150, "noise": 3},
    {"dpi": 150, "skew": 1.5, "blur": 1},
]


@pytest.mark.parametrize("scan", SCANS, ids=str)
@pytest.mark.parametrize("turn", [0, 90, 180])
def test_print_in_scans_is_measured(scan: dict[str, Any], turn: int) -> None:
    """Resolution, grain, blur, skew and the way it lies: within the margin that scans have."""
    document = write_page((PROSE * 8, 14))
    image = scanned(document, **scan).rotate(turn, expand=True)
    image.thumbnail((1176, 1176))
    em = em_of_pixels(np.asarray(image))
    assert em == pytest.approx(14 * 1176 / 842, rel=WITHIN)


@pytest.mark.parametrize("turn", [0, 90])
@pytest.mark.parametrize("points", [10, 14, 20])
def test_closely_set_capitals_are_not_taken_for_larger_ones(points: float, turn: int) -> None:
    """Receipts are full of them: their lines stand as close as their words, and look like columns."""
    document = pymupdf.open()
    where = pymupdf.Rect(50, 50, 545, 800)
    assert document.new_page().insert_textbox(where, PROSE.upper() * 4, fontsize=points, fontname="tibo") >= 0
    image = scanned(document, 150, blur=0.7).rotate(turn, expand=True)
    image.thumbnail((1176, 1176))
    em = em_of_pixels(np.asarray(image))
    assert em is None or em < (1 + WITHIN) * points * 1176 / 842


def test_scans_of_large_print_are_sent_smaller_and_of_small_print_are_not(adapt: Any) -> None:
    """With their margin they need more pixels than print of the same size."""
    sizes = (7, 10, 16, 24)
    pages = [adapt(scanned(write_page((PROSE * 6, points)), 150, noise=2)) for points in sizes]
    sent = [num_pixels(page) for page in pages]
    assert sent == sorted(sent, reverse=True)
    assert sent[0] == sent[1] == pages[0].full_pixels
    assert sent[3] < sent[2] < 0.8 * sent[1]


def unclear_pages() -> dict[str, Image.Image]:
    """Return pages of which nothing certain can be said."""
    document = write_page((PROSE * 8, 20))
    clean = np.asarray(scanned(document, 100), float)
    grain = np.random.default_rng(2).normal(0, 1, clean.shape[:2])[..., None]
    desk = Image.new("RGB", (1600, 1600), (60, 45, 30))
    desk.paste(scanned(document, 100), (350, 200))
    return {
        "blank": Image.new("RGB", A4, "white"),
        "few words": scanned(write_page(("Yes, 42.", 20)), 100),
        "grain": Image.fromarray(np.clip(clean + 40 * grain, 0, 255).astype(np.uint8)),
        "faint": Image.fromarray((255 - (255 - clean) * 0.03).astype(np.uint8)),
        "photograph on a dark desk": desk,
        "white on black": Image.fromarray((255 - clean).astype(np.uint8)),
        "stains": Image.fromarray(np.clip(200 + 40 * grain, 0, 255).repeat(3, 2).astype(np.uint8)).filter(
            ImageFilter.GaussianBlur(3)
        ),
        "halftone": Image.fromarray(np.where(np.indices((1176, 840)).sum(0) % 7 < 3, 90, 255).astype(np.uint8)),
        "narrow": Image.new("RGB", (20, 900), "white"),
    }


def test_what_is_unclear_keeps_its_full_size(adapt: Any) -> None:
    """Too many pixels cost a little time, too few cost data."""
    for name, image in unclear_pages().items():
        page = adapt(image)
        assert num_pixels(page) == page.full_pixels, name
        assert page.spec.legible_px is None


def test_rows_of_dashes_and_stars_are_no_small_print() -> None:
    """Receipts are full of them, at half the height of letters."""
    document = write_page(*[(PROSE, 16), ("- " * 45, 16), (PROSE, 16), ("* " * 45, 16)] * 2)
    em = em_of_pixels(np.asarray(scanned(document, 100)))
    assert em == pytest.approx(16 * 100 / 72, rel=WITHIN)


def test_it_is_off_without_a_height(renderer: Renderer, tmp_path: Path) -> None:
    """`render.adaptive = off` gives the very pixels that earlier versions gave."""
    path = saved(write_page((PROSE * 10, 20)), tmp_path / "a.pdf")
    page = render(renderer, path)
    assert (page.width_px, page.height_px, page.glyph_px) == (840, 1176, None)
    assert num_pixels(page) == page.full_pixels
    assert page.spec == SPEC


def test_a_page_at_full_size_says_so_in_its_spec(adapt: Any) -> None:
    """The next try then knows that full size has been seen, and equal keys still mean equal pixels."""
    assert adapt(write_page((PROSE * 10, 7))).spec == SPEC
    assert adapt(write_page((PROSE * 10, 14))).spec == ADAPTIVE


def test_scripts_of_many_strokes_keep_more_pixels(adapt: Any) -> None:
    """A Chinese letter has the strokes of four Latin ones in its square."""
    document = pymupdf.open()
    text = "日本語の請求書です。合計は消費税を含めて千二百円になります。" * 12
    document.new_page().insert_textbox(pymupdf.Rect(50, 50, 545, 800), text, fontsize=12, fontname="japan")
    page, latin = adapt(document), adapt(write_page((PROSE * 10, 12)))
    assert num_pixels(page) > 1.5 * num_pixels(latin)


def test_fonts_that_lie_about_their_size_are_measured_by_their_letters() -> None:
    """A Type 3 font may call its letters a hundred times as high as they are."""
    honest, boastful = Span("a" * 300, 10, True, 1500), Span("a" * 300, 1000, True, 1500)
    assert em_of_layer([honest], 0) == 10
    assert em_of_layer([boastful], 0) == 15


def test_a_doubtful_answer_to_a_small_page_is_asked_again_at_full_size(tmp_path: Path) -> None:
    """A size that was chosen too small costs a try, and no data; rows say what the others saved."""

    def answer(request: PageRequest) -> str:
        is_doubtful = request.image.page_number == 1 and num_pixels(request.image) < 987_840
        return "What?" if is_doubtful else json.dumps({"seller": "Corner Shop", "total": "12.50"})

    document = write_page((PROSE * 10, 16))
    document.insert_pdf(write_page((PROSE * 12, 16)))
    saved(document, tmp_path / "a.pdf")
    engine = ScriptedEngine(answer)
    # A deterministic engine is spared the search for the way up, which loads models.
    info = replace(engine.info, deterministic=True)
    choice = EngineChoice(info, lambda: engine, SPEC.max_pixels, legible_px=LEGIBLE_PX)
    places = {"input": str(tmp_path / "a.pdf"), "output": str(tmp_path / "out"), "extraction": "receipt"}
    run(RunConfig.model_validate({**places, "render": {"workers": 1}}), engine=choice)
    rows = pq.read_table(tmp_path / "out" / "receipt" / "pages").sort_by("page_number").to_pylist()
    assert [(row["status"], row["num_tries"]) for row in rows] == [("ok", 2), ("ok", 1)]
    shares = [row["width_px"] * row["height_px"] / row["full_pixels"] for row in rows]
    assert shares == [1, pytest.approx(0.28, abs=0.03)]


def test_what_decides_the_size_is_part_of_the_fingerprint_where_it_is_on() -> None:
    """Pages of another size are read anew, and outputs that were made before it existed stay valid."""

    def fingerprint(**render: Any) -> str:
        config = RunConfig(input="in", output="out", engine="ocr", render=RenderConfig(**render))
        return resolve(config).identity.fingerprint

    assert fingerprint() == fingerprint(adaptive="off") == fingerprint(legible_px=20, min_pixels=300_000)
    settings = [{}, {"legible_px": 12}, {"min_pixels": 300_000}]
    assert len({fingerprint(), *(fingerprint(adaptive="on", **one) for one in settings)}) == 4


def test_it_is_on_for_vllm_and_off_for_ocr_unless_said_otherwise() -> None:
    """OCR time hardly depends on the page's size."""
    wanted = RenderConfig().legible_px
    ways: list[Any] = ["auto", "on", "off"]
    assert [legible_px(RenderConfig(adaptive=way), "vllm") for way in ways] == [wanted, wanted, None]
    assert [legible_px(RenderConfig(adaptive=way), "ocr") for way in ways] == [None, wanted, None]
