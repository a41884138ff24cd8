"""What the tests of hostile input share: whole runs with an engine that answers as told, and PDFs written by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds

from pipeline.config import RunConfig
from pipeline.data import Generation, PageRequest
from pipeline.engines import EngineChoice
from pipeline.engines.scripted import ScriptedEngine
from pipeline.run import RunReport, run

Answer = Callable[[PageRequest], Generation | str]

RECEIPT = json.dumps({"seller": "Corner Shop", "total": "12,50 €", "line_items": [{"description": "Tea"}]})


def run_receipts(folder: Path, answer: Answer = lambda _: RECEIPT, **render: object) -> RunReport:
    """Run `receipt` over folder/in into folder/out."""
    engine = ScriptedEngine(answer)
    settings = {
        "input": str(folder / "in"),
        "output": str(folder / "out"),
        "extraction": "receipt",
        "tries": {"max_tries": 1},
        "render": {"workers": 1, **render},
    }
    return run(RunConfig.model_validate(settings), engine=EngineChoice(engine.info, lambda: engine, max_pixels=100_000))


def rows(folder: Path, table: str) -> list[dict[str, Any]]:
    """Return a table of the output as it lies in its files."""
    found: list[dict[str, Any]] = (
        ds.dataset(folder / "out" / "receipt" / table, format="parquet").to_table().to_pylist()
    )
    return found


def page_text(*lines: str) -> str:
    """Return a content stream that writes `lines` on a page of 300 x 300 points."""
    shown = " T* ".join(f"({line}) Tj" for line in lines)
    return stream(f"BT /F1 12 Tf 14 TL 20 250 Td {shown} ET")


def stream(content: str, entries: str = "") -> str:
    """Return a PDF stream object."""
    return f"<< /Length {len(content)} {entries} >>\nstream\n{content}\nendstream"


def raw_pdf(*objects: str, catalog: str = "", page: str = "") -> bytes:
    """Return a PDF of one page written by hand.

    Args:
        objects: Number 4 on; number 4 is the page's content.
        catalog: Further entries of the catalog.
        page: Further entries of the page.
    """
    font = "<< /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >>"
    every = [
        f"<< /Type /Catalog /Pages 2 0 R {catalog} >>",
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 300 300] /Contents 4 0 R /Resources {font} {page} >>",
        *objects,
    ]
    body, offsets = "%PDF-1.7\n", []
    for number, text in enumerate(every, 1):
        offsets.append(len(body))
        body += f"{number} 0 obj\n{text}\nendobj\n"
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    size = len(every) + 1
    trailer = f"trailer\n<< /Root 1 0 R /Size {size} >>\nstartxref\n{len(body)}\n%%EOF\n"
    return f"{body}xref\n0 {size}\n0000000000 65535 f \n{table}{trailer}".encode("latin-1")
