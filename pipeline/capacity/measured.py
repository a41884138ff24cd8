"""Figures measured before Pagemill had an engine, which predictions are held against.

One H100 80 GB, vLLM 0.25.1, random weights of the real dimensions, pages of 896 x 1148 px,
416 shared prompt tokens, about 400 output tokens (300 to 800).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from pipeline.capacity.assumptions import Assumptions
from pipeline.capacity.prices import load_price_book
from pipeline.capacity.profiles import PROFILES
from pipeline.capacity.quantisation import FP8
from pipeline.capacity.shapes import ModelShape
from pipeline.capacity.speed import Prediction, Serving, Workload, predict

PAGE = Workload(page_pixels=896 * 1148, shared_tokens=416, own_tokens=16, output_tokens=400)
XGRAMMAR_S = 0.00005
"""Host time a token under xgrammar with `maxLength` added, net of what overlapped; fitted to the figure below."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One measured figure and what is predicted for it."""

    what: str
    pages_per_s: float
    predicted: float
    fitted: str | None = None
    """The assumption that was chosen so that this figure comes out; None where it says how good the others are."""

    @property
    def error(self) -> float:
        """Predicted over measured, less one."""
        return self.predicted / self.pages_per_s - 1


def held_against_measurements(assume: Assumptions | None = None) -> Iterator[Measured]:
    """Yield each figure that was measured, beside the one predicted for it."""
    assume = assume or Assumptions()
    awq, small = PROFILES["qwen2.5-vl-7b-awq"].shape, PROFILES["qwen2.5-vl-3b-awq"].shape
    stream, wide = Serving(256), Serving(512)
    h100 = load_price_book().gpus["h100-sxm"]

    def found(shape: ModelShape, serving: Serving, numbers: Assumptions = assume) -> Prediction:
        return predict(shape, h100, PAGE, serving, numbers)

    grammar = replace(assume, grammar_s_per_token=XGRAMMAR_S)
    yield Measured("7B AWQ, stream, inputs prepared in advance", 11.3, found(awq, stream).pages_per_s, "stream_share")
    yield Measured("the same with the 3B model", 11.5, found(small, stream).pages_per_s, "layer_launch_s")
    yield Measured("16-bit KV cache", 10.1, found(awq, replace(stream, kv_bytes=2)).pages_per_s)
    yield Measured("fixed batches of 32", 5.9, found(awq, stream).batches(32), "decode_step_s")
    yield Measured("one `generate` over 384 pages", 10.3, found(awq, stream).whole_list(384))
    yield Measured("stream, inputs prepared on one thread", 10.0, found(awq, stream).pages_per_s)
    constrained = found(awq, stream, grammar).pages_per_s
    yield Measured("JSON schema, xgrammar with `maxLength`", 9.2, constrained, "grammar_s_per_token")
    yield Measured("512 sequences, 16,384 batched tokens", 8.0, found(awq, wide).pages_per_s, "wide_step_s")
    yield Measured("FP8 W8A8, 512 sequences", 9.8, found(replace(awq, weights=FP8), wide).pages_per_s)
