"""Where an engine's time went: read from outputs as vLLM gives them, step by step."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from pipeline.engines.vllm.steps import PREEMPTED, SCHEDULED, Steps, Wait

QUEUED = 1


@dataclass
class Event:
    """As vLLM's EngineCoreEvent."""

    type: int


@dataclass
class Output:
    """As vLLM's EngineCoreOutput: what one request got from a step."""

    new_token_ids: list[int] = field(default_factory=lambda: [7])
    finish_reason: int | None = None
    events: list[Event] | None = None


@dataclass
class Stats:
    """As vLLM's SchedulerStats."""

    num_running_reqs: int
    num_waiting_reqs: int = 0


@dataclass
class Outputs:
    """As vLLM's EngineCoreOutputs."""

    timestamp: float
    scheduler_stats: Stats | None
    outputs: list[Output] = field(default_factory=list)


def first() -> Output:
    """Return what a page gets whose prompt has been computed."""
    return Output(events=[Event(QUEUED), Event(SCHEDULED)])


def begun(*, slots: int = 4, is_async: bool = False) -> Steps:
    """Return the account of an engine that begins at second 100."""
    steps = Steps(slots, is_async=is_async)
    steps.begin(100)
    return steps


def add(steps: Steps, *all_outputs: Outputs, preparing: bool = False) -> dict[str, Any]:
    """Enter steps; return the counters that are not zero."""
    for outputs in all_outputs:
        steps.add(outputs, preparing=preparing)
    return {name: pytest.approx(value) for name, value in steps.counters.items() if value}


def test_time_is_split_between_steps_with_prompts_and_steps_of_decoding() -> None:
    """A page's first token tells that its prompt was in the step; what others got in it does not matter."""
    found = add(
        begun(),
        Outputs(100.5, Stats(2), [first(), first()]),
        Outputs(100.6, Stats(2), [Output(), Output()]),
        Outputs(100.9, Stats(3), [Output(), Output(), first()]),
    )
    assert found == {
        "prefill_s": 0.8, "decode_s": 0.1, "steps": 3, "prefill_steps": 2, "step_seqs": 7, "prefills": 3,
    }  # fmt: skip


@pytest.mark.parametrize("is_async", [False, True])
def test_a_prompt_that_takes_several_steps_counts_in_each(is_async: bool) -> None:
    """It gives a token only at the end; before, one sequence more runs than gets one.

    An engine that schedules ahead reports what runs in the next step already.
    """
    steps = begun(is_async=is_async)
    running = [3, 3, 2] if is_async else [2, 3, 3]
    decoding = [Output(), Output()]
    add(steps, Outputs(101, Stats(running[0]), [first(), first()]))
    add(steps, Outputs(102, Stats(running[1]), decoding))
    assert steps.counters["prefill_steps"] == 2
    add(steps, Outputs(103, Stats(running[2]), [*decoding, first()]))
    add(steps, Outputs(104, Stats(2), [*decoding, Output(finish_reason=1)] if not is_async else decoding))
    assert (steps.counters["prefill_steps"], steps.counters["decode_s"]) == (3, 1)


def test_waiting_is_no_part_of_a_step() -> None:
    """The first step after a pause begins when the page comes, not when the last one ended."""
    steps = begun()
    steps.waited(Wait.RENDER, 103)
    steps.waited(Wait.PREPARE, 104)
    found = add(steps, Outputs(104.5, Stats(0), [first()]))
    assert (found["waiting_render_s"], found["waiting_prepare_s"], found["prefill_s"]) == (3, 1, 0.5)
    steps.waited(Wait.RECORD, 105)
    assert steps.counters["waiting_record_s"] == pytest.approx(0.5)


def test_sequences_that_lack_while_pages_are_prepared_are_told() -> None:
    """More threads would have helped; nothing would where all run, or where some wait in the engine."""
    for running, waiting, preparing, starved in ((3, 0, True, 1), (3, 0, False, 0), (4, 0, True, 0), (3, 1, True, 0)):
        steps = begun()
        add(steps, Outputs(101, Stats(running, waiting), [Output()] * running), preparing=preparing)
        assert steps.counters["starved_prepare_s"] == starved


def test_a_page_that_lost_its_place_is_noticed_when_it_comes_back() -> None:
    """Its prompt was computed again: fewer pages are to run."""
    steps = begun()
    add(steps, Outputs(101, Stats(1), [Output(events=[Event(PREEMPTED), Event(SCHEDULED)])]))
    assert (steps.preempted, steps.counters["prefills"]) == (1, 1)
    add(steps, Outputs(102, Stats(1), [Output()]))
    assert steps.preempted == 0


def test_what_a_dying_engine_puts_there_is_passed_over() -> None:
    """An exception stands in the queue in the place of outputs."""
    steps = begun()
    steps.add(RuntimeError("dead"), preparing=True)
    assert not any(steps.counters.values())
