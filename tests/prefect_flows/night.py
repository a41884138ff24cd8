"""A night in small: documents that say who they are, the programs that read them, and what the output must hold."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote
from uuid import uuid4

import pyarrow.parquet as pq
import pymupdf

from .processes import BUCKET, ROOT, S3, PrefectServer, Process, wait_until

FINAL = frozenset({"COMPLETED", "FAILED", "CANCELLED"})
"""A run that crashed goes on: its worker sees to it."""


class Dropped(NamedTuple):
    """One document of an input."""

    key: str
    num_pages: int


def pdf(name: str, num_pages: int) -> bytes:
    """Return a document whose pages say its name and their number."""
    document: Any
    with pymupdf.open() as document:  # type: ignore[no-untyped-call]
        for number in range(1, num_pages + 1):
            document.new_page(width=300, height=200).insert_text((20, 40), said_by(name, number))
        content: bytes = document.tobytes()
    return content


def said_by(name: str, page_number: int) -> str:
    """Return what stands on a page."""
    return f"{name} page {page_number}"


def drop(s3: S3, prefix: str, count: int, *, num_pages: int = 3) -> list[Dropped]:
    """Upload documents, named 000.pdf and so on, and return them."""
    dropped = [Dropped(f"{prefix}/{number:03}.pdf", num_pages) for number in range(count)]
    for document in dropped:
        s3.put(document.key, pdf(document.key, num_pages))
    return dropped


def faults(s3: S3, output: str, dropped: Iterable[Dropped]) -> list[str]:
    """Return what is wrong with an output that must hold each page once, one sentence each; empty when nothing is.

    Reads the Parquet files with pyarrow alone and knows nothing of the program that wrote them.
    """
    rows = list(_rows(s3, f"{output}/transcript/pages/"))
    wanted = Counter((document.key, page) for document in dropped for page in range(1, document.num_pages + 1))
    found = Counter((_key(row), row["page_number"]) for row in rows)
    documents = Counter(_key(row) for row in _rows(s3, f"{output}/transcript/documents/"))
    return [
        *(f"lost: page {page} of {key}" for key, page in (wanted - found).elements()),
        *(f"double: page {page} of {key}" for key, page in (found - wanted).elements()),
        *(f"double: document {key}" for key, times in documents.items() if times > 1),
        *(f"lost: document {key}" for key in {key for key, _ in wanted} - documents.keys()),
        *(f"wrong: {row['source_uri']} {row['page_number']}: {row['page_text']}" for row in rows if not _is_right(row)),
    ]


def _is_right(row: Mapping[str, Any]) -> bool:
    return bool(row["status"] == "ok" and row["page_text"] == said_by(_key(row), row["page_number"]))


def _key(row: Mapping[str, Any]) -> str:
    return unquote(row["source_uri"]).removeprefix(f"s3://{BUCKET}/")


def _rows(s3: S3, prefix: str) -> Iterator[Mapping[str, Any]]:
    for key in s3.keys(prefix):
        yield from pq.read_table(io.BytesIO(s3.read(key))).to_pylist()


class Night:
    """A deployed Pagemill: a Prefect server, a worker, and what a test asks of them."""

    def __init__(self, folder: Path, server: PrefectServer, s3: S3) -> None:
        (folder / "tmp").mkdir()
        self.server = server
        self.s3 = s3
        self.environment = {
            **server.environment,
            **s3.environment,
            "TMPDIR": str(folder / "tmp"),
            "FLOWS_HOST": f"night-{uuid4().hex[:8]}",  # a worker ends runs that a dead one of its name has left
            "PAGEMILL_ENGINE": "ocr",
            "PAGEMILL_EXTRACTION": "transcript",
            "PAGEMILL_OCR_TEXT_LAYER": "only",  # pages are as fast to read as they are to render
            "PAGEMILL_OCR_WORKERS": "1",
            "PAGEMILL_RENDER_WORKERS": "1",
            "PAGEMILL_OUTPUT_FILES_SHARD_PAGES": "6",
        }
        self.worker = self.program("worker", "flows.worker")
        self._folder = folder

    def program(self, name: str, *words: str) -> Process:
        """Return a module of ours as a program that is not started yet."""
        return Process([sys.executable, "-m", *words], self.environment, self.server.log.with_name(f"{name}.log"))

    def command(self, *words: str) -> str:
        """Run a module to its end and return its output; AssertionError with that when it fails."""
        done = subprocess.run(
            [sys.executable, "-m", *words],
            cwd=ROOT,
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def start(self, deployment: str, **parameters: str) -> None:
        """Do what `prefect deployment run` does, in less time."""
        found = self.server.ask(f"deployments/name/ocr/{deployment}")["id"]
        self.server.ask(
            f"deployments/{found}/create_flow_run", {"parameters": parameters, "state": {"type": "SCHEDULED"}}
        )

    def cancel(self, run: Mapping[str, Any]) -> None:
        """Do what `prefect flow-run cancel` does."""
        self.server.ask(f"flow_runs/{run['id']}/set_state", {"state": {"type": "CANCELLING", "name": "Cancelling"}})

    def runs(self, deployment: str) -> list[dict[str, Any]]:
        """Return the runs of a deployment of `ocr`, the first one first."""
        asked = {"deployments": {"name": {"any_": [deployment]}}, "sort": "EXPECTED_START_TIME_ASC"}
        found: list[dict[str, Any]] = self.server.ask("flow_runs/filter", asked)
        return [run for run in found if run["state_type"] != "SCHEDULED" or not run["auto_scheduled"]]

    def wait_for(self, deployment: str, *states: str, give_up_s: float = 60) -> dict[str, Any]:
        """Return the last run of a deployment once it is in one of these states; another end is an error."""

        def look() -> dict[str, Any] | None:
            for run in self.runs(deployment)[-1:]:
                if run["state_type"] in states:
                    return run
                assert run["state_type"] not in FINAL, (
                    f"{run['name']} is {run['state_name']}: {self.worker.said()[-6000:]}"
                )
            return None

        return wait_until(look, f"{deployment} to be {states}; {self.worker.log} says more", give_up_s=give_up_s)

    def wait_for_parts(self, deployment: str, output: str, count: int = 1) -> None:
        """Return when a deployment's last run runs and so many parts are committed."""

        def look() -> bool:
            committed = self.s3.keys(f"{output}/transcript/documents/")
            return len(committed) >= count and bool(self.wait_for(deployment, "RUNNING"))

        wait_until(look, f"{count} parts in {output}; {self.worker.log} says more")
