"""`pagemill bench` around its engine: the pages, the feeds, the window that counts, and what is told of it.

The feeds that need vLLM are tested on it; see vllm_engine.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline.bench.case import told_of_few
from pipeline.bench.command import _split, _varied
from pipeline.bench.documents import write_documents
from pipeline.bench.feeds import batched, read_pipeline
from pipeline.bench.figures import STAND_IN, Figures, Gpu, Subject, figures_of
from pipeline.bench.model_folder import TINY, write_model
from pipeline.bench.plot import draw
from pipeline.bench.predicted import predicted_requests_per_s
from pipeline.bench.report import notes_of, row_of, table_of, write_parquet
from pipeline.bench.serve import Question, flags, read_serve
from pipeline.bench.timeline import Answer, Timeline, Window, fewest_pages
from pipeline.bench.workload import Asking, collect, measured_config
from pipeline.capacity import PROFILES, Serving, read_shape
from pipeline.cli import main
from pipeline.config import RunConfig
from pipeline.data import FinishReason, Generation, PageImage, PageRequest, RenderSpec, TrySettings
from pipeline.engines import EngineChoice
from pipeline.engines.scripted import ScriptedEngine
from pipeline.engines.vllm.installed import find_installed
from pipeline.errors import ConfigError, EngineStartError
from pipeline.stats import GpuSample


def make_request(number: int = 1) -> PageRequest:
    """Return a small page."""
    spec = RenderSpec(28 * 28)
    image = PageImage(1, np.full((28, 28, 3), number, np.uint8), spec, dpi=None, text_layer=None, render_s=0)
    settings = TrySettings(1, 2048, 0.0, constrained=True, render=spec)
    return PageRequest(f"{number}", f"sha-{number // 3}:{number}:784:0", image, settings)


def make_timeline(*, pages: int, width: int, page_s: float) -> Timeline:
    """Return a stream of equal pages: `width` at once, each for `page_s`, the first ones all at the same time."""
    answers = []
    for number in range(pages):
        taken_s = 100 + (number // width) * page_s + (number % width) * page_s / width * (number >= width)
        answers.append(Answer(f"{number // 4}", taken_s, taken_s + page_s, 1000, 400, 250))
    return Timeline(100.0, max(answer.finished_s for answer in answers), answers)


# Pages


def test_the_same_seed_writes_the_same_documents(tmp_path: Path) -> None:
    """Figures of two days can be held against each other only if they are of the same pages."""
    first, second = (write_documents(tmp_path / name, 3, seed=5) for name in "ab")
    assert [path.read_bytes() for path in sorted(first.iterdir())] == [
        path.read_bytes() for path in sorted(second.iterdir())
    ]
    other = write_documents(tmp_path / "c", 3, seed=6)
    assert min(first.iterdir()).read_bytes() != min(other.iterdir()).read_bytes()


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve pages."""
    return write_documents(tmp_path_factory.mktemp("documents"), 12)


@pytest.fixture
def config(documents: Path, tmp_path: Path) -> RunConfig:
    """Settings of a measured run over the documents."""
    whole = RunConfig.model_validate(
        {"input": str(documents), "output": str(tmp_path / "out"), "render": {"workers": 1, "adaptive": "off"}}
    )
    return measured_config(whole, str(tmp_path / "out"), 12, is_exact=True)


def made_choice(engine: ScriptedEngine) -> EngineChoice:
    """Return the choice of an engine that is there."""
    return EngineChoice(engine.info, lambda: engine, max_pixels=200_000)


@pytest.mark.slow
def test_the_pipeline_is_measured_on_the_pages_that_all_feeds_get(config: RunConfig) -> None:
    """Else the ratio of two feeds would be that of two inputs; and none of the pages may be left out as blank."""
    read: list[PageRequest] = []

    def answer(request: PageRequest) -> Generation:
        read.append(request)
        return Generation(
            request.request_id, "aa" * 400, FinishReason.LENGTH, output_tokens=request.settings.max_tokens
        )

    engine = ScriptedEngine(answer)
    collected = collect(config, made_choice(engine))
    timeline, report = read_pipeline(config, made_choice(engine), engine, Asking("p", (5, 50)), 60)

    asked = {(request.image_key, request.settings.max_tokens) for request in map(Asking("p", (5, 50)), collected)}
    assert {(request.image_key, request.settings.max_tokens) for request in read} == asked
    assert len(asked) == 12
    assert all(request.settings.exact_tokens for request in read)
    assert report.pages_ok == 12, (
        "a text that repeats itself, as random weights write, must not count against the model"
    )
    assert len(timeline.answers) == 12
    assert len({each.document for each in timeline.answers}) == report.documents
    assert timeline.ended_s > max(each.finished_s for each in timeline.answers), "the commit belongs to the pipeline"


