"""What a model takes of a GPU's memory, before anything is loaded.

The figures are estimates: weights within a few per cent of the checkpoint's size, the rest
from one measured case (Qwen2.5-VL-7B AWQ on an H100).
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.engines.vllm.models import PROFILES, ModelShape

GIB = 1 << 30
OVERHEAD_BYTES = int(2.8 * GIB)
"""CUDA context, activations of the profiling run, vision tower, CUDA graphs; measured, see above."""
BYTES_PER_PARAM = {4: 0.52, 8: 1.01}
"""Scales included: groups of 128 at 4 bits."""
PAGE_TOKENS = 2300
"""What one page in flight holds in the KV cache: 1,280 image tokens and about 1,000 of output."""


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """How the memory of one card would be used, in bytes."""

    weights: int
    kv_per_token: int
    usable: int
    """The share vLLM may take."""

    @property
    def kv(self) -> int:
        """What is left for the KV cache; negative when the weights do not fit."""
        return self.usable - self.weights - OVERHEAD_BYTES

    @property
    def kv_tokens(self) -> int:
        """Tokens the KV cache holds."""
        return max(0, self.kv // self.kv_per_token)

    def shortfall(self, tokens: int) -> int:
        """Return how many bytes are missing for a KV cache of `tokens`; 0 or less when it fits."""
        return tokens * self.kv_per_token - self.kv


def plan_memory(shape: ModelShape, usable_bytes: int, *, kv_bytes: int, cards: int = 1) -> MemoryPlan:
    """Return the plan for one of `cards` equal cards that share the model.

    Args:
        usable_bytes: of each card.
        kv_bytes: 1 for FP8, 2 for 16 bit.
    """
    # vLLM gives each card at least one KV head.
    kv_heads = max(1, -(-shape.kv_heads // cards))
    return MemoryPlan(
        weights=weight_bytes(shape) // cards,
        kv_per_token=2 * shape.layers * kv_heads * shape.head_dim * kv_bytes,
        usable=usable_bytes,
    )


def weight_bytes(shape: ModelShape) -> int:
    """Return the size of the weights on the card."""
    embeddings = shape.vocabulary * shape.hidden * (1 if shape.tied else 2)
    merger = (4 * 1280) ** 2 + 4 * 1280 * shape.hidden
    per_param = BYTES_PER_PARAM.get(shape.weight_bits, 2.0)
    return int(shape.layer_params * per_param) + 2 * (embeddings + shape.vision_params + merger)


def largest_fitting_profile(usable_bytes: int, *, kv_bytes: int, cards: int, tokens: int) -> str | None:
    """Return the name of the largest profile that fits, to suggest in its stead."""
    fitting = [
        name
        for name, profile in PROFILES.items()
        if plan_memory(profile.shape, usable_bytes, kv_bytes=kv_bytes, cards=cards).shortfall(tokens) <= 0
    ]
    return max(fitting, key=lambda name: weight_bytes(PROFILES[name].shape), default=None)
