"""The renderer under files that hang, crash, overeat, vanish and change."""

# mypy: disable-error-code="no-untyped-call"

import contextlib
import os
import threading
from pathlib import Path
from typing import Any

import psutil
import pymupdf
import pytest
from PIL import Image
from rendering import SPEC, ref

from pipeline.config import RenderConfig
from pipeline.errors import DocumentError, ErrorType, RenderError
from pipeline.render import Renderer
from pipeline.source import list_documents


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Return a page that takes no time."""
    path = tmp_path / "small.png"
    Image.new("L", (50, 50), 255).save(path)
    return path


def strokes(path: Path, count: int) -> Path:
    """Make a page of many lines: 20,000 take seconds, a million take minutes."""
    document = pymupdf.open()
    page = document.new_page()
    page.insert_text((50, 50), "x")
    lines = "".join(f"{n % 600} {n * 7 % 800} m {n * 13 % 600} {n * 3 % 800} l S\n" for n in range(20_000))
    document.update_stream(page.get_contents()[0], lines.encode() * (count // 20_000))
    document.save(path, deflate=True)
    document.close()
    return path


@pytest.mark.slow
def test_slow_page_is_stopped_and_the_next_one_rendered(tmp_path: Path, small: Path) -> None:
    """One pathological page must not hold up the night."""
    path = strokes(tmp_path / "slow.pdf", 1_000_000)
    renderer = Renderer(RenderConfig(timeout_s=5), num_workers=1)
    bad = renderer.render(renderer.open(ref(path), path).result(), path, 1, SPEC)
    good = renderer.open(ref(small), small)
    with pytest.raises(RenderError, match=r"within 5 s.*render\.timeout_s") as caught:
        bad.result()
    assert caught.value.error_type is ErrorType.RENDER_TIMEOUT
    assert good.result().num_pages == 1
    renderer.close()


def kill_next_reader(path: Path, killed: set[int]) -> None:
    """Kill a worker, not killed before, while it has `path` open."""
    while True:
        for child in psutil.Process().children():
            with contextlib.suppress(psutil.Error):
                if child.pid not in killed and any(file.path == str(path) for file in child.open_files()):
                    child.kill()
                    killed.add(child.pid)
                    return
        threading.Event().wait(0.01)


@pytest.mark.slow
@pytest.mark.parametrize("kills", [1, 2])
def test_page_survives_one_dead_worker_but_not_two(renderer: Renderer, tmp_path: Path, kills: int) -> None:
    """The kernel may take any worker; a page that takes its worker twice is the cause."""
    path = strokes(tmp_path / "slow.pdf", 20_000)
    document = renderer.open(ref(path), path).result()
    killed = {child.pid for child in psutil.Process().children()}  # the shared renderer is not to be hit
    other = Renderer(RenderConfig(timeout_s=120), num_workers=1)
    page = other.render(document, path, 1, SPEC)
    for _ in range(kills):
        kill_next_reader(path, killed)
    if kills == 1:
        assert page.result().page_number == 1
    else:
        with pytest.raises(RenderError) as caught:
            page.result()
        assert caught.value.error_type is ErrorType.RENDER_CRASH
    other.close()


@pytest.mark.slow
def test_image_larger_than_memory_fails_with_the_setting_to_change(tmp_path: Path, small: Path) -> None:
    """Within the pixel limit, and yet too much for one process."""
    path = tmp_path / "large.png"
    Image.new("P", (12_000, 12_000)).save(path, compress_level=1, transparency=0)  # as RGBA 576 MB, held twice
    renderer = Renderer(RenderConfig(memory_limit_mb=1300), num_workers=1)
    document = renderer.open(ref(path), path).result()
    with pytest.raises(RenderError, match=r"render\.memory_limit_mb") as caught:
        renderer.render(document, path, 1, SPEC).result()
    assert caught.value.error_type is ErrorType.TOO_LARGE
    assert renderer.open(ref(small), small).result().num_pages == 1
    renderer.close()


class Untransferable(type(Path())):  # type: ignore[misc]
    """A path that fails where nobody expects it."""

    def __reduce__(self) -> tuple[Any, ...]:
        raise LookupError("gone")


def test_an_error_nobody_foresaw_fails_its_document_or_page_only(renderer: Renderer, small: Path) -> None:
    """A library's bug on one file must not end a run over a million."""
    document = renderer.open(ref(small), small).result()
    with pytest.raises(DocumentError, match="renderer failed: LookupError") as opening:
        renderer.open(ref(small), Untransferable(small)).result()
    with pytest.raises(RenderError, match="renderer failed: LookupError") as rendering:
        renderer.render(document, Untransferable(small), 1, SPEC).result()
    assert opening.value.error_type is rendering.value.error_type is ErrorType.RENDER_CRASH
    assert renderer.render(document, small, 1, SPEC).result().page_number == 1


