"""What a document asks for beyond being looked at: scripts, programs, files and addresses. It gets none."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from hostile_inputs import page_text, raw_pdf, rows, run_receipts, stream

LONG_AGO_S = 10**9
"""Two dates: files read since then show it, also where the file system notes only the first reading of a day."""


class Trap:
    """A file and an address that nobody has a reason to touch."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "secret.png"
        self.file.write_bytes(b"\x89PNG\r\n\x1a\nsecret")
        self.proof = folder / "proof"
        self.server = socket.create_server(("127.0.0.1", 0))
        self.server.settimeout(0.05)
        self.url = f"http://127.0.0.1:{self.server.getsockname()[1]}"

    def arm(self) -> None:
        """Set the time of the last reading back."""
        os.utime(self.file, (LONG_AGO_S, LONG_AGO_S + 1))

    @property
    def was_read(self) -> bool:
        """Whether the file was read since."""
        return self.file.stat().st_atime != LONG_AGO_S

    @property
    def was_called(self) -> bool:
        """Whether anybody connected."""
        try:
            self.server.accept()[0].close()
        except TimeoutError:
            return False
        return True


@pytest.fixture
def trap(tmp_path: Path) -> Iterator[Trap]:
    """Return a trap that has been seen to work."""
    trap = Trap(tmp_path)
    trap.arm()
    trap.file.read_bytes()
    if not trap.was_read:
        pytest.skip("this file system does not note when files are read")
    socket.create_connection(trap.server.getsockname()).close()
    assert trap.was_called
    trap.arm()
    yield trap
    trap.server.close()


def tempting_documents(trap: Trap) -> dict[str, bytes]:
    """Return a document for each thing that a PDF can ask a reader to do."""
    path, url = str(trap.file), trap.url
    text = page_text("Total 42")
    script = (
        f"app.launchURL\\('{url}/js'\\); this.getURL\\('{url}/get'\\); "
        f"app.openDoc\\('{path}'\\); this.submitForm\\('{url}/js'\\);"
    )
    actions = {
        "javascript": f"/S /JavaScript /JS ({script})",
        "launch": f"/S /Launch /F ({path}) /Win << /F (touch) /P ({trap.proof}) >> /Unix << /F (touch {trap.proof}) >>",
        "uri": f"/S /URI /URI ({url}/uri)",
        "remote": f"/S /GoToR /F ({path}) /D [0 /Fit]",
        "embedded": f"/S /GoToE /F ({path}) /D [0 /Fit]",
        "submit": f"/S /SubmitForm /F << /FS /URL /F ({url}/form) >> /Flags 4",
        "import": f"/S /ImportData /F ({path})",
        "movie": f"/S /Rendition /OP 0 /R << /S /MR /C << /S /MCD /D << /FS /URL /F ({url}/film) >> >> >>",
    }
    documents = {}
    for name, action in actions.items():
        link = f"<< /Type /Annot /Subtype /Link /Rect [0 0 300 300] /A << {action} >> >>"
        additional = f"/AA << /O << {action} >> >> /Annots [{link}]"
        documents[name] = raw_pdf(text, catalog=f"/OpenAction << {action} >>", page=additional)
    xfa = f'<!DOCTYPE x [<!ENTITY e SYSTEM "file://{path}"><!ENTITY f SYSTEM "{url}/xfa">]><x>&e;&f;</x>'
    image = "/XObject << /I 5 0 R >>"
    external = "/Type /XObject /Subtype /Image /Width 9 /Height 9 /ColorSpace /DeviceRGB /BitsPerComponent 8 /F "
    drawn = stream("q 300 0 0 300 0 0 cm /I Do Q")
    for name, file in {"by-name": f"({path})", "by-url": f"<< /FS /URL /F ({url}/image) >>"}.items():
        page = f"/Resources << {image} >>"
        documents[f"image-{name}"] = raw_pdf(drawn, stream("", external + file), page=page)
        documents[f"content-{name}"] = raw_pdf(stream("", f"/F {file}"))
    documents["xfa"] = raw_pdf(text, stream(xfa), catalog="/AcroForm << /XFA 5 0 R /Fields [] >>")
    documents["xmp"] = raw_pdf(text, stream(xfa, "/Type /Metadata /Subtype /XML"), catalog="/Metadata 5 0 R")
    attached = "/Names << /EmbeddedFiles << /Names [(run.sh) << /F (run.sh) /EF << /F 5 0 R >> >>] >> >>"
    documents["attachment"] = raw_pdf(text, stream(f"#!/bin/sh\ntouch {trap.proof}"), catalog=attached)
    documents["drawing.svg"] = f'<svg xmlns="a"><image href="{url}/svg"/><image href="file://{path}"/></svg>'.encode()
    documents["page.html"] = f'<html><img src="{url}/html"><script src="file://{path}"></script></html>'.encode()
    documents["data.xml"] = f'<?xml version="1.0"?>{xfa}'.encode()
    return documents


