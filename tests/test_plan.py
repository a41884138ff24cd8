"""`pagemill plan` as people meet it: what it prints for realistic and for odd questions."""

from __future__ import annotations

import json
import math
import re
import shutil
from pathlib import Path
from statistics import variance
from typing import Any

import pymupdf
import pytest

from pipeline.arguments.plan import PLAN_FLAGS
from pipeline.capacity import GIB, held_against_measurements
from pipeline.cli import main
from pipeline.data import DocumentRef, Json
from pipeline.plan.pages import PageSeen, Seen, choose, estimate

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def _nothing_configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No pagemill.toml, no variables, and 80 columns."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")


Capture = pytest.CaptureFixture[str]


def plan(capsys: Capture, *arguments: str) -> str:
    """Return what the command prints, which must succeed."""
    code = main(["plan", *arguments])
    shown = capsys.readouterr()
    assert (code, shown.err) == (0, "")
    return shown.out


def plan_values(capsys: Capture, *arguments: str) -> Json:
    """Return what it prints as JSON."""
    values: Json = json.loads(plan(capsys, "--json", *arguments))
    return values


def refused(capsys: Capture, *arguments: str) -> str:
    """Return the one line it refuses with."""
    assert main(["plan", *arguments]) == 2
    return capsys.readouterr().err


def test_the_default_card_and_model_are_told_in_80_columns(capsys: Capture) -> None:
    """The reference host: an RTX 4000 Ada for 187 a month reads about 4,000 pages an hour."""
    shown = plan(capsys, "--gpu", "rtx-4000-ada")
    assert max(len(line) for line in shown.splitlines()) <= 80
    for expected in (
        "qwen2.5-vl-7b-awq (awq) on RTX 4000 Ada, 20 GiB",
        "A token takes 28,672 bytes of KV cache",
        "7 times too much",
        "4,163 expected",
        "187.00 a month",
        "stream_share 0.76",
    ):
        assert expected in shown


