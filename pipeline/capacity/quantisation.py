"""How a model's weights are stored, what that takes of memory, and which arithmetic it is computed in."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pipeline.errors import EngineStartError


class Arithmetic(StrEnum):
    """The number format that tensor cores multiply in; each has its own speed."""

    FP16 = "fp16"
    """BF16 too: they are equally fast."""
    FP8 = "fp8"
    INT8 = "int8"


@dataclass(frozen=True, slots=True)
class Quantisation:
    """How weights are stored."""

    name: str
    """As `plan --quantisation` takes it."""
    method: str | None
    """As config.json names it; None for 16 bit."""
    bits: int
    bytes_per_param: float
    """Scales and zero points included."""
    arithmetic: Arithmetic = Arithmetic.FP16
    whole_model: bool = False
    """Whether embeddings are stored so as well; else they keep 16 bit, as the vision tower always does."""
    speed_known: bool = True
    """False: nothing here says how fast vLLM computes with such weights."""
    remark: str = ""
    """What a reader of its figures should know."""


BF16 = Quantisation("bf16", None, 16, 2.0)
FP8 = Quantisation("fp8", "fp8", 8, 1.01, Arithmetic.FP8)
INT8 = Quantisation("int8", "compressed-tensors", 8, 1.01, Arithmetic.INT8)
_UNTUNED = "vLLM unpacks bitsandbytes weights with plain kernels: slower than predicted, by how much is not measured"
NF4 = Quantisation("nf4", "bitsandbytes", 4, 0.5 + 4 / 64, remark=_UNTUNED)
"""An FP32 scale for each block of 64 (QLoRA, arXiv:2305.14314, without its double quantisation)."""
BNB_INT8 = Quantisation("bnb-int8", "bitsandbytes", 8, 1.01, remark=_UNTUNED)

GGUF_BITS = {
    "q2_k": 3.16,
    "q3_k_s": 3.64,
    "q3_k_m": 4.00,
    "q3_k_l": 4.30,
    "iq4_xs": 4.46,
    "q4_0": 4.55,
    "q4_k_s": 4.67,
    "q4_k_m": 4.89,
    "q5_k_s": 5.57,
    "q5_k_m": 5.70,
    "q6_k": 6.56,
    "q8_0": 8.50,
    "f16": 16.0,
}
"""Bits a weight takes over a whole text model of 8B; source: the table in llama.cpp's tools/quantize/README.md."""
_GROUPED = re.compile(r"(awq|gptq)(?:-g(\d{1,4}))?")


def grouped_int4(method: str = "awq", group_size: int = 128) -> Quantisation:
    """Return 4-bit weights with a 16-bit scale and a 4-bit zero point for each group of `group_size`."""
    name = method if group_size == 128 else f"{method}-g{group_size}"
    return Quantisation(name, method, 4, 0.5 + 2.5 / group_size)


def gguf(kind: str) -> Quantisation:
    """Return a type of llama.cpp's files, a key of GGUF_BITS."""
    bits = GGUF_BITS[kind]
    remark = "GGUF: memory only. vLLM's GGUF support is experimental and its speed is not predicted here"
    return Quantisation(kind, "gguf", round(bits), bits / 8, whole_model=True, speed_known=False, remark=remark)


_NAMED = {
    "bf16": BF16,
    "fp16": BF16,
    "none": BF16,
    "fp8": FP8,
    "int8": INT8,
    "w8a8": INT8,
    "awq": grouped_int4("awq"),
    "awq-g64": grouped_int4("awq", 64),
    "gptq": grouped_int4("gptq"),
    "gptq-g64": grouped_int4("gptq", 64),
    "nf4": NF4,
    "bnb-int8": BNB_INT8,
}
"""As a person says them; groups may have any other size."""


def parse_quantisation(text: str) -> Quantisation:
    """Return the quantisation that a person names: `bf16`, `awq`, `gptq-g64`, `nf4`, `q4_k_m` and so on.

    Raises:
        EngineStartError: there is none of this name; says which there are.
    """
    name = text.strip().lower()
    grouped = _GROUPED.fullmatch(name)
    if grouped and grouped[2] != "0":
        return grouped_int4(grouped[1], int(grouped[2] or 128))
    if name in _NAMED:
        return _NAMED[name]
    kind = name.removeprefix("gguf-").replace("-", "_")
    if kind in GGUF_BITS:
        return gguf(kind)
    known = [*_NAMED, *GGUF_BITS]
    close = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean {close[0]}?" if close else ""
    raise EngineStartError(f"There is no quantisation {text!r}, only {', '.join(known)}.{hint}")


def read_quantisation(config: dict[str, Any]) -> Quantisation:
    """Return the quantisation that the content of a config.json names; 16 bit where it names none."""
    settings = config.get("quantization_config")
    if not settings:
        return BF16
    method = str(settings.get("quant_method", "unknown"))
    if method == "bitsandbytes":
        return NF4 if settings.get("load_in_4bit") else BNB_INT8
    groups = [group for group in (settings.get("config_groups") or {}).values() if group.get("weights")]
    weights = groups[0]["weights"] if groups else {}
    bits = int(
        weights.get("num_bits") or settings.get("bits") or settings.get("w_bit") or (8 if method == "fp8" else 16)
    )
    group_size = weights.get("group_size") or settings.get("group_size") or settings.get("q_group_size") or 128
    if bits == 4:
        return grouped_int4(method, max(1, int(group_size)) if int(group_size) > 0 else 4096)
    if bits != 8:
        return Quantisation(method, method, bits, bits / 8)
    is_float = method == "fp8" or weights.get("type") == "float"
    both = method == "fp8" or bool(groups and groups[0].get("input_activations"))
    arithmetic = (Arithmetic.FP8 if is_float else Arithmetic.INT8) if both else Arithmetic.FP16
    return Quantisation(method, method, 8, 1.01, arithmetic)
