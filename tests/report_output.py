"""An output for tests of what people are shown: two nights, a real PDF with measured boxes, hostile names, failures."""

# mypy: disable-error-code="no-untyped-call"
# pymupdf has no types.

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pymupdf
from made_records import NOON, Bill, commit, document, failed_page, identity, ok_page, unopened
from rendering import SPEC, open_file, ref

from pipeline.config import RunConfig
from pipeline.corrections import Action, Correction, Corrections, CorrectionWriter, canonical
from pipeline.data import Attempt, Box, Breach, FieldEvidence, FinishReason, PageRecord, TrySettings, Verdict
from pipeline.layout import quarantine_key
from pipeline.stats import HourRow, RunRow, RunState, write_run, write_stats
from pipeline.storage import open_storage

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.data import Document, PageImage, TextLine
    from pipeline.render import Renderer
    from pipeline.storage import Storage

HOSTILE = '"><script>alert(1)<script> \u202egpj.exe & \x1b[2J.pdf'
"""A file name that would like to be markup, steer a terminal and read backwards."""
EVIL = "</script><img src=x onerror=alert(2)>\u202e \x07 {{ 7*7 }} ' \" <b>bold</b>"
"""A value likewise."""
LATER = NOON + timedelta(days=1)
FIRST = identity()
SECOND = identity(run_id="run-2")


@dataclass(frozen=True)
class Made:
    """An output, and what is known of it."""

    output: Path
    pdf: Path
    boxes: dict[str, Box]
    """Where the values of the first page of `pdf` are printed, by path."""
    size: tuple[int, int]
    """Of its page images, in pixels."""


def make_output(folder: Path, renderer: Renderer) -> Made:
    """Write the output of two runs."""
    output, pdf = folder / "out", folder / "in" / "real.pdf"
    pdf.parent.mkdir()
    _draw(pdf)
    storage = open_storage(str(output))
    opened = open_file(renderer, pdf)
    images = [renderer.render(opened, pdf, number, SPEC).result() for number in (1, 2)]
    real = tuple(_real_page(opened, image) for image in images)
    gone = document("gone.pdf")
    clear: dict[str, Any] = dict.fromkeys(("evidence", "breaches", "review_reasons"), ())
    before = (ok_page(gone, record=bill(seller="Old name", total="1.00"), **clear),)
    commit(storage, "first", real, before, (ok_page(document("breaks.pdf", sha256="b" * 64), **clear),), run=FIRST)
    after = (ok_page(gone, record=bill(seller="New name", total="1.00"), **clear),)
    hostile = (ok_page(_named(HOSTILE), record=bill(seller=EVIL), **clear),)
    doubt = (found("seller", EVIL, 0.5),)
    hostile = (replace(hostile[0], evidence=doubt, review_reasons=("doubtful: seller",), raw_text=EVIL),)
    failed = (failed_page(document("breaks.pdf", sha256="b" * 64), message=f"Cut off: {EVIL}"),)
    commit(storage, "second", after, hostile, failed, (unopened("locked.pdf"),), run=SECOND, finished_at=LATER)
    key = quarantine_key("bill", failed[0].document.ref.uri, 1, ".png")
    picture = folder / "sent.png"
    renderer.save(opened, pdf, 1, SPEC, picture).result()
    storage.put(key, picture)
    _tell_runs(storage)
    _correct(storage, gone)
    boxes = {evidence.path: evidence.box for evidence in real[0].evidence if evidence.box}
    return Made(output, pdf, boxes, (images[0].width_px, images[0].height_px))


def bill(**values: Any) -> dict[str, Any]:
    """Return a record."""
    return Bill.model_validate(values).model_dump()


def found(path: str, text: str | None, confidence: float | None, line: TextLine | None = None, page: int = 1) -> Any:
    """Return where a value stands."""
    box = line.box if line else Box(20.0, 30.0, 220.0, 50.0) if text else None
    verdict = Verdict.EXACT if text else Verdict.NOT_FOUND
    return FieldEvidence(path, page, verdict, text, box, 1.0 if text else None, confidence=confidence)


def _draw(pdf: Path) -> None:
    drawn = pymupdf.open()
    for lines in (("ACME GmbH", "Musterstadt", "Summe 12,50 EUR"), ("Schrauben", "Muttern")):
        page = drawn.new_page(width=595, height=842)
        for number, line in enumerate(lines):
            page.insert_text((80, 100 + 120 * number), line, fontsize=18)
    drawn.save(pdf)
    drawn.close()


def _real_page(opened: Document, image: PageImage) -> PageRecord:
    assert image.text_layer
    lines = {line.text: line for line in image.text_layer.lines}
    tried = Attempt(TrySettings(1, 99, 0.0, constrained=True, render=SPEC), FinishReason.STOP, "{}", None)
    facts: dict[str, Any] = {"width_px": image.width_px, "height_px": image.height_px, "full_pixels": image.full_pixels}
    facts |= {"attempts": (tried,), "rotation_deg": 0}
    if image.page_number == 2:
        items = [{"description": name, "line_total": "3.00"} for name in lines]
        evidence = [
            found(f"line_items[{row}].description", text, 0.99, lines[text], 2) for row, text in enumerate(lines)
        ]
        return ok_page(opened, 2, record=bill(line_items=items), evidence=tuple(evidence), breaches=(), **facts)
    total = found("total", "Summe 12,50 EUR", 0.62, lines["Summe 12,50 EUR"])
    evidence = [found("seller", "ACME GmbH", 0.98, lines["ACME GmbH"]), found("date", None, 0.2), total]
    return ok_page(
        opened,
        1,
        record=bill(seller="ACME GmbH", date="2026-02-03", total=Decimal("12.5"), count=12345),
        evidence=tuple(evidence),
        breaches=(Breach("lines_add_up", "The lines sum to 6.00, the total is 12.50.", ("total",)),),
        review_reasons=("doubtful: total", "doubtful: date", "breach: lines_add_up"),
        **facts,
    )


def _named(name: str) -> Document:
    of = document(sha256="c" * 64)
    return replace(of, ref=replace(ref_of(name), size_bytes=1))


def ref_of(name: str) -> Any:
    """Return a reference to a file of any name that is not there."""
    from pipeline.source import path_uri

    return replace(document().ref, uri=path_uri(f"/in/{name}"))


def _correct(storage: Storage, of: Document) -> None:
    """Say that one value was another, as `pagemill review` does."""
    seen, value = (canonical(Decimal(text)) for text in ("1.000000", "2.50"))
    one = Correction(of.sha256, 1, "total", Action.CORRECT, "Anna", seen=seen, value=value)
    CorrectionWriter(storage, "bill", Corrections.load(storage, "bill")).save([one])


def _tell_runs(storage: Storage) -> None:
    config = RunConfig(input="in", output="out")
    for run, begun, pages in ((FIRST, NOON, 4000), (SECOND, LATER, 5000)):
        row = RunRow.begun(run, config)
        ended = begun + timedelta(hours=2)
        write_run(storage, replace(row, started_at=begun, finished_at=ended, state=RunState.FINISHED, documents_done=3))
        hours = [
            HourRow(
                hour=begun + timedelta(hours=number),
                wall_s=3600.0,
                busy_s=3500.0,
                pages_ok=pages - 100 * number,
                pages_failed=100 * number,
                documents_ok=40,
                price_per_hour=Decimal("0.62"),
                currency="USD",
                cost=Decimal("0.62"),
            )
            for number in range(2)
        ]
        write_stats(storage, run, hours)


__all__ = ["EVIL", "HOSTILE", "Made", "bill", "found", "make_output", "ref"]