@pytest.mark.slow
def test_a_feed_ends_when_its_time_is_over(config: RunConfig) -> None:
    """A slow card would otherwise take hours for the pages of a fast one."""
    engine = ScriptedEngine(lambda request: Generation(request.request_id, "text", FinishReason.STOP), capacity=1)
    timeline, report = read_pipeline(config, made_choice(engine), engine, Asking("p", None), 0)
    assert 1 <= len(timeline.answers) < 12
    assert report.stopped_by == "signal"


def test_feeds_share_pages_and_lengths_but_no_cache() -> None:
    """The second feed would find its images in vLLM's caches, and be measured too fast."""
    page = make_request()
    stream, listed = Asking("stream", (10, 1000))(page), Asking("list", (10, 1000))(page)
    assert stream.settings == listed.settings
    assert stream.image_key != listed.image_key
    lengths = {Asking("stream", (10, 1000))(make_request(number)).settings.max_tokens for number in range(20)}
    assert len(lengths) > 10
    assert all(10 <= length <= 1000 for length in lengths)


def test_natural_lengths_leave_a_page_as_it_is_asked() -> None:
    """Real weights end their outputs themselves, and are held to the schema."""
    page = make_request()
    assert Asking("x", None)(page).settings == page.settings
    answer = Generation("1", "text", FinishReason.LENGTH, output_tokens=5)
    assert Asking("x", None).answer(answer) is answer


def test_batches_are_of_one_size_but_for_the_last() -> None:
    """As scripts cut their lists."""
    assert [len(batch) for batch in batched([make_request()] * 7, 3)] == [3, 3, 1]


# Models


@pytest.mark.parametrize("name", PROFILES)
def test_random_weights_have_the_dimensions_of_the_model(name: str, tmp_path: Path) -> None:
    """Speed is that of the real model only if every dimension is."""
    pytest.importorskip("tokenizers")
    shape = PROFILES[name].shape
    written = read_shape(json.loads((write_model(tmp_path, shape) / "config.json").read_bytes()))
    assert replace(written, weights=shape.weights) == shape
    assert (written.weights.method, written.weights.bits) == (shape.weights.method, shape.weights.bits)
    assert written.weights.bytes_per_param == pytest.approx(shape.weights.bytes_per_param)


def test_a_prompt_has_about_as_many_tokens_as_words(tmp_path: Path) -> None:
    """Byte by byte it would be five times as long as with the real tokenizer, and slow."""
    tokenizers = pytest.importorskip("tokenizers")
    text = "Transcribe all text on this page. Keep one printed line on one line."
    folder = write_model(tmp_path, replace(TINY, vocabulary=1024), known_text=text)
    encoded = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json")).encode(text)
    assert len(text.split()) <= len(encoded.ids) <= 1.3 * len(text.split())


# Time


def test_the_window_leaves_out_filling_up_and_the_tail() -> None:
    """At first all pages are at the same stage, at the end the engine runs dry: neither is what a night is made of."""
    timeline = make_timeline(pages=200, width=10, page_s=2.0)
    window = timeline.steady(10)
    assert window
    assert window.start_s == pytest.approx(102.0)
    assert window.end_s <= max(answer.taken_s for answer in timeline.answers) + 0.3
    assert timeline.finished_in(window) / window.seconds == pytest.approx(5.0, rel=0.05)
    assert timeline.rates(window)[1:] == pytest.approx([5.0] * 4, rel=0.1)


def test_there_is_no_window_with_too_few_pages() -> None:
    """A rate of the first pages would be told as if it were that of a night."""
    assert make_timeline(pages=15, width=10, page_s=2.0).steady(10) is None


