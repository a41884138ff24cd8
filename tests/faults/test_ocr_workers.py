"""OCR processes that are killed while they read."""

from __future__ import annotations

import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest
from faults.launcher import ROOT, Launcher, Order

OK = 0
DOCUMENTS = ("receipts/receipt-newsagent.jpg", "receipts/receipt-restaurant.jpg", "invoices/invoice-de-two-pages.pdf")


def workers(pid: int, name: str) -> list[psutil.Process]:
    """Return the worker processes of a run by what they do."""
    with suppress(psutil.NoSuchProcess):
        return [child for child in psutil.Process(pid).children() if name in _arguments(child)]
    return []


def _arguments(process: psutil.Process) -> list[str]:
    with suppress(psutil.Error):
        found: list[str] = process.cmdline()
        return found
    return []


@pytest.mark.slow
def test_pages_survive_the_death_of_their_ocr_process(tmp_path: Path) -> None:
    """The kernel takes an OCR process when memory runs out; its page is read by the next one."""
    (tmp_path / "in").mkdir()
    (tmp_path / "tmp").mkdir()
    for name in DOCUMENTS:
        shutil.copy(ROOT / "sample_docs" / name, tmp_path / "in")
    settings = ("--set", "ocr.workers=1", "--set", "render.workers=1", "--set", "ocr.text_layer=never")
    arguments = ["run", f"{tmp_path}/in", f"{tmp_path}/out", "--extraction", "receipt", "--engine", "ocr", *settings]
    order = Order(
        arguments, {"TMPDIR": f"{tmp_path}/tmp"}, f"{tmp_path}/log", f"{tmp_path}/asked", None, scripted=False
    )
    with Launcher() as launcher:
        pid = launcher.start(order)
        killed = _kill_each_for_a_while(pid)
        code = launcher.wait()
    rows = pq.read_table(tmp_path / "out" / "receipt" / "pages").to_pylist()
    assert killed > 0
    assert sorted((Path(row["source_uri"]).name, row["page_number"], row["status"]) for row in rows) == [
        ("invoice-de-two-pages.pdf", 1, "ok"),
        ("invoice-de-two-pages.pdf", 2, "ok"),
        ("receipt-newsagent.jpg", 1, "ok"),
        ("receipt-restaurant.jpg", 1, "ok"),
    ]
    assert code == OK


def _kill_each_for_a_while(pid: int) -> int:
    """Kill two OCR processes a second after they began to read; return how many were killed."""
    killed = 0
    seen: dict[int, float] = {}
    deadline = time.monotonic() + 60
    while killed < 2 and time.monotonic() < deadline and psutil.pid_exists(pid):
        for worker in workers(pid, "ocr"):
            with suppress(psutil.NoSuchProcess):
                busy_s = worker.cpu_times().user
                seen.setdefault(worker.pid, 0.0)
                if busy_s > 2.5:
                    worker.send_signal(signal.SIGKILL)
                    killed += 1
        time.sleep(0.02)
    return killed
