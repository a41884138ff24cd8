"""The renderer under files that hang, crash, overeat, vanish and change."""

# mypy: disable-error-code="no-untyped-call"

import contextlib
import os
import threading
from pathlib import Path

import numpy as np
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


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    """Return a PDF of one page that takes minutes to draw."""
    document = pymupdf.open()
    page = document.new_page()
    strokes = "".join(f"{n % 600} {n * 7 % 800} m {n * 13 % 600} {n * 3 % 800} l S\n" for n in range(100_000))
    page.insert_text((50, 50), "x")
    document.update_stream(page.get_contents()[0], b"0.5 w [1 1] 0 d " + strokes.encode() * 20)
    document.save(tmp_path / "slow.pdf", deflate=True)
    document.close()
    return tmp_path / "slow.pdf"


@pytest.mark.slow
def test_slow_page_is_stopped_and_the_next_one_rendered(slow: Path, small: Path) -> None:
    """One pathological page must not hold up the night."""
    renderer = Renderer(RenderConfig(timeout_s=3), num_workers=1)
    document = renderer.open(ref(slow), slow).result()
    bad = renderer.render(document, slow, 1, SPEC)
    good = renderer.open(ref(small), small)
    with pytest.raises(RenderError, match=r"within 3 s.*render\.timeout_s") as caught:
        bad.result()
    assert caught.value.error_type is ErrorType.RENDER_TIMEOUT
    assert good.result().num_pages == 1
    renderer.close()


@pytest.mark.slow
@pytest.mark.parametrize("kills", [1, 2])
def test_page_survives_one_dead_worker_but_not_two(slow: Path, kills: int) -> None:
    """The kernel may take any worker; a page that takes its worker twice is the cause."""
    renderer = Renderer(RenderConfig(timeout_s=6), num_workers=1)
    document = renderer.open(ref(slow), slow).result()
    page = renderer.render(document, slow, 1, SPEC)
    killed: set[int] = set()
    while len(killed) < kills:
        for child in psutil.Process().children():
            with contextlib.suppress(psutil.Error):
                if child.pid not in killed and child.cmdline()[-1] == "render" and child.cpu_times().user > 1.5:
                    child.kill()
                    killed.add(child.pid)
        threading.Event().wait(0.05)
    expected = ErrorType.RENDER_TIMEOUT if kills == 1 else ErrorType.RENDER_CRASH
    with pytest.raises(RenderError) as caught:
        page.result()
    assert caught.value.error_type is expected
    renderer.close()


@pytest.mark.slow
def test_image_larger_than_memory_fails_with_the_setting_to_change(tmp_path: Path, small: Path) -> None:
    """Within the pixel limit, and yet too much for one process."""
    path = tmp_path / "large.png"
    Image.fromarray(np.zeros((12_000, 12_000, 3), np.uint8)).save(path, compress_level=1)
    renderer = Renderer(RenderConfig(memory_limit_mb=512), num_workers=1)
    document = renderer.open(ref(path), path).result()
    with pytest.raises(RenderError, match=r"render\.memory_limit_mb") as caught:
        renderer.render(document, path, 1, SPEC).result()
    assert caught.value.error_type is ErrorType.TOO_LARGE
    assert renderer.open(ref(small), small).result().num_pages == 1
    renderer.close()


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
