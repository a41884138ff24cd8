"""Whoever looks at a failed page in the morning must see what the model saw, said and was told."""

import json
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_records import attempt, document, failed_page, identity, ok_page, unopened
from PIL import Image
from rendering import open_file, render

from pipeline.data import Document, DocumentRef, PageRecord, RenderSpec, Status
from pipeline.errors import ErrorType, GenerationInvalid, StorageError
from pipeline.layout import quarantine_folder, quarantine_key
from pipeline.quarantine import PATIENCE, Quarantine
from pipeline.render import Renderer
from pipeline.source import path_uri
from pipeline.storage import Storage, open_storage
from pipeline.storage.folder import FolderStorage

SAMPLE = Path(__file__).parent.parent / "sample_docs" / "invoices" / "invoice-en.pdf"
SMALL = RenderSpec(300_000, 90)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """Where entries go."""
    return tmp_path / "out"


@pytest.fixture
def open_quarantine(output: Path, tmp_path: Path, renderer: Renderer) -> Iterator[Callable[..., Quarantine]]:
    """Return what begins a run's quarantine; all are closed at the end."""
    opened: list[Quarantine] = []

    def begin(storage: Storage | None = None, *, max_images: int = 10) -> Quarantine:
        folder = tmp_path / f"scratch-{len(opened)}"
        made = Quarantine(
            storage or open_storage(str(output)), identity(), renderer.save, folder, first=SMALL, max_images=max_images
        )
        opened.append(made)
        return made

    yield begin
    for made in opened:
        made.close()


def entry(output: Path, record: PageRecord) -> dict[str, object]:
    """Return what the entry of a page says."""
    found: dict[str, object] = json.loads(
        (output / quarantine_key("bill", record.document.ref.uri, record.page_number)).read_text("utf-8")
    )
    return found


def failed(of: Document, page_number: int = 1, *, spec: RenderSpec = SMALL, raw_text: str = "{}") -> PageRecord:
    """Return the row of a page whose two tries were shown `spec` at the end."""
    error = GenerationInvalid(ErrorType.OUTPUT_INVALID, "Field total: not a number.")
    last = attempt(2, error=error, raw_text=raw_text, prompt_tokens=10, output_tokens=5)
    tries = (attempt(1, error=error), replace(last, settings=replace(last.settings, render=spec)))
    return ok_page(of, page_number, status=Status.FAILED, record=None, error=error, attempts=tries)


def names(output: Path) -> set[str]:
    """Return the names of all files of entries."""
    return {path.name for path in output.glob("bill/quarantine/*/*")}


def test_an_entry_shows_the_image_as_it_was_sent(
    output: Path, open_quarantine: Callable[..., Quarantine], renderer: Renderer
) -> None:
    """A page that is looked at in another size or turn may well look innocent."""
    record = failed(open_file(renderer, SAMPLE))
    with closing(open_quarantine()) as quarantine:
        quarantine.add(record, SAMPLE)
    key = quarantine_key("bill", record.document.ref.uri, 1, ".png")
    assert key.startswith("bill/quarantine/invoice-en.pdf-")
    assert entry(output, record)["image"] == "page-0001.png"
    with Image.open(output / key) as image:
        assert np.array_equal(np.asarray(image), render(renderer, SAMPLE, 1, SMALL).pixels)


def test_an_entry_tells_every_try_with_its_settings_output_and_reason(
    output: Path, open_quarantine: Callable[..., Quarantine]
) -> None:
    """They are what a prompt is mended by."""
    record = failed(document("a b.pdf"), 3, raw_text='{"total": "twelve"}')
    with closing(open_quarantine()) as quarantine:
        quarantine.add(record, None)
    found = entry(output, record)
    assert (found["source"], found["page_number"], found["error_type"]) == ("/in/a b.pdf", 3, "output_invalid")
    assert found["what_helps"] == "look at `raw_text`; mend prompt or schema"
    assert (found["engine"], found["run_id"], found["prompt_sha256"]) == ("scripted", "run-1", "p" * 64)
    assert found["tries"][1] == {  # type: ignore[index]
        "number": 2,
        "max_tokens": 2048,
        "temperature": 0.2,
        "constrained": True,
        "max_pixels": 300_000,
        "legible_px": None,
        "rotation_deg": 90,
        "seed": 2,
        "finish_reason": "length",
        "error_type": "output_invalid",
        "error_message": "Field total: not a number.",
        "prompt_tokens": 10,
        "output_tokens": 5,
        "raw_text": '{"total": "twelve"}',
    }


def test_a_document_that_could_not_be_opened_has_an_entry_of_its_own(
    output: Path, open_quarantine: Callable[..., Quarantine]
) -> None:
    """It has no page to name the entry by."""
    record = unopened("locked.pdf")
    with closing(open_quarantine()) as quarantine:
        quarantine.add(record, None)
    assert names(output) == {"document.json"}
    assert (entry(output, record)["error_type"], entry(output, record)["image"]) == ("encrypted", None)


