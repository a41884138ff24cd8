"""The price book: cards, what they can do and cost, and what APIs cost; shipped as prices.toml."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pipeline.capacity.quantisation import Arithmetic
from pipeline.errors import ConfigError

_Amount = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_Price = Annotated[Decimal, Field(ge=0, allow_inf_nan=False, lt=Decimal(10) ** 9)]


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Price(_Entry):
    """What a seller asks for a card; one of the two amounts is set."""

    seller: str
    per_hour: _Price | None = None
    per_month: _Price | None = None
    seen: str
    source: str
    verified: bool
    """Whether it was seen on the seller's own page."""

    @model_validator(mode="after")
    def _has_one_amount(self) -> Self:
        if (self.per_hour is None) == (self.per_month is None):
            raise ValueError("give per_hour or per_month, one of them")
        return self


class Gpu(_Entry):
    """A card; `*_tflops` are dense peaks."""

    key: str
    name: str
    driver_names: tuple[str, ...] = ()
    """As NVML says them, without "NVIDIA"."""
    memory_gib: _Amount
    bandwidth_gb_s: _Amount
    fp16_tflops: _Amount
    fp8_tflops: _Amount | None = None
    """None where the card has no FP8 arithmetic: such weights are then unpacked to 16 bit."""
    int8_tops: _Amount | None = None
    sustained: Annotated[float, Field(gt=0, le=1)] = 1.0
    power_w: _Amount
    capability: Annotated[str, Field(pattern=r"^\d+\.\d$")]
    prices: tuple[Price, ...] = ()

    def peak(self, arithmetic: Arithmetic) -> float | None:
        """Return tera-operations a second; None where the card has no such arithmetic."""
        return {Arithmetic.FP8: self.fp8_tflops, Arithmetic.INT8: self.int8_tops}.get(arithmetic, self.fp16_tflops)

    def flops(self, arithmetic: Arithmetic) -> float:
        """Return operations a second at the clock that the power limit allows; what it lacks is computed at 16 bit."""
        return (self.peak(arithmetic) or self.fp16_tflops) * self.sustained * 1e12

    def changed(self, values: Mapping[str, float]) -> Gpu:
        """Return the card with other figures, by their names in the file.

        Raises:
            ConfigError: a value is out of its bounds.
        """
        try:
            return Gpu.model_validate(self.model_dump() | dict(values))
        except ValidationError as error:
            first = error.errors()[0]
            raise ConfigError(f"--assume {first['loc'][0]}={first['input']:g}: {first['msg']}") from None

    @property
    def compute_capability(self) -> tuple[int, int]:
        """(8, 9) is Ada, (9, 0) is Hopper."""
        major, minor = self.capability.split(".")
        return int(major), int(minor)


class Api(_Entry):
    """An API that reads pages, paid by tokens or by pages."""

    key: str
    name: str
    input_per_million: _Price | None = None
    output_per_million: _Price | None = None
    pixels_per_token: _Amount | None = None
    """How many pixels of a page image count as one input token."""
    per_1000_pages: _Price | None = None
    seen: str
    source: str
    verified: bool

    @model_validator(mode="after")
    def _is_paid_one_way(self) -> Self:
        by_tokens = [self.input_per_million, self.output_per_million, self.pixels_per_token]
        if (self.per_1000_pages is None) == any(value is None for value in by_tokens):
            raise ValueError("give per_1000_pages, or input_per_million, output_per_million and pixels_per_token")
        return self

    def per_thousand(self, *, page_pixels: float, text_tokens: float, output_tokens: float) -> Decimal:
        """Return what a thousand pages cost."""
        if self.per_1000_pages is not None:
            return self.per_1000_pages
        assert self.input_per_million is not None
        assert self.output_per_million is not None
        assert self.pixels_per_token is not None
        read = Decimal(text_tokens + page_pixels / self.pixels_per_token)
        return (read * self.input_per_million + Decimal(output_tokens) * self.output_per_million) / 1000


CARD_FIGURES = tuple(name for name, field in Gpu.model_fields.items() if "float" in str(field.annotation))
"""What a plan may assume otherwise of a card."""


class PriceBook(_Entry):
    """All of the file."""

    edited: date
    currency: str
    gpus: dict[str, Gpu]
    apis: dict[str, Api] = {}

    @model_validator(mode="before")
    @classmethod
    def _name_entries(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Let each entry know the key of its table."""
        named = {
            part: {key: {**entry, "key": key} if isinstance(entry, dict) else entry for key, entry in entries.items()}
            for part, entries in values.items()
            if part in {"gpus", "apis"} and isinstance(entries, dict)
        }
        return values | named

    def gpu(self, name: str) -> Gpu:
        """Return the card of a key, a name or a driver's name, however it is spaced and capitalised.

        Raises:
            ConfigError: it is not in the book; says which are.
        """
        found = self.recognise(name)
        if found is None:
            close = difflib.get_close_matches(_plain(name), {_plain(key): key for key in self.gpus}, n=1)
            hint = next((f" Did you mean {key}?" for key in self.gpus if [_plain(key)] == close), "")
            raise ConfigError(
                f"There is no card {name!r} in the price book, only {', '.join(self.gpus)}.{hint} "
                "`pagemill plan --print-prices` prints a file to add it to, for --prices."
            )
        return found

    def recognise(self, name: str) -> Gpu | None:
        """Return the card that a driver or a person calls so; None when it is not in the book."""
        wanted = _plain(name)
        for gpu in self.gpus.values():
            if wanted in {_plain(known) for known in (gpu.key, gpu.name, *gpu.driver_names)}:
                return gpu
        return None


def price_book_text() -> str:
    """Return the shipped file, to be edited."""
    return resources.files("pipeline.capacity").joinpath("prices.toml").read_text("utf-8")


def load_price_book(file: Path | None = None) -> PriceBook:
    """Return the price book in `file`, or the shipped one.

    Raises:
        ConfigError: it cannot be read, or an entry is wrong; says which and what is expected.
    """
    try:
        text = file.read_text("utf-8") if file else price_book_text()
        return PriceBook.model_validate(tomllib.loads(text))
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ConfigError(f"{file}: {place}: {first['msg'].removeprefix('Value error, ')}") from None
    except ValueError as error:  # no TOML, no UTF-8
        raise ConfigError(f"{file} is not TOML: {error}") from error


def _plain(name: str) -> str:
    """NVIDIA and GeForce say nothing, and everybody spaces names in his own way."""
    kept = "".join(letter for letter in name.lower() if letter.isalnum())
    return kept.removeprefix("nvidia").removeprefix("geforce")
