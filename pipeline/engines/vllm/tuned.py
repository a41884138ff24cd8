"""Settings that were found to be fastest on one card with one model, and the files they stand in.

A profile holds speed settings alone: nothing in it may change what is read, so it does not enter the fingerprint.
It counts where card, model dimensions, KV cache and vLLM are those it was measured with, and nowhere else.
"""

from __future__ import annotations

import logging
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import ValidationError

from pipeline.capacity import GIB
from pipeline.config import VllmConfig
from pipeline.errors import ConfigError, EngineStartError
from pipeline.toml import toml_value

if TYPE_CHECKING:
    from pipeline.capacity import ModelShape
    from pipeline.engines.vllm.cards import Card

log = logging.getLogger(__name__)

OFF = "off"
SETTINGS = frozenset({"max_num_seqs", "max_num_batched_tokens", "admission", "prepare_threads", "engine_args"})
"""What a profile may set, by its name in VllmConfig."""
ENGINE_ARGS = frozenset({"compilation_config"})
"""The same, of vLLM's own arguments."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a profile holds: the same settings are fast on one card and slow or impossible on another."""

    card: str
    card_gib: int
    cards: int
    shape: str
    """The model's dimensions and not its name: weights of another version are as fast."""
    kv_cache_dtype: str
    vllm: str

    @classmethod
    def of(cls, card: Card | None, shape: ModelShape, kv_cache_dtype: str, vllm: str, cards: int = 1) -> Place:
        """Return this place.

        Args:
            card: None for vLLM's CPU build.
            cards: that share the model.
        """
        name = card.name if card else f"CPU, {os.cpu_count()} cores"
        gib = round(card.total_bytes / GIB) if card else 0
        return cls(name, gib, cards, describe_shape(shape), kv_cache_dtype, vllm)

    def __str__(self) -> str:
        """Say it in one line."""
        return f"{self.cards} x {self.card}, {self.shape}, KV cache {self.kv_cache_dtype}, vLLM {self.vllm}"


@dataclass(frozen=True, slots=True)
class TunedProfile:
    """What a sweep found."""

    place: Place
    model: str
    """As it was asked for; for people."""
    measured_on: date
    workload: str
    """What was read; for people."""
    settings: Mapping[str, Any]
    """By their names in VllmConfig; empty when nothing was faster than the defaults."""
    default_pages_per_s: float
    pages_per_s: float
    spread: float
    """How far two measurements of the same settings lie apart, as a share of either."""


class Tuned(NamedTuple):
    """A configuration with what a profile adds to it."""

    config: VllmConfig
    note: str | None
    """What to tell about it, once; None where there is nothing to tell."""


def describe_shape(shape: ModelShape) -> str:
    """Return the dimensions that decide how fast a model is, in one line."""
    kind = f"{shape.quantisation} {shape.weight_bits} bit" if shape.quantisation else f"{shape.weight_bits} bit"
    heads = f"{shape.heads}/{shape.kv_heads} heads of {shape.head_dim}"
    return f"{shape.layers} layers of {shape.hidden}, {heads}, {shape.feed_forward} wide, {kind}"


def apply_profile(config: VllmConfig, place: Place) -> Tuned:
    """Return `config` with the values of the profile that holds at `place`; those that the user set win.

    Raises:
        EngineStartError: the profile that `config` names is not there, is damaged, or is for another place.
    """
    if config.profile == OFF:
        return Tuned(config, None)
    named = Path(config.profile).expanduser() if config.profile else None
    if named is None or named.is_dir():
        return _from_folder(config, place, named or profiles_folder())
    try:
        profile = read_profile(named)
    except ConfigError as error:
        raise EngineStartError(
            f"{error} Set vllm.profile to off, or measure anew with `pagemill bench --sweep`."
        ) from error
    if profile.place != place:
        raise EngineStartError(
            f"The profile {named} holds for {profile.place}, but this is {place}: measure anew with "
            "`pagemill bench --sweep`, or set vllm.profile to off."
        )
    return Tuned(_merged(config, profile, named), f"settings of {named} hold: {_told(profile)}")