@pytest.mark.parametrize("columns", [30, 40, 60, 100, 200])
def test_it_fits_any_terminal(capsys: Capture, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    """Down to 41 columns; a line longer than the window is broken in the middle of a figure."""
    monkeypatch.setenv("COLUMNS", str(columns))
    job = ("--pages", "200000", "--window", "8")
    for arguments in ((), ("--matrix",), job, ("--matrix", *job), ("--gpu", "l40s", *job)):
        shown = plan(capsys, *arguments)
        assert max(len(line) for line in shown.splitlines()) <= max(41, min(columns, 100))


def test_memory_adds_up_to_the_card(capsys: Capture) -> None:
    """Whoever adds the column must get the last line."""
    memory = plan_values(capsys, "--gpu", "l40s")["memory"]
    parts = ("text_weights", "embeddings", "vision_weights", "kv_cache", "activations", "overhead", "free")
    assert sum(memory[part] for part in parts) == memory["total"] == 45 * GIB
    assert memory["overstated"] == 7


def test_every_figure_of_the_text_is_in_the_json(capsys: Capture) -> None:
    """Scripts decide by it."""
    values = plan_values(capsys, "--gpu", "rtx-4000-ada", "--load", "1,000,000", "--volume", "100_000", "--window", "6")
    assert values["event"] == "plan"
    assert values["speed"]["pages_per_hour"] < values["speed"]["roofline_pages_per_hour"]
    assert values["engine"]["max_num_seqs"] == values["speed"]["sequences"] == 128
    assert values["cost"]["month"]["pages"] == 1_000_000
    assert values["cost"]["night"]["window_hours"] == 6
    assert len(values["held_against_measurements"]) == 9
    assert all(one["source"] for one in values["assumptions"])


def test_money_by_hand(capsys: Capture) -> None:
    """A card at 187 a month, 730 hours: 187 / 730 / pages an hour x 1000; twice as much when half the time is idle.

    10 million pages a month need ceil(10e6 / (4,163 x 730)) = 4 cards and cost 748.
    """
    busy = plan_values(capsys, "--gpu", "rtx-4000-ada", "--load", "10000000")
    per_hour = busy["speed"]["pages_per_hour"]
    assert busy["cost"]["per_1000_pages"] == pytest.approx(187 / 730 / per_hour * 1000)
    assert busy["cost"]["month"] == {"pages": 10_000_000, "cost": 748.0, "cards": 4}
    idle = plan_values(capsys, "--gpu", "rtx-4000-ada", "--utilisation", "0.5")
    assert idle["cost"]["per_1000_pages"] == pytest.approx(2 * busy["cost"]["per_1000_pages"])


def test_an_hourly_card_is_paid_for_the_hours_it_reads(capsys: Capture) -> None:
    """By hand: 1 million pages at p an hour are 1e6 / p hours at 0.62."""
    values = plan_values(capsys, "--gpu", "l40s", "--price", "0.62", "--load", "1000000")
    hours = 1_000_000 / values["speed"]["pages_per_hour"]
    assert values["cost"]["month"]["cost"] == pytest.approx(0.62 * hours)
    assert values["cost"]["price"]["seller"] == "yours"


def test_the_break_even_with_an_api_by_hand(capsys: Capture) -> None:
    """Textract asks 1.50 for 1,000: 187 a month are its 124,667 pages. Where a card cannot read as many, none."""
    values = plan_values(capsys, "--gpu", "rtx-4000-ada")
    textract = next(api for api in values["apis"] if api["api"] == "textract-text")
    assert textract["break_even_pages_per_month"] == 124_667
    assert textract["times_dearer"] == pytest.approx(1.5 / values["cost"]["per_1000_pages"])
    dear = plan_values(capsys, "--gpu", "rtx-4000-ada", "--price", "100000/month")
    assert all(api["break_even_pages_per_month"] is None for api in dear["apis"])


def test_a_night_takes_as_many_cards_as_its_pages_need(capsys: Capture) -> None:
    """By hand: 100,000 pages in 8 h are 12,500 an hour; at 4,163 that is four cards."""
    shown = plan(capsys, "--gpu", "rtx-4000-ada", "--volume", "100000", "--window", "8")
    assert "100,000 pages in 8 h: 4 cards of this kind" in shown


def test_a_larger_page_is_slower_and_sizes_are_papers_or_pixels(capsys: Capture) -> None:
    """A4 at 150 dpi is 1,240 x 1,754 px, rounded up to 1,260 x 1,764."""
    small = plan_values(capsys, "--page-size", "840x1176")
    large = plan_values(capsys, "--page-size", "a4@150")
    assert small["load"]["page_pixels"] == 840 * 1176
    assert large["load"]["page_pixels"] == 1260 * 1764
    assert large["speed"]["pages_per_hour"] < 0.6 * small["speed"]["pages_per_hour"]


def test_assumptions_can_be_changed_and_say_so(capsys: Capture) -> None:
    """Whoever measured his own card puts that in."""
    shown = plan(capsys, "--assume", "stream_share=0.9", "--assume", "vision_efficiency=0.5")
    assert "stream_share 0.9: share of the roofline a stream reaches; yours" in shown


def test_figures_of_the_card_can_be_changed_too(capsys: Capture) -> None:
    """A card with a lower power limit, or one that is not in the book but nearly."""
    known = plan_values(capsys, "--gpu", "l40s")["speed"]
    shown = plan(capsys, "--gpu", "l40s", "--assume", "bandwidth_gb_s=400", "--assume", "sustained=0.5")
    assert "sustained 0.5: of the card; yours" in shown
    changed = plan_values(capsys, "--gpu", "l40s", "--assume", "bandwidth_gb_s=400", "--assume", "sustained=0.5")
    assert changed["speed"]["decode_s"] > 2 * known["decode_s"]
    assert changed["speed"]["vision_s"] > 1.5 * known["vision_s"]


def test_a_page_longer_than_the_engine_takes_is_told_first(capsys: Capture) -> None:
    """Such pages would be refused one by one, as failed records; no speed is made up for them."""
    for arguments in (("--page-pixels", "50,000,000"), ("--output-tokens", "1000000")):
        assert main(["plan", "--gpu", "rtx-4000-ada", *arguments]) == 2
        shown = capsys.readouterr()
        assert shown.out.splitlines()[1].startswith("A run would refuse such a page: a prompt of ")
        assert "pages an hour" not in shown.out
        assert "longer than vllm.max_model_len, 16,384" in shown.err
        assert main(["plan", "--matrix", "--json", *arguments]) == 2
        assert all(answer["speed"] is None for answer in json.loads(capsys.readouterr().out)["answers"])
    assert "A run would refuse such a page" not in plan(capsys)
    assert "20,000 written" in plan(capsys, "--output-tokens", "20000", "--set", "vllm.max_model_len=32768")


def test_a_job_by_the_month_costs_whole_months_by_hand(capsys: Capture) -> None:
    """200,000 pages at 4,163 an hour are 48.04 h: 7 nights of 8 h, one month, 187; Textract asks 300.

    90 nights of an hour each, 4,163 x 89.5 pages, are 90 x 24 / 730 = 2.96 months, so three are paid.
    """
    values = plan_values(capsys, "--gpu", "rtx-4000-ada", "--pages", "200,000", "--window", "8")
    job = values["job"]
    assert job["hours"] == pytest.approx(200_000 / values["speed"]["pages_per_hour"])
    assert (job["nights"], job["cards_for_one_night"], job["months"], job["cost"]) == (7, 7, 1, 187)
    assert next(api["job"] for api in values["apis"] if api["api"] == "textract-text") == 300
    pages = str(int(values["speed"]["pages_per_hour"] * 89.5))
    short = plan_values(capsys, "--gpu", "rtx-4000-ada", "--pages", pages, "--window", "1")["job"]
    assert (short["nights"], short["months"], short["cost"]) == (90, 3, 561)


def test_a_job_by_the_hour_costs_its_hours_and_breaks_even_at_once(capsys: Capture) -> None:
    """Without --window it is read day and night; a month's break-even would mean nothing."""
    values = plan_values(capsys, "--gpu", "l40s", "--price", "2", "--pages", "200000")
    hours = 200_000 / values["speed"]["pages_per_hour"]
    assert values["job"]["cost"] == pytest.approx(2 * hours)
    assert (values["job"]["nights"], values["job"]["months"]) == (None, None)
    shown = plan(capsys, "--gpu", "l40s", "--price", "2", "--pages", "200000")
    assert "break-even" not in shown.lower()
    assert "costs less from the first page on" in " ".join(shown.split())
    monthly = plan(capsys, "--gpu", "l40s", "--price", "2")
    assert "paid for all month (1,460.00)" in " ".join(monthly.split())
    unpriced = plan(capsys, "--gpu", "rtx-5000-ada", "--pages", "1")
    assert "1 page, once: 0.4 s on 1 card. The minutes" in " ".join(unpriced.split())
    assert not any(line != line.rstrip() for line in unpriced.splitlines())


def test_the_matrix_tells_a_job_of_every_card(capsys: Capture) -> None:
    """By hand: 20,000 pages at 4,163 an hour are 4.8 h, and one night of 8."""
    chosen = ("--matrix", "--gpu", "rtx-4000-ada", "--model", "qwen2.5-vl-7b-awq", "--pages", "20000")
    cells = [line.split()[-1] for line in plan(capsys, *chosen).splitlines() if line.startswith("RTX")]
    assert cells == ["4,163", "4.8", "187.00"]
    nights = [line.split()[-1] for line in plan(capsys, *chosen, "--window", "2").splitlines() if "RTX" in line]
    assert nights == ["4,163", "3", "187.00"]


def test_what_is_offered_is_understood(capsys: Capture) -> None:
    """Quantisations that --help names are in the list of those there are; 50 % is a half."""
    told = refused(capsys, "--quantisation", "x")
    named = next(flag.help for flag in PLAN_FLAGS if flag.key == "quantisation")
    for name in named.removeprefix("of the weights: ").removesuffix(" ...").split(", "):
        assert f" {name}," in told
        assert plan_values(capsys, "--gpu", "l40s", "--quantisation", name)["quantisation"]
    half = plan_values(capsys, "--gpu", "l40s", "--utilisation", "0.5")
    assert plan_values(capsys, "--gpu", "l40s", "--utilisation", "50%") == half


def test_the_configuration_counts(capsys: Capture, tmp_path: Path) -> None:
    """A plan is of the run that would be started: model, sequences, page size and price stand in pagemill.toml."""
    Path("pagemill.toml").write_text(
        '[vllm]\nmodel = "qwen2.5-vl-3b-awq"\nmax_num_seqs = 33\n[render]\nmax_pixels = 500000\n'
        "[cost]\nprice_per_hour = 0.5\n"
    )
    values = plan_values(capsys, "--gpu", "l40s")
    assert values["model"] == "qwen2.5-vl-3b-awq"
    assert values["engine"]["max_num_seqs"] == 33
    assert values["load"]["page_pixels"] <= 500_000
    assert values["cost"]["per_hour"] == 0.5
    assert plan_values(capsys, "--gpu", "l40s", "--sequences", "44")["engine"]["max_num_seqs"] == 44


def test_a_model_is_read_from_its_config_json(capsys: Capture, tmp_path: Path) -> None:
    """A folder or the file itself; nothing else need be there."""
    config = {
        "hidden_size": 2048,
        "intermediate_size": 11008,
        "num_attention_heads": 16,
        "num_hidden_layers": 36,
        "num_key_value_heads": 2,
        "vocab_size": 151936,
        "tie_word_embeddings": True,
        "vision_config": {},
        "quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 128},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    known = plan_values(capsys, "--model", "qwen2.5-vl-3b-awq")["speed"]
    assert plan_values(capsys, "--model", str(tmp_path))["speed"] == known
    assert plan_values(capsys, "--model", str(tmp_path / "config.json"))["speed"] == known


def test_a_model_without_grouped_heads_is_not_said_to_be_overstated(capsys: Capture, tmp_path: Path) -> None:
    """The common formula is right for it: 2 x 28 layers x 28 heads x 128 at FP8."""
    sizes = {"hidden_size": 3584, "intermediate_size": 18944, "num_attention_heads": 28, "num_hidden_layers": 28}
    (tmp_path / "config.json").write_text(json.dumps({**sizes, "vocab_size": 152064, "vision_config": {}}))
    shown = plan(capsys, "--gpu", "l40s", "--model", str(tmp_path))
    assert "A token takes 200,704 bytes" in shown
    assert "common formula" not in shown


def test_the_answer_comes_first(capsys: Capture) -> None:
    """Most people ask how fast and how dear; without a price, how fast."""
    shown = plan(capsys, "--gpu", "rtx-4000-ada").splitlines()
    assert shown[1] == "Expected: 4,163 pages an hour, 0.0615 USD for 1,000 pages."
    assert plan(capsys, "--gpu", "rtx-5000-ada").splitlines()[1].endswith("pages an hour.")


def test_hub_ids_of_known_models_need_no_network(capsys: Capture) -> None:
    """They are what people copy from the model's page."""
    assert plan_values(capsys, "--model", "Qwen/Qwen2.5-VL-7B-Instruct-AWQ")["speed"]


def test_gguf_is_planned_for_memory_and_says_why_not_for_speed(capsys: Capture) -> None:
    """VLLM's speed with it is not known; a figure would be made up."""
    shown = plan(capsys, "--model", "qwen2.5-vl-7b", "--quantisation", "q4_k_m", "--gpu", "rtx-4090")
    assert "weights: text layers      3.7" in shown
    assert "speed is not predicted" in " ".join(shown.split())
    assert "pages an hour" not in shown
    assert plan_values(capsys, "--quantisation", "q4_k_m")["speed"] is None


def test_a_model_that_does_not_fit_shows_its_memory_and_what_would(capsys: Capture) -> None:
    """By how much it misses is what decides the next card.

    By hand: a run may take 0.9 x 20 = 18.0 GiB; weights are 39.9 and overhead 2.8, so 24.7 are missing before any
    cache; one sequence of 16,384 tokens x 163,840 bytes takes 2.5, which makes 27.2.
    """
    assert main(["plan", "--model", "qwen2.5-vl-72b-awq", "--gpu", "rtx-4000-ada"]) == 2
    shown = capsys.readouterr()
    assert "short by 27.2 GiB" in shown.err
    assert "It cannot start there." in shown.out
    assert "KV cache, FP8           -24.7 missing" in shown.out
    assert "Try model" in shown.err


def test_the_matrix_holds_cards_against_models(capsys: Capture) -> None:
    """All cards and four models in 80 columns, twice: speed and money."""
    shown = plan(capsys, "--matrix")
    assert max(len(line) for line in shown.splitlines()) <= 80
    lines = [line for line in shown.splitlines() if line.startswith("RTX 4000 Ada ")]
    assert len(lines) == 2
    assert "4,163" in lines[0]
    assert "—" in lines[0]  # 16-bit 7B does not fit
    chosen = plan_values(capsys, "--matrix", "--gpu", "l4,l40s", "--model", "qwen2.5-vl-3b-awq,rolmocr")
    assert [(one["gpu"], one["model"]) for one in chosen["answers"]] == [
        ("l4", "qwen2.5-vl-3b-awq"),
        ("l4", "rolmocr"),
        ("l40s", "qwen2.5-vl-3b-awq"),
        ("l40s", "rolmocr"),
    ]


def test_the_price_book_is_printed_to_be_edited(capsys: Capture, tmp_path: Path) -> None:
    """And taken back with --prices."""
    book = plan(capsys, "--print-prices")
    file = tmp_path / "prices.toml"
    file.write_text(book.replace("per_month = 187", "per_month = 1870"))
    assert "1,870.00 a month" in plan(capsys, "--gpu", "rtx-4000-ada", "--prices", str(file))


def test_a_book_of_ones_own_needs_no_card_of_ours(capsys: Capture, tmp_path: Path) -> None:
    """Without --gpu the first card of such a book is planned; an empty one is refused."""
    entries = plan(capsys, "--print-prices").partition("[gpus.")[0]
    file = tmp_path / "prices.toml"
    card = 'memory_gib = 24\nbandwidth_gb_s = 500\nfp16_tflops = 100\npower_w = 200\ncapability = "8.9"\n'
    file.write_text(f'{entries}[gpus.mine]\nname = "My Card"\n{card}')
    shown = plan(capsys, "--prices", str(file))
    assert "on My Card, 24 GiB" in shown
    assert "no price for My Card" in shown
    file.write_text(f"{entries}[gpus]\n")
    assert "holds no card" in refused(capsys, "--prices", str(file))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--gpu", "l41s"), "Did you mean l40s?"),
        (("--gpu", ","), "--gpu is empty"),
        (("--gpu", "l4,l40s"), "add --matrix"),
        (("--page-pixels", "-3"), "--page-pixels -3: give a number from 784 to 100,000,000"),
        (("--page-pixels", "99999999999"), "from 784 to 100,000,000"),
        (("--page-size", "a9"), "a paper and a resolution (a3, a4, a5, letter, legal; a4@150) or pixels"),
        (("--page-size", "a4@9999"), "no model takes more"),
        (("--page-size", "0x1148"), "or pixels (896x1148)"),
        (("--output-tokens", "0"), "from 1 to 1,000,000"),
        (("--output-tokens", "nan"), "from 1 to"),
        (("--output-tokens", "2.5"), "give a whole number"),
        (("--utilisation", "2"), "from 0.001 to 1"),
        (("--utilisation", "500%"), "from 0.1 to 100"),
        (("--pages", "0"), "--pages 0: give a number from 1"),
        (("--pages", "5", "in"), "leave one of the two out"),
        (("--open", "5"), "name an INPUT"),
        (("--matrix", "--load", "5", "--volume", "6"), "--matrix does not use --load, --volume;"),
        (("--matrix", "--window", "5"), "--matrix does not use --window;"),
        (("--price", "free"), "or a seller of RTX 4000 Ada"),
        (("--price", "-3"), "an amount above 0"),
        (("--kv-dtype", "int4"), "give one of auto, fp8, bf16, fp16"),
        (("--quantisation", "q4_k_x"), "Did you mean q4_k_s?"),
        (("--model", "qwen2.5-vl-7b-awk"), "Did you mean qwen2.5-vl-7b-awq?"),
        (("--model", "model.gguf"), "--quantisation q4_k_m"),
        (("--assume", "speed=1"), "There is no assumption 'speed'"),
        (("--assume", "memory_gb=1"), "of the card memory_gib, bandwidth_gb_s,"),
        (("--assume", "stream_share"), "NAME=NUMBER"),
        (("--assume", "sustained=2"), "--assume sustained=2"),
        (("--prices", "none.toml"), "none.toml cannot be read"),
        (("--matrix", "in"), "--matrix plans for a typical page"),
        (("no-such-folder",), "does not exist"),
        (("--extraction", "poems"), "There is no extraction 'poems'"),
        (("--open", "none", "."), "this is no number"),
    ],
)
def test_a_wrong_question_is_refused_in_one_line(capsys: Capture, arguments: tuple[str, ...], message: str) -> None:
    """Each says what is expected, and nothing is printed before."""
    told = refused(capsys, *(arguments if "--gpu" in arguments else ("--gpu", "rtx-4000-ada", *arguments)))
    assert message in told
    assert told.count("\n") == 1


