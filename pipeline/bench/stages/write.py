"""Writing alone: page records to committed Parquet, against pyarrow writing the same columns from plain values."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.bench.stages.measuring import Work
from pipeline.data import (
    Attempt,
    Box,
    Document,
    DocumentRecord,
    DocumentRef,
    FinishReason,
    PageRecord,
    RenderSpec,
    RunIdentity,
    Status,
    TextLine,
    TrySettings,
)
from pipeline.extraction import load_extraction
from pipeline.sink import ShardWriter
from pipeline.storage import open_storage

EXTRACTION = "transcript"
LINES, WORDS = 45, 9
"""Of a page; about 400 tokens, each with its log-probability."""
PAGES = 8
"""Of a document."""
_NOW = datetime(2026, 1, 1, tzinfo=UTC)
_SETTINGS = TrySettings(1, 2048, 0, constrained=False, render=RenderSpec(1_003_520))
_IDENTITY = RunIdentity(
    *("20260101T000000Z-abcdef", EXTRACTION, "p" * 64, "s" * 64, "f" * 16, "vllm", "model", "revision", "1.0"),
    *("awq", "fp8", "1.0", "l" * 16),
)


class WriteStage:
    """Writes records of generated pages, one shard a round; in one thread, as runs do."""

    name = "write"
    reference = "pyarrow"
    processes = 1

    def __init__(self, *, pages: int) -> None:
        """Make the records, and from one shard of them the plain values that pyarrow is given."""
        self._folder = tempfile.TemporaryDirectory(prefix="pagemill-write-")
        self._storage = open_storage(str(Path(self._folder.name, "out")))
        self._model = load_extraction(EXTRACTION, ()).model
        draw = Random(0)
        documents = [_document(number) for number in range(-(-pages // PAGES))]
        self._records = [_page(documents[number // PAGES], number % PAGES + 1, draw) for number in range(pages)]
        self._documents = [_merged(document) for document in documents]
        self.work()
        self._table = pq.read_table(next(Path(self._folder.name).glob("**/pages/*.parquet")))
        self._values: dict[str, Any] = self._table.to_pydict()

    def work(self) -> Work:
        """Convert, write and commit all records."""
        writer = ShardWriter(self._storage, self._model, _IDENTITY, folder=Path(self._folder.name))
        try:
            for page in self._records:
                writer.add_page(page)
            for document in self._documents:
                writer.add_document(document)
            writer.commit("0" * 16)
        finally:
            writer.discard()
        return Work(len(self._records), _size(Path(self._folder.name, "out")))

    def reference_work(self) -> Work:
        """Convert and write the columns of the pages table."""
        path = Path(self._folder.name, "bare.parquet")
        table = pa.Table.from_pydict(self._values, self._table.schema)
        pq.write_table(table, path, compression="zstd", compression_level=3)
        return Work(len(self._records), path.stat().st_size)

    def close(self) -> None:
        """Delete what was written."""
        self._folder.cleanup()


def _document(number: int) -> Document:
    ref = DocumentRef(f"file:///in/{number:06}.pdf", 100_000 + number, _NOW)
    return Document(ref, f"{number:064x}", "application/pdf", PAGES)


def _page(document: Document, number: int, draw: Random) -> PageRecord:
    lines = [" ".join(f"{draw.getrandbits(32):x}" for _ in range(WORDS)) for _ in range(LINES)]
    text = "\n".join(lines)
    tokens = text.split()
    attempt = Attempt(_SETTINGS, FinishReason.STOP, text, None, prompt_tokens=1700, output_tokens=len(tokens))
    return PageRecord(
        *(document, number, Status.OK, _NOW, _NOW),
        record={"text": text},
        raw_text=text,
        lines=tuple(TextLine(line, Box(50, 20 * y, 800, 20 * y + 16), 0.98) for y, line in enumerate(lines)),
        token_logprobs=tuple((token, -draw.random()) for token in tokens),
        attempts=(attempt,),
        width_px=896,
        height_px=1120,
        dpi=108.0,
        rotation_deg=0,
        render_s=0.02,
    )


def _merged(document: Document) -> DocumentRecord:
    return DocumentRecord(document, Status.OK, {"text": "a"}, PAGES, 0, None, _NOW, _NOW)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*.parquet"))
