"""Whole runs, as processes, whose input and output are in buckets that fail: every page once, and no secret told."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pymupdf
import pytest
from s3_server import Faults, Wsgi, cut_short, refused, reset

from pipeline.check import check_output
from pipeline.storage import open_storage

SECRETS = ("s3cret-key", "FwoGZXIvYXdzEBYaDH-session-token")
EXPIRED = refused("400 Bad Request", "ExpiredToken", f"<Message>Expired.</Message><Token-0>{SECRETS[1]}</Token-0>")
FAULTS = (refused("503 Slow Down", "SlowDown"), reset, cut_short(50), refused("500 Internal Server Error"))


class Night:
    """A bucket with documents, and runs over it."""

    def __init__(self, bucket: str) -> None:
        self.bucket = bucket
        self.told = ""
        """What all runs printed, and what their processes were started with."""

    def run(self, *arguments: str) -> int:
        """Run Pagemill and return its exit code."""
        code = [sys.executable, "-m", "pipeline", "run", f"{self.bucket}/in", f"{self.bucket}/out", "-vv"]
        options = ["--engine", "ocr", "--set", "ocr.text_layer=only", *arguments]
        with subprocess.Popen(
            [*code, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=Path(__file__).parent.parent,
        ) as run:
            assert run.stdout
            for line in run.stdout:
                self.told += line
                for process in psutil.Process(run.pid).children(recursive=True) if run.poll() is None else []:
                    with process.oneshot():
                        self.told += " ".join(_command(process))
            return run.wait()

    def check(self, pages: int) -> None:
        """Assert that each page was committed once, and that no secret is anywhere."""
        assert [str(problem) for problem in check_output(f"{self.bucket}/out")] == []
        storage, committed = open_storage(self.bucket), 0
        for key in list(storage.keys("out/")):
            with storage.open(key) as file:
                content = file.read()
            assert [secret for secret in SECRETS if secret.encode() in content] == [], key
            if key.endswith(".parquet"):
                with storage.open(key) as file:
                    table = pq.read_table(file)
                assert [secret for secret in SECRETS if secret in str(table.to_pylist())] == [], key
                committed += table.num_rows if "/pages/" in key else 0
        assert committed == pages
        assert [secret for secret in SECRETS if secret in self.told] == []


def _command(process: psutil.Process) -> list[str]:
    try:
        return [*process.cmdline()]
    except psutil.Error:
        return []


@pytest.fixture
def night(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Night:
    """Return a bucket with four documents of one page, whose credentials are secrets to look for."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRETS[0])
    monkeypatch.setenv("AWS_SESSION_TOKEN", SECRETS[1])
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("PYTHONUNBUFFERED", "1")
    for name in [name for name in os.environ if name.startswith("PAGEMILL_")]:
        monkeypatch.delenv(name)
    storage = open_storage(bucket)
    for number in range(4):
        with pymupdf.open() as document:  # type: ignore[no-untyped-call]
            document.new_page(width=200, height=200).insert_text((20, 40), f"Invoice {number}")
            document.save(tmp_path / "made.pdf")
        storage.put(f"in/{number}.pdf", tmp_path / "made.pdf")
    return Night(bucket)


@pytest.mark.slow
def test_every_page_is_committed_once_over_a_bad_line_and_past_expired_credentials(
    night: Night, s3_faults: Faults
) -> None:
    """S3 answers an expired token with the token, and no document is called unreadable because of it."""
    s3_faults.plan("GET /documents/in/[23]", *([EXPIRED] * 1000))
    assert night.run() == 3, night.told
    assert "the credentials have expired (400 ExpiredToken: Expired). Renew them" in night.told
    s3_faults.clear()

    numbers, faults = itertools.count(), itertools.cycle(FAULTS)

    def sometimes(app: Wsgi) -> Wsgi:
        return next(faults)(app) if next(numbers) % 4 == 0 else app

    s3_faults.plan("(GET|PUT|HEAD|POST) ", *([sometimes] * 1000))
    assert night.run() == 0, night.told
    s3_faults.clear()
    assert next(numbers) > 20
    night.check(pages=4)
