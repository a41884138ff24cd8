"""Find a model's dimensions: of a profile, in a config.json, or on the hub. Downloads no weights."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from pipeline.capacity import PROFILES, ModelShape, parse_quantisation, read_shape
from pipeline.engines.vllm.models import find_model
from pipeline.errors import ConfigError


def find_shape(name: str, *, revision: str | None = None, quantisation: str | None = None) -> ModelShape:
    """Return the dimensions of the model `name`.

    Args:
        name: a profile, a folder with a config.json, that file itself, or a hub id.
        quantisation: of the text layers, instead of what the model says.

    Raises:
        ConfigError, EngineStartError: it is none of these; says what was looked for.
    """
    shape = _find(name, revision)
    return replace(shape, weights=parse_quantisation(quantisation)) if quantisation else shape


def _find(name: str, revision: str | None) -> ModelShape:
    for known, profile in PROFILES.items():
        if name.lower() in {known, profile.hub_id.lower()}:
            return profile.shape
    path = Path(name).expanduser()
    if path.suffix == ".gguf":
        raise ConfigError(
            f"{name} is a GGUF file, whose dimensions are not read here. Name the model it was made from and its type: "
            "--model qwen2.5-vl-7b --quantisation q4_k_m"
        )
    if path.is_dir():
        path /= "config.json"
    if path.name.endswith(".json") or path.is_file():
        return _in_file(path)
    try:
        return find_model(name, revision).shape
    except ImportError:
        raise ConfigError(
            f"{name} is no profile ({', '.join(PROFILES)}) and no folder; looking on the hub needs huggingface_hub, "
            "which `make gpu` installs."
        ) from None


def _in_file(path: Path) -> ModelShape:
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror}; give a model folder or its config.json."
        ) from error
    except ValueError as error:
        raise ConfigError(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path} holds no JSON object; give the config.json of a model.")
    return read_shape(content)
