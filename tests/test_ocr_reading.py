"""The OCR engine on pages drawn here: real PDFs, real rendering, real recognition, real processes."""

# mypy: disable-error-code="no-untyped-call"
# pymupdf has no types.

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pymupdf
import pytest
from rendering import ref, render, renderer

from pipeline.config import OcrConfig
from pipeline.data import FinishReason, Generation, PageImage, PageRequest, RenderSpec, TextLayer, TrySettings
from pipeline.documents import OpenDocuments
from pipeline.engines.base import EngineTask
from pipeline.engines.ocr import MAX_PIXELS, OcrEngine
from pipeline.errors import ErrorType
from pipeline.extraction import load_model
from pipeline.render import Renderer
from pipeline.values import DateOrder

__all__ = ["renderer"]

SPEC = RenderSpec(MAX_PIXELS)
RECEIPT_SCHEMA = Path(__file__).parent.parent / "prompts" / "receipt" / "schema.py"
NUMBERS = "one two three four five six seven eight nine ten".split()

Read = Callable[[PageImage], Generation]


class PageList:
    """Requests for some page images."""

    def __init__(self, *images: PageImage) -> None:
        self._images = deque(enumerate(images))

    @property
    def exhausted(self) -> bool:
        return not self._images

    def take(self, wait_s: float) -> PageRequest | None:  # noqa: ARG002 - nothing to wait for
        if not self._images:
            return None
        number, image = self._images.popleft()
        return PageRequest(str(number), str(number), image, TrySettings(1, 1, 0, True, image.spec))


def make_task(*, plain_text: bool = True) -> EngineTask:
    loader = partial(load_model, str(RECEIPT_SCHEMA))
    return EngineTask("test", "", {}, loader, plain_text=plain_text, date_order=DateOrder.DAY_FIRST)


def open_engine(**config: Any) -> OcrEngine:
    return OcrEngine(OcrConfig(workers=1, **config), make_task())


def reader_of(engine: OcrEngine) -> Read:
    return lambda image: next(engine.generate(PageList(image)))


@pytest.fixture(scope="module")
def read() -> Iterator[Read]:
    """Read a page with the default settings."""
    with closing(open_engine()) as engine:
        yield reader_of(engine)


@pytest.fixture(scope="module")
def read_image() -> Iterator[Read]:
    """Read a page without its text layer."""
    with closing(open_engine(text_layer="never")) as engine:
        yield reader_of(engine)


@pytest.fixture(scope="module")
def read_layer() -> Iterator[Read]:
    """Read nothing but a page's text layer."""
    with closing(open_engine(text_layer="only")) as engine:
        yield reader_of(engine)


class Paper:
    """An A4 page to draw on."""

    def __init__(self) -> None:
        self.document = pymupdf.open()
        self.page = self.document.new_page(width=595, height=842)

    def write(self, x: float, y: float, text: str, *, size: float = 11, hidden: bool = False) -> None:
        self.page.insert_text((x, y), text, fontsize=size, render_mode=3 if hidden else 0)

    def scanned(self) -> Paper:
        """This page as a scanner makes it: one image."""
        scan = Paper()
        scan.page.insert_image(scan.page.rect, pixmap=self.page.get_pixmap(dpi=150))
        return scan

    def rendered(self, renderer: Renderer, folder: Path, rotation_deg: int = 0) -> PageImage:
        self.document.save(folder / "page.pdf")
        return render(renderer, folder / "page.pdf", spec=replace(SPEC, rotation_deg=rotation_deg))


def letter() -> Paper:
    paper = Paper()
    for row, number in enumerate(NUMBERS):
        paper.write(70, 100 + 20 * row, f"Sentence {number} of this letter is typed on a line of its own.")
    return paper


def two_columns() -> Paper:
    paper = Paper()
    paper.write(150, 60, "A heading that spans both of the columns", size=14)
    for row, number in enumerate(NUMBERS):
        paper.write(60, 100 + 15 * row, f"Left line {number} tells a story in prose,")
        paper.write(310, 100 + 15 * row, f"Right line {number} tells a story in prose,")
    return paper


def garbage(paper: Paper) -> Paper:
    for row in range(10):
        paper.write(70, 100 + 20 * row, "Qxj vlrm ptqz wwk zzrt bnmq plok", hidden=True)
    return paper