def test_how_many_pages_it_takes_is_known_before_they_are_read() -> None:
    """Loading a model for a figure that says nothing is a waste."""
    assert make_timeline(pages=fewest_pages(10), width=10, page_s=2.0).steady(10)
    assert told_of_few(30, slots=10) is None
    assert str(told_of_few(24, slots=8)).startswith("24 pages are fewer than the steady state needs: at least 26")
    assert str(told_of_few(1, slots=8)).startswith("1 page is")


def test_a_feed_that_was_cut_off_has_no_tail() -> None:
    """Pages without an answer kept the engine full to the end."""
    timeline = make_timeline(pages=200, width=10, page_s=2.0)
    answers = [answer for answer in timeline.answers if answer.finished_s < 130]
    unanswered = [answer.taken_s for answer in timeline.answers if answer.taken_s < 130 <= answer.finished_s]
    window = Timeline(100.0, 130.0, answers, unanswered=unanswered).steady(10)
    assert window
    assert window.end_s == max(answer.finished_s for answer in answers)


def test_the_window_of_batches_is_made_of_whole_batches() -> None:
    """Their rate rises and falls within each; half a batch would tell anything."""
    answers = [Answer("a", 10.0 * (number // 4), 10.0 * (number // 4) + 2 + number % 4) for number in range(16)]
    timeline = Timeline(0.0, 40.0, answers, laps=[10.0, 20.0, 30.0, 40.0])
    assert timeline.steady(256) == Window(10.0, 40.0)


def test_figures_are_of_the_window() -> None:
    """Requests, tokens, cache and latency, each by the arithmetic that the handbook gives."""
    timeline = make_timeline(pages=200, width=10, page_s=2.0)
    row = figures_of(timeline, timeline.steady(10), subject=SUBJECT, feed="stream")
    assert row.is_steady
    assert row.requests_per_s == pytest.approx(5.0, rel=0.05)
    assert row.pages_per_hour == pytest.approx(3600 * row.requests_per_s)
    assert row.tokens_per_s == pytest.approx(400 * row.requests_per_s)
    assert row.cached_share == pytest.approx(0.25)
    assert (row.latency_mean_s, row.latency_p95_s) == pytest.approx((2.0, 2.0))
    assert row.document_latency_mean_s
    assert row.document_latency_mean_s > 2.0
    assert row.ramp_s == pytest.approx(2.0)
    assert replace(row, price_per_hour=1.8).cost_per_1000 == pytest.approx(0.1, rel=0.05)


def test_a_card_is_described_by_its_samples() -> None:
    """Means of busy share and power, the most memory, the sum of energy."""
    samples = [GpuSample(at, at / 10, (1 + at) << 30, 24 << 30, 100.0 * at, 0.5) for at in (8, 10)]
    assert Gpu.of(samples) == Gpu(busy=0.9, power_w=900.0, memory_gib=11.0, energy_wh=1.0)
    assert Gpu.of([]) == Gpu()


# What is told

SUBJECT = Subject(
    model="qwen2.5-vl-7b-awq",
    quantisation="awq",
    kv_cache_dtype="fp8",
    weights="random",
    settings="vllm.max_num_seqs=128",
    device="NVIDIA H100 80GB HBM3",
    vllm_version="0.25.1",
    page_px=896 * 1148,
)


@pytest.fixture
def rows() -> list[Figures]:
    """Two feeds."""
    timeline = make_timeline(pages=200, width=10, page_s=2.0)
    stream = figures_of(timeline, timeline.steady(10), subject=SUBJECT, feed="stream")
    pipeline = figures_of(timeline, None, subject=SUBJECT, feed="pipeline", success_rate=0.995)
    engine = {"steps": 1200.0, "decode_s": 3.5}
    return [stream, replace(pipeline, of_stream=0.97, engine=engine, price_per_hour=2.0, remark="too few pages")]


def test_the_table_says_what_the_rows_hold(rows: list[Figures]) -> None:
    """Columns nothing is known of are left out; a figure that is not of a steady state is marked."""
    text = table_of(rows)
    header, first, second = text.splitlines()
    assert "GPU" not in header
    assert "requests/s" in header
    assert first.startswith("qwen2.5-vl-7b-awq  awq, random  vllm.max_num_seqs=128  stream")
    assert "99.5%" in second
    assert "*" in second
    assert "*" not in first
    assert "* of all of the time: too few pages" in notes_of(rows)


def test_speed_is_not_told_of_a_tiny_model(rows: list[Figures]) -> None:
    """It stands in for the one that is asked for where there is no GPU."""
    assert any("speed is that of real ones" in note for note in notes_of(rows))
    tiny = [replace(row, subject=replace(SUBJECT, model=f"{STAND_IN}{SUBJECT.model}")) for row in rows]
    assert not any("speed is that" in note for note in notes_of(tiny))
    assert any("tiny model" in note for note in notes_of(tiny))


def test_rows_are_kept_as_parquet(rows: list[Figures], tmp_path: Path) -> None:
    """For whoever holds many measurements against each other; the column names are those of the JSON."""
    path = tmp_path / "figures.parquet"
    write_parquet(rows[:1], path)
    write_parquet(rows, path)
    table = pq.read_table(path).to_pylist()
    assert [row["feed"] for row in table] == ["stream", "pipeline"]
    assert dict(table[1]["engine"]) == rows[1].engine
    assert set(table[0]) == set(row_of(rows[0]))
    assert json.loads(json.dumps(row_of(rows[1])))["of_stream"] == 0.97
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_rows_are_drawn(rows: list[Figures], tmp_path: Path, suffix: str) -> None:
    """A picture for a report."""
    pytest.importorskip("matplotlib")
    draw([replace(rows[0], predicted_requests_per_s=5.5), rows[1]], tmp_path / f"plot{suffix}")
    assert (tmp_path / f"plot{suffix}").stat().st_size > 1000


def test_the_plan_stands_beside_the_measured_figure(rows: list[Figures]) -> None:
    """Its error on real cards is known only if it is told each time; for an unknown card there is none."""
    shape = PROFILES["qwen2.5-vl-7b-awq"].shape
    found = predicted_requests_per_s(rows[0], shape, Serving(256), batch_size=32)
    assert found
    assert 5 < found < 20
    batches = predicted_requests_per_s(replace(rows[0], feed="batches"), shape, Serving(256), batch_size=32)
    assert batches
    assert batches < found
    measured = replace(rows[0], requests_per_s=5.0, predicted_requests_per_s=5.5)
    assert measured.prediction_error == pytest.approx(0.1)
    cpu = replace(rows[0], subject=replace(SUBJECT, device="CPU, 2 cores"))
    assert predicted_requests_per_s(cpu, shape, Serving(256), batch_size=32) is None


# The server's client


class _Server(BaseHTTPRequestHandler):
    """Answers chat completions, but for pages of one colour."""

    asked: ClassVar[list[dict[str, Any]]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append(body)
        details = {"cached_tokens": 10}
        usage = {
            "prompt_tokens": 50,
            "completion_tokens": body["max_tokens"],
            "prompt_tokens_details": details,
        }
        answer = json.dumps({"choices": [{"message": {"content": "text"}}], "usage": usage}).encode()
        self.send_response(400 if body["max_tokens"] == 1 else 200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def server() -> Iterator[int]:
    """Yield the port of a server."""
    _Server.asked.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), _Server) as served:
        thread = threading.Thread(target=served.serve_forever)
        thread.start()
        yield served.server_port
        served.shutdown()
        thread.join()


def test_the_client_sends_every_page_once_and_counts_what_the_server_says() -> None:
    """It stands for what others do, so it must do it well."""
    pages = [make_request(number) for number in range(1, 8)]
    with server() as port:
        timeline = read_serve(port, Question("Read.", None), pages, Asking("s", (3, 9)), 60, concurrency=3)
    assert len(timeline.answers) == len(_Server.asked) == 7
    assert {answer.output_tokens for answer in timeline.answers} == {body["max_tokens"] for body in _Server.asked}
    assert all((answer.prompt_tokens, answer.cached_tokens) == (50, 10) for answer in timeline.answers)
    first = _Server.asked[0]
    assert first["ignore_eos"]
    assert first["messages"][0] == {"role": "system", "content": "Read."}
    assert first["messages"][1]["content"][0]["image_url"]["url"].startswith("data:image/png;base64,iVBOR")


def test_a_refused_page_counts_as_failed() -> None:
    """One among many; the others go on."""
    with server() as port:
        timeline = read_serve(port, Question("Read.", None), [make_request()], Asking("s", (1, 1)), 60, concurrency=1)
    assert [answer.is_ok for answer in timeline.answers] == [False]


def test_a_server_gets_the_settings_of_the_engine() -> None:
    """Else two settings would be compared and not two ways to feed one."""
    arguments = {
        "model": "/models/a",
        "max_num_seqs": 256,
        "enable_prefix_caching": True,
        "enforce_eager": False,
        "revision": None,
        "disable_log_stats": False,
        "limit_mm_per_prompt": {"image": 1},
    }
    given = " ".join(flags(arguments))
    assert "--model /models/a" in given
    assert "--max-num-seqs 256 --enable-prefix-caching --no-enforce-eager --limit-mm-per-prompt" in given
    assert '{"image": 1}' in given
    assert "revision" not in given


# The command


def test_cases_are_all_combinations() -> None:
    """Of models and of the values of each setting, in the order in which they are given."""
    assert list(_varied(["a", "b"], ["vllm.max_num_seqs=1,2"])) == [
        ("vllm.model=a", "vllm.max_num_seqs=1"),
        ("vllm.model=a", "vllm.max_num_seqs=2"),
        ("vllm.model=b", "vllm.max_num_seqs=1"),
        ("vllm.model=b", "vllm.max_num_seqs=2"),
    ]
    assert list(_varied([], [])) == [()]


def test_values_may_be_lists_and_tables() -> None:
    """So are some of vLLM's own settings."""
    assert list(_split('{sizes = [1, 2], on = true},{on = false},"x"')) == [
        "{sizes = [1, 2], on = true}",
        "{on = false}",
        '"x"',
    ]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--feeds", "stream,torrent"], "torrent is none of stream, pipeline"),
        (["--vary", "vllm.max_num_seqs"], "KEY=A,B"),
        (["--vary", "vllm.max_num_sqs=1,2"], "vllm.max_num_seqs"),
        (["--output", "."], "exists"),
        (["--output", "nowhere/figures.parquet"], "there is no folder"),
        (["--plot", "figures.doc"], ".png, .svg or .pdf"),
        (["--price-per-hour", "much"], "cost.price_per_hour"),
        (["--tokens", "80", "40"], "write --tokens 40 80"),
        (["--sweep", "--tokens", "80", "40"], "write --tokens 40 80"),
    ],
)
def test_what_is_wrong_is_found_before_anything_is_measured(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A typing error must not cost the minutes of a measurement."""
    assert main(["bench", *arguments]) == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("number", ["0", "-1", "x"])
@pytest.mark.parametrize("flag", ["--tokens", "--pages", "--batch", "--seconds", "--concurrency", "--rounds"])
def test_numbers_are_positive(flag: str, number: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A measurement of nothing has no figures."""
    with pytest.raises(SystemExit) as stop:
        main(["bench", flag, number, *(["40"] if flag == "--tokens" else [])])
    assert stop.value.code == 2
    assert f"argument {flag}" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [[], ["--sweep"], ["--stage", "prepare"], ["--stage", "write", "--stage", "prepare"]]
)
def test_without_vllm_it_says_what_works(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """At once, and with flags that it has: `--engine ocr` is for `run`."""
    monkeypatch.setattr("pipeline.engines.vllm.installed.is_installed", lambda: False)
    assert main(["bench", *arguments]) != 0
    told = capsys.readouterr()
    [line] = told.err.splitlines()
    assert "make gpu" in line
    assert "--stage render, --stage write, --stage ocr, --page-sizes" in line
    assert "--engine" not in line
    assert not told.out


def test_run_without_vllm_is_told_of_ocr(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has another engine."""
    monkeypatch.setattr("pipeline.engines.vllm.installed.is_installed", lambda: False)
    with pytest.raises(EngineStartError, match=r"make gpu`, or read with `--engine ocr`\.$"):
        find_installed()


def test_an_empty_input_is_a_wrong_one(tmp_path: Path) -> None:
    """There would be nothing to measure."""
    (tmp_path / "in").mkdir()
    config = RunConfig(input=str(tmp_path / "in"), output=str(tmp_path / "out"))
    with pytest.raises(ConfigError, match="No document"):
        collect(config, made_choice(ScriptedEngine(lambda _: "")))
