"""The price book: what is shipped, what people write themselves, and what follows from prices."""

from __future__ import annotations

import tomllib
from decimal import Decimal
from pathlib import Path

import pytest

from pipeline.capacity import load_price_book, price_book_text
from pipeline.errors import ConfigError

BOOK = load_price_book()
MINE = """
edited = 2026-01-01
currency = "EUR"
[gpus.mine]
name = "My Card"
memory_gib = 24
bandwidth_gb_s = 500
fp16_tflops = 100
power_w = 200
capability = "8.9"
[[gpus.mine.prices]]
seller = "me"
per_hour = 0.5
seen = "2026-01"
source = "my bill"
verified = true
"""


def test_every_price_tells_where_and_when_it_was_seen() -> None:
    """A price without that is a rumour; those that are rumours say so."""
    told = [(price.seen, price.source) for gpu in BOOK.gpus.values() for price in gpu.prices]
    told += [(api.seen, api.source) for api in BOOK.apis.values()]
    assert len(told) > 15
    assert [one for one in told if not one[0].startswith("20") or not one[1]] == []


@pytest.mark.parametrize("key", sorted(BOOK.gpus))
def test_eight_bit_arithmetic_is_twice_as_fast_where_there_is_some(key: str) -> None:
    """Datasheets mix dense and sparse figures; a mistake shows as a factor that is not 2 (the RTX 4090's INT8 is 4)."""
    gpu = BOOK.gpus[key]
    for eight in (gpu.fp8_tflops, gpu.int8_tops):
        if eight:
            assert eight / gpu.fp16_tflops == pytest.approx(2, rel=0.03) or key == "rtx-4090"
    assert (gpu.fp8_tflops is not None) == (gpu.compute_capability >= (8, 9))


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("rtx-4000-ada", "rtx-4000-ada"),
        ("RTX 4000 Ada", "rtx-4000-ada"),
        ("NVIDIA RTX 4000 Ada Generation", "rtx-4000-ada"),
        ("NVIDIA RTX 4000 SFF Ada Generation", "rtx-4000-sff-ada"),
        ("NVIDIA GeForce RTX 4090", "rtx-4090"),
        ("NVIDIA H100 80GB HBM3", "h100-sxm"),
        ("NVIDIA A100-SXM4-80GB", "a100-80"),
        ("nvidia l4", "l4"),
        ("L40S", "l40s"),
    ],
)
def test_cards_are_known_by_what_people_and_drivers_call_them(name: str, key: str) -> None:
    """A plan on the machine itself needs no flag."""
    assert BOOK.gpu(name).key == key


def test_an_unknown_card_is_refused_with_the_nearest_and_how_to_add_it() -> None:
    """New cards come out every year."""
    with pytest.raises(ConfigError, match=r"no card 'l41s'.*Did you mean l40s\?.*--print-prices"):
        BOOK.gpu("l41s")
    assert BOOK.recognise("B300") is None


def test_the_printed_book_is_a_file_to_edit(tmp_path: Path) -> None:
    """What is printed can be read back."""
    file = tmp_path / "prices.toml"
    file.write_text(price_book_text().replace("per_month = 187", "per_month = 200"))
    assert load_price_book(file).gpus["rtx-4000-ada"].prices[0].per_month == 200


def test_a_book_of_ones_own_replaces_the_shipped_one(tmp_path: Path) -> None:
    """A card that is not ours, in another currency, and without APIs."""
    file = tmp_path / "prices.toml"
    file.write_text(MINE)
    book = load_price_book(file)
    assert (list(book.gpus), book.currency, book.apis) == (["mine"], "EUR", {})
    assert book.gpu("my card").prices[0].per_hour == Decimal("0.5")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("per_hour = 0.5", "per_hour = -1", r"gpus\.mine\.prices\.0\.per_hour"),
        ("per_hour = 0.5", "", "per_hour or per_month, one of them"),
        ("per_hour = 0.5", "per_hour = 0.5\nper_month = 3", "per_hour or per_month, one of them"),
        ("per_hour = 0.5", "per_hour = inf", r"prices\.0\.per_hour"),
        ("memory_gib = 24", "memory_gib = 0", r"gpus\.mine\.memory_gib"),
        ("memory_gib = 24", "memory_gb = 24", r"gpus\.mine\.memory_gib: Field required"),
        ('capability = "8.9"', 'capability = "Ada"', r"gpus\.mine\.capability"),
        ("edited = 2026-01-01", "edited = soon", "is not TOML"),
        ('currency = "EUR"', "", "currency: Field required"),
        ("[gpus.mine]", "[cards.mine]", r"gpus\.mine\.name: Field required"),
    ],
)
def test_a_wrong_entry_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    """It is edited by hand."""
    file = tmp_path / "prices.toml"
    file.write_text(MINE.replace(old, new))
    with pytest.raises(ConfigError, match=message):
        load_price_book(file)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    """Not as a traceback."""
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load_price_book(tmp_path / "none.toml")


def test_what_an_api_asks_for_a_thousand_pages_by_hand() -> None:
    """Claude Haiku 4.5: 1,050,000 pixels / 750 + 600 = 2,000 tokens at 1 USD and 400 at 5 USD a million: 4.00 USD."""
    api = BOOK.apis["claude-haiku-4-5"]
    assert api.per_thousand(page_pixels=1_050_000, text_tokens=600, output_tokens=400) == Decimal("4.00")
    by_page = BOOK.apis["textract-text"]
    assert by_page.per_thousand(page_pixels=1, text_tokens=1, output_tokens=1) == by_page.per_1000_pages


@pytest.mark.parametrize(
    ("api", "image_tokens"),
    [
        ("gemini-2-5-flash", 1548),  # crop unit 840 / 1.5 = 560: 2 x 3 tiles of 258
        ("gpt-4o-mini", 25_501),  # shorter side 768 px: 2 x 2 tiles of 5,667, and 2,833
        ("claude-haiku-4-5", 1317),  # pixels / 750
        ("qwen2-5-vl-72b", 1260),  # pixels / 28^2
    ],
)
def test_what_apis_count_for_a_page_by_hand(api: str, image_tokens: int) -> None:
    """By their makers' rules, for A4 at 840 x 1,176 px, the page that is planned unless another is named."""
    per_token = BOOK.apis[api].pixels_per_token
    assert per_token is not None
    assert 840 * 1176 / per_token == pytest.approx(image_tokens, rel=0.01)


def test_the_book_is_plain_toml() -> None:
    """Other programs may read it."""
    assert set(tomllib.loads(price_book_text())) == {"edited", "currency", "gpus", "apis"}
