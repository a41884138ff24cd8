"""From a try's settings to vLLM's sampling parameters, and from vLLM's output to a Generation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.data import FinishReason, Generation, TrySettings
from pipeline.errors import ErrorType, PageError

MAX_PATTERN_TOKENS = 48
MIN_PATTERN_COUNT = 16
"""A run of 16 equal pieces of up to 48 tokens counts as a loop. Honest pages repeat too, and Qwen reads
digits one by one: of 240 labelled receipts and invoices six hold runs of 8 or 9, none more. A loop of the
longest piece costs 768 tokens until it is noticed."""
FINISH_REASONS = {
    "stop": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "repetition": FinishReason.REPETITION,
}

Spell = Callable[[Sequence[int]], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Sampler:
    """How outputs are sampled; the same for all pages but for what a try changes."""

    json_schema: dict[str, Any] | None
    logprobs: bool

    def build(self, settings: TrySettings) -> Any:
        """Return vLLM's SamplingParams.

        Every value that matters is given: what is not would come from the checkpoint's
        generation_config, whose repetition penalty ruins tables.
        """
        from vllm import SamplingParams
        from vllm.sampling_params import RepetitionDetectionParams, RequestOutputKind, StructuredOutputsParams

        exact = settings.exact_tokens
        # A schema, too, would end the text; it has nothing to say once its object is closed.
        held = settings.constrained and self.json_schema is not None and not exact
        loops = RepetitionDetectionParams(
            max_pattern_size=MAX_PATTERN_TOKENS, min_pattern_size=1, min_count=MIN_PATTERN_COUNT
        )
        return SamplingParams(
            max_tokens=settings.max_tokens,
            ignore_eos=exact,
            temperature=settings.temperature,
            # Without randomness a seed would only cost a random generator per page.
            seed=settings.seed if settings.temperature > 0 else None,
            top_p=1.0,
            top_k=0,
            repetition_penalty=1.0,
            repetition_detection=None if exact else loops,
            structured_outputs=StructuredOutputsParams(json=self.json_schema) if held else None,
            # 0 further candidates: the log-probability of the chosen token alone.
            logprobs=0 if self.logprobs else None,
            flat_logprobs=self.logprobs,
            output_kind=RequestOutputKind.FINAL_ONLY,
            # Done here at once when a page ends: vLLM takes three times as long in every step, on the thread that
            # all pages share.
            detokenize=False,
        )


def read_output(spell: Spell, request_id: str, output: Any) -> Generation:
    """Return the generation in a finished vLLM RequestOutput.

    Args:
        spell: gives the text that each token adds.
    """
    completion = output.outputs[0]
    is_whole = completion.finish_reason == "stop"
    pieces = spell(completion.token_ids[:-1] if is_whole else completion.token_ids)  # without the stop token
    reason = FINISH_REASONS.get(completion.finish_reason, FinishReason.ERROR)
    error = None
    if reason is FinishReason.ERROR:
        error = PageError(ErrorType.ENGINE_CRASH, f"vLLM gave the page up (finish reason {completion.finish_reason}).")
    times = output.metrics
    return Generation(
        request_id=request_id,
        text="".join(pieces),
        finish_reason=reason,
        prompt_tokens=len(output.prompt_token_ids),
        output_tokens=len(completion.token_ids),
        cached_tokens=output.num_cached_tokens,
        queue_s=_span(times.queued_ts, times.scheduled_ts),
        prefill_s=_span(times.scheduled_ts, times.first_token_ts),
        decode_s=_span(times.first_token_ts, times.last_token_ts),
        token_logprobs=_read_logprobs(pieces, completion),
        error=error,
    )


def _span(start_s: float, end_s: float) -> float | None:
    """A stage the page never reached has the time 0."""
    return max(0.0, end_s - start_s) if start_s and end_s else None


def _read_logprobs(pieces: Sequence[str], completion: Any) -> tuple[tuple[str, float], ...]:
    """Return (text, log-probability) of the tokens that make up the output's text."""
    if completion.logprobs is None:
        return ()
    return tuple(zip(pieces, map(float, completion.logprobs.logprobs), strict=False))
