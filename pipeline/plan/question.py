"""What is asked of a plan: flags, configuration and, where none of these says, assumptions that are shown."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pipeline.capacity import CARD_FIGURES, Assumptions, Gpu, Price, PriceBook, Workload, load_price_book
from pipeline.engines.vllm import MAX_PIXELS, detect_gpu
from pipeline.engines.vllm.prompt import compose_instructions
from pipeline.errors import ConfigError
from pipeline.extraction import load_extraction
from pipeline.identity import window_pages
from pipeline.render.grid import fit

if TYPE_CHECKING:
    import argparse

    from pipeline.config import RunConfig, VllmConfig

POINTS_PER_INCH, POINTS_PER_MM = 72, 72 / 25.4
MAX_DPI = 300
CHARACTERS_PER_TOKEN = 4.0
"""Of English instructions and JSON schemas in Qwen's tokenizer, about."""
BLOCK_TOKENS = 16
"""The prefix cache holds whole blocks of this many tokens, on CUDA."""
OWN_TOKENS = 16
"""What the chat template adds after the shared part."""
OUTPUT_TOKENS = 400
DEFAULT_GPU = "rtx-4000-ada"
PAPERS_MM = {"a3": (297, 420), "a4": (210, 297), "a5": (148, 210), "letter": (215.9, 279.4), "legal": (215.9, 355.6)}
KV_DTYPES = {"auto": "auto", "fp8": "fp8", "bf16": "auto", "fp16": "auto"}
"""As a person says them, and as vLLM does."""
MOST_PIXELS = 100_000_000
_PAGE_SIZE = re.compile(r"([a-z0-9]+)(?:@(\d{1,4}))?")
_PIXELS = re.compile(r"(\d{1,6})x(\d{1,6})")


