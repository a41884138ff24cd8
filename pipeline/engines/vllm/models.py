"""Which model is asked for, and where it lies. Its dimensions come from its config.json."""

from __future__ import annotations

import difflib
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.capacity import PROFILES, ModelShape, read_shape
from pipeline.errors import EngineStartError

SAMPLE_BYTES = 1 << 20


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
