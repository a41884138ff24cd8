"""The part of the prompt that all pages share, and how much of it vLLM computes only once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

JSON_INSTRUCTION = (
    "Answer with one JSON object that fits this JSON schema. Give null for what is not on the page; invent nothing."
)
WINDOW_INSTRUCTION = (
    "You are shown one page of a document or several that follow one another. They make one record together: "
    "give what stands on any of them, lists with the entries of all pages in their order, each entry once."
)
TRANSCRIPTION = (
    "Write down all text on this page exactly as it stands there, from top to bottom, a line for each line and for "
    "each row of a table. Add nothing: no remarks, no formatting."
)
"""What a page is asked whose request wants plain text, whatever the extraction."""


def compose_instructions(prompt: str, json_schema: dict[str, Any] | None, *, window_pages: int = 1) -> str:
    """Return the system message: the extraction's instructions, then the schema the answer must fit.

    Everything that does not change from page to page stands here, before the image, because
    only what comes before the first image token can be shared between pages.
    """
    if json_schema is None:
        return prompt.strip()
    schema = json.dumps(json_schema, ensure_ascii=False, separators=(",", ":"))
    parts = [prompt.strip(), *([WINDOW_INSTRUCTION] if window_pages > 1 else []), f"{JSON_INSTRUCTION}\n{schema}"]
    return "\n\n".join(parts)


def shared_prefix_tokens(prompt_token_ids: Sequence[int], image_token_id: int, block_size: int) -> int:
    """Return how many prompt tokens every page after the first takes from the prefix cache.

    Source: vLLM caches whole blocks, and hashes the image's identity into each block the
    image touches.
    """
    return prompt_token_ids.index(image_token_id) // block_size * block_size
