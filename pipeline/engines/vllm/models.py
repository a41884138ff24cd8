"""Which model is asked for, where it lies, and its dimensions.

Dimensions come from the model's config.json; those in PROFILES only serve where no file can
be read yet (planning for a card before anything is downloaded).
"""

from __future__ import annotations

import difflib
import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.errors import EngineStartError

VISION_PARAMS = 629_964_800
"""Qwen2.5-VL's vision tower without its merger; the same in all sizes."""
SAMPLE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class ModelShape:
    """The dimensions that decide memory and speed; names as in the notation of the model's paper."""

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    feed_forward: int
    vocabulary: int
    tied: bool
    """Whether input and output embeddings are one matrix."""
    quantisation: str | None = None
    weight_bits: int = 16
    """Of the text layers; embeddings and vision tower stay at 16."""
    vision_params: int = VISION_PARAMS

    @property
    def layer_params(self) -> int:
        """Parameters of the text layers."""
        attention = 2 * self.hidden * self.head_dim * (self.heads + self.kv_heads)
        return self.layers * (attention + 3 * self.hidden * self.feed_forward)


@dataclass(frozen=True, slots=True)
class ModelProfile:
    """A model Pagemill knows by a short name."""

    hub_id: str
    shape: ModelShape
    purpose: str


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A model that was found."""

    location: str
    """Hub id or absolute folder, as vLLM takes it."""
    revision: str | None
    """Hub commit; None for a folder."""
    identity: str
    """Changes when the weights may have changed: the hub commit, or a digest of the folder."""
    shape: ModelShape


_3B = ModelShape(36, 2048, 16, 2, 128, 11008, 151936, tied=True)
_7B = ModelShape(28, 3584, 28, 4, 128, 18944, 152064, tied=False)
_32B = ModelShape(64, 5120, 40, 8, 128, 27648, 152064, tied=False)
_72B = ModelShape(80, 8192, 64, 8, 128, 29568, 152064, tied=False)


def _awq(shape: ModelShape) -> ModelShape:
    return replace(shape, quantisation="awq", weight_bits=4)


PROFILES: dict[str, ModelProfile] = {
    "qwen2.5-vl-7b-awq": ModelProfile("Qwen/Qwen2.5-VL-7B-Instruct-AWQ", _awq(_7B), "the default: fits 20 GB"),
    "qwen2.5-vl-7b": ModelProfile("Qwen/Qwen2.5-VL-7B-Instruct", _7B, "16 bit: what AWQ is held against"),
    "qwen2.5-vl-7b-w8a8": ModelProfile(
        "RedHatAI/Qwen2.5-VL-7B-Instruct-quantized.w8a8",
        replace(_7B, quantisation="compressed-tensors", weight_bits=8),
        "8-bit weights and activations",
    ),
    "qwen2.5-vl-3b": ModelProfile("Qwen/Qwen2.5-VL-3B-Instruct", _3B, "small, 16 bit"),
    "qwen2.5-vl-3b-awq": ModelProfile("Qwen/Qwen2.5-VL-3B-Instruct-AWQ", _awq(_3B), "smallest"),
    "qwen2.5-vl-32b-awq": ModelProfile(
        "Qwen/Qwen2.5-VL-32B-Instruct-AWQ", _awq(_32B), "the largest for one 48 GB card"
    ),
    "qwen2.5-vl-72b-awq": ModelProfile(
        "Qwen/Qwen2.5-VL-72B-Instruct-AWQ",
        _awq(_72B),
        "the largest there is: what a better model would give; 80 GB, or two of 48",
    ),
    "rolmocr": ModelProfile("reducto/RolmOCR", _7B, "7B, 16 bit, tuned on page transcripts"),
}


def find_model(name: str, revision: str | None) -> ModelSource:
    """Return where the model `name` lies: a profile, a hub id or a local folder.

    Reads only config.json; from a hub id that is one small download, or the local cache when
    the hub cannot be reached.

    Raises:
        EngineStartError: no such profile, folder or hub id; says what was looked for.
    """
    profile = PROFILES.get(name.lower())
    if profile:
        return _on_hub(profile.hub_id, revision)
    folder = Path(name).expanduser()
    if folder.is_dir():
        return _in_folder(folder.resolve())
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise EngineStartError(_unknown(name))
    return _on_hub(name, revision)


def read_shape(config: dict[str, Any]) -> ModelShape:
    """Return the dimensions in the content of a config.json.

    Raises:
        EngineStartError: it is no Qwen2.5-VL-like configuration.
    """
    text = {**config, **config.get("text_config", {})}
    try:
        method, bits = _read_quantisation(config)
        return ModelShape(
            layers=text["num_hidden_layers"],
            hidden=text["hidden_size"],
            heads=text["num_attention_heads"],
            kv_heads=text.get("num_key_value_heads", text["num_attention_heads"]),
            head_dim=text.get("head_dim") or text["hidden_size"] // text["num_attention_heads"],
            feed_forward=text["intermediate_size"],
            vocabulary=text["vocab_size"],
            # The checkpoint's outer value counts: some inner ones keep the library's default.
            tied=bool(config.get("tie_word_embeddings", text.get("tie_word_embeddings", False))),
            quantisation=method,
            weight_bits=bits,
            vision_params=_read_vision_params(config["vision_config"]),
        )
    except KeyError as missing:
        raise EngineStartError(
            f"The model's config.json has no {missing}: only vision models built like Qwen2.5-VL work here."
        ) from missing


def _read_quantisation(config: dict[str, Any]) -> tuple[str | None, int]:
    settings = config.get("quantization_config")
    if not settings:
        return None, 16
    method = str(settings.get("quant_method", "unknown"))
    groups = settings.get("config_groups") or {}
    bits = [group["weights"]["num_bits"] for group in groups.values() if group.get("weights")]
    bits.append(settings.get("bits") or settings.get("w_bit") or (8 if method == "fp8" else 16))
    return method, int(bits[0])


def _read_vision_params(vision: dict[str, Any]) -> int:
    hidden = vision.get("hidden_size", 1280)
    feed_forward = vision.get("intermediate_size", 3420)
    return int(vision.get("depth", 32) * (4 * hidden**2 + 3 * hidden * feed_forward))


def _in_folder(folder: Path) -> ModelSource:
    path = folder / "config.json"
    if not path.is_file():
        raise EngineStartError(f"{folder} has no config.json: it is not a model folder.")
    return ModelSource(str(folder), None, digest_folder(folder), read_shape(_load_json(path)))


def _on_hub(hub_id: str, revision: str | None) -> ModelSource:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    at = f"{hub_id} (revision {revision})" if revision else hub_id
    try:
        path = Path(hf_hub_download(hub_id, "config.json", revision=revision))
    except GatedRepoError as error:
        raise EngineStartError(f"{at} is gated: accept its licence on the hub and set HF_TOKEN.") from error
    except LocalEntryNotFoundError as error:
        raise EngineStartError(
            f"{at} is not in the local cache and the hub cannot be reached. Download it once with "
            f"`hf download {hub_id}` where there is a network, or give a model folder."
        ) from error
    except (HfHubHTTPError, HFValidationError) as error:
        raise EngineStartError(f"The hub has no model {at}: check `vllm.model` and `vllm.revision`.") from error
    commit = path.parent.name  # …/snapshots/<commit>/config.json
    return ModelSource(hub_id, commit, commit, read_shape(_load_json(path)))


def _load_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise EngineStartError(f"{path} is not JSON: {error}") from error
    return content if isinstance(content, dict) else {}


def digest_folder(folder: Path) -> str:
    """Return a digest that changes when weights or JSON settings in `folder` change.

    Large files count by name, size and three samples, so that 40 GB take no minutes.
    """
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix in {".json", ".safetensors", ".bin", ".jinja"} and path.is_file():
            digest.update(f"{path.name} {path.stat().st_size}\n".encode())
            _digest_samples(path, digest)
    return digest.hexdigest()[:16]


def _digest_samples(path: Path, digest: Any) -> None:
    size = path.stat().st_size
    with path.open("rb") as file:
        for start in sorted({0, max(0, size // 2), max(0, size - SAMPLE_BYTES)}):
            file.seek(start)
            digest.update(file.read(SAMPLE_BYTES))


def _unknown(name: str) -> str:
    close = difflib.get_close_matches(name.lower(), PROFILES, n=1)
    hint = f" Did you mean {close[0]}?" if close else ""
    return (
        f"Model {name!r} is no profile ({', '.join(PROFILES)}), no folder and no hub id of the form owner/name.{hint}"
    )