class Given(NamedTuple):
    """A value and who says it."""

    name: str
    value: str
    source: str


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be planned."""

    models: tuple[str, ...]
    quantisation: str | None
    gpus: tuple[Gpu, ...]
    vllm: VllmConfig
    load: Workload
    book: PriceBook
    assume: Assumptions
    given: tuple[Given, ...]
    """What the load was taken from."""
    price: str | None = None
    utilisation: float = 1.0
    pages_per_month: int | None = None
    pages_per_night: int | None = None
    window_hours: float = 8.0
    pages_once: int | None = None
    window_pages: int = 1
    """That a run shows in one request; figures are for one."""
    nightly: bool = False
    """Whether the pages of `pages_once` are read in nights of `window_hours`, not day and night."""

    def price_of(self, gpu: Gpu) -> Price | None:
        """Return what a card costs: as asked for, else the first price in the book; None when it has none.

        Raises:
            ConfigError: no seller of this card is called so.
        """
        if self.price is None:
            return gpu.prices[0] if gpu.prices else None
        if amount := _amount(self.price):
            return amount
        for price in gpu.prices:
            if self.price.lower() in price.seller.lower():
                return price
        sellers = ", ".join(price.seller for price in gpu.prices) or "none"
        raise ConfigError(
            f"--price {self.price}: give an amount (0.62 an hour, 187/month) or a seller of {gpu.name} "
            f"in the price book ({sellers})."
        )

    def with_pages(self, page_pixels: int, source: str) -> Question:
        """Return the question for pages of another size."""
        given = tuple(one for one in self.given if one.name != "page")
        size = Given("page", f"{page_pixels:,} pixels", source)
        return replace(self, load=replace(self.load, page_pixels=page_pixels), given=(size, *given))


def ask(arguments: argparse.Namespace, config: RunConfig) -> Question:
    """Return the question that flags and configuration put.

    Raises:
        ConfigError: a value is wrong; names the flag and what is expected.
    """
    book = load_price_book(Path(arguments.prices) if arguments.prices else None)
    load, given = _load(arguments, config)
    vllm = config.vllm.model_copy(update=_engine_values(arguments))
    gpus, told = _cards(arguments, book)
    models = _names(config.vllm.model, "--model")
    if arguments.matrix and "model" not in config.vllm.model_fields_set:
        models = ("qwen2.5-vl-7b-awq", "qwen2.5-vl-7b-w8a8", "qwen2.5-vl-7b", "qwen2.5-vl-3b-awq")
    assumed = _assumed(arguments.assume)
    together = window_pages(config, load_extraction(config.extraction, config.prompts), "vllm")
    if together > 1:
        given = (*given, Given("scope", "a page at a time", f"a run shows up to {together} together: not predicted"))
    of_card = {name: assumed.pop(name) for name in CARD_FIGURES if name in assumed}
    return Question(
        models=models,
        quantisation=arguments.quantisation,
        gpus=tuple(gpu.changed(of_card) for gpu in gpus),
        vllm=vllm,
        load=load,
        book=book,
        assume=Assumptions().changed(assumed),
        given=(*given, *told, *_told_figures(of_card)),
        price=arguments.price or (None if arguments.matrix else _configured_price(config)),
        utilisation=_share(arguments.utilisation, "--utilisation") or 1.0,
        pages_per_month=whole_number(arguments.load, "--load"),
        pages_per_night=whole_number(arguments.volume, "--volume"),
        window_hours=_number(arguments.window, "--window", 0.01, 24) or 8.0,
        pages_once=whole_number(arguments.pages, "--pages"),
        window_pages=together,
        nightly=arguments.window is not None,
    )


def _cards(arguments: argparse.Namespace, book: PriceBook) -> tuple[tuple[Gpu, ...], tuple[Given, ...]]:
    """Return the cards asked about and, where none was named, why it is this one."""
    if not book.gpus:
        raise ConfigError(f"{arguments.prices} holds no card.")
    if arguments.gpu is not None:
        return tuple(book.gpu(name) for name in _names(arguments.gpu, "--gpu")), ()
    if arguments.matrix:
        return tuple(book.gpus.values()), ()
    card = detect_gpu()
    if card and (known := book.recognise(card.name)):
        return (known,), (Given("card", "", "found in this machine"),)
    why = f"the one found here, {card.name}, is not in the price book" if card else "none was found here"
    first = next(iter(book.gpus.values()))
    return (book.gpus.get(DEFAULT_GPU, first),), (Given("card", "", f"{why}; --gpu names another"),)


def _told_figures(figures: Mapping[str, float]) -> tuple[Given, ...]:
    return tuple(Given(name, f"{value:g}", "of the card; yours") for name, value in figures.items())


def _load(arguments: argparse.Namespace, config: RunConfig) -> tuple[Workload, tuple[Given, ...]]:
    page = _page(arguments, config)
    prompt = whole_number(arguments.prompt_tokens, "--prompt-tokens", least=0)
    output = whole_number(arguments.output_tokens, "--output-tokens", at_most=1_000_000)
    shared = prompt if prompt is not None else _instruction_tokens(config)
    whole_blocks = shared // BLOCK_TOKENS * BLOCK_TOKENS
    load = Workload(int(page.value), whole_blocks, shared - whole_blocks + OWN_TOKENS, output or OUTPUT_TOKENS)
    of = f"estimated from the instructions of {config.extraction!r}, 4 characters a token"
    return load, (
        Given("page", f"{int(page.value):,} pixels", page.source),
        Given("prompt", f"{shared:,} text tokens", "--prompt-tokens" if prompt is not None else of),
        Given("output", f"{load.output_tokens:,} tokens", "--output-tokens" if output else "as the measured pages had"),
    )


def _page(arguments: argparse.Namespace, config: RunConfig) -> Given:
    pixels = whole_number(arguments.page_pixels, "--page-pixels", least=28 * 28, at_most=MOST_PIXELS)
    if pixels:
        return Given("page", str(pixels), "--page-pixels")
    if arguments.page_size:
        return Given("page", str(_paper_pixels(arguments.page_size)), f"--page-size {arguments.page_size}")
    grid = fit(
        *(side * POINTS_PER_MM for side in PAPERS_MM["a4"]), max_pixels=_max_pixels(config), max_scale=MAX_DPI / 72
    )
    source = (
        f"A4 within render.max_pixels, {grid.width_px} x {grid.height_px}; pages with larger print are sent smaller"
    )
    return Given("page", str(grid.width_px * grid.height_px), source)


def _max_pixels(config: RunConfig) -> int:
    return config.render.max_pixels or MAX_PIXELS


def _paper_pixels(text: str) -> int:
    """Return the pixels of a page image, sides rounded up to whole image tokens."""
    sides = _PIXELS.fullmatch(text.lower())
    paper = _PAGE_SIZE.fullmatch(text.lower())
    if sides and all(int(side) for side in sides.groups()):
        wanted = [float(side) for side in sides.groups()]
    elif paper and paper[1] in PAPERS_MM and int(paper[2] or 100) > 0:
        scale = POINTS_PER_MM / POINTS_PER_INCH * int(paper[2] or 100)
        wanted = [side * scale for side in PAPERS_MM[paper[1]]]
    else:
        raise ConfigError(
            f"--page-size {text}: give a paper and a resolution ({', '.join(PAPERS_MM)}; a4@150) or pixels (896x1148)."
        )
    pixels = math.prod(max(1, math.ceil(side / 28)) * 28 for side in wanted)
    if pixels > MOST_PIXELS:
        raise ConfigError(f"--page-size {text}: that is {pixels:,} pixels; no model takes more than {MOST_PIXELS:,}.")
    return pixels


def _instruction_tokens(config: RunConfig) -> int:
    extraction = load_extraction(config.extraction, config.prompts)
    schema = None if extraction.plain_text_field else extraction.json_schema
    return round(len(compose_instructions(extraction.prompt, schema)) / CHARACTERS_PER_TOKEN)


def _engine_values(arguments: argparse.Namespace) -> dict[str, object]:
    values: dict[str, object] = {}
    if arguments.kv_dtype:
        if arguments.kv_dtype not in KV_DTYPES:
            raise ConfigError(f"--kv-dtype {arguments.kv_dtype}: give one of {', '.join(KV_DTYPES)}.")
        values["kv_cache_dtype"] = KV_DTYPES[arguments.kv_dtype]
    if sequences := whole_number(arguments.sequences, "--sequences", at_most=65_536):
        values["max_num_seqs"] = sequences
    return values


def _names(text: str, flag: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise ConfigError(f"{flag} is empty; name one, or several with commas between them.")
    return names


def _assumed(texts: Iterable[str]) -> dict[str, float]:
    values = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"--assume {text}: write it as NAME=NUMBER; `pagemill plan` prints the names.")
        values[name.strip()] = _parsed(float, value, f"--assume {name.strip()}")
    return values


def _configured_price(config: RunConfig) -> str | None:
    return f"{config.cost.price_per_hour}" if config.cost.price_per_hour else None


def _amount(text: str) -> Price | None:
    """Return the price that `0.62` or `187/month` says; None when it is no amount."""
    amount, _, unit = text.partition("/")
    try:
        value = Decimal(amount.strip().lstrip("$"))
    except InvalidOperation:
        return None
    if not value.is_finite() or not 0 < value < 10**9 or unit.strip() not in {"", "hour", "h", "month"}:
        raise ConfigError(f"--price {text}: give an amount above 0, an hour (0.62) or a month (187/month).")
    monthly = unit.strip() == "month"
    return Price(
        seller="yours",
        per_month=value if monthly else None,
        per_hour=None if monthly else value,
        seen="now",
        source="--price or cost.price_per_hour",
        verified=True,
    )


def whole_number(text: str | None, flag: str, *, least: int = 1, at_most: int = 10**12) -> int | None:
    """Return what a flag says, None when it is not given; ConfigError when that is no whole number in its bounds."""
    value = _number(text, flag, least, at_most)
    if value is not None and value != int(value):
        raise ConfigError(f"{flag} {text}: give a whole number.")
    return None if value is None else int(value)


def _share(text: str | None, flag: str) -> float | None:
    """Return what `0.5` or `50%` says."""
    if text is None or not text.rstrip().endswith("%"):
        return _number(text, flag, 0.001, 1)
    percent = _number(text.rstrip().removesuffix("%"), flag, 0.1, 100)
    return None if percent is None else percent / 100


def _number(text: str | None, flag: str, least: float, at_most: float) -> float | None:
    if text is None:
        return None
    value = _parsed(float, text.replace(",", "").replace("_", ""), flag)
    if not least <= value <= at_most:
        raise ConfigError(f"{flag} {text}: give a number from {least:,.12g} to {at_most:,.12g}.")
    return value


def _parsed(kind: Callable[[str], float], text: str, flag: str) -> float:
    try:
        return kind(text)
    except ValueError:
        raise ConfigError(f"{flag} {text}: this is no number.") from None