@pytest.mark.parametrize("content", ["[1]", "{", "{}", '{"num_attention_heads": 8}'])
def test_a_file_that_is_no_model_is_refused(capsys: Capture, tmp_path: Path, content: str) -> None:
    """Often another JSON file of the same folder."""
    (tmp_path / "config.json").write_text(content)
    assert "config.json" in refused(capsys, "--model", str(tmp_path))


def make_pdf(path: Path, pages: int, *, text: str = "A line of text that is long enough. " * 8) -> None:
    """Make a PDF of so many A4 pages with this text on each."""
    document: Any = pymupdf.open()  # type: ignore[no-untyped-call]
    for _ in range(pages):
        page = document.new_page(width=595, height=842)
        page.insert_textbox((50, 50, 545, 800), text, fontsize=11)
    document.save(path)
    document.close()


@pytest.mark.slow
def test_an_input_is_counted_and_its_hours_and_money_forecast(capsys: Capture, tmp_path: Path) -> None:
    """Documents of 1 to 4 pages and a damaged one: 10 pages, all opened, so counted without a margin."""
    (tmp_path / "in").mkdir()
    for pages in (1, 2, 3, 4):
        make_pdf(tmp_path / "in" / f"{pages}.pdf", pages)
    (tmp_path / "in" / "damaged.pdf").write_bytes(b"%PDF-1.7 nothing")
    values = plan_values(capsys, str(tmp_path / "in"), "--gpu", "rtx-4000-ada")
    found, hours = values["input"], values["input"]["forecast"]["hours"]
    assert (found["documents"], found["opened"], found["unreadable"]) == (5, 5, 1)
    assert (found["pages"], found["margin"], found["born_digital"]) == (10, 0, 1)
    assert values["load"]["page_pixels"] == found["page_pixels"]
    assert hours == pytest.approx(10 / values["speed"]["pages_per_hour"])
    assert found["forecast"]["cost"] == pytest.approx(hours * values["cost"]["per_hour"])
    assert found["forecast"]["nights"] == 1
    assert "Adaptive page sizes are part of this" in plan(capsys, str(tmp_path / "in"))
    assert "Adaptive page sizes" not in plan(capsys, str(tmp_path / "in"), "--set", "render.adaptive=off")