@pytest.mark.slow
@pytest.mark.parametrize("text_layer", ["auto", "never"])
def test_columns_of_prose_are_read_one_after_the_other(
    renderer: Renderer, tmp_path: Path, read: Read, read_image: Read, text_layer: str
) -> None:
    """Read across the gutter, every sentence is lost though every word is there."""
    page = two_columns().rendered(renderer, tmp_path)
    lines = (read if text_layer == "auto" else read_image)(page).lines
    sides = [line.text.split()[0] for line in lines]
    assert sides == ["A"] + ["Left"] * 10 + ["Right"] * 10


@pytest.mark.slow
@pytest.mark.parametrize("text_layer", ["auto", "never"])
def test_a_row_of_a_table_stays_one_line(
    renderer: Renderer, tmp_path: Path, read: Read, read_image: Read, text_layer: str
) -> None:
    """A price that leaves its article cannot be found again."""
    paper = Paper()
    articles = {"Green tea": "3.50", "Brown bread": "4.20", "Oranges": "2.90", "Butter": "1.80", "TOTAL": "12.40"}
    for row, (article, price) in enumerate(articles.items()):
        paper.write(60, 100 + 18 * row, article)
        paper.write(470, 100 + 18 * row, price)
    lines = (read if text_layer == "auto" else read_image)(paper.rendered(renderer, tmp_path)).lines
    assert [line.text for line in lines] == [f"{article} {price}" for article, price in articles.items()]


@pytest.mark.slow
@pytest.mark.parametrize("rotation_deg", [90, 180, 270])
def test_a_turned_scan_is_read_upright(renderer: Renderer, tmp_path: Path, read: Read, rotation_deg: int) -> None:
    """Feeders take sheets any way round; the boxes must still fit the image that was sent."""
    image = letter().scanned().rendered(renderer, tmp_path, rotation_deg)
    generation = read(image)
    assert generation.rotation_deg == 360 - rotation_deg
    assert [line.text.split()[1] for line in generation.lines] == NUMBERS
    first = generation.lines[0].box
    ink = np.argwhere(image.pixels[:, :, 0] < 128)
    edge = {90: ink[:, 1].max() - first.x1, 180: ink[:, 0].max() - first.y1, 270: first.x0 - ink[:, 1].min()}
    assert abs(edge[rotation_deg]) < 15


def test_a_born_digital_page_is_read_from_its_text_layer(renderer: Renderer, tmp_path: Path, read: Read) -> None:
    """What the file says is exact and costs next to nothing."""
    generation = read(letter().rendered(renderer, tmp_path))
    assert generation.lines[0].text == "Sentence one of this letter is typed on a line of its own."
    assert {line.confidence for line in generation.lines} == {None}


@pytest.mark.slow
def test_the_text_layer_can_be_ignored(renderer: Renderer, tmp_path: Path, read_image: Read) -> None:
    """Who distrusts text layers turns them off."""
    generation = read_image(letter().rendered(renderer, tmp_path))
    assert [line.text.split()[1] for line in generation.lines] == NUMBERS
    assert min(line.confidence or 0 for line in generation.lines) > 0.9


@pytest.mark.slow
def test_an_invisible_layer_over_a_scan_is_not_trusted(
    renderer: Renderer, tmp_path: Path, read: Read, read_layer: Read
) -> None:
    """Scanner software writes what it guessed; the image is what the page shows."""
    image = garbage(letter().scanned()).rendered(renderer, tmp_path)
    assert [line.text.split()[1] for line in read(image).lines] == NUMBERS
    assert "Qxj" in read_layer(image).text


@pytest.mark.slow
def test_a_logo_is_read_beside_the_text_layer(renderer: Renderer, tmp_path: Path, read: Read) -> None:
    """Many a seller's name stands nowhere but in a picture."""
    logo = Paper()
    logo.write(20, 60, "NORTHWIND TRADERS", size=36)
    paper = letter()
    picture = logo.page.get_pixmap(dpi=150, clip=pymupdf.Rect(0, 0, 420, 90))
    paper.page.insert_image(pymupdf.Rect(70, 30, 270, 73), pixmap=picture)
    lines = [line.text for line in read(paper.rendered(renderer, tmp_path)).lines]
    assert lines[:2] == ["NORTHWIND TRADERS", "Sentence one of this letter is typed on a line of its own."]


