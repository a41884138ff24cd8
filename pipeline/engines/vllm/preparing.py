"""Page images to model inputs, as an engine does it, with no model loaded: seconds to open, on any machine."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from pipeline.engines.vllm.core import Prompt, prompt_of
from pipeline.engines.vllm.loading import ENVIRONMENT
from pipeline.engines.vllm.start import engine_arguments, plan_engine

if TYPE_CHECKING:
    from pipeline.config import VllmConfig
    from pipeline.data import PageRequest

_NEEDED = (
    *("model", "revision", "tokenizer_revision", "dtype", "max_model_len", "max_num_seqs", "max_num_batched_tokens"),
    *("limit_mm_per_prompt", "mm_processor_kwargs", "mm_processor_cache_gb"),
)
"""Of what an engine is started with, all that decides what becomes of an image."""


class Preparing:
    """vLLM's input processing by itself. Its methods may be called from any thread."""

    def __init__(self, config: VllmConfig, instructions: str, max_pixels: int) -> None:
        """Read the model's configuration and tokenizer, not its weights.

        Args:
            instructions: the system message of every page.
            max_pixels: usual page size.

        Raises:
            EngineStartError: an engine with these settings could not start here.
        """
        plan = plan_engine(config, None)
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        from vllm.engine.arg_utils import EngineArgs
        from vllm.renderers import renderer_from_config

        arguments = engine_arguments(plan, max_pixels)
        made = EngineArgs(**{name: arguments[name] for name in _NEEDED}).create_engine_config()
        self._renderer: Any = renderer_from_config(made)
        self._info: Any = self._renderer.get_mm_processor().info
        token_ids = self._renderer.get_tokenizer().encode(instructions, add_special_tokens=False)
        image_token = int(made.model_config.hf_config.image_token_id)
        self._prompt = Prompt((*token_ids, image_token), image_token)

    def prepare(self, request: PageRequest) -> Any:
        """Return what the engine is sent for a page."""
        return self._renderer.render_cmpl([prompt_of(self._prompt, request.shown)])[0]

    def process_image(self, request: PageRequest) -> Any:
        """Return what the model's image processor alone makes of the page image, called as vLLM calls it."""
        from PIL import Image

        image = Image.fromarray(request.image.pixels)
        return self._info.ctx.call_hf_processor(self._info.get_hf_processor().image_processor, {"images": [image]})

    def close(self) -> None:
        """End vLLM's own threads."""
        self._renderer.shutdown()
