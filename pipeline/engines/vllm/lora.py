"""The LoRA adapter of an extraction, found and checked before the model is loaded."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config import VllmConfig
from pipeline.engines.vllm.models import digest_folder
from pipeline.errors import EngineStartError

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""What vLLM accepts as max_lora_rank."""


@dataclass(frozen=True, slots=True)
class Adapter:
    """A LoRA adapter folder as PEFT writes it."""

    name: str
    folder: Path
    rank: int

    @property
    def identity(self) -> str:
        """Changes when its content may have changed."""
        return digest_folder(self.folder)

    def arguments(self) -> dict[str, Any]:
        """Return what vLLM's LLM needs to take the adapter."""
        rank = next((rank for rank in RANKS if rank >= self.rank), self.rank)
        return {"enable_lora": True, "max_loras": 1, "max_lora_rank": rank}

    def request(self) -> Any:
        """Return vLLM's LoRARequest."""
        from vllm.lora.request import LoRARequest

        return LoRARequest(self.name, 1, str(self.folder))


def find_adapter(config: VllmConfig, extraction: str) -> Adapter | None:
    """Return the adapter configured for `extraction`, if there is one.

    Raises:
        EngineStartError: the folder is missing or holds no adapter.
    """
    if extraction not in config.lora:
        return None
    folder = Path(config.lora[extraction]).expanduser()
    path = folder / "adapter_config.json"
    if not path.is_file():
        raise EngineStartError(
            f"The LoRA adapter for {extraction!r} is not there: {folder} has no adapter_config.json. "
            f"Correct `vllm.lora.{extraction}` or leave it out."
        )
    try:
        rank = int(json.loads(path.read_bytes())["r"])
    except (ValueError, KeyError, TypeError) as error:
        raise EngineStartError(f"{path} is no LoRA configuration: it has no rank `r`.") from error
    return Adapter(extraction, folder.resolve(), rank)
