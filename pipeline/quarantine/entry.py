"""What an entry of the quarantine says."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pipeline.errors import WHAT_HELPS

if TYPE_CHECKING:
    from pipeline.data import Attempt, Json, PageRecord, RunIdentity


def facts_of(record: PageRecord, identity: RunIdentity) -> Json:
    """Return what is known of a failure, the order for a person to read it in."""
    document, error, read_by = record.document, record.error, record.read_by or identity
    return {
        "source": document.ref.name,
        "page_number": record.page_number,
        "num_pages": document.num_pages,
        "error_type": error.error_type.value if error else None,
        "error_message": str(error) if error else None,
        "what_helps": WHAT_HELPS[error.error_type] if error else None,
        "extraction": identity.extraction,
        "engine": read_by.engine,
        "model": read_by.model,
        "tries": [_try_facts(attempt) for attempt in record.attempts],
        "source_uri": document.ref.uri,
        "sha256": document.sha256 or None,
        "finished_at": record.finished_at.isoformat(),
        "run_id": identity.run_id,
        "prompt_sha256": read_by.prompt_sha256,
        "schema_sha256": read_by.schema_sha256,
    }


def _try_facts(attempt: Attempt) -> Json:
    settings = attempt.settings
    return {
        "number": settings.number,
        "max_tokens": settings.max_tokens,
        "temperature": settings.temperature,
        "constrained": settings.constrained,
        "max_pixels": settings.render.max_pixels,
        "legible_px": settings.render.legible_px,
        "rotation_deg": settings.render.rotation_deg,
        "seed": settings.seed,
        "finish_reason": attempt.finish_reason.value,
        "error_type": attempt.error_type.value if attempt.error_type else None,
        "error_message": str(attempt.error) if attempt.error else None,
        "prompt_tokens": attempt.prompt_tokens,
        "output_tokens": attempt.output_tokens,
        "raw_text": attempt.raw_text,
    }


def as_json(facts: Json) -> str:
    """Return JSON that people can read in a terminal: letters as they are, whatever may steer it escaped."""
    text = json.dumps(facts, ensure_ascii=False, indent=2)
    return "".join(char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in text) + "\n"
