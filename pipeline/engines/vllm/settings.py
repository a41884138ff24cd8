"""From configuration, card and model to the settings vLLM runs with. Pure: no vLLM, no GPU needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pipeline.capacity import GIB, PAGE_TOKENS, MemoryPlan, ModelShape, largest_fitting_profile, plan_memory
from pipeline.config import VllmConfig
from pipeline.engines.vllm.cards import Card
from pipeline.errors import EngineStartError

MAX_PIXELS = 1280 * 28 * 28
"""1.0 MP, 1,280 image tokens: A4 at about 100 dpi, where Qwen2.5-VL reads 8 pt print."""
MAX_MODEL_LEN = 16384
"""Instructions and schema 1-2k, image up to 2,880, output up to two doublings of 2,048."""
FURTHER_PAGE_LEN = 5376
"""For each further page of a request: its image of usual size, 1,280, and twice an output of 2,048."""
ADA, HOPPER = (8, 9), (9, 0)


class Tier(NamedTuple):
    """Starting values for cards of up to `gib`."""

    gib: float
    utilization: float
    num_seqs: int
    batched_tokens: int


TIERS = (
    Tier(22, 0.90, 128, 4096),
    Tier(30, 0.90, 128, 4096),
    Tier(60, 0.92, 256, 8192),
    Tier(float("inf"), 0.92, 256, 8192),
)
"""Only the last is measured (H100, 7B AWQ: 256/8,192 gave 11.3 pages/s, 512/16,384 gave 8.0); the others
follow from the roofline in docs/gpu.md: decoding shares the weights' bandwidth among more sequences, and
smaller prefill steps keep activations within the smaller memory."""


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """What the engine is started with."""

    dtype: str
    kv_cache_dtype: str
    max_model_len: int
    max_num_seqs: int
    max_num_batched_tokens: int
    tensor_parallel_size: int = 1
    gpu_memory_utilization: float | None = None
    kv_cache_memory_bytes: int | None = None
    attention_backend: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables vLLM reads; those already set by the user win."""

    def arguments(self) -> dict[str, Any]:
        """Return them as keyword arguments of vLLM's LLM."""
        arguments: dict[str, Any] = {
            "dtype": self.dtype,
            "kv_cache_dtype": self.kv_cache_dtype,
            "max_model_len": self.max_model_len,
            "max_num_seqs": self.max_num_seqs,
            "max_num_batched_tokens": self.max_num_batched_tokens,
            "tensor_parallel_size": self.tensor_parallel_size,
        }
        if self.gpu_memory_utilization is not None:
            arguments["gpu_memory_utilization"] = self.gpu_memory_utilization
        if self.kv_cache_memory_bytes is not None:
            arguments["kv_cache_memory_bytes"] = self.kv_cache_memory_bytes
        if self.attention_backend is not None:
            arguments["attention_config"] = {"backend": self.attention_backend}
        return arguments


def resolve_settings(config: VllmConfig, card: Card | None, shape: ModelShape, window_pages: int = 1) -> EngineSettings:
    """Return the settings for `shape` on `card`; explicit values in `config` win.

    Args:
        card: None for vLLM's CPU build.
        window_pages: that a request shows at most.

    Raises:
        EngineStartError: the settings contradict each other or the model does not fit; says what to change.
    """
    kv_cache_dtype = _choose_kv_cache_dtype(config, card)
    max_model_len = config.max_model_len or MAX_MODEL_LEN + FURTHER_PAGE_LEN * (window_pages - 1)
    if card is None:
        return _on_cpu(config, kv_cache_dtype, max_model_len)
    _check_cards(config, card)
    tier, utilization = _tier(card.total_bytes), memory_share(config, card.total_bytes)
    plan = plan_memory(
        shape,
        min(int(utilization * card.total_bytes), card.free_bytes),
        kv_bytes=_kv_bytes(kv_cache_dtype),
        cards=config.tensor_parallel_size,
    )
    _check_fits(config, card, plan, max_model_len)
    backend, environment = _choose_attention(config, card, kv_cache_dtype)
    return EngineSettings(
        dtype=config.dtype,
        kv_cache_dtype=kv_cache_dtype,
        max_model_len=max_model_len,
        max_num_seqs=config.max_num_seqs or _fitting_seqs(tier, plan, window_pages),
        max_num_batched_tokens=config.max_num_batched_tokens or tier.batched_tokens,
        tensor_parallel_size=config.tensor_parallel_size,
        gpu_memory_utilization=utilization,
        attention_backend=backend,
        environment=environment,
    )


def memory_share(config: VllmConfig, total_bytes: int) -> float:
    """Return which share of a card's memory vLLM may take."""
    return config.gpu_memory_utilization or _tier(total_bytes).utilization


def _tier(total_bytes: int) -> Tier:
    return next(tier for tier in TIERS if total_bytes <= tier.gib * GIB)