def test_pages_that_are_ok_have_no_entry(output: Path, open_quarantine: Callable[..., Quarantine]) -> None:
    """The caller need not ask."""
    with closing(open_quarantine()) as quarantine:
        quarantine.add(ok_page(document()), None)
    assert names(output) == set()


def test_a_page_that_no_engine_was_shown_is_not_rendered_again(
    output: Path, open_quarantine: Callable[..., Quarantine]
) -> None:
    """It may have killed its render worker, and would again."""
    record = replace(failed_page(document()), width_px=None, attempts=())
    with closing(open_quarantine()) as quarantine:
        quarantine.add(record, SAMPLE)
    assert entry(output, record)["no_image_because"] == "No engine was shown this page."


def test_a_page_that_killed_the_engine_at_its_first_try_shows_the_image_of_the_first_try(
    output: Path, open_quarantine: Callable[..., Quarantine], renderer: Renderer
) -> None:
    """No try of it was answered, so that its row has none."""
    record = replace(failed(open_file(renderer, SAMPLE)), attempts=())
    with closing(open_quarantine()) as quarantine:
        quarantine.add(record, SAMPLE)
    assert (entry(output, record)["image"], entry(output, record)["tries"]) == ("page-0001.png", [])


def test_a_run_keeps_no_more_images_than_it_is_told(
    output: Path, open_quarantine: Callable[..., Quarantine], renderer: Renderer
) -> None:
    """A wrong prompt fails every page of a million; the reasons are kept all the same."""
    opened = open_file(renderer, SAMPLE)
    with closing(open_quarantine(max_images=1)) as quarantine:
        quarantine.add(failed(opened), SAMPLE)
        quarantine.add(failed(opened, 2), SAMPLE)
    assert names(output) == {"page-0001.png", "page-0001.json", "page-0002.json"}
    assert "quarantine_images" in str(entry(output, failed(opened, 2))["no_image_because"])


def test_the_copy_of_an_object_may_be_deleted_at_once(
    output: Path, tmp_path: Path, open_quarantine: Callable[..., Quarantine], renderer: Renderer
) -> None:
    """A document's copy goes when its last page is done, which is when that page fails."""
    copy = tmp_path / "copy"
    copy.write_bytes(SAMPLE.read_bytes())
    opened = renderer.open(DocumentRef("s3://bucket/in/a.pdf", 0, None), copy).result()
    with closing(open_quarantine()) as quarantine:
        quarantine.add(failed(opened), copy)
        copy.unlink()
    assert names(output) == {"page-0001.png", "page-0001.json"}
    assert not (tmp_path / "scratch-0").exists()


def test_a_file_that_changed_meanwhile_gives_an_entry_that_says_so(
    output: Path, tmp_path: Path, open_quarantine: Callable[..., Quarantine], renderer: Renderer
) -> None:
    """Its new pages are not what the model saw."""
    path = tmp_path / "a.pdf"
    path.write_bytes(SAMPLE.read_bytes())
    record = failed(open_file(renderer, path))
    path.write_bytes(b"other")
    with closing(open_quarantine()) as quarantine:
        quarantine.add(record, path)
    assert "changed" in str(entry(output, record)["no_image_because"])


def test_a_committed_document_keeps_only_the_entries_of_pages_that_failed_again(
    output: Path, open_quarantine: Callable[..., Quarantine], renderer: Renderer
) -> None:
    """What stands in the quarantine is what is wrong today."""
    opened, other = open_file(renderer, SAMPLE), document("other.pdf")
    with closing(open_quarantine()) as quarantine:
        quarantine.add(replace(unopened("x"), document=replace(opened, num_pages=0)), None)
        for number in (1, 2):
            quarantine.add(failed(opened, number), None if number == 2 else SAMPLE)
        quarantine.add(failed(other, 9), None)
    with closing(open_quarantine()) as quarantine:
        quarantine.clear(opened, [2])
    assert names(output) == {"page-0002.json", "page-0009.json"}


def test_a_document_that_still_cannot_be_opened_keeps_its_entry(
    output: Path, open_quarantine: Callable[..., Quarantine]
) -> None:
    """It has no page that could be named as failed."""
    record = unopened("locked.pdf")
    for _ in range(2):
        with closing(open_quarantine()) as quarantine:
            quarantine.add(record, None)
            quarantine.clear(record.document, [])
    assert names(output) == {"document.json"}


def test_an_old_image_does_not_outlive_a_new_failure_without_one(
    output: Path, open_quarantine: Callable[..., Quarantine], renderer: Renderer
) -> None:
    """The picture beside an entry belongs to it."""
    record = failed(open_file(renderer, SAMPLE))
    for path in (SAMPLE, None):
        with closing(open_quarantine()) as quarantine:
            quarantine.add(record, path)
    assert names(output) == {"page-0001.json"}