def test_special_files_fail_without_being_waited_for(renderer: Renderer, tmp_path: Path) -> None:
    """Opening a pipe waits for its writer for ever; reading a device never ends."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "gone").symlink_to("nowhere")
    (tmp_path / "folder").mkdir()
    for name in ("fifo", "zero", "gone", "folder"):
        with pytest.raises(DocumentError) as caught:
            renderer.open(ref(tmp_path / name), tmp_path / name).result(60)
        assert caught.value.error_type is ErrorType.UNREADABLE


def test_file_that_vanishes_or_changes_after_opening_fails_its_pages(renderer: Renderer, small: Path) -> None:
    """Pages of two versions must not end in one record."""
    document = renderer.open(ref(small), small).result()
    Image.new("L", (90, 50), 255).save(small)
    with pytest.raises(RenderError, match="changed") as caught:
        renderer.render(document, small, 1, SPEC).result()
    assert caught.value.error_type is ErrorType.UNREADABLE
    small.unlink()
    with pytest.raises(RenderError, match="No such file"):
        renderer.render(document, small, 1, SPEC).result()


@pytest.mark.parametrize("name", ["new\nline.pdf", b"latin-\xe9.pdf", "x" * 250, "-rf", "\u202egpj.pdf"])
def test_files_of_any_name_open(renderer: Renderer, tmp_path: Path, name: str | bytes) -> None:
    """MuPDF takes names in UTF-8 only; file systems take bytes."""
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + os.fsencode(name)))
    document = pymupdf.open()
    document.new_page()
    path.write_bytes(document.tobytes())
    document.close()
    (found,) = list_documents(str(tmp_path))
    opened = renderer.open(found, path).result()
    assert opened.ref == found
    assert renderer.render(opened, path, 1, SPEC).result().page_number == 1


def test_too_large_file_is_refused_unread(tmp_path: Path) -> None:
    """A disk image among documents must not be hashed for an hour."""
    path = tmp_path / "huge.pdf"
    with path.open("wb") as file:
        file.truncate(2_000_000)
    renderer = Renderer(RenderConfig(max_file_mb=1), num_workers=1)
    with pytest.raises(DocumentError, match=r"2 MB.*render\.max_file_mb") as caught:
        renderer.open(ref(path), path).result()
    assert caught.value.error_type is ErrorType.TOO_LARGE
    renderer.close()


def test_document_of_more_pages_than_allowed_is_refused_at_once(tmp_path: Path) -> None:
    """A few kilobytes may hold a million pages, each of which would become a row."""
    frame = Image.new("1", (8, 8))
    frame.save(tmp_path / "many.tif", save_all=True, append_images=[frame] * 3)
    document = pymupdf.open()
    for _ in range(4):
        document.new_page()
    document.save(tmp_path / "many.pdf")
    renderer = Renderer(RenderConfig(max_pages=3), num_workers=1)
    for name in ("many.tif", "many.pdf"):
        with pytest.raises(DocumentError, match=r"more than 3 pages.*render\.max_pages") as caught:
            renderer.open(ref(tmp_path / name), tmp_path / name).result()
        assert caught.value.error_type is ErrorType.TOO_LARGE
    renderer.close()
