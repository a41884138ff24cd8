"""What an output must be once a run has completed, whatever was done to the runs before.

Reads the Parquet files with pyarrow alone and knows nothing of the program that wrote them.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

from .workload import Source, is_blank, never_read, seller

Row = dict[str, Any]


class Output:
    """All rows of one extraction, part by part."""

    def __init__(self, folder: Path) -> None:
        self.damaged: list[str] = []
        self.pages = self._parts(folder / "pages")
        self.documents = self._parts(folder / "documents")
        self.statistics = self._parts(folder / "stats")

    def committed_pages(self) -> list[Row]:
        """Return the page rows that count: a documents part of the same name says so."""
        return [row for name, rows in self.pages.items() if name in self.documents for row in rows]

    def committed_documents(self) -> list[Row]:
        """Return the document rows."""
        return [row for rows in self.documents.values() for row in rows]

    def committed_content(self) -> set[tuple[str, int]]:
        """Return (SHA-256, page number) of what is committed."""
        return {(row["sha256"], row["page_number"]) for row in self.committed_pages() if row["page_number"]}

    def _parts(self, folder: Path) -> dict[str, list[Row]]:
        """Return the rows of each file; a short one does not read at all."""
        parts = {}
        for path in sorted(folder.glob("*.parquet")):
            try:
                parts[path.name] = pq.read_table(path).to_pylist()
            except (pa.ArrowInvalid, OSError) as error:
                self.damaged.append(f"short: {path}: {error}")
        return parts


def faults(output: Output, input_folder: Path, sources: Sequence[Source]) -> list[str]:
    """Return what is wrong with the output of a completed run, one sentence each; empty when nothing is."""
    return [
        *output.damaged,
        *_missing_and_double(output, input_folder, sources),
        *_bad_parts(output),
        *_bad_rows(output, input_folder, sources),
        *_bad_statistics(output),
    ]


def leftovers(*folders: Path) -> list[str]:
    """Return the temporary files that lie in these folders."""
    found = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    names = [str(path) for path in found if path.name.startswith(".") or path.suffix != ".parquet"]
    return [f"left over: {name}" for name in names if "/quarantine/" not in name and not name.endswith("/_lease")]


def _expected(input_folder: Path, sources: Sequence[Source]) -> Iterator[tuple[str, int | None]]:
    """Yield (path, page number) of every row there must be."""
    for source in sources:
        path = str(input_folder / source.name)
        yield from ((path, number) for number in range(1, source.num_pages + 1) or [None])


def _missing_and_double(output: Output, input_folder: Path, sources: Sequence[Source]) -> Iterator[str]:
    wanted = Counter(_expected(input_folder, sources))
    found = Counter((_path(row), row["page_number"]) for row in output.committed_pages())
    yield from (f"lost: page {number} of {path}" for path, number in (wanted - found).elements())
    yield from (f"double: page {number} of {path}" for path, number in (found - wanted).elements())
    documents = Counter(_path(row) for row in output.committed_documents())
    for source in sources:
        times = documents.pop(str(input_folder / source.name), 0)
        if times != 1:
            yield f"{'lost' if times == 0 else 'double'}: document {source.name} has {times} rows"
    yield from (f"double: {path} is no document of the input" for path in documents)


def _bad_parts(output: Output) -> Iterator[str]:
    yield from (f"orphan: {name} has no documents part" for name in output.pages.keys() - output.documents.keys())
    yield from (f"orphan: {name} has no pages part" for name in output.documents.keys() - output.pages.keys())
    for name, documents in output.documents.items():
        held = Counter(row["source_uri"] for row in output.pages.get(name, ()))
        wanted = {row["source_uri"]: max(row["num_pages"], 1) for row in documents}
        if held != wanted:
            yield f"short: the pages of {name} are not those of its documents"
        for row in documents:
            failed = [page for page in output.pages.get(name, ()) if page["source_uri"] == row["source_uri"]]
            failed = [page for page in failed if page["status"] == "failed"]
            if (row["pages_failed"], row["pages_ok"]) != (len(failed), max(row["num_pages"], 1) - len(failed)):
                yield f"wrong: the counts of {row['source_uri']}"


def _bad_rows(output: Output, input_folder: Path, sources: Sequence[Source]) -> Iterator[str]:
    by_path = {str(input_folder / source.name): source for source in sources}
    for row in output.committed_pages():
        source = by_path.get(_path(row))
        if source and (fault := _fault_of_page(row, source, input_folder)):
            yield f"wrong: page {row['page_number']} of {source.name}: {fault}"


def _fault_of_page(row: Row, source: Source, input_folder: Path) -> str | None:
    if source.error_type:
        return None if row["error_type"] == source.error_type else f"{row['error_type']}, not {source.error_type}"
    if row["sha256"] != hashlib.sha256((input_folder / source.name).read_bytes()).hexdigest():
        return "the hash of another content"
    return wrong_values(row, source.number)


def wrong_values(row: Row, number: int) -> str | None:
    """Return what is wrong with the outcome of a page of the document `number`; None when nothing is."""
    if never_read(number, row["page_number"]):
        return None if row["error_type"] == "output_invalid" else f"{row['error_type']}, not output_invalid"
    if row["status"] != "ok":
        return f"{row['error_type']}: {row['error_message']}"
    if (row["answered_by"] == "blank") != is_blank(number, row["page_number"]):
        return f"answered by {row['answered_by']}"
    record = row["record"]
    if is_blank(number, row["page_number"]):
        return f"something on a blank page: {record}" if any(record.values()) else None
    said = (record["seller"], record["total"])
    return None if said == (seller(number), row["page_number"]) else f"the record of another page: {said}"


def _bad_statistics(output: Output) -> Iterator[str]:
    counted: Counter[str] = Counter()
    for row in (row for rows in output.statistics.values() for row in rows):
        counted.update({name: row[name] for name in ("pages_ok", "pages_failed", "documents_ok", "documents_failed")})
    wanted = Counter(f"pages_{row['status']}" for row in output.committed_pages())
    wanted.update(f"documents_{row['status']}" for row in output.committed_documents())
    if +counted != wanted:
        yield f"statistics: counted {dict(counted)}, committed {dict(wanted)}"


def _path(row: Row) -> str:
    return unquote(row["source_uri"].removeprefix("file://"))