def profiles_folder() -> Path:
    """Return the folder of the user's own profiles (XDG Base Directory Specification); it may not exist."""
    home = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")  # noqa: PTH111 - Path's fails without one
    return Path(home, "pagemill", "profiles")


def profile_path(place: Place, model: str) -> Path:
    """Return where a profile is looked for; one place and model have one."""
    told = f"{place.card}--{Path(model).name}--kv-{place.kv_cache_dtype}--x{place.cards}--vllm-{place.vllm}"
    return profiles_folder() / (re.sub(r"[^a-z0-9.-]+", "-", told.lower()) + ".toml")


def write_profile(profile: TunedProfile, path: Path) -> None:
    """Write a profile, whole or not at all.

    Raises:
        OSError: the file cannot be written.
    """
    content = asdict(profile)
    tables = {"place": content.pop("place"), "settings": content.pop("settings")}
    lines = [
        "# Found by `pagemill bench --sweep`. `pagemill run` takes it at this place; vllm.profile = off keeps it out."
    ]
    lines += [f"{name} = {toml_value(value)}" for name, value in content.items()]
    for name, table in tables.items():
        lines += ["", f"[{name}]", *(f"{key} = {toml_value(value)}" for key, value in table.items())]
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{path.name}.{os.getpid()}")
    half.write_text("\n".join(lines) + "\n", "utf-8")
    half.replace(path)


def read_profile(path: Path) -> TunedProfile:
    """Return the profile in a file.

    Raises:
        ConfigError: it cannot be read, or holds what a profile may not set.
    """
    try:
        content = tomllib.loads(path.read_text("utf-8"))
        profile = TunedProfile(**content | {"place": Place(**content["place"])})
    except OSError as error:
        raise ConfigError(f"The profile {path} cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} is no profile as `pagemill bench --sweep` writes it: {error}.") from error
    refused = (profile.settings.keys() - SETTINGS) | (profile.settings.get("engine_args", {}).keys() - ENGINE_ARGS)
    if refused:
        raise ConfigError(f"The profile {path} sets {', '.join(sorted(refused))}, which may change what is read.")
    return profile


def _from_folder(config: VllmConfig, place: Place, folder: Path) -> Tuned:
    """Take the latest that holds here; those of other cards and models may lie beside it."""
    found: dict[Path, TunedProfile] = {}
    for path in sorted(folder.glob("*.toml")):
        try:
            found[path] = read_profile(path)
        except ConfigError as error:
            log.warning("profile passed over: %s", error)
    holding = [path for path in found if found[path].place == place]
    if holding:
        path = max(holding, key=lambda path: found[path].measured_on)
        return Tuned(_merged(config, found[path], path), f"settings of {path} hold: {_told(found[path])}")
    if found:
        return Tuned(config, f"none of the {len(found)} profiles in {folder} is for {place}")
    return Tuned(config, None)


def _merged(config: VllmConfig, profile: TunedProfile, path: Path) -> VllmConfig:
    values = {**profile.settings, **config.model_dump(exclude_unset=True)}
    if "engine_args" in profile.settings:
        values["engine_args"] = merge_engine_args(profile.settings["engine_args"], config.engine_args)
    try:
        return VllmConfig.model_validate(values)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"]))
        raise EngineStartError(f"The profile {path} has a value that is none: {where}: {problem['msg']}.") from error


def merge_engine_args(tuned: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return both sets of vLLM's arguments in one, tables joined key by key; `own` ones win."""
    tables = {
        name: {**tuned[name], **own[name]}
        for name in tuned.keys() & own.keys()
        if isinstance(tuned[name], dict) and isinstance(own[name], dict)
    }
    return {**tuned, **own, **tables}


def _told(profile: TunedProfile) -> str:
    settings = ", ".join(f"{name} = {toml_value(value)}" for name, value in profile.settings.items()) or "the defaults"
    gain = profile.pages_per_s / profile.default_pages_per_s - 1 if profile.default_pages_per_s else 0.0
    return f"{settings} ({gain:+.0%} pages/s, measured on {profile.measured_on})"