def test_a_scan_fails_when_only_text_layers_are_wanted(renderer: Renderer, tmp_path: Path, read_layer: Read) -> None:
    """An empty record would pass for a blank page."""
    generation = read_layer(letter().scanned().rendered(renderer, tmp_path))
    assert generation.finish_reason is FinishReason.ERROR
    assert generation.error is not None
    assert generation.error.error_type is ErrorType.INPUT_REJECTED


def test_a_record_is_filled_in_the_worker(renderer: Renderer, tmp_path: Path) -> None:
    """The engine's output is what validation expects of any engine: JSON for the schema."""
    paper = Paper()
    for row, text in enumerate(["Corner Shop", "12/03/2018", "Green tea", "Total"]):
        paper.write(60, 100 + 20 * row, text)
    paper.write(300, 140, "7.50")
    paper.write(300, 160, "7.50")
    with closing(OcrEngine(OcrConfig(workers=1, text_layer="only"), make_task(plain_text=False))) as engine:
        record = json.loads(reader_of(engine)(paper.rendered(renderer, tmp_path)).text)
    assert record["total"] == "7.50"


def test_reading_leaves_no_trace_in_the_users_home(
    renderer: Renderer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ONNX Runtime keeps a device id and its telemetry there unless told not to; documents are nobody's business."""
    page, home = letter().rendered(renderer, tmp_path), tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    with closing(open_engine(text_layer="never")) as engine:
        assert reader_of(engine)(page).finish_reason is FinishReason.STOP
    assert list(home.rglob("*")) == []


def test_closing_while_a_page_is_about_to_be_turned_leaves_no_process(renderer: Renderer, tmp_path: Path) -> None:
    """Ctrl-C comes at any moment; a process started after it would outlive its run."""
    page = letter().rendered(renderer, tmp_path)
    before = {child.pid for child in psutil.Process().children()}
    documents = OpenDocuments(renderer, tmp_path)
    document, path = documents.open(ref(tmp_path / "page.pdf"))
    settings = TrySettings(1, 1, 0, True, page.spec, find_upright=True)
    pages = [documents.render(document, path, 1, settings) for _ in range(3)]
    documents.close()
    assert all(page.done() for page in pages)
    assert {child.pid for child in psutil.Process().children()} <= before


class UserError(Exception):
    """An error that cannot be built from its arguments, as many are; so it cannot leave its process as it is."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")


def load_faulty_model() -> type[Any]:
    """Stand for a schema.py whose own code fails."""
    raise UserError("total", "no such rate")


def test_a_page_fails_alone_when_code_of_its_schema_raises(renderer: Renderer, tmp_path: Path) -> None:
    """Only processes that cannot start end the run."""
    page = letter().rendered(renderer, tmp_path)
    task = replace(make_task(plain_text=False), load_model=load_faulty_model)
    with closing(OcrEngine(OcrConfig(workers=1, text_layer="only"), task)) as engine:
        errors = [generation.error for generation in engine.generate(PageList(page, page))]
    assert [error and error.error_type for error in errors] == [ErrorType.ENGINE_CRASH] * 2
    assert "UserError: total: no such rate" in str(errors[0])


class Deadly(TextLayer):
    """Ends the process that unpickles it, as a fault in native code would."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os._exit, (1,)


def test_a_page_that_kills_its_process_fails_and_the_others_are_read(renderer: Renderer, tmp_path: Path) -> None:
    """One page must not take the run with it."""
    page = letter().rendered(renderer, tmp_path)
    deadly = replace(page, text_layer=Deadly((), 0, 0, 0))
    with closing(open_engine(text_layer="only")) as engine:
        generations = {
            generation.request_id: generation for generation in engine.generate(PageList(page, deadly, page))
        }
    assert [generations[number].finish_reason for number in "012"] == [
        FinishReason.STOP,
        FinishReason.ERROR,
        FinishReason.STOP,
    ]
    error = generations["1"].error
    assert error is not None
    assert error.error_type is ErrorType.ENGINE_CRASH
