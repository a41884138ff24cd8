"""What a sweep tries and writes: its points as settings of vLLM, and what it says."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.bench.sweep import Measured, Point, Sweep
from pipeline.bench.tuning import CAPTURED, COMPILED, FITTED, GRAPHS, TOWER, capture_sizes, told, vllm_settings
from pipeline.config import VllmConfig
from pipeline.engines.vllm.tuned import ENGINE_ARGS, SETTINGS

PAGE = 1280 * 28 * 28
DEFAULTS = Point({}, Measured(11.3, 0.1))


@pytest.mark.parametrize(
    ("point", "settings"),
    [
        ({}, {}),
        ({"max_num_seqs": 192, "admission": "bursts"}, {"max_num_seqs": 192, "admission": "bursts"}),
        ({TOWER: COMPILED}, {"engine_args": {"compilation_config": {"compile_mm_encoder": True}}}),
        ({TOWER: GRAPHS}, {"engine_args": {"compilation_config": {"cudagraph_mm_encoder": True}}}),
    ],
)
def test_points_become_settings_of_vllm(point: dict[str, Any], settings: dict[str, Any]) -> None:
    """By the names that a profile has, and that VllmConfig takes."""
    made = vllm_settings(point, max_pixels=PAGE, max_num_seqs=256)
    assert made == settings
    assert VllmConfig(**made).model_fields_set <= SETTINGS
    assert set(made.get("engine_args", {})) <= ENGINE_ARGS


def test_vision_graphs_fit_pages() -> None:
    """Whole pages, smaller ones and two at once; powers of two would leave a third of a graph empty."""
    made = vllm_settings({TOWER: FITTED}, max_pixels=PAGE, max_num_seqs=256)
    assert made["engine_args"]["compilation_config"] == {
        "cudagraph_mm_encoder": True,
        "encoder_cudagraph_token_budgets": [640, 960, 1280, 2560],
        "encoder_cudagraph_max_vision_items_per_batch": 4,
    }


def test_captured_steps_are_those_of_the_point() -> None:
    """Steps of pure decode are as wide as there are sequences."""
    made = vllm_settings({"max_num_seqs": 20, CAPTURED: 512}, max_pixels=PAGE, max_num_seqs=256)
    sizes = [1, 2, 4, 8, 16, 20, 256, 384, 512]
    assert made == {"max_num_seqs": 20, "engine_args": {"compilation_config": {"cudagraph_capture_sizes": sizes}}}


def test_captured_steps_are_few() -> None:
    """Each takes time at the start and memory after it."""
    assert len(capture_sizes(512, 2048)) < 60


def test_a_gain_is_told_with_how_sure_it_is() -> None:
    """And what was refused is no gap."""
    best = Point({"max_num_seqs": 192}, Measured(13.9, 0.1))
    refused = Point({TOWER: COMPILED}, None, "out of memory")
    text = told(Sweep(DEFAULTS, best, [DEFAULTS, refused, best], is_confirmed=True), Path("a.toml"))
    assert "refused  vision tower = compiled" in text
    assert "fastest: max_num_seqs = 192, +23.0% pages/s (measured twice)" in text
    assert text.endswith("written to a.toml")


def test_no_gain_is_told_as_such() -> None:
    """Whoever swept for nothing should know."""
    text = told(Sweep(DEFAULTS, DEFAULTS, [DEFAULTS]), None)
    assert "nothing is faster than the defaults" in text
    assert "the budget ended the search" in text
    assert "written" not in text
