"""Known pages: what an engine must read of them before a run trusts it."""

from __future__ import annotations

from contextlib import closing
from functools import partial

import numpy as np
import pytest
from rendering import SPEC

from pipeline.canary import CanaryResult, canary_pages, fallback_config, run_canary, should_run
from pipeline.config import CanaryConfig, OcrConfig, RunConfig, VllmConfig
from pipeline.data import Box, FinishReason, Generation, PageImage, PageRequest, TextLine
from pipeline.engines.base import EngineInfo, EngineTask
from pipeline.engines.ocr import OcrEngine
from pipeline.engines.scripted import ScriptedEngine
from pipeline.errors import CanaryError, ErrorType, PageError
from pipeline.extraction import load_extraction, load_model, shipped_folder
from pipeline.render import Renderer
from pipeline.values import DateOrder

FP8 = EngineInfo("vllm", model="m", revision="1", version="1", kv_cache_dtype="fp8")
SIXTEEN_BIT = EngineInfo("vllm", model="m", revision="1", version="1", kv_cache_dtype="auto")
OCR = EngineInfo("ocr", model="m", revision="1", version="1")


@pytest.fixture(scope="module")
def pages(renderer: Renderer) -> list[PageImage]:
    """Return the known pages as a run renders them."""
    return canary_pages(renderer, SPEC)


def text_of(page: PageImage) -> str:
    """Return what stands on a known page."""
    assert page.text_layer
    return "\n".join(line.text for line in page.text_layer.lines)


def reading(pages: list[PageImage], change: str = "") -> ScriptedEngine:
    """Return an engine that reads the pages perfectly, and then `change` takes a word out of what it read."""
    texts = {page.pixels.tobytes(): text_of(page) for page in pages}
    return ScriptedEngine(lambda request: texts[request.image.pixels.tobytes()].replace(change, ""))


def test_an_engine_that_reads_every_word_passes(pages: list[PageImage]) -> None:
    """Whatever the layout of its answer."""
    result = run_canary(reading(pages), pages, threshold=1.0)
    assert (result.score, result.passed, result.pages) == (1.0, True, len(pages))


def test_the_score_is_the_share_of_words_that_came_back(pages: list[PageImage]) -> None:
    """A word that stands three times must come back three times."""
    words = " ".join(map(text_of, pages)).split()
    result = run_canary(reading(pages, change="the "), pages, threshold=1.0)
    assert result.score == pytest.approx(1 - words.count("the") / len(words), abs=0.01)
    assert not result.passed


def test_the_known_pages_have_prose_numbers_and_small_print(pages: list[PageImage]) -> None:
    """Each fails in its own way: prose last, small print first."""
    assert len(pages) >= 2
    text = " ".join(map(text_of, pages))
    assert sum(word.isdigit() for word in text.split()) >= 15
    heights = [line.box.y1 - line.box.y0 for page in pages if page.text_layer for line in page.text_layer.lines]
    assert max(heights) > 2 * min(heights)
    assert all(float(np.mean(page.pixels < 128)) > 0.005 for page in pages), "the text is drawn"


def test_the_engine_sees_pixels_alone(pages: list[PageImage]) -> None:
    """The text layer is the answer, and the OCR engine would copy it."""
    seen: list[PageRequest] = []

    def answer(request: PageRequest) -> str:
        seen.append(request)
        return ""

    run_canary(ScriptedEngine(answer), pages, threshold=0.9)
    assert all(request.plain_text and request.image.text_layer is None for request in seen)
    assert len({request.image_key for request in seen}) == len(pages)


def test_lines_count_where_the_text_is_a_record(pages: list[PageImage]) -> None:
    """The OCR engine's text is the JSON of the extraction; what it read stands in its lines."""

    def answer(request: PageRequest) -> Generation:
        page = pages[request.image.page_number - 1]
        lines = tuple(TextLine(line, Box(0, 0, 1, 1)) for line in text_of(page).split("\n"))
        return Generation(request.request_id, "{}", FinishReason.STOP, lines=lines)

    assert run_canary(ScriptedEngine(answer), pages, threshold=1.0).passed


def test_an_engine_that_writes_one_token_is_refused_with_what_to_do(pages: list[PageImage]) -> None:
    """Who reads the message must know how bad it is, what it may be, and how to go on all the same."""
    result = run_canary(ScriptedEngine(lambda _: "!" * 500), pages, threshold=0.9)
    assert result.score == 0
    error = result.refusal()
    assert isinstance(error, CanaryError)
    for part in ("0%", "90%", "!!!!", "kv_cache_dtype=auto", "--set canary.mode=off"):
        assert part in str(error)


def test_an_engine_that_refuses_the_pages_is_refused_with_its_reason(pages: list[PageImage]) -> None:
    """Otherwise nobody could tell an overflow from a limit."""

    def answer(request: PageRequest) -> Generation:
        error = PageError(ErrorType.INPUT_REJECTED, "the prompt is too long")
        return Generation(request.request_id, "", FinishReason.ERROR, error=error)

    result = run_canary(ScriptedEngine(answer), pages, threshold=0.9)
    assert not result.passed
    assert "the prompt is too long" in str(result.refusal())


def test_what_an_engine_wrote_cannot_steer_the_terminal() -> None:
    """The refusal is printed, and an answer may hold anything."""
    result = CanaryResult(0, 0.9, pages=2, seconds=1, sample="\x1b[2J\n")
    assert "\x1b" not in str(result.refusal())


@pytest.mark.parametrize(
    ("mode", "info", "expected"),
    [("auto", FP8, True), ("auto", OCR, False), ("on", OCR, True), ("off", FP8, False)],
)
def test_known_pages_are_read_by_default_where_a_model_came_from_outside(
    mode: str, info: EngineInfo, expected: bool
) -> None:
    """The OCR models come with the program and cannot be loaded wrongly."""
    assert should_run(CanaryConfig.model_validate({"mode": mode}), info) is expected


def test_an_fp8_cache_falls_back_to_16_bit_once() -> None:
    """A second failure has another cause."""
    config = RunConfig(input="in", output="out")
    fallback = fallback_config(config, FP8)
    assert fallback
    assert fallback.vllm.kv_cache_dtype == "auto"
    assert fallback.model_copy(update={"vllm": VllmConfig()}) == config, "nothing else changes"
    assert fallback_config(fallback, SIXTEEN_BIT) is None


def test_there_is_no_fallback_where_it_cannot_help_or_is_not_wanted() -> None:
    """CPU OCR has no cache; and who measures FP8 wants FP8."""
    config = RunConfig(input="in", output="out")
    assert fallback_config(config, OCR) is None
    assert fallback_config(RunConfig(input="in", output="out", canary=CanaryConfig(fallback=False)), FP8) is None


@pytest.mark.slow
def test_the_ocr_engine_passes(pages: list[PageImage]) -> None:
    """It reads the pixels, whatever record its task asks for."""
    receipt = load_extraction("receipt")
    task = EngineTask(
        name="receipt",
        prompt=receipt.prompt,
        json_schema=receipt.json_schema,
        load_model=partial(load_model, str(shipped_folder() / "receipt" / "schema.py")),
        plain_text=False,
        date_order=DateOrder.DAY_FIRST,
    )
    with closing(OcrEngine(OcrConfig(workers=2), task)) as engine:
        assert run_canary(engine, pages, threshold=0.97).passed
