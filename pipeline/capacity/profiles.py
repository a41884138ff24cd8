"""The models Pagemill knows by a short name.

Their dimensions serve where no config.json can be read (planning before anything is
downloaded, and suggesting a model that fits); a run reads them from the file.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from pipeline.capacity.quantisation import INT8, grouped_int4
from pipeline.capacity.shapes import ModelShape, VisionShape


@dataclass(frozen=True, slots=True)
class ModelProfile:
    """A model Pagemill knows by a short name."""

    hub_id: str
    shape: ModelShape
    purpose: str


_3B = ModelShape(36, 2048, 16, 2, 128, 11008, 151936, tied=True, max_positions=128_000)
_7B = ModelShape(28, 3584, 28, 4, 128, 18944, 152064, tied=False, max_positions=128_000)
_WIDER = VisionShape(feed_forward=3456)
_32B = ModelShape(64, 5120, 40, 8, 128, 27648, 152064, tied=False, vision=_WIDER, max_positions=128_000)
_72B = ModelShape(80, 8192, 64, 8, 128, 29568, 152064, tied=False, vision=_WIDER, max_positions=128_000)


def _awq(shape: ModelShape) -> ModelShape:
    return replace(shape, weights=grouped_int4())


PROFILES: dict[str, ModelProfile] = {
    "qwen2.5-vl-7b-awq": ModelProfile("Qwen/Qwen2.5-VL-7B-Instruct-AWQ", _awq(_7B), "the default: fits 20 GB"),
    "qwen2.5-vl-7b": ModelProfile("Qwen/Qwen2.5-VL-7B-Instruct", _7B, "16 bit: what AWQ is held against"),
    "qwen2.5-vl-7b-w8a8": ModelProfile(
        "RedHatAI/Qwen2.5-VL-7B-Instruct-quantized.w8a8",
        replace(_7B, weights=INT8),
        "8-bit weights and activations",
    ),
    "qwen2.5-vl-3b": ModelProfile("Qwen/Qwen2.5-VL-3B-Instruct", _3B, "small, 16 bit"),
    "qwen2.5-vl-3b-awq": ModelProfile("Qwen/Qwen2.5-VL-3B-Instruct-AWQ", _awq(_3B), "smallest"),
    "qwen2.5-vl-32b-awq": ModelProfile(
        "Qwen/Qwen2.5-VL-32B-Instruct-AWQ", _awq(_32B), "the largest for one 48 GB card"
    ),
    "qwen2.5-vl-72b-awq": ModelProfile(
        "Qwen/Qwen2.5-VL-72B-Instruct-AWQ",
        _awq(_72B),
        "the largest there is: what a better model would give; 80 GB, or two of 48",
    ),
    "rolmocr": ModelProfile("reducto/RolmOCR", _7B, "7B, 16 bit, tuned on page transcripts"),
}
