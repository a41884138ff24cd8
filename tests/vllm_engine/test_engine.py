"""The vLLM engine on real vLLM (CPU build) with a tiny random model.

What random weights print is nonsense, so texts are judged by form alone. One engine serves
all tests; the last one ends it.
"""

import json
import signal
import time
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import replace

import numpy as np
import psutil
import pytest
from pydantic import BaseModel
from vllm_engine.page_requests import PageList, make_request

from pipeline.bench.feeds import read_batches, read_list, read_stream
from pipeline.bench.workload import Asking
from pipeline.canary import canary_pages, run_canary
from pipeline.config import VllmConfig
from pipeline.data import FinishReason, RenderSpec
from pipeline.engines.base import EngineTask
from pipeline.engines.vllm import MAX_PIXELS, VllmEngine, describe
from pipeline.engines.vllm.stream import Handlers, Stream
from pipeline.errors import EngineError, ErrorType
from pipeline.render import Renderer
from pipeline.values import DateOrder

pytestmark = [
    pytest.mark.vllm,
    # What vLLM's own dependencies warn about while they are imported is not ours to mend.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
]

SCHEMA = {
    "type": "object",
    "properties": {
        "kind": {"enum": ["invoice", "receipt"]},
        "paid": {"type": "boolean"},
        "items": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 3},
    },
    "required": ["kind", "paid", "items"],
    "additionalProperties": False,
}


TASK = EngineTask(
    name="receipt",
    prompt="Read the page and answer what is asked, field by field.\n" * 12,
    json_schema=SCHEMA,
    load_model=lambda: BaseModel,
    plain_text=False,
    date_order=DateOrder.DAY_FIRST,
    window_pages=3,
)

PATIENCE_S = 25.0
"""Longer than any step takes on a busy machine; the test of a hanging engine waits it out."""


@pytest.fixture(scope="module")
def engine(tiny_config: VllmConfig) -> Iterator[VllmEngine]:
    """One loaded engine."""
    patient = tiny_config.model_copy(update={"no_progress_s": PATIENCE_S})
    with closing(VllmEngine(patient, TASK)) as engine:
        yield engine


def test_constrained_output_fits_the_schema(engine: VllmEngine) -> None:
    """Random weights print noise unless something holds them to the schema."""
    generations = list(engine.generate(PageList(make_request(temperature=1.0, seed=seed) for seed in range(3))))
    for generation in generations:
        assert generation.finish_reason is FinishReason.STOP
        assert set(json.loads(generation.text)) == {"kind", "paid", "items"}
        assert " " not in generation.text, "whitespace is where models loop"


def test_unconstrained_output_is_free(engine: VllmEngine) -> None:
    """A later try may drop the schema; nothing of it may linger."""
    [generation] = engine.generate(PageList([make_request(constrained=False, temperature=1.0, max_tokens=24)]))
    assert not generation.text.startswith('{"kind"')


def test_plain_text_is_asked_for_in_other_words_and_without_the_schema(engine: VllmEngine) -> None:
    """Known pages have no fields; their whole text is to come back, whatever the extraction."""
    [plain] = engine.generate(PageList([make_request(plain_text=True, temperature=1.0, max_tokens=24)]))
    [task] = engine.generate(PageList([make_request(temperature=1.0, max_tokens=24)]))
    assert not plain.text.startswith("{")
    assert (plain.prompt_tokens or 0) < (task.prompt_tokens or 0), "the long instructions were sent"


def test_known_pages_refuse_a_model_that_does_not_read(engine: VllmEngine, renderer: Renderer) -> None:
    """Random weights load, answer and fit the schema; nothing else tells them from a good model."""
    result = run_canary(engine, canary_pages(renderer, RenderSpec(MAX_PIXELS)), threshold=0.9)
    assert result.score < 0.1
    assert not result.passed


def test_pages_share_the_instructions_in_the_prefix_cache(engine: VllmEngine) -> None:
    """The instructions are long; computing them again for every page would waste most of the prefill."""
    assert engine.shared_prefix_tokens >= 512
    for generation in engine.generate(PageList([make_request(), make_request()])):
        assert generation.cached_tokens == engine.shared_prefix_tokens


