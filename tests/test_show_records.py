"""How files of several records, and pages that contradict each other, are shown."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from made_records import NOON, Bill, document, identity

from pipeline.data import Conflict, DocumentRecord, RecordPart, Status
from pipeline.results import open_results
from pipeline.show import print_results
from pipeline.sink import ShardWriter
from pipeline.storage import open_storage

if TYPE_CHECKING:
    from pathlib import Path


def part(first_page: int, last_page: int, seller: str, *conflicts: Conflict) -> RecordPart:
    """Return a record of these pages."""
    return RecordPart(first_page, last_page, Bill(seller=seller).model_dump(), conflicts=conflicts)


def shown(folder: Path, *parts: RecordPart, limit: int = 20) -> list[str]:
    """Return what a person sees of a file with these records, and of another file."""
    storage = open_storage(str(folder))
    with_pages = replace(document("batch.pdf"), num_pages=9)
    writer = ShardWriter(storage, Bill, identity(), folder=folder)
    for one, its_parts in ((with_pages, parts), (document("one.pdf"), (part(1, 1, "Alone"),))):
        record = its_parts[0].record
        times = NOON, NOON + timedelta(seconds=1)
        writer.add_document(DocumentRecord(one, Status.OK, record, one.num_pages, 0, None, *times, parts=its_parts))
    writer.commit("1")
    stream = io.StringIO()
    print_results(open_results(str(folder)), stream, limit=limit)
    return stream.getvalue().splitlines()


def test_each_record_of_a_file_has_its_line(tmp_path: Path) -> None:
    """A batch of invoices in one file is what it is: several invoices."""
    lines = shown(tmp_path, part(1, 2, "ACME"), part(3, 3, "Corner Shop"))
    assert [line.split()[:4] for line in lines if ".pdf" in line] == [
        ["batch.pdf", "p.", "1-2", "ACME"],
        ["batch.pdf", "p.", "3", "Corner"],
        ["one.pdf", "1", "Alone"],
    ]


def test_records_beyond_the_limit_are_counted(tmp_path: Path) -> None:
    """A file may hold thousands."""
    lines = shown(tmp_path, *(part(page, page, "ACME") for page in range(1, 8)), limit=3)
    assert sum("batch.pdf" in line for line in lines) == 3
    assert "… and 5 more records of these documents" in lines


def test_conflicts_are_shown_with_their_pages(tmp_path: Path) -> None:
    """Somebody must look there; what pages say is escaped."""
    lines = shown(tmp_path, part(1, 2, "ACME", Conflict("total", ((1, "99.5"), (2, "30\x1b[2J")))))
    assert "total of batch.pdf: 99.5 (page 1), 30\\x1b[2J (page 2)" in lines
