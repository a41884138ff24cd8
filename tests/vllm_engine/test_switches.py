"""Switches of vLLM that may make it faster on a GPU: all of them can be given, and vLLM takes them."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.config import VllmConfig
from pipeline.engines.vllm import MAX_PIXELS
from pipeline.engines.vllm.start import engine_arguments, plan_engine

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
]

PAGE_TOKENS = MAX_PIXELS // (28 * 28)


def accepted(tiny_config: VllmConfig, **engine_args: Any) -> Any:
    """Return vLLM's configuration under these `engine_args`, without an engine."""
    from vllm.engine.arg_utils import EngineArgs

    config = VllmConfig.model_validate({**tiny_config.model_dump(), "engine_args": engine_args})
    return EngineArgs(**engine_arguments(plan_engine(config, None), MAX_PIXELS)).create_engine_config()


@pytest.mark.parametrize(
    "switches",
    [
        {"compile_mm_encoder": True},
        {"cudagraph_mm_encoder": True},
        {
            "cudagraph_mm_encoder": True,
            "encoder_cudagraph_token_budgets": [PAGE_TOKENS, 2 * PAGE_TOKENS, 4 * PAGE_TOKENS],
            "encoder_cudagraph_max_vision_items_per_batch": 4,
        },
    ],
)
def test_the_vision_tower_can_be_compiled_or_run_in_graphs(tiny_config: VllmConfig, switches: dict[str, Any]) -> None:
    """By itself vLLM does neither. Its own budgets are powers of two: a page of 1,280 tokens would run as 2,048."""
    found = accepted(tiny_config, compilation_config=switches).compilation_config
    assert {name: getattr(found, name) for name in switches} == switches


def test_graphs_and_budgets_of_steps_can_be_given(tiny_config: VllmConfig) -> None:
    """Steps larger than the largest captured graph run without one; a CPU has none, and drops their sizes."""
    found = accepted(
        tiny_config,
        compilation_config={"cudagraph_capture_sizes": [1, 8, 64, 512, 1024], "cudagraph_mode": "FULL_AND_PIECEWISE"},
        kv_cache_dtype_skip_layers=["0", "1"],
        mm_encoder_attn_backend="TORCH_SDPA",
        async_scheduling=False,
    )
    assert found.cache_config.kv_cache_dtype_skip_layers == ["0", "1"]
    assert found.model_config.multimodal_config.mm_encoder_attn_backend.name == "TORCH_SDPA"