def programs_below(stop: threading.Event, seen: set[str]) -> None:
    """Note the command line of every process that starts below this one, until told to stop."""
    before = set(psutil.Process().children(recursive=True))
    while not stop.wait(0.01):
        for child in set(psutil.Process().children(recursive=True)) - before:
            try:
                seen.add(" ".join(child.cmdline()[:5]))
            except psutil.Error:
                continue


def test_nothing_in_a_document_is_run_opened_or_fetched(tmp_path: Path, trap: Trap) -> None:
    """A mailbox of invoices is a mailbox of strangers' programs."""
    (tmp_path / "in").mkdir()
    documents = tempting_documents(trap)
    for name, content in documents.items():
        (tmp_path / "in" / name).write_bytes(content)
    stop, seen = threading.Event(), set[str]()
    watcher = threading.Thread(target=programs_below, args=(stop, seen))
    watcher.start()
    try:
        run_receipts(tmp_path)
    finally:
        stop.set()
        watcher.join()
    assert not trap.was_called
    assert not trap.was_read
    assert not trap.proof.exists()
    assert any("run_worker" in program for program in seen)
    assert {program for program in seen if "run_worker" not in program} <= {""}  # just born or just dead
    assert len(rows(tmp_path, "documents")) == len(documents)
    assert len(rows(tmp_path, "pages")) == len(documents)


def forms(depth: int, width: int) -> bytes:
    """Return a page that draws a form which draws forms which draw forms: `width` to the power of `depth` in all."""
    objects = [stream("/X Do")]
    for level in range(depth):
        below = f"/Resources << /XObject << /X {6 + level} 0 R >> >>"
        content = "/X Do " * width if level < depth - 1 else "0 0 9 9 re f"
        objects.append(stream(content, f"/Type /XObject /Subtype /Form /BBox [0 0 300 300] {below}"))
    return raw_pdf(*objects, page="/Resources << /XObject << /X 5 0 R >> >>")


@pytest.mark.slow
def test_bombs_cost_their_page_and_the_rest_is_read(tmp_path: Path) -> None:
    """Time and memory are bounded for each page, whatever is inside."""
    (tmp_path / "in").mkdir()
    for name, content in {
        "forms.pdf": forms(12, 10),
        "states.pdf": raw_pdf(stream("q " * 1_000_000)),
        "arrays.pdf": raw_pdf(stream("[" * 1_000_000)),
        "huge.pdf": raw_pdf(page_text("x"), page="/MediaBox [0 0 1e30 1e30]"),
        "good.pdf": raw_pdf(page_text("Total 42")),
    }.items():
        (tmp_path / "in" / name).write_bytes(content)
    report = run_receipts(tmp_path, timeout_s=3, memory_limit_mb=512)
    outcomes = {Path(row["source_uri"]).name: row["error_type"] for row in rows(tmp_path, "pages")}
    assert report.pages_found == 5
    assert outcomes.pop("forms.pdf") in {"render_timeout", "too_large"}
    assert outcomes == {"states.pdf": "damaged", "arrays.pdf": "damaged", "huge.pdf": None, "good.pdf": None}
