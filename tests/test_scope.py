"""Pages of a document that are read together: what is shown, whose row says what, and what becomes of failures."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from made_records import document
from test_feed import FIRST, SPEC, Nothing
from test_run import page_keys, rows, run_scripted, write_pdf

from pipeline.capacity import PROFILES
from pipeline.check import check_output
from pipeline.config import RunConfig, VllmConfig
from pipeline.data import (
    Document,
    DocumentRef,
    FieldEvidence,
    FinishReason,
    Generation,
    PageImage,
    PageRequest,
    TrySettings,
    Verdict,
)
from pipeline.engines import EngineChoice
from pipeline.engines.scripted import ScriptedEngine
from pipeline.engines.vllm import Card
from pipeline.engines.vllm.prompt import WINDOW_INSTRUCTION, compose_instructions
from pipeline.engines.vllm.settings import FURTHER_PAGE_LEN, resolve_settings
from pipeline.errors import ConfigError, EngineError, ErrorType, PageError, RenderError
from pipeline.extraction import Extraction, load_extraction
from pipeline.feed import PageFeed
from pipeline.identity import told_of_scope, window_pages
from pipeline.run import RunReport, run
from pipeline.trust.windows import best_shown

Row = dict[str, Any]
SCHEMA = """
from typing import ClassVar
from pydantic import BaseModel

class Note(BaseModel):
    scope: ClassVar[str] = {scope!r}
    title: str | None = None
"""


def shown(request: PageRequest) -> tuple[int, ...]:
    """Return the numbers of the pages that a request shows."""
    return tuple(one.image.page_number for one in request.shown)


def answer(request: PageRequest) -> Generation:
    """Name the pages as line items, and say what reading them cost."""
    items = [{"description": f"page {number}"} for number in shown(request)]
    text = json.dumps({"seller": "Corner Shop", "total": "12,50 €", "line_items": items})
    return Generation(request.request_id, text, FinishReason.STOP, prompt_tokens=100, output_tokens=20)


class Asked:
    """Answers with `answer`, but for windows that are to fail; notes what was asked, by the document's hash."""

    def __init__(self, *, fails: Callable[[PageRequest], Generation | str | None] = lambda _: None) -> None:
        self.requests: dict[str, list[tuple[tuple[int, ...], TrySettings]]] = defaultdict(list)
        self._fails = fails

    def __call__(self, request: PageRequest) -> Generation | str:
        """Note it and answer."""
        self.requests[request.image_key.split(":")[0]].append((shown(request), request.settings))
        failed = self._fails(request)
        return answer(request) if failed is None else failed

    @property
    def windows(self) -> list[tuple[int, ...]]:
        """Return the pages of each request, whatever their document."""
        return [window for asked in self.requests.values() for window, _ in asked]


def read_together(folder: Path, asked: Asked, most: int = 4, **settings: object) -> RunReport:
    """Run over windows, and audit what that leaves."""
    together = {"scope": "document", "window_pages": most}
    report = run_scripted(folder, asked, documents=together, **settings)
    assert check_output(str(folder / "out")) == []
    return report


def items(row: Row) -> list[str]:
    """Return what the line items say."""
    return [item["description"] for item in row["record"]["line_items"]]


def numbered(*numbers: int) -> list[str]:
    """Return the line items of these pages."""
    return [f"page {number}" for number in numbers]


@dataclass
class Night:
    """What a run over several documents left."""

    report: RunReport
    asked: dict[str, list[tuple[tuple[int, ...], TrySettings]]]
    pages: dict[str, dict[int, Row]]
    documents: dict[str, Row]


DOCUMENTS = {
    "plain": ("one", "two", "three", "four", "five"),
    "blanks": ("", "two", "", "four"),
    "equal": ("same", "same"),
    "slip": ("slip",),
    "copy": ("slip",),
    "long": ("first", "second", "third"),
    "bad": ("good", "bad", "good as well"),
    "large": ("large", "larger"),
}