def _on_cpu(config: VllmConfig, kv_cache_dtype: str, max_model_len: int) -> EngineSettings:
    """The CPU build serves tests and trials: few sequences, and a KV cache that leaves the machine usable."""
    return EngineSettings(
        dtype=config.dtype,
        kv_cache_dtype=kv_cache_dtype,
        max_model_len=max_model_len,
        max_num_seqs=config.max_num_seqs or 8,
        max_num_batched_tokens=config.max_num_batched_tokens or 4096,
        tensor_parallel_size=config.tensor_parallel_size,
        kv_cache_memory_bytes=2 * GIB,
        attention_backend=config.attention_backend,
    )


def _choose_kv_cache_dtype(config: VllmConfig, card: Card | None) -> str:
    """FP8 needs hardware that knows it, and bfloat16: FlashAttention 3 refuses float16 beside it.

    e5m2 silently corrupts Qwen2.5-VL (vllm#41343), so only e4m3 is let through.
    """
    wanted = config.kv_cache_dtype
    if not wanted.startswith("fp8"):
        return wanted
    if "e5m2" in wanted:
        raise EngineStartError("kv_cache_dtype fp8_e5m2 corrupts Qwen2.5-VL's output; use fp8, which is e4m3.")
    if card is None:
        return "auto"
    if card.capability < ADA:
        return _without_fp8(config, card)
    if config.dtype != "bfloat16":
        raise EngineStartError(
            f"An FP8 KV cache does not work with dtype {config.dtype}: set dtype to bfloat16 or kv_cache_dtype to auto."
        )
    return wanted


def _without_fp8(config: VllmConfig, card: Card) -> str:
    """The default gives way; an explicit wish is not dropped silently."""
    if "kv_cache_dtype" not in config.model_fields_set:
        return "auto"
    raise EngineStartError(
        f"{card.name} has no FP8 (compute capability {card.capability[0]}.{card.capability[1]}, "
        "8.9 is needed): set kv_cache_dtype to auto."
    )


def _choose_attention(config: VllmConfig, card: Card, kv_cache_dtype: str) -> tuple[str | None, Mapping[str, str]]:
    """On Ada, FlashAttention refuses an FP8 cache and vLLM falls to FlashInfer, which compiles at first use."""
    is_ada = ADA <= card.capability < HOPPER
    if config.attention_backend or not is_ada or not kv_cache_dtype.startswith("fp8") or card.can_compile:
        return config.attention_backend, {}
    return "TRITON_ATTN", {"VLLM_USE_FLASHINFER_SAMPLER": "0"}


def _check_cards(config: VllmConfig, card: Card) -> None:
    if config.tensor_parallel_size > card.count:
        raise EngineStartError(
            f"tensor_parallel_size is {config.tensor_parallel_size}, but only {card.count} GPU(s) are visible."
        )


def _check_fits(config: VllmConfig, card: Card, plan: MemoryPlan, max_model_len: int) -> None:
    """Mirror vLLM, which refuses a KV cache that cannot hold one sequence of max_model_len."""
    short = plan.shortfall(max_model_len)
    if short <= 0:
        return
    needed = plan.usable + short
    taken = card.total_bytes - card.free_bytes
    others = f" (other processes hold {taken / GIB:.1f} GiB)" if taken > GIB else ""
    raise EngineStartError(
        f"{config.model} does not fit: it needs {needed / GIB:.1f} GiB on each card, {card.name} has "
        f"{plan.usable / GIB:.1f} GiB for it{others}, short by {short / GIB:.1f} GiB. "
        + _advice(config, card, plan, max_model_len)
    )


def _advice(config: VllmConfig, card: Card, plan: MemoryPlan, max_model_len: int) -> str:
    options = []
    cards = config.tensor_parallel_size
    kv_bytes = _kv_bytes(_choose_kv_cache_dtype(config, card))
    smaller = largest_fitting_profile(plan.usable, kv_bytes=kv_bytes, cards=cards, tokens=max_model_len)
    if smaller and smaller != config.model:
        options.append(f"model {smaller}")
    if card.count > cards:
        options.append(f"tensor_parallel_size {card.count}")
    if plan.kv > 4096 * plan.kv_per_token:
        options.append(f"max_model_len {plan.kv_tokens // 1024 * 1024}")
    return f"Try {', or '.join(options)}." if options else "No model that Pagemill knows fits this card."


def _fitting_seqs(tier: Tier, plan: MemoryPlan, window_pages: int) -> int:
    """More sequences than the cache holds pages would only be preempted and computed again."""
    return max(1, min(tier.num_seqs, plan.kv_tokens // (PAGE_TOKENS * window_pages)))


def _kv_bytes(kv_cache_dtype: str) -> int:
    return 1 if kv_cache_dtype.startswith("fp8") else 2