def test_a_page_takes_the_place_of_a_finished_one_while_others_run(engine: VllmEngine) -> None:
    """The stream never drains: a fixed batch would ask for more only when all of it has finished."""
    lengths = [200, 10, 10, 200, 10, 10, 10, 10, 200, 10, 10, 10]
    pages = PageList(make_request(constrained=False, max_tokens=length) for length in lengths)
    for _ in engine.generate(pages):
        pages.num_finished += 1
    assert pages.num_finished == len(lengths)
    assert max(pages.in_flight_at_take) < engine.capacity
    assert min(pages.in_flight_at_take[engine.capacity :]) > 0, "pages were fetched only after the engine had drained"


def test_short_pages_do_not_wait_for_long_ones(engine: VllmEngine) -> None:
    """Generations come in the order in which they finish, so nothing is held back."""
    long, short = make_request(max_tokens=160, constrained=False), make_request(max_tokens=5, constrained=False)
    order = [generation.request_id for generation in engine.generate(PageList([long, short]))]
    assert order == [short.request_id, long.request_id]


def test_a_cut_off_page_completes_with_more_tokens(engine: VllmEngine) -> None:
    """The ladder of tries relies on the finish reason to know that room was what it lacked."""
    page = make_request(max_tokens=6)
    [cut] = engine.generate(PageList([page]))
    assert cut.finish_reason is FinishReason.LENGTH
    assert cut.output_tokens == 6
    [whole] = engine.generate(PageList([make_request(like=page, max_tokens=200)]))
    assert whole.finish_reason is FinishReason.STOP
    assert whole.text.startswith(cut.text)


def test_several_pages_are_read_in_one_request(engine: VllmEngine) -> None:
    """Each image takes its tokens, the instructions stay shared, and one answer comes for all."""
    alone, pair, three = (make_request(others=count) for count in range(3))
    found = {each.request_id: each for each in engine.generate(PageList([alone, pair, three]))}
    assert {each.finish_reason for each in found.values()} == {FinishReason.STOP}
    tokens = [found[request.request_id].prompt_tokens or 0 for request in (alone, pair, three)]
    assert tokens[1] - tokens[0] == tokens[2] - tokens[1] > 280 * 196 // 28**2
    assert {each.cached_tokens for each in found.values()} == {engine.shared_prefix_tokens}


def test_each_page_of_a_request_is_prepared_in_its_place(engine: VllmEngine) -> None:
    """Images that were mixed up, or all the first one, would go unnoticed in what random weights write."""
    request = make_request(others=1)
    both = engine.prepare(request).inputs
    assert both["mm_hashes"]["image"] == [shown.image_key for shown in request.shown]
    for place, shown in enumerate(request.shown):
        alone = replace(request, image_key=shown.image_key, image=shown.image, others=())
        [expected] = engine.prepare(alone).inputs["mm_kwargs"]["image"]
        assert both["mm_kwargs"]["image"][place]["pixel_values"].data.equal(expected["pixel_values"].data)


def test_more_pages_than_the_engine_was_opened_for_are_refused(engine: VllmEngine) -> None:
    """And it lives."""
    [refused] = engine.generate(PageList([make_request(others=3)]))
    assert refused.error
    assert refused.error.error_type is ErrorType.INPUT_REJECTED


def test_measuring_fixes_the_length_whatever_the_model_writes(engine: VllmEngine) -> None:
    """Random weights end or loop anywhere; two settings compare only over texts of one length."""
    pages = PageList(make_request(exact_tokens=True, max_tokens=90, temperature=1.0, seed=seed) for seed in range(4))
    assert [each.output_tokens for each in engine.generate(pages)] == [90] * 4


def test_a_generation_says_what_it_cost(engine: VllmEngine) -> None:
    """Tokens, times and log-probabilities go into the output rows."""
    [generation] = engine.generate(PageList([make_request()]))
    assert generation.prompt_tokens
    assert generation.prompt_tokens > engine.shared_prefix_tokens
    assert generation.queue_s is not None
    assert generation.prefill_s
    assert generation.decode_s
    assert "".join(token for token, _ in generation.token_logprobs) == generation.text
    assert all(value <= 0 for _, value in generation.token_logprobs)


def test_characters_of_several_tokens_stand_with_the_last_one(engine: VllmEngine) -> None:
    """The text is put together here, not by vLLM; half a character, where an output is cut off, is no text."""
    text = "Größe: 漢字 🙂"
    tokens = engine._core._llm.get_tokenizer().encode(text, add_special_tokens=False)
    pieces = engine._core.spell(tokens)
    assert (len(pieces), "".join(pieces)) == (len(tokens), text)
    assert "".join(engine._core.spell(tokens[:-1])) == text[:-1]