def fault(name: str, request: PageRequest) -> Generation | str | None:
    """Return what is wrong with the answer to a request about a document; None: nothing."""
    match name:
        case "long" if request.settings.number == 1:
            return Generation(request.request_id, "{", FinishReason.LENGTH, output_tokens=9)
        case "bad" if 2 in shown(request):
            return "no JSON"
        case "large" if request.others:
            error = PageError(ErrorType.INPUT_REJECTED, "too long")
            return Generation(request.request_id, "", FinishReason.ERROR, error=error)
    return None


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Night:
    """One run for all tests that only look."""
    folder = tmp_path_factory.mktemp("scope")
    (folder / "in").mkdir()
    names = {}
    for name, texts in DOCUMENTS.items():
        path = write_pdf(folder / "in" / f"{name}.pdf", *texts)
        path.write_bytes(path.read_bytes() + f"\n% {name}".encode())  # else copies would be the same bytes
        names[hashlib.sha256(path.read_bytes()).hexdigest()] = name
    asked = Asked(fails=lambda request: fault(names[request.image_key.split(":")[0]], request))
    report = read_together(folder, asked, tries={"max_tokens": 100, "max_tries": 2})
    pages: dict[str, dict[int, Row]] = defaultdict(dict)
    for row in rows(folder, "pages"):
        pages[Path(row["source_uri"]).stem][row["page_number"]] = row
    documents = {Path(row["source_uri"]).stem: row for row in rows(folder, "documents")}
    return Night(report, {names[sha256]: made for sha256, made in asked.requests.items()}, pages, documents)


def test_one_record_of_several_pages_stands_in_the_row_of_the_first(night: Night) -> None:
    """Each page has its own row, and what reading them took is counted once."""
    assert sorted(window for window, _ in night.asked["plain"]) == [(1, 2, 3), (4, 5)], "windows are of like length"
    found = night.pages["plain"]
    assert [found[number]["read_with"] for number in range(1, 6)] == [[1, 2, 3]] * 3 + [[4, 5]] * 2
    assert {(row["answered_by"], row["status"]) for row in found.values()} == {("engine", "ok")}
    assert [bool(found[number]["record"]) for number in range(1, 6)] == [True, False, False, True, False]
    assert items(found[1]) == numbered(1, 2, 3)
    assert [found[number]["prompt_tokens"] for number in range(1, 6)] == [100, None, None, 100, None]
    assert [found[number]["num_tries"] for number in range(1, 6)] == [1, 0, 0, 1, 0]
    assert all(row["width_px"] and row["render_s"] for row in found.values())
    assert items(night.documents["plain"]) == numbered(1, 2, 3, 4, 5)
    assert (night.documents["plain"]["pages_ok"], night.documents["plain"]["status"]) == (5, "ok")


def test_pages_are_counted_as_pages_and_tokens_once(night: Night) -> None:
    """A page of a window is no less done than another."""
    num_pages = sum(map(len, DOCUMENTS.values()))
    assert (night.report.pages_found, night.report.pages_ok, night.report.pages_failed) == (num_pages, num_pages - 1, 1)
    answered = sum(row["num_tries"] > 0 and row["finish_reason"] == "stop" for row in flat(night))
    assert night.report.total.prompt_tokens == 100 * (answered - 1), "the bad page's answer says nothing of its cost"


def flat(night: Night) -> Iterator[Row]:
    """Yield all page rows."""
    return (row for pages in night.pages.values() for row in pages.values())


def test_a_window_may_write_as_much_as_its_pages(night: Night) -> None:
    """A list of three pages is cut off at the length that is enough for one."""
    assert [(window, settings.max_tokens) for window, settings in night.asked["long"]] == [
        ((1, 2, 3), 300),
        ((1, 2, 3), 600),
    ]
    assert [settings.max_tokens for _, settings in night.asked.get("slip") or night.asked["copy"]] == [100]


def test_blank_pages_are_not_shown_even_where_one_comes_first(night: Night) -> None:
    """Cover sheets and backs of scanned sheets."""
    assert [window for window, _ in night.asked["blanks"]] == [(2, 4)]
    found = night.pages["blanks"]
    assert [found[number]["answered_by"] for number in range(1, 5)] == ["blank", "engine", "blank", "engine"]
    assert (found[2]["read_with"], found[1]["read_with"]) == ([2, 4], [])
    assert items(night.documents["blanks"]) == numbered(2, 4)


def test_equal_pages_in_windows_are_each_shown(night: Night) -> None:
    """What a page says with others around it is no answer for its copy elsewhere; documents of one page repeat."""
    assert [window for window, _ in night.asked["equal"]] == [(1, 2)]
    assert len(night.asked.keys() & {"slip", "copy"}) == 1
    assert {night.pages[name][1]["answered_by"] for name in ("slip", "copy")} == {"engine", "duplicate"}


