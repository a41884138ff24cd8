"""The one typed configuration object. Reading files, environment and flags: settings.py."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from pipeline.selection import Sample, parse_since
from pipeline.values import DateOrder

PIXEL_UNIT = 28
"""Page sides are multiples of this: Qwen2.5-VL's 14 px patches merged two by two."""

MAX_PIXEL_GROWTH = 2.25
"""How much larger than usual a page image may be at a later try: two steps of 1.5. Beyond it Qwen2.5-VL's own
limit and the memory of the vision tower come near."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RenderConfig(_Part):
    """Opening and rasterising documents."""

    max_pixels: int | None = Field(
        None, ge=PIXEL_UNIT**2, description="Pixels a page image may have; default by engine: vllm 1.0 MP."
    )
    passwords: tuple[SecretStr, ...] = Field((), description="Tried in turn on encrypted PDFs.")
    workers: int | None = Field(None, ge=1, description="Render processes; default by cores and engine.")
    timeout_s: float = Field(30, gt=0, description="Longest time for opening a document or rasterising one page.")
    memory_limit_mb: int = Field(2048, ge=512, description="Address space of one render process.")
    max_file_mb: int = Field(2048, ge=1, description="Larger files are refused.")
    max_pages: int = Field(20_000, ge=1, description="Documents of more pages are refused.")
    max_source_megapixels: float = Field(200, gt=0, description="Larger images are refused before they are decoded.")
    ahead_pages: int | None = Field(
        None, ge=1, description="Page images ready or in the making; default by engine capacity."
    )
    ahead_mb: int = Field(1024, ge=1, description="Memory that page images ready or in the making may take.")


class OcrConfig(_Part):
    """The embedded CPU engine."""

    workers: int | None = Field(None, ge=1, description="OCR processes of one thread each; default one a core.")
    text_layer: Literal["auto", "never", "only"] = Field(
        "auto", description="Use the text of born-digital pages: where trustworthy, never, or nothing else."
    )
    timeout_s: float = Field(120, gt=0, description="Longest time for one page.")
    memory_limit_mb: int | None = Field(
        None, ge=256, description="Address space of one OCR process; default unlimited."
    )


class VllmConfig(_Part):
    """The in-process vLLM engine; None means: from the model profile and the card found."""

    model: str = Field("qwen2.5-vl-7b-awq", description="Profile name (`pagemill models`), hub id or local folder.")
    revision: str | None = Field(None, description="Hub revision; default from the profile.")
    load_format: str = Field("auto", description="vLLM load_format; `dummy` measures speed without weights.")
    dtype: str = Field("bfloat16", description="Activation type; FP8 KV cache needs bfloat16.")
    kv_cache_dtype: str = Field("fp8", description="KV cache type; fp8 is e4m3.")
    gpu_memory_utilization: float | None = Field(None, gt=0, le=1, description="Share of the GPU's memory to take.")
    max_model_len: int | None = Field(None, ge=1024, description="Longest prompt and output together, in tokens.")
    max_num_seqs: int | None = Field(None, ge=1, description="Pages in the engine at once.")
    max_num_batched_tokens: int | None = Field(None, ge=256, description="Tokens computed in one step.")
    tensor_parallel_size: int = Field(1, ge=1, description="GPUs that share one model.")
    attention_backend: str | None = Field(None, description="vLLM attention backend, such as TRITON_ATTN.")
    lora: dict[str, str] = Field(default_factory=dict, description="Extraction name -> LoRA adapter folder.")
    prepare_threads: int | None = Field(None, ge=1, description="Threads that turn page images into model inputs.")
    logprobs: bool = Field(True, description="Keep the log-probability of each output token.")
    no_progress_s: float = Field(300, gt=0, description="An engine that makes no token for this long counts as dead.")
    page_timeout_s: float = Field(600, gt=0, description="Longest time for one try of a page; it is then aborted.")
    host_memory_mb: int | None = Field(
        None, ge=1024, description="Host memory at which the engine is replaced; default 70 % of the machine's."
    )
    engine_args: dict[str, str | int | float | bool] = Field(
        default_factory=dict, description="Passed to vLLM's LLM as they are."
    )


class TriesConfig(_Part):
    """How often and how a page is tried."""

    max_tries: int = Field(3, ge=1, le=8, description="Tries of a page, the first included.")
    max_tokens: int = Field(2048, ge=16, description="Output limit of the first try; a cut-off doubles it.")
    engine_rebuilds: int = Field(3, ge=0, description="Engine deaths a run survives.")


class CanaryConfig(_Part):
    """Known pages that an engine must read before a run trusts it."""

    mode: Literal["auto", "on", "off"] = Field(
        "auto", description="Whether known pages are read first; auto: for vllm."
    )
    threshold: float = Field(0.9, ge=0, le=1, description="Share of their words that must come back; below, no run.")
    fallback: bool = Field(True, description="Whether to try a 16-bit KV cache, with a warning, when an FP8 one fails.")


class OutputConfig(_Part):
    """Parquet output."""

    shard_pages: int = Field(512, ge=1, description="Pages after which a shard is committed.")
    wait_s: float = Field(0, ge=0, description="How long to wait for another run that writes to the same output.")
    quarantine_images: int = Field(
        1000, ge=0, description="Failed pages of a run whose image is kept in the quarantine."
    )
    merged_characters: int = Field(
        4_000_000, ge=0, description="Joined text a document row holds at most; its pages keep all of it."
    )
    merged_items: int = Field(
        20_000, ge=0, description="Items of a list a document row holds at most; its pages keep all of them."
    )


class CostConfig(_Part):
    """Money."""

    price_per_hour: Decimal | None = Field(None, ge=0, description="What one hour of this machine costs.")
    currency: str = Field("USD", description="Of price_per_hour; only printed.")


class RunConfig(_Part):
    """Everything a run depends on."""

    input: str = Field(description="A document, a folder (with all below it), a glob, or a bucket URL.")
    output: str = Field(description="Folder or bucket URL for the Parquet files; made if missing.")
    extraction: str = Field(
        "transcript",
        description="What to read: a name from `pagemill extractions`, or the path of a folder of your own.",
    )
    engine: Literal["auto", "vllm", "ocr"] = Field("auto", description="What reads; auto: vLLM with a GPU, else OCR.")
    prompts: tuple[Path, ...] = Field(
        (), description="Folders that hold extraction folders; the shipped ones come last."
    )
    date_order: DateOrder = Field(DateOrder.DAY_FIRST, description="How 03/04/2026 is read: day-first or month-first.")
    limit: int | None = Field(None, ge=1, description="Documents to take at most.")
    since: str | None = Field(
        None, description="Only documents changed since then: a date, a time (ISO 8601), or an age such as 36h or 7d."
    )
    sample: str | None = Field(
        None, description="Only some documents, always the same ones: a number (`100`) or a share (`5%`)."
    )
    force: bool = Field(False, description="Read documents again that are done.")
    render: RenderConfig = RenderConfig()
    ocr: OcrConfig = OcrConfig()
    vllm: VllmConfig = VllmConfig()
    tries: TriesConfig = TriesConfig()
    canary: CanaryConfig = CanaryConfig()
    output_files: OutputConfig = OutputConfig()
    cost: CostConfig = CostConfig()

    @field_validator("since")
    @classmethod
    def _since_is_a_time(cls, text: str | None) -> str | None:
        if text is not None:
            parse_since(text, datetime.now(UTC))
        return text

    @field_validator("sample")
    @classmethod
    def _sample_is_a_part(cls, text: str | None) -> str | None:
        if text is not None:
            Sample.parse(text)
        return text
