"""Shared by all tests: their order, and what happens where vLLM is not installed."""

import os
from importlib.util import find_spec

import pytest
from rendering import renderer
from s3_server import bucket, s3_faults, s3_faults_of_the_session, s3_server

__all__ = ["bucket", "renderer", "s3_faults", "s3_faults_of_the_session", "s3_server"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run fast tests first, then slow ones, then vLLM; skip the last where it is neither installed nor required."""
    items.sort(key=_cost)
    if find_spec("vllm") is not None or os.environ.get("PAGEMILL_REQUIRE_VLLM"):
        return
    for item in items:
        if item.get_closest_marker("vllm"):
            item.add_marker(pytest.mark.skip(reason="vLLM on CPU is not installed here; `make test` says why"))


def _cost(item: pytest.Item) -> tuple[bool, bool]:
    return item.get_closest_marker("vllm") is not None, item.get_closest_marker("slow") is not None