def test_pages_of_a_window_that_fails_are_read_one_by_one(night: Night) -> None:
    """One bad page must not cost the others; what the window took stays with its first page."""
    assert Counter(window for window, _ in night.asked["bad"]) == {(1, 2, 3): 2, (1,): 1, (2,): 2, (3,): 1}
    found = night.pages["bad"]
    assert [found[number]["num_tries"] for number in (1, 2, 3)] == [3, 2, 1]
    assert [found[number]["status"] for number in (1, 2, 3)] == ["ok", "failed", "ok"]
    assert [row["read_with"] for row in found.values()] == [[]] * 3
    assert items(night.documents["bad"]) == numbered(1, 3)


def test_a_window_that_is_too_much_is_parted_at_once(night: Night) -> None:
    """Smaller images would be harder to read, and each page by itself may have its full size."""
    windows = [window for window, _ in night.asked["large"]]
    assert (windows[0], sorted(windows[1:])) == ((1, 2), [(1,), (2,)])
    assert len({settings.render for _, settings in night.asked["large"]}) == 1


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with an empty input folder; left-overs of its runs stay below it."""
    (tmp_path / "tmp").mkdir()
    (tmp_path / "in").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    return tmp_path


def test_a_window_that_kills_its_engine_is_parted_and_only_the_page_at_fault_fails(folder: Path) -> None:
    """An engine dies whole, and does not say of what; the failed page can be read again without the others."""
    write_pdf(folder / "in" / "a.pdf", "one", "two", "three")

    def die(request: PageRequest) -> None:
        if 2 in shown(request):
            raise EngineError("killed")

    report = read_together(folder, Asked(fails=die))
    assert (report.pages_ok, report.pages_failed) == (2, 1)
    assert [row["error_type"] for row in rows(folder, "pages") if row["page_number"] == 2] == ["engine_crash"]
    read_together(folder, asked := Asked(), tries={"max_tries": 4})
    assert asked.windows == [(2,)]
    assert items(rows(folder, "documents")[0]) == numbered(1, 2, 3)


@pytest.mark.slow
def test_a_window_of_which_a_kill_left_half_is_read_anew_and_whole_ones_are_not(folder: Path) -> None:
    """Its record would else count beside that of the pages that are read a second time. Copies repeat rows as usual."""
    content = write_pdf(folder / "in" / "a.pdf", *"abcdef").read_bytes()

    def interrupt(_: PageRequest) -> None:
        if len(interrupted.windows) == 3:
            raise KeyboardInterrupt

    interrupted = Asked(fails=interrupt)
    with pytest.raises(KeyboardInterrupt):
        read_together(folder, interrupted, most=2)
    first, halved, unread = interrupted.windows
    (journal,) = (path for path in (folder / "tmp").rglob("*.journal") if path.stat().st_size)
    journal.write_bytes(journal.read_bytes()[:-5])
    read_together(folder, asked := Asked(), most=2)
    assert sorted(asked.windows) == sorted([halved, unread])
    assert items(rows(folder, "documents")[0]) == numbered(*range(1, 7))
    (folder / "in" / "b.pdf").write_bytes(content)
    read_together(folder, asked := Asked(), most=2)
    assert asked.windows == []
    assert set(page_keys(folder).values()) == {1}
    assert [row["read_with"] for row in rows(folder, "pages") if row["page_number"] == first[1]] == [[*first]] * 2


def evidence(path: str, page_number: int, verdict: Verdict | None) -> FieldEvidence:
    """Return where a page shows a value."""
    shows = verdict not in {None, Verdict.NOT_FOUND, Verdict.COMPUTED}
    return FieldEvidence(path, page_number, verdict, text="x" if shows else None)


def test_a_value_stands_on_the_page_that_shows_it_best_and_an_entry_on_one_page() -> None:
    """A 1 stands on every page; that of a line item is the one beside its description."""
    paths = ("seller", "line_items[0].description", "line_items[0].quantity", "total")
    first = (Verdict.EXACT, Verdict.NOT_FOUND, Verdict.EXACT, Verdict.FUZZY)
    second = (Verdict.EXACT, Verdict.EXACT, Verdict.EXACT, Verdict.NORMALISED)
    third = (None, None, None, None)
    found = best_shown(
        [
            [evidence(path, number, verdict) for path, verdict in zip(paths, verdicts, strict=True)]
            for number, verdicts in enumerate((first, second, third), 1)
        ]
    )
    assert [(one.path, one.page_number) for one in found] == list(zip(paths, (1, 2, 2, 2), strict=True))
    assert [one.verdict for one in found] == [*second]


class Spoilt:
    """A document of which pages fail to be drawn."""

    def __init__(self, num_pages: int, *bad: int) -> None:
        self.num_drawn = 0
        self._num_pages, self._bad = num_pages, bad

    def open(self, ref: DocumentRef) -> tuple[Document, Path]:
        """Return the document."""
        del ref
        return document(num_pages=self._num_pages), Path("a.pdf")

    def render(self, _: Document, __: Path, page_number: int, ___: TrySettings) -> Future[PageImage]:
        """Return a page that is done."""
        self.num_drawn += 1
        future: Future[PageImage] = Future()
        if page_number in self._bad:
            future.set_exception(RenderError(ErrorType.DAMAGED, "damaged"))
        else:
            future.set_result(PageImage(page_number, np.zeros((28, 28, 3), np.uint8), SPEC, 72, None, 0))
        return future


class Failed(Nothing):
    """Keeps the numbers of pages that failed, and how many an engine held."""

    def __init__(self) -> None:
        self.pages: list[int] = []
        self.held: list[tuple[int, int]] = []

    def page_failed(self, task: Any, _: object) -> None:
        """Keep it."""
        self.pages.append(task.page_number)

    def pages_in_engine(self, pages: int, requests: int, _: object) -> None:  # type: ignore[override]
        """Keep them."""
        self.held.append((pages, requests))


class NoShortcuts:
    """Spares no page."""

    num_pending = 0
    is_full = may_return = False

    def take(self, *_: object) -> bool:
        """Do not."""
        return False

    def again(self) -> Iterator[Any]:
        """None."""
        return iter(())


def feed_of(drawn: Spoilt, losses: Failed, *, ahead_bytes: int = 1 << 20, window_pages: int = 4) -> PageFeed:
    """Return a feed of one document in windows."""
    return PageFeed(
        iter([document().ref]),
        drawn,
        cast("Any", losses),
        FIRST,
        shortcuts=NoShortcuts(),
        stop=threading.Event(),
        ahead_bytes=ahead_bytes,
        ahead=8,
        window_pages=window_pages,
    )


def test_a_page_that_cannot_be_drawn_leaves_its_window() -> None:
    """It fails by itself; where it was the first, the next one stands for the others, with the tries of all."""
    losses = Failed()
    with closing(feed_of(Spoilt(4, 1), losses)) as feed:
        request = feed.take(1.0)
        assert request
        assert (shown(request), losses.pages, losses.held[-1]) == ((2, 3, 4), [1], (3, 1))
        task = feed.resolve(request.request_id)
        assert [page.page_number for page in task.window] == [2, 3, 4]


def test_no_more_images_are_in_memory_than_allowed_and_one_window() -> None:
    """A window of many pages begins only when there is room, and is then whole whatever the bound."""
    drawn = Spoilt(1000)
    image_bytes = 3 * 784
    with closing(feed_of(drawn, Failed(), ahead_bytes=20 * image_bytes, window_pages=8)) as feed:
        while request := feed.take(0.2):
            held = drawn.num_drawn - request.image.page_number + 1
            assert 8 <= held <= 20 + 8
            if request.image.page_number > 100:
                break
            feed.resolve(request.request_id)
    with closing(feed_of(drawn := Spoilt(1000), Failed(), ahead_bytes=1, window_pages=32)) as feed:
        assert feed.take(1.0)
        assert drawn.num_drawn <= 64


def extraction(folder: Path, scope: str) -> Extraction:
    """Return an extraction whose schema says `scope`."""
    (folder / "note").mkdir()
    (folder / "note" / "prompt.md").write_text("Read the note.")
    (folder / "note" / "schema.py").write_text(SCHEMA.format(scope=scope))
    return load_extraction("note", [folder])


@pytest.mark.parametrize(
    ("scope", "asked", "engine", "pages"),
    [
        ("document", None, "vllm", 3),
        ("document", "page", "vllm", 1),
        ("page", None, "vllm", 1),
        ("page", "document", "vllm", 3),
        ("document", "document", "ocr", 1),
    ],
)
def test_extraction_and_settings_say_whether_pages_are_read_together(
    tmp_path: Path, scope: str, asked: str | None, engine: str, pages: int
) -> None:
    """Settings win; OCR knows nothing but pages."""
    values = {"input": "in", "output": "out", "documents": {"scope": asked, "window_pages": 3}}
    assert window_pages(RunConfig.model_validate(values), extraction(tmp_path, scope), engine) == pages


def test_plain_text_is_read_page_by_page() -> None:
    """Nobody could tell where in one text a page ends."""
    values = {"input": "in", "output": "out", "documents": {"scope": "document"}}
    assert window_pages(RunConfig.model_validate(values), load_extraction("transcript"), "vllm") == 1


@pytest.mark.parametrize(("engine", "name"), [("ocr", "receipt"), ("vllm", "transcript")])
def test_who_wants_pages_together_that_are_read_one_by_one_is_told(engine: str, name: str) -> None:
    """Silence would look like an answer to what was asked."""
    wanted = RunConfig.model_validate({"input": "in", "output": "out", "documents": {"scope": "document"}})
    told = told_of_scope(wanted, load_extraction(name), engine)
    assert told
    assert told.startswith("every page is read by itself")
    assert told_of_scope(wanted, load_extraction("receipt"), "vllm") is None
    assert told_of_scope(RunConfig(input="in", output="out"), load_extraction(name), engine) is None


def test_longer_requests_get_a_longer_context_and_share_the_cache() -> None:
    """A window that does not fit would be refused by vLLM, and more of them than fit be computed again and again."""
    card = Card("NVIDIA L4", 22 << 30, 22 << 30, (8, 9), can_compile=True)
    shape = PROFILES["qwen2.5-vl-7b-awq"].shape
    one, four = (resolve_settings(VllmConfig(), card, shape, pages) for pages in (1, 4))
    assert four.max_model_len == one.max_model_len + 3 * FURTHER_PAGE_LEN
    assert one.max_num_seqs // 4 <= four.max_num_seqs < one.max_num_seqs
    assert resolve_settings(VllmConfig(max_model_len=9000), card, shape, 4).max_model_len == 9000


def test_the_model_is_told_that_pages_belong_together() -> None:
    """In the instructions, which all requests of a run share."""
    alone, together = (compose_instructions("Read.", {"type": "object"}, window_pages=pages) for pages in (1, 4))
    assert WINDOW_INSTRUCTION in together
    assert alone == together.replace(f"{WINDOW_INSTRUCTION}\n\n", "")


def test_an_unknown_scope_is_refused_when_the_extraction_is_loaded(tmp_path: Path) -> None:
    """Before anything is read."""
    with pytest.raises(ConfigError, match="'page' or 'document', not 'file'"):
        extraction(tmp_path, "file")


def test_values_of_a_window_stand_on_the_pages_that_show_them(folder: Path) -> None:
    """The first page's row has the record, and says of each value which page it is on; each page keeps its own text."""
    letter = "This page was made by a program. " * 3
    write_pdf(folder / "in" / "a.pdf", f"Corner Shop {letter}", f"page 1 {letter}", f"page 2 {letter}", "Total 12,50 €")
    engine = ScriptedEngine(answer)
    choice = EngineChoice(replace(engine.info, engine="vllm"), lambda: engine, max_pixels=100_000)
    values = {
        "input": str(folder / "in"),
        "output": str(folder / "out"),
        "extraction": "receipt",
        "documents": {"scope": "document"},
        "trust": {"scans": "off"},
        "canary": {"mode": "off"},
        "render": {"workers": 1},
    }
    run(RunConfig.model_validate(values), engine=choice)
    pages = {row["page_number"]: row for row in rows(folder, "pages")}
    places = {one["path"]: one["page_number"] for one in pages[1]["evidence"] if one["text"]}
    assert places == {"seller": 1, "line_items[0].description": 2, "line_items[1].description": 3, "total": 4}
    assert [pages[number]["page_text"][:6] for number in range(1, 5)] == ["Corner", "page 1", "page 2", "Total "]
    assert [bool(pages[number]["evidence"]) for number in range(1, 5)] == [True, False, False, False]
    (merged,) = rows(folder, "documents")
    assert {one["path"]: one["page_number"] for one in merged["evidence"] if one["text"]} == places
