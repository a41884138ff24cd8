"""How long a page takes on a card: the roofline, and what is expected of it.

The roofline asks how much a page makes the card compute and move, at the shares of its peaks
that kernels usually reach. A stream of pages reaches less; how much less is fitted to what
was measured (measured.py), so `expected_*` is an interpolation near those cases and a guess
far from them.

Formulas (docs/plan.md has them in words): N patches, S prompt tokens of which c are in the
prefix cache, O output tokens, B sequences, L layers, d hidden size, P parameters of the text
layers, V vocabulary, F operations a second.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.capacity.assumptions import Assumptions
from pipeline.capacity.memory import GIB, MemoryPlan, kv_bytes_per_token, plan_memory, text_bytes
from pipeline.capacity.prices import Gpu
from pipeline.capacity.quantisation import Arithmetic
from pipeline.capacity.shapes import ModelShape, VisionShape

CAPTURED_SEQUENCES = 256
"""Widest step measured that lost nothing; see Assumptions.wide_step_s."""


@dataclass(frozen=True, slots=True)
class Workload:
    """A typical page."""

    page_pixels: int
    shared_tokens: int
    """Prompt tokens that all pages have in common: computed once, then taken from the prefix cache."""
    own_tokens: int
    """Other text tokens of a page's prompt."""
    output_tokens: int

    def patches(self, vision: VisionShape) -> float:
        """Return into how many patches a page is cut."""
        return self.page_pixels / vision.patch_px**2

    def prompt_tokens(self, vision: VisionShape) -> float:
        """Return the length of a page's prompt, image tokens included."""
        return self.shared_tokens + self.own_tokens + self.page_pixels / vision.token_px**2


