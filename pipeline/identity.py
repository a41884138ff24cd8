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


def identify_run(config: RunConfig, extraction: Extraction, engine: EngineInfo, max_pixels: int) -> RunIdentity:
    """Return a new run's identity.

    Its fingerprint is a hash of all that a record depends on beside the document: content of
    prompt and schema, engine, model, revision and versions, page size, tries, date order.
    """
    outcome = {
        "prompt": extraction.prompt_sha256,
        "schema": extraction.schema_sha256,
        "engine": asdict(engine),
        "max_pixels": max_pixels,
        "settings": _engine_settings(config, engine),
        "date_order": config.date_order,
        "tries": config.tries.model_dump(include={"max_tries", "max_tokens"}),
    }
    return RunIdentity(
        run_id=f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}",
        extraction=extraction.name,
        prompt_sha256=extraction.prompt_sha256,
        schema_sha256=extraction.schema_sha256,
        fingerprint=hashlib.sha256(json.dumps(outcome, sort_keys=True).encode()).hexdigest()[:16],
        engine=engine.engine,
        model=engine.model,
        revision=engine.revision,
        engine_version=engine.version,
        quantisation=engine.quantisation,
        kv_cache_dtype=engine.kv_cache_dtype,
        pagemill_version=__version__,
    )


def _engine_settings(config: RunConfig, engine: EngineInfo) -> object:
    """Return the settings of the engine in use that can change what it reads."""
    if engine.engine == "vllm":
        return config.vllm.model_dump(include={"dtype", "max_model_len", "engine_args"})
    return config.ocr.text_layer
