"""Mutated outputs of a model through validation, salvage and the columns of the pages table."""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from pipeline.data import Document, DocumentRef, Json, PageRecord, RunIdentity, Status
from pipeline.errors import ErrorType, GenerationInvalid
from pipeline.extraction import Extraction, list_extractions
from pipeline.sink.tables import RowTable

from .mutations import mutated

SLOW_S = 2.0
"""Far beyond what an output of a few kilobytes may take."""
STRANGE = (
    '"\\ud800"',
    '"\\u0000"',
    "1e999",
    "-0.0",
    "NaN",
    "Infinity",
    "[[[[[[]]]]]]",
    "{}",
    '"9"',
    "99999999999999999999",
)
FILLED = {
    "seller": "Corner Shop",
    "date": "12/03/2018",
    "total": "1.234,56 €",
    "tax": "-0,00",
    "currency": "EUR",
    "text": "Dear Sir,\nyours",
    "line_items": [{"description": "Tea", "quantity": "2", "unit_price": "3,50", "line_total": "7,00"}] * 3,
}


class OutputFuzzer:
    """Tries one mutated output after the other."""

    def __init__(self, dice: random.Random, saved: Path) -> None:
        self._dice = dice
        self._saved = saved
        self._extractions = list(list_extractions())
        self._tables = [RowTable.of_pages(extraction.model, _identity(extraction)) for extraction in self._extractions]
        seeds = [FILLED, *(dict.fromkeys(found.model.model_fields, "1") for found in self._extractions)]
        self._corpus = [json.dumps(seed).encode() for seed in seeds]
        self._corpus += [f"```json\n{json.dumps(FILLED)}\n```".encode(), b'{"line_items": [' * 50]

    def try_one(self, outcomes: Counter[str], faults: list[str]) -> None:
        """Enter what came of a mutated output."""
        which = self._dice.randrange(len(self._extractions))
        text = self._text()
        started = time.perf_counter()
        try:
            outcome = self._outcome(self._extractions[which], self._tables[which], text)
        except Exception as error:  # noqa: BLE001 - that is what is looked for
            outcome = type(error).__name__
            faults.append(f"output: {type(error).__name__}: {error} [{self._save(text)}, {which}]")
        if time.perf_counter() - started > SLOW_S:
            faults.append(f"output: took {time.perf_counter() - started:.1f} s [{self._save(text)}, {which}]")
        outcomes[f"output: {outcome}"] += 1

    def _text(self) -> str:
        if self._dice.random() < 0.5:  # valid JSON with strange values reaches further than broken JSON
            strange = self._dice.choice(STRANGE)
            values = {name: json.dumps(value) for name, value in FILLED.items()}
            values[self._dice.choice(list(values))] = strange
            return "{" + ", ".join(f'"{name}": {value}' for name, value in values.items()) + "}"
        return mutated(self._dice, self._corpus).decode(errors="replace")

    def _outcome(self, extraction: Extraction, table: RowTable, text: str) -> str:
        try:
            record: Json | None = extraction.validate(text)
        except GenerationInvalid as error:
            if error.error_type is not ErrorType.OUTPUT_INVALID:
                raise
            record = extraction.salvage(text)
            outcome = "salvaged" if record else "refused"
        else:
            outcome = "valid"
        table.batch([_page(record, text)])
        return outcome

    def _save(self, text: str) -> Path:
        kept = self._saved / f"output-{hashlib.sha256(text.encode(errors='replace')).hexdigest()[:12]}"
        kept.write_text(text, errors="surrogatepass")
        return kept


def _page(record: Json | None, raw_text: str) -> PageRecord:
    now = datetime.now(UTC)
    document = Document(DocumentRef("file:///in/a.pdf", 1, None), "a" * 64, "application/pdf", 1)
    return PageRecord(document, 1, Status.OK, now, now, record=record, raw_text=raw_text)


def _identity(extraction: Extraction) -> RunIdentity:
    return RunIdentity(
        run_id="run",
        extraction=extraction.name,
        prompt_sha256=extraction.prompt_sha256,
        schema_sha256=extraction.schema_sha256,
        fingerprint="0" * 16,
        engine="scripted",
        model="scripted",
        revision="1",
        engine_version="1",
        quantisation=None,
        kv_cache_dtype=None,
        pagemill_version="0",
    )
