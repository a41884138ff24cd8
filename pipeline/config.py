"""The one typed configuration object. Reading files, environment and flags: settings.py."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from pipeline.selection import Sample, parse_deadline, parse_since
from pipeline.values import DateOrder

PIXEL_UNIT = 28
"""Page sides are multiples of this: Qwen2.5-VL's 14 px patches merged two by two."""

MAX_PIXEL_GROWTH = 2.25
"""How much larger than usual a page image may be at a later try: two steps of 1.5. Beyond it Qwen2.5-VL's own
limit and the memory of the vision tower come near."""

MAX_TOKENS = 2048
"""Output limit of a first try, where neither the configuration nor the extraction says."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RenderConfig(_Part):
    """Opening and rasterising documents."""

    max_pixels: int | None = Field(
        None, ge=PIXEL_UNIT**2, description="Pixels a page image may have; default by engine: vllm 1.0 MP."
    )
    adaptive: Literal["auto", "on", "off"] = Field(
        "auto",
        description="Whether pages are sent at the smallest size at which their text stays legible; auto: for vllm.",
    )
    min_pixels: int = Field(250_000, ge=PIXEL_UNIT**2, description="Pixels below which no page is made smaller.")
    legible_px: float = Field(
        11, gt=0, description="Em height in pixels that a page's small print keeps when the page is made smaller."
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
    engine_args: dict[str, Any] = Field(default_factory=dict, description="Passed to vLLM's LLM as they are.")
    admission: Literal["continuous", "bursts"] = Field(
        "continuous", description="Whether pages enter the model one by one, or as many as fill one prefill step."
    )
    profile: str | None = Field(
        None,
        description="Settings that `pagemill bench --sweep` found: a file, `off`, or by default those for this card "
        "and model, if any.",
    )


class SkipConfig(_Part):
    """Pages that are recorded without the engine."""

    blank: bool = Field(True, description="Record blank pages as such; they are not sent to the engine.")
    duplicates: bool = Field(
        True, description="Record pages with exactly the pixels of another one as that one was read."
    )
    text_layer: bool | None = Field(
        None,
        description="Read born-digital pages from their text layer where it can be trusted; default: as the extraction "
        "says. The ocr engine has `ocr.text_layer` instead.",
    )


class TriesConfig(_Part):
    """How often and how a page is tried."""

    max_tries: int = Field(3, ge=1, le=8, description="Tries of a page, the first included.")
    max_tokens: int | None = Field(
        None,
        ge=16,
        description="Output limit of the first try; a cut-off doubles it. Default by extraction, else 2048.",
    )
    engine_rebuilds: int = Field(3, ge=0, description="Engine deaths a run survives.")


class TrustConfig(_Part):
    """How values are checked, and what becomes of doubtful ones."""

    evidence: bool = Field(
        True, description="Find every value on its page: where it stands, and whether it does stand there."
    )
    scans: Literal["spare", "all", "off"] = Field(
        "spare",
        description="Scanned pages that vllm reads: the CPU reads their text too, to check values. As many as it has "
        "time for, all (the engine may have to wait), or none.",
    )
    workers: int | None = Field(None, ge=1, description="Processes that do so; default half of the cores.")
    backlog_mb: int = Field(512, ge=16, description="Memory for images of scanned pages that wait for it.")
    min_confidence: float = Field(0.85, ge=0, le=1, description="A record with a field below it is to be reviewed.")
    calibration: Path | None = Field(
        None,
        description="A file of `pagemill eval --fit-confidence`: how sure values are; default: as shipped.",
    )
    retry: Literal["off", "doubtful", "breaches", "both"] = Field(
        "off",
        description="What gives a page another try, where the engine can read it differently: fields below "
        "trust.min_confidence, broken rules, or both. The better try counts.",
    )


class DocumentsConfig(_Part):
    """What pages of one file make together."""

    split: bool = Field(True, description="Tell several records in one file apart, where the extraction says how.")
    scope: Literal["page", "document"] | None = Field(
        None,
        description="Whether vllm is shown one page at a time or a document's pages together; default by extraction.",
    )
    window_pages: int = Field(4, ge=2, le=32, description="Pages shown together at most, for scope document.")


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
    merged_records: int = Field(
        5000, ge=1, description="Records of one file that a document row holds at most; its pages keep all of them."
    )


class CostConfig(_Part):
    """Money, and the time it is paid for."""

    price_per_hour: Decimal | None = Field(None, ge=0, description="What one hour of this machine costs.")
    currency: str = Field("USD", description="Of price_per_hour; only printed.")
    expected_pages_per_hour: float | None = Field(
        None, gt=0, description="Speed to plan with until earlier runs of this output tell it."
    )


class InputConfig(_Part):
    """Which files of the input are complete, and what becomes of them."""

    settle_s: float = Field(
        0, ge=0, description="A file changed within this time is left for a later run: it may still be arriving."
    )
    ready: str | None = Field(
        None,
        description="A file that says that documents are complete: `_SUCCESS` for all in its folder, or `*.done` "
        "for `a.pdf` where `a.pdf.done` is beside it.",
    )
    after: Literal["keep", "move", "tag"] = Field(
        "keep", description="What becomes of a document whose pages are all read and committed."
    )
    moved_to: str | None = Field(None, description="For move: the folder or bucket URL below which it then lies.")

    @model_validator(mode="after")
    def _a_move_has_a_target(self) -> Self:
        if (self.after == "move") != (self.moved_to is not None):
            raise ValueError("input_files.after = move and input_files.moved_to go together")
        return self


class MetricsConfig(_Part):
    """Figures for Prometheus."""

    port: int | None = Field(
        None, ge=0, le=65535, description="Where /metrics is served while a run runs; 0 takes a free one and logs it."
    )
    host: str = Field("127.0.0.1", description="Address it is served at.")
    file: Path | None = Field(
        None,
        description="A `.prom` file, or a folder in which each extraction of an output has its own; written during and "
        "after a run, for node_exporter's textfile collector.",
    )


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
    until: str | None = Field(
        None, description="Only documents changed before then; written as `since` is, and not included itself."
    )
    only_new: bool = Field(
        False, description="Only documents that no run has read as they are now, be it that they failed."
    )
    order: Literal["name", "oldest", "newest", "smallest", "largest"] = Field(
        "name", description="Which documents come first, among those of one priority."
    )
    priority: tuple[str, ...] = Field(
        (), description="Globs of documents that come first, the most important one first; `*` also matches `/`."
    )
    deadline: str | None = Field(
        None,
        description="When the run must be done: a time of day (06:00, the next one), a time (ISO 8601) or a "
        "length (8h). What it cannot read by then is carried over.",
    )
    page_budget: int | None = Field(
        None, ge=1, description="Pages to read at most; further documents are carried over to the next run."
    )
    job: str | None = Field(
        None, description="Name of what this run is a part of; runs of one job share `limit` and `page_budget`."
    )
    force: bool = Field(False, description="Read documents again that are done.")
    input_files: InputConfig = InputConfig()
    render: RenderConfig = RenderConfig()
    ocr: OcrConfig = OcrConfig()
    vllm: VllmConfig = VllmConfig()
    skip: SkipConfig = SkipConfig()
    tries: TriesConfig = TriesConfig()
    trust: TrustConfig = TrustConfig()
    documents: DocumentsConfig = DocumentsConfig()
    canary: CanaryConfig = CanaryConfig()
    output_files: OutputConfig = OutputConfig()
    cost: CostConfig = CostConfig()
    metrics: MetricsConfig = MetricsConfig()

    @field_validator("since", "until")
    @classmethod
    def _is_a_time(cls, text: str | None) -> str | None:
        if text is not None:
            parse_since(text, datetime.now(UTC))
        return text

    @field_validator("deadline")
    @classmethod
    def _deadline_is_a_time(cls, text: str | None) -> str | None:
        if text is not None:
            parse_deadline(text, datetime.now(UTC))
        return text

    @field_validator("sample")
    @classmethod
    def _sample_is_a_part(cls, text: str | None) -> str | None:
        if text is not None:
            Sample.parse(text)
        return text
