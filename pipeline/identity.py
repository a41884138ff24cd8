"""What makes two runs give the same records: the fingerprint in every row."""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pipeline import __version__
from pipeline.data import RunIdentity

if TYPE_CHECKING:
    from pipeline.config import RunConfig
    from pipeline.engines.base import EngineInfo
    from pipeline.extraction import Extraction


_RENDER_LIMITS = {"timeout_s", "memory_limit_mb", "max_file_mb", "max_pages", "max_source_megapixels"}


def identify_run(
    config: RunConfig, extraction: Extraction, engine: EngineInfo, max_pixels: int, legible_px: float | None = None
) -> RunIdentity:
    """Return a new run's identity.

    Its fingerprint is a hash of all that a record depends on beside the document: content of
    prompt and schema, engine, model, revision and versions, page size, date order, and which pages
    need not be read by the engine. Number and
    length of tries and other limits change nothing about a page that was read; they have a
    fingerprint of their own, and only what failed is read again when it changes.
    """
    outcome = {
        "prompt": extraction.prompt_sha256,
        "schema": extraction.schema_sha256,
        "engine": asdict(engine),
        "max_pixels": max_pixels,
        "settings": _engine_settings(config, engine),
        "date_order": config.date_order,
        **({"legible_px": legible_px, "min_pixels": config.render.min_pixels} if legible_px else {}),
        **_skipped(config, extraction, engine),
        **_read_again(config),
        **({"window_pages": together} if (together := window_pages(config, extraction, engine.engine)) > 1 else {}),
    }
    limits = {
        "tries": {
            "max_tries": config.tries.max_tries,
            "max_tokens": config.tries.max_tokens or extraction.max_output_tokens,
        },
        "render": config.render.model_dump(include=_RENDER_LIMITS),
        "ocr": config.ocr.model_dump(include={"timeout_s", "memory_limit_mb"}),
        "vllm": config.vllm.model_dump(include={"page_timeout_s"}),
    }
    return RunIdentity(
        run_id=f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}",
        extraction=extraction.name,
        prompt_sha256=extraction.prompt_sha256,
        schema_sha256=extraction.schema_sha256,
        fingerprint=_hash(outcome),
        limits_fingerprint=_hash(limits),
        engine=engine.engine,
        model=engine.model,
        revision=engine.revision,
        engine_version=engine.version,
        quantisation=engine.quantisation,
        kv_cache_dtype=engine.kv_cache_dtype,
        pagemill_version=__version__,
    )


def reads_text_layers(config: RunConfig, extraction: Extraction, engine: EngineInfo) -> bool:
    """Return whether born-digital pages are read from their text layers beside the engine; OCR does so itself."""
    wanted = config.skip.text_layer
    return engine.engine != "ocr" and (extraction.text_layer_suffices if wanted is None else wanted)


def window_pages(config: RunConfig, extraction: Extraction, engine: str) -> int:
    """Return how many pages of a document are read together at most; 1 where each is read by itself.

    OCR knows nothing but pages; and of plain text nobody could tell where one page ends.
    """
    is_possible = engine != "ocr" and not extraction.plain_text_field
    return config.documents.window_pages if _wants_windows(config, extraction) and is_possible else 1


def told_of_scope(config: RunConfig, extraction: Extraction, engine: str) -> str | None:
    """Return what to tell somebody who wants pages read together that are not; None where there is nothing to tell."""
    if not _wants_windows(config, extraction) or window_pages(config, extraction, engine) > 1:
        return None
    why = "the ocr engine knows nothing but pages" if engine == "ocr" else f"{extraction.name} is plain text"
    return f"every page is read by itself, not the pages of a document together: {why}"


def _wants_windows(config: RunConfig, extraction: Extraction) -> bool:
    return (config.documents.scope or extraction.scope) == "document"


def _skipped(config: RunConfig, extraction: Extraction, engine: EngineInfo) -> dict[str, bool]:
    """Return who reads a page, as far as that can change its record and differs from what older versions did.

    Equal pages have equal records, whoever reads them. Blank ones said nothing before, either; but a run that is
    to read them does not take for done what was never read.
    """
    said = {"text_layer": reads_text_layers(config, extraction, engine), "reads_blank": not config.skip.blank}
    return {name: True for name, is_so in said.items() if is_so}


def _read_again(config: RunConfig) -> dict[str, object]:
    """Return what gives a valid page another try, whose record may be another one.

    What is only said of records (evidence, reasons for review) is no part of it: it changes none, and a run that is to
    say it does not take what was read for unread.
    """
    of_doubts = ("retry", "evidence", "scans", "min_confidence")
    trust = config.trust
    return {"trust": trust.model_dump(mode="json", include=set(of_doubts))} if trust.retry != "off" else {}


def _hash(settings: object) -> str:
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def _engine_settings(config: RunConfig, engine: EngineInfo) -> object:
    """Return the settings of the engine in use that can change what it reads."""
    if engine.engine == "vllm":
        return config.vllm.model_dump(include={"dtype", "max_model_len", "engine_args"})
    return config.ocr.text_layer
