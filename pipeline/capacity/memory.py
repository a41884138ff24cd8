"""What a model takes of a GPU's memory, before anything is loaded.

The figures are estimates: weights within a few per cent of the checkpoint's size, the rest
from one measured case (Qwen2.5-VL-7B AWQ on an H100).
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.capacity.profiles import PROFILES
from pipeline.capacity.shapes import ModelShape

GIB = 1 << 30
OVERHEAD_BYTES = int(2.8 * GIB)
"""CUDA context, activations of the profiling run, vision tower, CUDA graphs; measured, see above."""
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
    return MemoryPlan(
        weights=weight_bytes(shape) // cards,
        kv_per_token=kv_bytes_per_token(shape, kv_bytes=kv_bytes, cards=cards),
        usable=usable_bytes,
    )


def kv_bytes_per_token(shape: ModelShape, *, kv_bytes: int, cards: int = 1) -> int:
    """Return what one token takes of the KV cache of one card: a key and a value for each layer and KV head.

    Only KV heads count. Formulas with all heads (2 x layers x hidden x bytes) overstate it by heads / KV heads.
    """
    # vLLM gives each card at least one KV head.
    kv_heads = max(1, -(-shape.kv_heads // cards))
    return 2 * shape.layers * kv_heads * shape.head_dim * kv_bytes


def text_bytes(shape: ModelShape) -> int:
    """Return the size of the text layers' weights."""
    return int(shape.layer_params * shape.weights.bytes_per_param)


def embedding_bytes(shape: ModelShape) -> int:
    """Return the size of the embeddings, of which a tied pair is stored once."""
    return int(shape.embedding_params * (shape.weights.bytes_per_param if shape.weights.whole_model else 2))


def vision_bytes(shape: ModelShape) -> int:
    """Return the size of the vision tower's weights, which stay at 16 bit."""
    return 2 * shape.vision_params


def weight_bytes(shape: ModelShape) -> int:
    """Return the size of the weights on the card."""
    return text_bytes(shape) + embedding_bytes(shape) + vision_bytes(shape)


def activation_bytes(shape: ModelShape, *, batched_tokens: int, patches: int, sequences: int) -> int:
    """Return what intermediate values take at most: of a step's tokens or of a page's patches, and the logits.

    A part of OVERHEAD_BYTES, told apart only to be shown: attention is computed in tiles, so
    the widest arrays are those of the feed-forward part.
    """
    text = batched_tokens * (2 * shape.feed_forward + 4 * shape.hidden) * 2
    vision = patches * (2 * shape.vision.feed_forward + 8 * shape.vision.hidden) * 2
    logits = sequences * shape.vocabulary * 4
    return max(text, vision) + logits


def largest_fitting_profile(usable_bytes: int, *, kv_bytes: int, cards: int, tokens: int) -> str | None:
    """Return the name of the largest profile that fits, to suggest in its stead."""
    fitting = [
        name
        for name, profile in PROFILES.items()
        if plan_memory(profile.shape, usable_bytes, kv_bytes=kv_bytes, cards=cards).shortfall(tokens) <= 0
    ]
    return max(fitting, key=lambda name: weight_bytes(PROFILES[name].shape), default=None)