def test_pages_of_a_sample_stand_for_all_by_hand() -> None:
    """Documents of 1 and 3 pages and one that cannot be read, of 12 others beside one of 100: 100 + 4 / 3 x 12 = 116.

    A page looked at stands for its document's, and a drawn document for 4: of 116 pages, 100 of the first document,
    1 x 4 and 1.5 x 4 have text, 1.5 x 4 are blank. Variance of (1, 3, 0) is 7/3; the quantile for three is
    4.30 by the table of Student's t; 4.30 x 12 x sqrt(7/9 x 3/4) = 39.
    """
    text, blank = PageSeen(1_000_000, True, False, False), PageSeen(200_000, False, True, True)
    found = estimate(13, [Seen(100, (text,))], [Seen(1, (text,)), Seen(3, (text, blank)), None])
    assert (found.documents, found.opened, found.unreadable) == (13, 4, 1)
    assert found.pages == pytest.approx(116)
    assert found.margin == pytest.approx(39.4, rel=0.04)
    assert found.blank == found.spared == pytest.approx(6 / 116)
    assert found.born_digital == pytest.approx(110 / 116)
    assert found.page_pixels == 1_000_000  # the other one is not sent
    assert found.limited_to(1).pages == pytest.approx(116 / 13)


@pytest.mark.parametrize(("opened", "quantile"), [(4, 3.182), (5, 2.776), (11, 2.228), (31, 2.042)])
def test_few_documents_make_a_wide_margin(opened: int, quantile: float) -> None:
    """By the table of Student's t, 95 %, two-sided: what a normal distribution says is too narrow for few."""
    drawn = [Seen(1 + number % 2, ()) for number in range(opened)]
    margin = estimate(1000 * opened, [], drawn).margin
    error = 1000 * opened * math.sqrt(variance([one.num_pages for one in drawn]) / opened * 0.999)
    assert margin == pytest.approx(quantile * error, rel=0.01)


