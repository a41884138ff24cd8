"""A model's dimensions, as its config.json tells them, and what they come to in parameters.

The families known: Qwen2-VL, Qwen2.5-VL (and what is trained from them) and dense Qwen3-VL.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.capacity.quantisation import BF16, Quantisation, read_quantisation
from pipeline.errors import EngineStartError


@dataclass(frozen=True, slots=True)
class VisionShape:
    """The tower that turns patches of a page into image tokens; the defaults are Qwen2.5-VL's."""

    depth: int = 32
    hidden: int = 1280
    feed_forward: int = 3420
    mlp_matrices: int = 3
    """Three where the feed-forward part is gated, else two."""
    patch_px: int = 14
    merge: int = 2
    """Patches a side that become one token."""
    window_px: int | None = 112
    """Side of the squares that attention stays in; None: every layer sees the whole page."""
    full_layers: int = 4
    """Layers that see the whole page all the same."""
    mergers: int = 1
    """How often patches are merged: Qwen3-VL does it again for some layers."""
    channels: int = 6
    """Of a patch: three colours in two equal frames."""

    @property
    def block_params(self) -> int:
        """Parameters of the layers and of the patch embedding."""
        layer = 4 * self.hidden**2 + self.mlp_matrices * self.hidden * self.feed_forward
        return self.depth * layer + self.channels * self.patch_px**2 * self.hidden

    def merger_params(self, text_hidden: int) -> int:
        """Return the parameters of what turns merged patches into tokens."""
        merged = self.merge**2 * self.hidden
        return self.mergers * (merged**2 + merged * text_hidden)

    @property
    def token_px(self) -> int:
        """Side of the square of pixels that becomes one token."""
        return self.patch_px * self.merge


@dataclass(frozen=True, slots=True)
class ModelShape:
    """The dimensions that decide memory and speed; names as in the notation of the model's paper."""

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    feed_forward: int
    vocabulary: int
    tied: bool
    """Whether input and output embeddings are one matrix."""
    weights: Quantisation = BF16
    """Of the text layers; the vision tower stays at 16 bit."""
    vision: VisionShape = VisionShape()
    max_positions: int | None = None
    """Longest sequence the model was made for."""

    @property
    def layer_params(self) -> int:
        """Parameters of the text layers."""
        attention = 2 * self.hidden * self.head_dim * (self.heads + self.kv_heads)
        return self.layers * (attention + 3 * self.hidden * self.feed_forward)

    @property
    def head_params(self) -> int:
        """Parameters of the output embedding, which every written token is multiplied with."""
        return self.vocabulary * self.hidden

    @property
    def embedding_params(self) -> int:
        """Parameters of the embeddings."""
        return self.head_params * (1 if self.tied else 2)

    @property
    def vision_params(self) -> int:
        """Parameters of the vision tower and its merger."""
        return self.vision.block_params + self.vision.merger_params(self.hidden)

    @property
    def quantisation(self) -> str | None:
        """The method's name in config.json; None for 16 bit."""
        return self.weights.method

    @property
    def weight_bits(self) -> int:
        """Of the text layers."""
        return self.weights.bits


def read_shape(config: Mapping[str, Any]) -> ModelShape:
    """Return the dimensions in the content of a config.json.

    Raises:
        EngineStartError: it is no configuration of a known family; says what is missing.
    """
    try:
        text = {**config, **(config.get("text_config") or {})}
        if "num_experts" in text:
            raise EngineStartError("The model is a mixture of experts: its speed and memory are not known here.")
        heads, hidden = _count(text, "num_attention_heads"), _count(text, "hidden_size")
        return ModelShape(
            layers=_count(text, "num_hidden_layers"),
            hidden=hidden,
            heads=heads,
            kv_heads=_count(text, "num_key_value_heads") if text.get("num_key_value_heads") else heads,
            head_dim=_count({"head_dim": text.get("head_dim") or hidden // heads}, "head_dim"),
            feed_forward=_count(text, "intermediate_size"),
            vocabulary=_count(text, "vocab_size"),
            # The checkpoint's outer value counts: some inner ones keep the library's default.
            tied=bool(config.get("tie_word_embeddings", text.get("tie_word_embeddings", False))),
            weights=read_quantisation(dict(config)),
            vision=_read_vision(config["vision_config"]),
            max_positions=_count(text, "max_position_embeddings") if text.get("max_position_embeddings") else None,
        )
    except KeyError as missing:
        raise EngineStartError(
            f"The model's config.json has no {missing}: only vision models built like Qwen2.5-VL work here."
        ) from missing
    except (AttributeError, TypeError, ValueError) as error:
        raise EngineStartError(
            f"The model's config.json holds a value of another kind than expected: {error}."
        ) from error


def _count(values: Mapping[str, Any], name: str) -> int:
    value = values[name]
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise EngineStartError(f"The model's config.json says {name} = {value!r}, which is no size.")
    return value


def _read_vision(vision: Mapping[str, Any]) -> VisionShape:
    """What Qwen2.5-VL's config.json leaves to the library has Qwen2.5-VL's value."""
    default = VisionShape()
    old = "embed_dim" in vision  # Qwen2-VL, where hidden_size is the text model's

    def size(name: str, usual: int) -> int:
        return _count({name: usual, **vision}, name)

    hidden = size("embed_dim", default.hidden) if old else size("hidden_size", default.hidden)
    windowed = not old and "deepstack_visual_indexes" not in vision
    depth = size("depth", default.depth)
    full = vision.get("fullatt_block_indexes", [None] * default.full_layers)
    return VisionShape(
        depth=depth,
        hidden=hidden,
        feed_forward=int(vision.get("mlp_ratio", 4) * hidden)
        if old
        else size("intermediate_size", default.feed_forward),
        mlp_matrices=3 if windowed else 2,
        patch_px=size("patch_size", default.patch_px),
        merge=size("spatial_merge_size", default.merge),
        window_px=size("window_size", 112) if windowed else None,
        full_layers=min(depth, len(full)) if windowed else depth,
        mergers=1 + len(vision.get("deepstack_visual_indexes", ())),
    )
