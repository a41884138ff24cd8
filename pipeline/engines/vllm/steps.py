"""Where the engine's time goes, told from its own outputs: full steps, steps of pure decode, and waiting.

Knows vLLM's outputs, which carry the engine's clock (CLOCK_MONOTONIC, which all processes of a
machine share), and nothing of pages. A step costs some microseconds here.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

SCHEDULED, PREEMPTED = 2, 3
"""Of vllm.v1.engine.EngineCoreEventType: a request begins to be computed, for the first time or again."""


class Wait(StrEnum):
    """What an engine without a page waits for; names of counters, in seconds."""

    RENDER = "waiting_render_s"
    PREPARE = "waiting_prepare_s"
    RECORD = "waiting_record_s"
    """Outputs, that are being judged, written and committed."""


NAMES = (*Wait, "prefill_s", "decode_s", "starved_prepare_s", "steps", "prefill_steps", "step_seqs", "prefills")
"""Of the counters. Seconds without a page, by what was waited for; seconds of steps that computed prompts, and of
pure decode; of these two, seconds in which sequences lacked while pages were being prepared. Counts: steps, those
with prompts in them, sequences that got a token in each, prompts computed."""


class Steps:
    """Counts the steps of one engine and what they took. Used by one thread."""

    def __init__(self, slots: int, *, is_async: bool) -> None:
        """Begin at zero.

        Args:
            slots: sequences that may run at once.
            is_async: whether the engine schedules a step while the one before it runs.
        """
        self.counters: dict[str, float] = dict.fromkeys(NAMES, 0.0)
        self.running = self.preempted = 0
        """Sequences that run after the last step, and those that had lost their place and came back in it."""
        self._slots = slots
        self._is_async = is_async
        self._until = 0.0
        """All time before is accounted for."""

    def begin(self, now: float) -> None:
        """Account for nothing before `now`."""
        self._until = now

    def waited(self, cause: Wait, now: float) -> None:
        """Account for the time until `now`, in which the engine had no page."""
        self._spend(cause, now)

    def add(self, outputs: Any, *, preparing: bool) -> None:
        """Account for the step that gave `outputs`, an EngineCoreOutputs; what is none is passed over.

        Args:
            preparing: whether pages are being prepared for the engine.
        """
        stats = getattr(outputs, "scheduler_stats", None)
        if stats is None:
            return
        tokens = finished = prefills = self.preempted = 0
        for output in outputs.outputs:
            tokens += bool(output.new_token_ids)
            finished += output.finish_reason is not None
            if output.events:
                kinds = [event.type for event in output.events]
                prefills += SCHEDULED in kinds
                self.preempted += PREEMPTED in kinds
        # A prompt that takes several steps gives its first token in the last one.
        computed = self.running if self._is_async else stats.num_running_reqs + finished
        is_prefill = prefills > 0 or tokens < computed or not tokens
        self.running = stats.num_running_reqs
        spent = self._spend("prefill_s" if is_prefill else "decode_s", outputs.timestamp)
        for name, count in (("steps", 1), ("prefill_steps", is_prefill), ("step_seqs", tokens), ("prefills", prefills)):
            self.counters[name] += count
        if preparing and self.running < self._slots and not stats.num_waiting_reqs:
            self.counters["starved_prepare_s"] += spent

    def _spend(self, name: str, until: float) -> float:
        spent = max(0.0, until - self._until)
        self.counters[name] += spent
        self._until = max(self._until, until)
        return spent