def test_one_document_of_many_tells_no_margin() -> None:
    """Nothing is known of how much documents differ; all of them leave none."""
    one = Seen(7, ())
    assert (estimate(5, [], [one]).margin, estimate(1, [], [one]).margin, estimate(2, [one], [one]).margin) == (
        None,
        0,
        0,
    )
    assert estimate(1, [], [one]).page_pixels is None


@pytest.mark.parametrize(("documents", "count"), [(5, 100), (100, 100), (1000, 30), (1000, 1), (7, 2)])
def test_the_largest_files_are_always_opened(documents: int, count: int) -> None:
    """A few may have most of the pages: one thousand-page scan among letters would be missed or counted fifty-fold."""
    refs = [DocumentRef(f"file:///{number}.pdf", 1000 + number, None) for number in range(documents)]
    found, largest, drawn = choose(refs, count)
    opened = [ref.uri for ref in (*largest, *drawn)]
    assert (found, len(opened)) == (documents, min(documents, count))
    assert len(set(opened)) == len(opened)
    assert {ref.uri for ref in largest} == {ref.uri for ref in refs[documents - min(documents, count // 3) :]}
    assert choose(iter(refs), count) == (found, largest, drawn)


@pytest.mark.slow
def test_a_sample_of_an_input_states_how_far_it_may_be_off(capsys: Capture, tmp_path: Path) -> None:
    """Twelve of forty documents of 1 to 4 pages; which ones depends on the name of their folder."""
    (tmp_path / "in").mkdir()
    for pages in (1, 2, 3, 4):
        make_pdf(tmp_path / "made.pdf", pages, text="some")
        for number in range(10):
            shutil.copy(tmp_path / "made.pdf", tmp_path / "in" / f"{pages}-{number}.pdf")
    shown = plan(capsys, str(tmp_path / "in"), "--open", "12")
    pages, margin = (int(number) for number in re.findall(r"(\d+) ± (\d+) pages", shown)[0])
    assert "40 documents; 12 documents opened" in shown
    assert 0 < margin <= 43  # the most that four of one page and four of four pages leave open
    assert abs(pages - 100) <= 5 * margin  # a bound for every draw but one in thousands, not the 19 in 20 of the margin


GUIDE = (ROOT / "docs" / "plan.md").read_text(encoding="utf-8")


def test_the_guide_states_the_errors_as_they_are() -> None:
    """Whoever changes a formula changes how good the figures are."""
    for one in held_against_measurements():
        fitted = f"`{one.fitted}` " if one.fitted else ""
        row = f"| {one.what} | {one.pages_per_s:.1f} | {one.predicted:.1f} | {one.error:+.1%} | {fitted}|"
        assert row in GUIDE


def test_the_guide_shows_what_the_command_prints(capsys: Capture) -> None:
    """An example that cannot be reproduced is an advertisement."""
    shown = plan(capsys, "--gpu", "rtx-4000-ada", "--load", "1,000,000", "--volume", "100,000")
    assert shown.partition("\nAssumptions")[0] in GUIDE
    assert plan(capsys, "--matrix").partition("\nUSD")[0] in GUIDE
    for arguments in (("rtx-4000-ada", "--pages", "200,000", "--window", "8"), ("l40s", "--pages", "200,000")):
        head, _, rest = plan(capsys, "--gpu", *arguments).partition("\n\nMemory")
        assert head in GUIDE
        assert rest[rest.index("Money,") :].partition("\n\nAssumptions")[0] in GUIDE
    for sequences in (8, 14, 16, 32, 64, 128):
        speed = plan_values(capsys, "--gpu", "rtx-4000-ada", "--sequences", str(sequences))["speed"]
        assert f"| {sequences} | {speed['page_latency_s']:.0f} s | {speed['pages_per_hour']:,.0f} |" in GUIDE
    shown = plan(capsys, "--gpu", "rtx-4000-ada", "--sequences", "16")
    assert shown[shown.index("  decode") : shown.index("\n\nMoney")] in GUIDE


def test_the_guide_names_every_flag() -> None:
    """A flag that is not there does not exist for its readers."""
    assert [flag.name for flag in PLAN_FLAGS if flag.name not in GUIDE] == []
