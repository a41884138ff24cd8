"""One model on one card: does it fit, how fast is it, what does it cost."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from pipeline.capacity import (
    GIB,
    OVERHEAD_BYTES,
    Prediction,
    Price,
    Serving,
    activation_bytes,
    embedding_bytes,
    kv_bytes_per_token,
    plan_memory,
    predict,
    text_bytes,
    vision_bytes,
)
from pipeline.config import MAX_PIXEL_GROWTH
from pipeline.engines.vllm import Card
from pipeline.engines.vllm.settings import EngineSettings, memory_share, resolve_settings
from pipeline.errors import EngineStartError

if TYPE_CHECKING:
    from pipeline.capacity import Api, Gpu, MemoryPlan, ModelShape
    from pipeline.plan.question import Question


class PageTooLongError(EngineStartError):
    """The engine starts, but pages like these are longer than what it takes."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What one card's memory holds, in bytes; the parts add up to `total`."""

    text_weights: int
    embeddings: int
    vision_weights: int
    kv_cache: int
    """Negative: so much is missing."""
    activations: int
    overhead: int
    free: int
    total: int
    kv_per_token: int
    kv_tokens: int
    overstated: float
    """What the formula without grouped-query heads says, over what it is."""
    longest_context: int
    fits_sequences: int


class Comparison(NamedTuple):
    """An API beside the card."""

    api: Api
    per_thousand: Decimal
    times_dearer: float | None
    """Than the card, at the utilisation asked for."""
    break_even_pages: int | None
    """Pages a month from which a card that is paid all month costs less; None where it cannot read as many."""

    def cost_of(self, pages: int) -> Decimal:
        """Return what so many pages cost there."""
        return self.per_thousand * pages / 1000