@dataclass(frozen=True, slots=True)
class Serving:
    """What the engine is started with, as far as it decides speed."""

    max_num_seqs: int
    kv_bytes: int = 1
    """Of a KV cache value: 1 for FP8, 2 for 16 bit."""
    cards: int = 1
    """That share one model."""
    utilization: float = 0.92
    """Share of a card's memory that vLLM may take."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """How fast pages are read; see `predict`."""

    shape: ModelShape
    gpu: Gpu
    load: Workload
    serving: Serving
    assume: Assumptions

    @property
    def memory(self) -> MemoryPlan:
        """What the model takes of one card."""
        usable = int(self.serving.utilization * self.gpu.memory_gib * GIB)
        return plan_memory(self.shape, usable, kv_bytes=self.serving.kv_bytes, cards=self.serving.cards)

    @property
    def fits_sequences(self) -> int:
        """Pages the KV cache holds at once, each to the end of its output."""
        return int(self.memory.kv_tokens // max(1.0, self._prompt - self.load.shared_tokens + self.load.output_tokens))

    @property
    def sequences(self) -> int:
        """Pages in the model at once: what the cache holds and the settings allow; at least 1."""
        return max(1, min(self.serving.max_num_seqs, self.fits_sequences))

    @property
    def vision_s(self) -> float:
        """Time of the vision tower for one page at the roofline."""
        flops = vision_flops(self.shape, self.load.patches(self.shape.vision))
        return flops / (self.assume.vision_efficiency * self._flops(Arithmetic.FP16))

    @property
    def prefill_s(self) -> float:
        """Time of one page's prompt at the roofline."""
        shape, whole, cached = self.shape, self._prompt, self.load.shared_tokens
        layers = 2 * shape.layer_params * (whole - cached) / self._flops(shape.weights.arithmetic)
        attention = 2 * shape.layers * shape.heads * shape.head_dim * (whole**2 - cached**2)
        rest = (attention + 2 * shape.head_params) / self._flops(Arithmetic.FP16)
        return (layers + rest) / self.assume.prefill_efficiency

    @property
    def decode_s(self) -> float:
        """One page's share of the time in which outputs are written, at the roofline."""
        return self._decode_s(self.sequences)

    @property
    def roofline_pages_per_s(self) -> float:
        """Pages a second if kernels followed each other without a gap."""
        return 1 / (self.vision_s + self.prefill_s + self.decode_s)

    @property
    def pages_per_s(self) -> float:
        """Pages a second that a stream is expected to reach."""
        return 1 / self._page_s(self.sequences)

    @property
    def is_launch_bound(self) -> bool:
        """Whether the host, starting layer after layer, is expected to be slower than the card."""
        return self._launch_s(self.sequences) > self._gpu_s(self.sequences)

    @property
    def page_latency_s(self) -> float:
        """Time one page spends in the model when it is full."""
        return self.sequences / self.pages_per_s

    def step_s(self, sequences: int) -> float:
        """Return the time of a step that writes one token for each sequence: its memory traffic or its arithmetic."""
        shape, load = self.shape, self.load
        kv = sequences * (self._prompt + load.output_tokens / 2) * self._kv_per_token
        moved = text_bytes(shape) + 2 * shape.head_params + kv
        bandwidth = self.gpu.bandwidth_gb_s * 1e9 * self._cards
        layers = 2 * shape.layer_params / self._flops(shape.weights.arithmetic)
        head = 2 * shape.head_params / self._flops(Arithmetic.FP16)
        computed = sequences * (layers + head) / self.assume.decode_efficiency
        return max(moved / (self.assume.bandwidth_efficiency * bandwidth), computed)

    def batches(self, size: int) -> float:
        """Return pages a second of `generate` over fixed batches: each waits for its longest output."""
        in_flight = max(1, min(size, self.sequences))
        return size / (size * self._page_s(in_flight) + self._drain_s)

    def whole_list(self, pages: int) -> float:
        """Return pages a second of one `generate` over so many pages: a stream with one drain at its end."""
        return self.batches(pages)

    @property
    def _prompt(self) -> float:
        return self.load.prompt_tokens(self.shape.vision)

    @property
    def _kv_per_token(self) -> int:
        return kv_bytes_per_token(self.shape, kv_bytes=self.serving.kv_bytes)

    @property
    def _cards(self) -> float:
        """Cards that share a model, as far as that makes it faster."""
        return 1.0 if self.serving.cards == 1 else self.serving.cards * self.assume.parallel_efficiency

    @property
    def _drain_s(self) -> float:
        """Steps for the longest outputs alone, after the last page came in and the mean output was written."""
        steps = max(0.0, self.assume.longest_output - 1) * self.load.output_tokens
        return steps * max(self.step_s(1) / self.assume.stream_share, self.assume.decode_step_s)

    def _flops(self, arithmetic: Arithmetic) -> float:
        return self.gpu.flops(arithmetic) * self._cards

    def _decode_s(self, sequences: int) -> float:
        return self.load.output_tokens * self.step_s(sequences) / sequences

    def _page_s(self, sequences: int) -> float:
        """Expected time a page takes of the engine's while so many are in it."""
        steps = self.load.output_tokens / sequences
        wide = steps * max(0, sequences - CAPTURED_SEQUENCES) * self.assume.wide_step_s
        grammar = self.load.output_tokens * self.assume.grammar_s_per_token
        return max(self._gpu_s(sequences), self._launch_s(sequences)) + wide + grammar

    def _gpu_s(self, sequences: int) -> float:
        steps = self.load.output_tokens / sequences
        decode = max(self._decode_s(sequences) / self.assume.stream_share, steps * self.assume.decode_step_s)
        return (self.vision_s + self.prefill_s) / self.assume.stream_share + decode

    def _launch_s(self, sequences: int) -> float:
        """A page costs one pass of the vision tower and at most one step outside captured graphs."""
        passes = min(1.0, self.load.output_tokens / sequences)
        return (self.shape.vision.depth + passes * self.shape.layers) * self.assume.layer_launch_s


def predict(
    shape: ModelShape, gpu: Gpu, load: Workload, serving: Serving, assume: Assumptions | None = None
) -> Prediction:
    """Return how fast `shape` reads pages like `load` on one or several of `gpu`."""
    return Prediction(shape, gpu, load, serving, assume or Assumptions())


def vision_flops(shape: ModelShape, patches: float) -> float:
    """Return the operations of the vision tower for one page of so many patches."""
    vision = shape.vision
    attention = vision.full_layers * 4 * patches**2 * vision.hidden
    if vision.window_px is not None:
        window = (vision.window_px / vision.patch_px) ** 2
        attention += (vision.depth - vision.full_layers) * 4 * patches * window * vision.hidden
    merging = 2 * patches / vision.merge**2 * vision.merger_params(shape.hidden)
    return 2 * patches * vision.block_params + merging + attention