def test_a_refused_page_leaves_the_engine_alive(engine: VllmEngine) -> None:
    """One odd page among a million must cost one page."""
    too_flat = make_request(pixels=np.zeros((28, 28 * 300, 3), np.uint8))
    too_large = make_request(pixels=np.zeros((2800, 2800, 3), np.uint8))
    good = make_request()
    found = {each.request_id: each for each in engine.generate(PageList([too_flat, too_large, good]))}
    for page, reason in ((too_flat, "aspect ratio"), (too_large, "2800 x 2800")):
        error = found[page.request_id].error
        assert found[page.request_id].finish_reason is FinishReason.ERROR
        assert error
        assert error.error_type is ErrorType.INPUT_REJECTED
        assert reason in str(error)
    assert found[good.request_id].finish_reason is FinishReason.STOP


def stream_of(
    engine: VllmEngine, *, page_timeout_s: float = 60, threads: Executor | None = None, step_tokens: int | None = None
) -> Stream:
    """Return a stream like the engine's own, with other limits."""
    return Stream(
        engine._core,
        threads or engine._threads,
        engine._depth,
        Handlers(engine.prepare, engine._send, engine._read),
        page_timeout_s=page_timeout_s,
        step_tokens=step_tokens,
    )


def test_a_page_that_takes_too_long_is_aborted_and_fails(engine: VllmEngine) -> None:
    """A page that never ends would hold its place, and its document, for ever."""
    slow = [make_request(constrained=False, max_tokens=200) for _ in range(3)]
    found = {each.request_id: each for each in stream_of(engine, page_timeout_s=0.01).run(PageList(slow))}
    assert set(found) == {page.request_id for page in slow}
    for generation in found.values():
        assert generation.finish_reason is FinishReason.ERROR
        assert generation.error
        assert generation.error.error_type is ErrorType.ENGINE_TIMEOUT
    page = make_request()
    assert [each.request_id for each in engine.generate(PageList([page]))] == [page.request_id], "a page came back"
    assert engine.metrics().gauges["running"] == 0


def test_a_page_that_finished_while_nobody_looked_is_not_late(engine: VllmEngine) -> None:
    """Writing a shard to a slow bucket may keep the run from the engine for longer than a page may take."""
    limit_s = 2.0
    pages = [make_request(max_tokens=5, constrained=False), make_request(max_tokens=40, constrained=False)]
    stream = stream_of(engine, page_timeout_s=limit_s).run(PageList(pages))
    first = next(stream)
    time.sleep(2 * limit_s)
    assert [each.error for each in (first, *stream)] == [None, None]


def test_ctrl_c_does_not_end_the_engine(engine: VllmEngine) -> None:
    """The terminal sends it to every process; the run then wants the pages that are in the engine."""
    model = psutil.Process(engine.process_id)
    for process in (model, *model.children(recursive=True)):
        process.send_signal(signal.SIGINT)
    pages = [make_request() for _ in range(3)]
    assert [each.error for each in engine.generate(PageList(pages))] == [None] * 3


def test_abandoned_pages_do_not_come_back(engine: VllmEngine) -> None:
    """A run that stops reading early must not find its pages in the next stream."""
    stream = engine.generate(PageList(make_request(constrained=False, max_tokens=200) for _ in range(4)))
    next(stream)
    stream.close()
    page = make_request()
    assert [each.request_id for each in engine.generate(PageList([page]))] == [page.request_id]


def staggered() -> PageList:
    """Return pages that finish one by one."""
    return PageList(make_request(exact_tokens=True, max_tokens=8 + 5 * (number % 7)) for number in range(20))


def test_pages_in_bursts_enter_in_one_step(engine: VllmEngine) -> None:
    """Then the other steps only decode, in CUDA graphs that were captured for that."""
    steps, most_at_once = engine._core.steps, engine.slots // 2
    at_once = {}
    for step_tokens in (None, engine._core.step_tokens):
        before = dict(steps.counters)
        assert len(list(stream_of(engine, step_tokens=step_tokens).run(staggered()))) == 20
        spent = {name: value - before[name] for name, value in steps.counters.items()}
        assert (spent["prefills"], spent["step_seqs"]) == (20, sum(8 + 5 * (number % 7) for number in range(20)))
        at_once[step_tokens] = spent["prefills"] / spent["prefill_steps"]
    continuous, bursts = at_once.values()
    assert bursts > 0.65 * most_at_once > continuous  # a page that is prepared late enters alone


