"""Pages that need no engine, in whole runs: each kind, mixed, interrupted, failing; and the books balance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pymupdf
import pytest
from PIL import Image
from test_run import RECEIPT, page_keys, rows, run_scripted, write_pdf

from pipeline.check import check_output
from pipeline.data import PageRequest
from pipeline.errors import EngineError
from pipeline.extraction import load_extraction
from pipeline.run import RunReport

Answer = Callable[[PageRequest], str]
Row = dict[str, Any]

LETTER = "Dear reader, this page was made by a program and says what it shows. " * 5
STRICT = """
from pydantic import BaseModel

class Note(BaseModel):
    title: str
    kind: str = "note"
"""


class Asked:
    """An engine's answers, and which pages were asked for."""

    def __init__(self, answer: Answer = lambda _: RECEIPT) -> None:
        self.pages: list[str] = []
        self._answer = answer

    def __call__(self, request: PageRequest) -> str:
        """Note the page and answer."""
        self.pages.append(":".join(request.image_key.split(":")[:2]))
        return self._answer(request)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with an empty input folder."""
    (tmp_path / "in").mkdir()
    return tmp_path


def checked(folder: Path, asked: Answer, **settings: object) -> RunReport:
    """Run, and audit what it leaves."""
    report = run_scripted(folder, asked, **settings)
    assert check_output(str(folder / "out")) == []
    return report


def by_page(folder: Path, extraction: str = "receipt") -> dict[tuple[str, int], Row]:
    """Return the page rows by file name and page number."""
    return {(Path(row["source_uri"]).name, row["page_number"]): row for row in rows(folder, "pages", extraction)}


def answered(folder: Path) -> dict[tuple[str, int], str]:
    """Return who read each page."""
    return {page: row["answered_by"] for page, row in by_page(folder).items()}


def test_a_blank_page_is_recorded_as_such_and_says_nothing(folder: Path) -> None:
    """Backs of scanned sheets cost a GPU as much as their fronts, and models invent things on them."""
    write_pdf(folder / "in" / "a.pdf", "one", "", "two")
    asked = Asked()
    report = checked(folder, asked)
    assert len(asked.pages) == 2
    assert (report.pages_ok, report.pages_failed, report.exit_code) == (3, 0, 0)
    row = by_page(folder)["a.pdf", 2]
    assert (row["status"], row["answered_by"], row["num_tries"], row["raw_text"]) == ("ok", "blank", 0, None)
    assert row["record"] == load_extraction("receipt").empty_record
    assert row["width_px"] > 0
    [document] = rows(folder, "documents")
    assert len(document["record"]["line_items"]) == 2
    assert answered(folder) == {("a.pdf", 1): "engine", ("a.pdf", 2): "blank", ("a.pdf", 3): "engine"}


def test_a_document_of_blank_pages_is_ok_and_no_engine_is_loaded(folder: Path) -> None:
    """Nothing is invented, and nothing is missing."""
    write_pdf(folder / "in" / "a.pdf", "", "")
    asked = Asked()
    assert checked(folder, asked).pages_ok == 2
    assert asked.pages == []
    [document] = rows(folder, "documents")
    assert (document["status"], document["pages_ok"]) == ("ok", 2)
    assert document["record"] == load_extraction("receipt").empty_record


def test_where_the_schema_has_no_empty_record_a_blank_page_has_none(folder: Path) -> None:
    """A required title cannot be made up, and a default would say something."""
    (folder / "note").mkdir()
    (folder / "note" / "schema.py").write_text(STRICT)
    (folder / "note" / "prompt.md").write_text("Read the note.")
    write_pdf(folder / "in" / "a.pdf", "", "one")
    write_pdf(folder / "in" / "b.pdf", "")
    report = checked(folder, Asked(lambda _: '{"title": "one", "kind": "x"}'), extraction=str(folder / "note"))
    assert (report.pages_ok, report.exit_code) == (3, 0)
    assert by_page(folder, "note")["a.pdf", 1]["record"] is None
    records = {Path(row["source_uri"]).name: row["record"] for row in rows(folder, "documents", "note")}
    assert records == {"a.pdf": {"title": "one", "kind": "x"}, "b.pdf": None}


def test_a_page_that_cannot_be_drawn_is_not_blank(folder: Path) -> None:
    """It looks white because it is damaged; somebody must get to know."""
    document: Any
    with pymupdf.open() as document:  # type: ignore[no-untyped-call]
        document.new_page(width=200, height=200).insert_text((20, 40), "one")
        contents = document[0].get_contents()[0]
        document.update_stream(contents, b"BT /Helv 12 Tf (one", compress=False)
        document.save(folder / "in" / "a.pdf")
    checked(folder, Asked())
    [row] = rows(folder, "pages")
    assert row["answered_by"] == "engine"


def test_equal_pages_of_any_document_are_read_once(folder: Path) -> None:
    """Cover sheets and terms of trade come with every letter."""
    write_pdf(folder / "in" / "a.pdf", "one", "terms", "terms")
    write_pdf(folder / "in" / "b.pdf", "two", "terms")
    asked = Asked()
    report = checked(folder, asked)
    assert (len(asked.pages), report.pages_ok) == (3, 5)
    pages = by_page(folder)
    first = next(row for (_, number), row in pages.items() if number > 1 and row["answered_by"] == "engine")
    place = f"{first['source_uri']}#page={first['page_number']}"
    copies = [row for row in pages.values() if row["answered_by"] == "duplicate"]
    assert len(copies) == 2
    for row in copies:
        assert (row["duplicate_of"], row["status"], row["raw_text"]) == (place, "ok", RECEIPT)
        assert row["record"] == first["record"]
        assert (row["num_tries"], row["output_tokens"], row["token_logprobs"], row["reused_from"]) == (
            0,
            None,
            [],
            None,
        )
    assert all(row["duplicate_of"] is None for row in pages.values() if row["answered_by"] == "engine")
    assert {len(row["record"]["line_items"]) for row in rows(folder, "documents")} == {2, 3}


def test_pages_wait_for_the_first_one_and_not_in_the_engine(folder: Path) -> None:
    """An engine of four places must not hold four copies of one page."""
    write_pdf(folder / "in" / "a.pdf", *["same"] * 6, "other")
    asked = Asked()
    checked(folder, asked)
    assert len(asked.pages) == len(set(asked.pages)) == 2


@pytest.mark.parametrize("is_cured", [True, False])
def test_when_the_first_of_equal_pages_fails_the_others_are_read(folder: Path, is_cured: bool) -> None:
    """A failure is never repeated without having been tried."""
    write_pdf(folder / "in" / "a.pdf", *["same"] * 4)
    asked = Asked(lambda request: "no JSON" if request.image.page_number == 1 or not is_cured else RECEIPT)
    report = checked(folder, asked, tries={"max_tries": 2})
    assert (report.pages_ok, report.pages_failed) == ((3, 1) if is_cured else (0, 4))
    assert set(asked.pages) >= {asked.pages[0]}
    assert {row["answered_by"] for row in rows(folder, "pages") if row["status"] == "failed"} == {"engine"}
    assert page_keys(folder) == Counter({("a.pdf", number): 1 for number in range(1, 5)})


def test_equal_pages_outlive_the_engine_that_read_the_first(folder: Path) -> None:
    """They wait for a page that is sent again."""
    write_pdf(folder / "in" / "a.pdf", *["same"] * 4, "other")
    deaths = iter(["first", "second"])

    def answer(_: PageRequest) -> str:
        if next(deaths, None):
            raise EngineError("killed")
        return RECEIPT

    assert checked(folder, Asked(answer)).pages_ok == 5
    assert Counter(answered(folder).values()) == {"engine": 2, "duplicate": 3}


def test_a_page_that_kills_engines_does_not_take_its_equals_with_it(folder: Path) -> None:
    """Those are read themselves, and here they are read."""
    write_pdf(folder / "in" / "a.pdf", *["same"] * 4)

    def answer(request: PageRequest) -> str:
        if request.image.page_number == 1:
            raise EngineError("killed")
        return RECEIPT

    report = checked(folder, Asked(answer))
    assert (report.pages_ok, report.pages_failed) == (3, 1)
    assert by_page(folder)["a.pdf", 1]["error_type"] == "engine_crash"


def test_what_an_interrupted_run_skipped_is_not_read_by_the_next_one(folder: Path) -> None:
    """Pages that were recorded without the engine are in the journal like any other."""
    for number in range(4):
        write_pdf(folder / "in" / f"{number}.pdf", "same", "", f"{number}", "last")
    answers = iter([RECEIPT] * 3)

    def answer(_: PageRequest) -> str:
        if (text := next(answers, None)) is None:
            raise KeyboardInterrupt
        return text

    interrupted, asked = Asked(answer), Asked()
    with pytest.raises(KeyboardInterrupt):
        run_scripted(folder, interrupted, output_files={"shard_pages": 100})
    checked(folder, asked)
    assert page_keys(folder) == Counter({(f"{number}.pdf", page): 1 for number in range(4) for page in range(1, 5)})
    assert Counter(answered(folder).values())["blank"] == 4
    assert len(interrupted.pages) + len(asked.pages) < 12


def test_a_stopped_run_leaves_waiting_pages_to_the_next_one(folder: Path) -> None:
    """Who waits for a page that is not read any more has no row, and is not lost."""
    write_pdf(folder / "in" / "a.pdf", *["same"] * 3)
    write_pdf(folder / "in" / "b.pdf", "same", "other")
    with pytest.raises(KeyboardInterrupt):
        run_scripted(folder, Asked(_interrupt))
    assert checked(folder, Asked()).pages_ok == 5
    assert sum(page_keys(folder).values()) == 5


def _interrupt(_: PageRequest) -> str:
    raise KeyboardInterrupt


def test_copies_of_a_document_say_what_its_pages_say(folder: Path) -> None:
    """Documents with the same bytes repeat rows, those of blank and duplicate pages too; so do renamed files."""
    content = write_pdf(folder / "in" / "a.pdf", "same", "same", "").read_bytes()
    (folder / "in" / "b.pdf").write_bytes(content)
    asked = Asked()
    assert checked(folder, asked).pages_reused == 3
    (folder / "in" / "c.pdf").write_bytes(content)
    assert checked(folder, asked).pages_reused == 3
    assert len(asked.pages) == 1
    pages = by_page(folder)
    for name in ("b.pdf", "c.pdf"):
        for number in (1, 2, 3):
            row, origin = pages[name, number], pages["a.pdf", number]
            assert row["reused_from"] == origin["source_uri"]
            assert (row["answered_by"], row["duplicate_of"]) == (origin["answered_by"], origin["duplicate_of"])


def test_copies_of_a_document_that_vanishes_are_not_said_to_be_unreadable(folder: Path) -> None:
    """They are as good as ever: what was read of their bytes counts for them, and the next run reads the rest."""
    content = write_pdf(folder / "in" / "a.pdf", *map(str, range(30))).read_bytes()
    (folder / "in" / "b.pdf").write_bytes(content)

    def answer(_: PageRequest) -> str:
        (folder / "in" / "a.pdf").unlink(missing_ok=True)
        return RECEIPT

    report = checked(folder, Asked(answer))
    assert {row["error_type"] for row in rows(folder, "pages") if row["status"] == "failed"} == {"unreadable"}
    assert {Path(row["source_uri"]).name for row in rows(folder, "pages")} == {"a.pdf"}
    assert (report.documents_carried_over, report.pages_carried_over, report.exit_code) == (1, 30, 1)
    report = checked(folder, Asked())
    assert (report.pages_ok, report.pages_failed) == (30, 0)
    assert report.pages_reused > 0


def test_skipped_pages_do_not_use_up_the_page_budget(folder: Path) -> None:
    """They cost no time of the engine, which is what a budget is for."""
    for number in range(4):
        write_pdf(folder / "in" / f"{number}.pdf", "", "", "same")
    report = checked(folder, Asked(), page_budget=4, render={"workers": 1, "ahead_pages": 1})
    assert report.documents > 1


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({"blank": False}, {"engine": 2, "duplicate": 2}),
        ({"duplicates": False}, {"engine": 2, "blank": 2}),
        ({"blank": False, "duplicates": False}, {"engine": 4}),
    ],
)
def test_each_kind_can_be_switched_off(folder: Path, settings: dict[str, bool], wanted: dict[str, int]) -> None:
    """Whoever does not trust it has every page read."""
    write_pdf(folder / "in" / "a.pdf", "", "", "same", "same")
    asked = Asked()
    checked(folder, asked, skip=settings)
    assert Counter(answered(folder).values()) == wanted
    assert len(asked.pages) == wanted["engine"]


def test_a_text_layer_is_read_beside_the_engine_where_it_says_all(folder: Path) -> None:
    """Born-digital pages need no model to be transcribed; pages with little text or with pictures do."""
    _write_letters(folder / "in" / "a.pdf")
    asked = Asked(lambda _: "from the engine")
    report = checked(folder, asked, extraction="transcript", skip={"text_layer": True})
    assert (report.pages_ok, len(asked.pages)) == (3, 2)
    pages = by_page(folder, "transcript")
    assert [pages["a.pdf", number]["answered_by"] for number in (1, 2, 3)] == ["text_layer", "engine", "engine"]
    row = pages["a.pdf", 1]
    assert "made by a program" in row["record"]["text"]
    assert (row["num_tries"], row["raw_text"].strip()) == (0, row["record"]["text"])
    assert len(row["lines"]) > 1


def test_a_text_layer_that_does_not_give_the_record_is_left_to_the_engine(folder: Path) -> None:
    """A letter has no total: the CPU finds nothing, the model may."""
    _write_letters(folder / "in" / "a.pdf")
    asked = Asked()
    assert checked(folder, asked, skip={"text_layer": True}).pages_ok == 3
    assert Counter(answered(folder).values()) == {"engine": 3}


def test_a_run_of_text_layers_alone_loads_no_engine(folder: Path) -> None:
    """A folder of letters needs no GPU at all."""
    for number in range(3):
        _write_letters(folder / "in" / f"{number}.pdf", f"Number {number}.", num_letters=2)
    asked = Asked()
    report = checked(folder, asked, extraction="transcript", skip={"text_layer": True})
    assert (report.pages_ok, asked.pages) == (6, [])
    kinds = Counter(row["answered_by"] for row in rows(folder, "pages", "transcript"))
    assert kinds == {"text_layer": 3, "duplicate": 3}


def _write_letters(path: Path, text: str = "", *, num_letters: int = 0) -> None:
    """Write letters; or one, a page with few words, and one with a picture."""
    document: Any
    with pymupdf.open() as document:  # type: ignore[no-untyped-call]
        for number in range(num_letters or 3):
            page = document.new_page(width=400, height=500)
            page.insert_textbox((20, 20, 380, 480), text + (LETTER if number != 1 or num_letters else "Little."))
            if number == 2 and not num_letters:
                Image.new("RGB", (60, 60), "grey").save(path.with_suffix(".png"))
                page.insert_image((300, 400, 360, 460), filename=path.with_suffix(".png"))
                path.with_suffix(".png").unlink()
        document.save(path)


@pytest.mark.slow
def test_a_thousand_equal_pages_are_read_once(folder: Path) -> None:
    """Those that wait take no place in the engine and hold no image; each has its row, whatever is between them."""
    texts = ["same"] * 1_000
    texts[500] = "other"
    write_pdf(folder / "in" / "a.pdf", *texts)
    asked = Asked()
    report = checked(folder, asked, output_files={"shard_pages": 200})
    assert (report.pages_ok, len(asked.pages)) == (1_000, 2)
    assert max(page_keys(folder).values()) == 1
