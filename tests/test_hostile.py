"""Whole runs over hostile files, names, file trees and pages: every one ends in its rows, and harms no other."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hostile_inputs import RECEIPT, page_text, raw_pdf, rows, run_receipts

from pipeline import cli
from pipeline.data import PageRequest
from pipeline.source import path_of

CORPUS = Path(__file__).parent / "hostile"
EXPECTED: dict[str, dict[str, Any]] = json.loads((CORPUS / "_expected.json").read_text())


def test_every_hostile_file_ends_in_its_rows_with_the_reason_and_the_flags_it_deserves(tmp_path: Path) -> None:
    """Encrypted, truncated, fuzzed, cyclic, too large, empty, repaired, misnamed: see tests/hostile/_LICENSES.md."""
    (tmp_path / "in").symlink_to(CORPUS)
    report = run_receipts(tmp_path, workers=2)
    found: dict[str, dict[str, Any]] = {}
    pages = rows(tmp_path, "pages")
    for document in rows(tmp_path, "documents"):
        own = [page for page in pages if page["source_uri"] == document["source_uri"]]
        if not document["num_pages"]:
            outcome: dict[str, Any] = {"error_type": document["error_type"]}
            assert [page["error_type"] for page in own] == [document["error_type"]]
        else:
            outcome = {"pages": dict(Counter(page["error_type"] or "ok" for page in own))}
            assert sorted(page["page_number"] for page in own) == list(range(1, document["num_pages"] + 1))
        if document["flags"]:
            outcome["flags"] = document["flags"]
        found[Path(document["source_uri"]).name] = outcome
    assert found == EXPECTED
    assert report.pages_found == len(pages)


HOSTILE_NAMES: list[str | bytes] = [
    "new\nline.pdf",
    "tab\tand\rreturn.pdf",
    "quote'\"`$(touch pwned)`.pdf",
    "-rf.pdf",
    "a.pdf?x#y%41&z",
    b"invalid-\xff\xfe.pdf",
    "\u202egpj.exe.pdf",
    "\x1b]0;owned\x07\x1b[2J.pdf",
    "{{7*7}}{0}%s.pdf",
    "255 bytes" + "..pdf" * 49 + "!",
    "a\\..\\b.pdf",
    "[bold red].pdf",
    "~root.pdf",
    " .pdf ",
]


def test_names_are_only_names(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Whatever a file is called, it has one row that leads back to it, and no terminal obeys it."""
    (tmp_path / "in").mkdir()
    paths = {os.path.join(os.fsencode(tmp_path / "in"), os.fsencode(name)) for name in HOSTILE_NAMES}  # noqa: PTH118 - bytes
    for path in paths:
        Path(os.fsdecode(path)).write_bytes(raw_pdf(page_text("Total 42")))
    before = set(tmp_path.iterdir())
    run_receipts(tmp_path)
    for table in ("pages", "documents"):
        uris = [row["source_uri"] for row in rows(tmp_path, table)]
        assert {os.fsencode(path_of(uri)) for uri in uris} == paths
        assert len(uris) == len(paths)
    capfd.readouterr()
    for arguments in ([], ["--json"]):
        cli.main(["show", str(tmp_path / "out"), *arguments])
    printed = capfd.readouterr()
    assert not set(printed.out + printed.err) & set("\x1b\x07\r\t\u202e")
    assert set(tmp_path.iterdir()) - before == {tmp_path / "out"}


@contextlib.contextmanager
def _socket_at(path: Path) -> Any:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        yield


def test_a_tree_of_traps_ends_with_a_row_for_each(tmp_path: Path) -> None:
    """Nothing is waited for, walked for ever or read twice, and what cannot be read says so."""
    tree = tmp_path / "in"
    (tree / "folder.pdf").mkdir(parents=True)
    good = raw_pdf(page_text("Total 42"))
    for name in ("good.pdf", "folder.pdf/inner.pdf"):
        (tree / name).write_bytes(good)
    os.link(tree / "good.pdf", tree / "hard-link.pdf")
    os.mkfifo(tree / "pipe.pdf")
    links = {"zero.pdf": "/dev/zero", "tty.pdf": "/dev/tty", "dangling.pdf": "nowhere", "loop.pdf": "loop.pdf"}
    links |= {"up": "..", "self": ".", "link.pdf": "good.pdf"}
    for name, target in links.items():
        (tree / name).symlink_to(target)
    with _socket_at(tree / "socket.pdf"):
        run_receipts(tmp_path)
    found = {
        str(path_of(row["source_uri"]).relative_to(tree)): row["error_type"] for row in rows(tmp_path, "documents")
    }
    unreadable = ("pipe.pdf", "zero.pdf", "tty.pdf", "dangling.pdf", "loop.pdf", "socket.pdf")
    assert found == dict.fromkeys(("good.pdf", "folder.pdf/inner.pdf", "hard-link.pdf", "link.pdf")) | dict.fromkeys(
        unreadable, "unreadable"
    )
    assert len(rows(tmp_path, "pages")) == len(found)


def _shorten(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _lengthen(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def _replace(path: Path) -> None:
    other = path.with_name("_other")
    other.write_bytes(raw_pdf(page_text("another")))
    other.replace(path)


def _link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("change", [Path.unlink, _shorten, _lengthen, _replace, _link])
def test_files_that_change_under_the_run_have_one_row_a_page(tmp_path: Path, change: Callable[[Path], None]) -> None:
    """Some change once they are opened, some between two of their pages; those before that are left to the next run."""
    import pymupdf

    (tmp_path / "in").mkdir()
    made: Any
    with pymupdf.open() as made:  # type: ignore[no-untyped-call]
        for number in range(12):
            made.new_page().insert_text((50, 50), f"page {number}")
        content = made.tobytes()
    paths = [tmp_path / "in" / f"{number:02}.pdf" for number in range(8)]
    for path in paths:
        path.write_bytes(content)
    asked = Counter[str]()

    def answer(_: PageRequest) -> str:
        asked["pages"] += 1
        if asked["pages"] == 3:
            for path in paths:
                change(path)
        return RECEIPT

    report = run_receipts(tmp_path, answer, ahead_pages=2)
    pages, documents = rows(tmp_path, "pages"), rows(tmp_path, "documents")
    assert len({row["source_uri"] for row in documents}) == len(documents) == len(paths) - report.documents_carried_over
    assert len({(row["source_uri"], row["page_number"]) for row in pages}) == len(pages) == report.pages_found
    assert {row["error_type"] for row in pages} <= {None, "unreadable", "damaged"}
    for document in documents:
        own = [row["page_number"] for row in pages if row["source_uri"] == document["source_uri"]]
        opened = document["num_pages"]
        assert sorted(own) == list(range(1, opened + 1)) if opened else own == [None]
        assert len({row["sha256"] for row in pages if row["source_uri"] == document["source_uri"]}) == 1
    if report.documents_carried_over:
        assert run_receipts(tmp_path).documents_carried_over == 0
    assert {path_of(row["source_uri"]) for row in rows(tmp_path, "documents")} == set(paths)