@dataclass(frozen=True)
class Answer:
    """What is known of one model on one card (or on several that share it)."""

    question: Question
    model: str
    shape: ModelShape
    gpu: Gpu

    @cached_property
    def outcome(self) -> EngineSettings | EngineStartError:
        """What a run would start vLLM with there, or why it would not start."""
        config = self.question.vllm.model_copy(update={"model": self.model})
        size = int(self.gpu.memory_gib * GIB)
        card = Card(self.gpu.name, size, size, self.gpu.compute_capability, self.cards, can_compile=True)
        try:
            settings = resolve_settings(config, card, self.shape)
            resolve_settings(config, card, self.shape, self.question.window_pages)  # what a run would start with
        except EngineStartError as error:
            return error
        prompt, output = round(self.question.load.prompt_tokens(self.shape.vision)), self.question.load.output_tokens
        if prompt + output <= settings.max_model_len:
            return settings
        return PageTooLongError(
            f"A run would refuse such a page: a prompt of {prompt:,} tokens and an output of {output:,} are longer "
            f"than vllm.max_model_len, {settings.max_model_len:,}. Plan for less, or --set vllm.max_model_len=N."
        )

    @property
    def cards(self) -> int:
        """That share one model."""
        return self.question.vllm.tensor_parallel_size

    @property
    def settings(self) -> EngineSettings:
        """What a run would start vLLM with; raises what it would."""
        if isinstance(self.outcome, EngineStartError):
            raise self.outcome
        return self.outcome

    @property
    def speed_known(self) -> bool:
        """Whether it starts, and how fast such weights are is known."""
        return isinstance(self.outcome, EngineSettings) and self.shape.weights.speed_known

    @cached_property
    def prediction(self) -> Prediction:
        """How fast it is."""
        settings = self.settings
        serving = Serving(settings.max_num_seqs, self.kv_bytes, self.cards, settings.gpu_memory_utilization or 1.0)
        return predict(self.shape, self.gpu, self.question.load, serving, self.question.assume)

    @property
    def kv_bytes(self) -> int:
        """Of one value in the KV cache; of an engine that does not start, as it was asked for."""
        found = self.outcome
        dtype = found.kv_cache_dtype if isinstance(found, EngineSettings) else self.question.vllm.kv_cache_dtype
        return 1 if dtype.startswith("fp8") and self.gpu.compute_capability >= (8, 9) else 2

    @cached_property
    def memory(self) -> Memory:
        """How one card's memory is used, also where that is too small."""
        found = self.outcome if isinstance(self.outcome, EngineSettings) else None
        total = int(self.gpu.memory_gib * GIB)
        share = memory_share(self.question.vllm, total)
        plan = plan_memory(self.shape, int(share * total), kv_bytes=self.kv_bytes, cards=self.cards)
        activations = min(OVERHEAD_BYTES, self._activations(found))
        all_heads = 2 * self.shape.layers * self.shape.heads * self.shape.head_dim * self.kv_bytes
        return Memory(
            text_weights=text_bytes(self.shape) // self.cards,
            embeddings=embedding_bytes(self.shape) // self.cards,
            vision_weights=vision_bytes(self.shape) // self.cards,
            kv_cache=plan.kv,
            activations=activations,
            overhead=OVERHEAD_BYTES - activations,
            free=total - plan.usable,
            total=total,
            kv_per_token=plan.kv_per_token,
            kv_tokens=plan.kv_tokens,
            overstated=all_heads / kv_bytes_per_token(self.shape, kv_bytes=self.kv_bytes),
            longest_context=min(plan.kv_tokens, self.shape.max_positions or plan.kv_tokens),
            fits_sequences=self._fits(plan),
        )

    def _fits(self, plan: MemoryPlan) -> int:
        load = self.question.load
        held = load.prompt_tokens(self.shape.vision) - load.shared_tokens + load.output_tokens
        return int(plan.kv_tokens // max(1.0, held))

    def _activations(self, found: EngineSettings | None) -> int:
        load = self.question.load
        return activation_bytes(
            self.shape,
            batched_tokens=found.max_num_batched_tokens if found else 8192,
            patches=int(MAX_PIXEL_GROWTH * load.patches(self.shape.vision)),
            sequences=found.max_num_seqs if found else 256,
        )

    @property
    def pages_per_hour(self) -> float:
        """Of one card (or one group that shares the model), at the utilisation asked for."""
        return self.prediction.pages_per_s * 3600 * self.question.utilisation

    @cached_property
    def price(self) -> Price | None:
        """What one card costs."""
        return self.question.price_of(self.gpu)

    @property
    def per_hour(self) -> Decimal | None:
        """What an hour of one group of cards costs; of a monthly price, the month's share."""
        if self.price is None:
            return None
        hours = Decimal(self.question.assume.hours_per_month)
        hourly = self.price.per_hour if self.price.per_hour is not None else (self.price.per_month or 0) / hours
        return hourly * self.cards

    @property
    def per_month(self) -> Decimal | None:
        """What a group of cards costs that is paid all month."""
        return None if self.per_hour is None else self.per_hour * Decimal(self.question.assume.hours_per_month)

    @property
    def per_thousand(self) -> Decimal | None:
        """What a thousand pages cost, of hours that are used as asked for."""
        return None if self.per_hour is None else self.per_hour / Decimal(self.pages_per_hour) * 1000

    def cards_for(self, pages: float, hours: float) -> int:
        """Return how many cards read so many pages in so many hours."""
        return max(1, math.ceil(pages / (self.pages_per_hour * hours))) * self.cards

    def cost_of_month(self, pages: float) -> Decimal | None:
        """Return what so many pages a month cost: whole months of cards, or the hours used of hourly ones."""
        if self.price is None or self.per_hour is None:
            return None
        if self.price.per_month is not None:
            cards = self.cards_for(pages, self.question.assume.hours_per_month)
            return self.price.per_month * cards
        return self.per_hour * Decimal(pages / self.pages_per_hour)

    def comparisons(self) -> list[Comparison]:
        """Return each API of the price book beside this card, the cheapest first."""
        load = self.question.load
        found = [
            self._compared(
                api,
                api.per_thousand(
                    page_pixels=load.page_pixels,
                    text_tokens=load.shared_tokens + load.own_tokens,
                    output_tokens=load.output_tokens,
                ),
            )
            for api in self.question.book.apis.values()
        ]
        return sorted(found, key=lambda one: one.per_thousand)

    def _compared(self, api: Api, per_thousand: Decimal) -> Comparison:
        """A month of n cards costs n times as much and reads n times as much: either one breaks even or none does."""
        ours, month = self.per_thousand, self.per_month
        if not ours or not month or not per_thousand:
            return Comparison(api, per_thousand, None, None)
        pages = math.ceil(month / per_thousand * 1000)
        fits = pages <= self.pages_per_hour * self.question.assume.hours_per_month
        return Comparison(api, per_thousand, float(per_thousand / ours), pages if fits else None)