@pytest.mark.parametrize(
    "name", ["..", "../../etc/passwd", "a\nb\x1b[31m.pdf", "\udcff.pdf", ".hidden", "_x", "é" * 300, "/", "a" * 300]
)
def test_any_file_name_gives_a_plain_folder_name(name: str) -> None:
    """Names come from people, and from those who would like to write elsewhere."""
    uri = path_uri(f"/in/{name}")
    extraction, table, folder, end = quarantine_folder("bill", uri).split("/")
    assert (extraction, table, end) == ("bill", "quarantine", "")
    assert folder.isascii()
    assert len(folder) <= 75
    assert folder[0] not in "._-"
    assert set(folder) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-")


def test_equal_names_in_two_folders_do_not_meet() -> None:
    """Every month has its invoice.pdf."""
    assert quarantine_folder("bill", "file:///a/x.pdf") != quarantine_folder("bill", "file:///b/x.pdf")


def test_what_a_page_says_can_neither_steer_a_terminal_nor_reach_a_path(
    output: Path, open_quarantine: Callable[..., Quarantine]
) -> None:
    """`cat` is how such files are read."""
    hostile = "../../x\n\x1b[31m\u202e\x9b\udcff\U000e0041 grün"
    record = failed(document(), raw_text=hostile)
    with closing(open_quarantine()) as quarantine:
        quarantine.add(record, None)
    text = (output / quarantine_key("bill", record.document.ref.uri, 1)).read_text("utf-8")
    assert all(char.isprintable() or char == "\n" for char in text)
    assert "grün" in text
    assert json.loads(text)["tries"][1]["raw_text"] == hostile
    assert names(output) == {"page-0001.json"}


def test_a_quarantine_that_cannot_be_written_is_a_warning(
    output: Path, open_quarantine: Callable[..., Quarantine], caplog: pytest.LogCaptureFixture
) -> None:
    """Rows are the truth; a run does not end because its notes cannot be taken."""
    output.mkdir()
    (output / "bill").write_text("in the way")
    with caplog.at_level(logging.WARNING, "pipeline"), closing(open_quarantine()) as quarantine:
        for number in range(1, 9):
            quarantine.add(failed(document(), number), None)
    told = [record for record in caplog.records if "quarantine cannot be written" in record.message]
    assert 1 <= len(told) <= PATIENCE
    assert "nothing more" in told[-1].message


class _Slow(FolderStorage):
    """A folder that waits before it writes."""

    def __init__(self, root: Path, go: threading.Event) -> None:
        super().__init__(root)
        self._go = go

    def put(self, key: str, finished: Path) -> None:
        """See Storage."""
        self._go.wait()
        super().put(key, finished)


def test_adding_does_not_wait_for_the_storage(output: Path, open_quarantine: Callable[..., Quarantine]) -> None:
    """Pages go on while a bucket is slow."""
    go = threading.Event()
    quarantine = open_quarantine(_Slow(output, go))
    for number in range(1, 9):
        quarantine.add(failed(document(), number), None)
    assert names(output) == set()
    go.set()
    quarantine.close()
    assert len(names(output)) == 8


def test_the_end_of_a_run_does_not_wait_for_ever(
    output: Path, open_quarantine: Callable[..., Quarantine], caplog: pytest.LogCaptureFixture
) -> None:
    """`docker stop` kills what takes longer than ten seconds, and the run's books are still to be closed."""
    go = threading.Event()
    quarantine = open_quarantine(_Slow(output, go))
    for number in range(1, 9):
        quarantine.add(failed(document(), number), None)
    with caplog.at_level(logging.WARNING, "pipeline"):
        quarantine.close(wait_s=0.1)
        go.set()
        quarantine.close()
    assert [record.message for record in caplog.records] == [
        "not all failed pages are in the quarantine, as writing them took too long; their rows are"
    ]


def test_a_renderer_that_is_closed_already_gives_entries_without_images(
    output: Path, tmp_path: Path, renderer: Renderer
) -> None:
    """The order in which things end at a stop must not matter."""

    def save(*_: object) -> Future[None]:
        future: Future[None] = Future()
        future.cancel()
        return future

    record = failed(open_file(renderer, SAMPLE))
    storage, folder = open_storage(str(output)), tmp_path / "scratch"
    with closing(Quarantine(storage, identity(), save, folder, first=SMALL, max_images=1)) as quarantine:
        quarantine.add(record, SAMPLE)
    assert entry(output, record)["no_image_because"] == "The run ended before."


class _Broken(FolderStorage):
    """A folder whose files cannot be listed."""

    def keys(self, prefix: str = "") -> Iterator[str]:
        """See Storage."""
        raise StorageError(f"{prefix} cannot be listed.")


def test_a_quarantine_that_cannot_be_listed_still_takes_entries(
    output: Path, open_quarantine: Callable[..., Quarantine]
) -> None:
    """Old entries stay then; new ones need no list."""
    with closing(open_quarantine(_Broken(output))) as quarantine:
        quarantine.add(failed(document()), None)
        quarantine.clear(document(), [])
    assert names(output) == {"page-0001.json"}