def test_steps_and_waiting_add_up_to_the_time_of_the_stream(engine: VllmEngine) -> None:
    """Else nobody could say where the time went."""
    before = dict(engine.metrics().counters)
    began = time.monotonic()
    for _ in engine.generate(PageList([make_request(constrained=False, max_tokens=60) for _ in range(6)])):
        time.sleep(0.05)
    elapsed = time.monotonic() - began
    after = engine.metrics().counters
    spent = {name: after[name] - before[name] for name in after}
    waited = spent["waiting_prepare_s"] + spent["waiting_render_s"] + spent["waiting_record_s"]
    assert spent["prefill_s"] + spent["decode_s"] + waited == pytest.approx(elapsed, rel=0.1)
    assert spent["waiting_record_s"] >= 0.05, "the last page was recorded while the engine had none"
    assert spent["decode_s"] > 0


def test_a_list_and_pages_prepared_in_advance_are_read_as_the_stream_reads_them(engine: VllmEngine) -> None:
    """What is compared with the stream must do the same work."""
    pages = [make_request(exact_tokens=True, max_tokens=9) for _ in range(3)]
    prepared = {page.request_id: engine.prepare(page) for page in pages}
    streamed = {each.request_id: each for each in engine.generate(PageList(pages), prepared)}
    for generation, queued_at, finished_at in engine.generate_list(pages):
        assert queued_at < finished_at <= time.monotonic()
        other = streamed[generation.request_id]
        assert (generation.text, generation.prompt_tokens) == (other.text, other.prompt_tokens)


def test_every_way_to_feed_it_gets_the_same_pages_and_lengths(engine: VllmEngine) -> None:
    """`pagemill bench` holds them against each other, so they must do the same work, and none may find it done."""
    pages = [make_request() for _ in range(6)]
    timelines = [
        read_stream(engine, pages, Asking("stream", (4, 12)), 60),
        read_list(engine, pages, Asking("list", (4, 12))),
        read_batches(engine, pages, Asking("batches", (4, 12)), 60, size=3),
    ]
    for timeline in timelines:
        assert len(timeline.answers) == len(pages)
        assert timeline.unanswered == []
        assert all(timeline.started_s <= answer.taken_s < answer.finished_s for answer in timeline.answers)
        assert {answer.cached_tokens for answer in timeline.answers} == {engine.shared_prefix_tokens}
    lengths = [sorted(answer.output_tokens for answer in timeline.answers) for timeline in timelines]
    assert lengths[0] == lengths[1] == lengths[2]
    assert len(timelines[2].laps) == 2


def test_metrics_count_what_was_read(engine: VllmEngine) -> None:
    """The hourly statistics are made of these."""
    before = engine.metrics()
    [generation] = engine.generate(PageList([make_request()]))
    after = engine.metrics()
    assert after.counters["output_tokens"] - before.counters["output_tokens"] == generation.output_tokens
    assert 0 < after.gauges["prefix_cache_hit_rate"] <= 1
    assert {"running", "waiting", "kv_cache_usage"} <= set(after.gauges)
    own = psutil.Process(engine.process_id).memory_info().rss
    assert own < after.gauges["host_memory_bytes"] < after.gauges["host_memory_limit_bytes"]


def test_the_description_matches_the_engine(engine: VllmEngine, tiny_config: VllmConfig) -> None:
    """The fingerprint of a run is made before the engine is loaded."""
    assert describe(tiny_config, "receipt") == engine.info
    assert engine.info.revision.endswith("+random"), "what random weights write must never count as done"


def test_an_engine_that_hangs_is_ended_and_leaves_nothing_behind(engine: VllmEngine) -> None:
    """Nobody else notices one. That a killed engine is noticed, and replaced, is tested on a whole run."""
    model = psutil.Process(engine.process_id)
    processes = [model, *model.children(recursive=True)]
    for process in processes:
        process.suspend()
    with pytest.raises(EngineError, match="no progress"):
        list(engine.generate(PageList([make_request()])))
    engine.close()
    assert not any(process.is_running() for process in processes)
    engine.close()  # a second time does nothing
