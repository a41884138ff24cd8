"""Shared by all tests: their order, which of them stay together, and what happens where vLLM is not installed."""

import os
from importlib.util import find_spec

import pytest
from rendering import renderer
from s3_server import bucket, s3_faults, s3_faults_of_the_session, s3_server

__all__ = ["bucket", "renderer", "s3_faults", "s3_faults_of_the_session", "s3_server"]

SERVER = "prefect_flows"
"""Folder of the tests that share one Prefect server."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the tests, keep those together that share what is slow to start, skip vLLM's where it is not installed.

    One process runs fast tests first. Of several, each takes whole groups, so the long ones come first.
    """
    if "PYTEST_XDIST_WORKER" in os.environ:
        for item in items:
            item.add_marker(pytest.mark.xdist_group(_group(item)))
        slow = {_group(item) for item in items if _is_slow(item)}
        items.sort(key=lambda item: (not _is_vllm(item), _group(item) != SERVER, _group(item) not in slow))
    else:
        items.sort(key=lambda item: (_is_vllm(item), _is_slow(item)))
    if find_spec("vllm") is not None or os.environ.get("PAGEMILL_REQUIRE_VLLM"):
        return
    for item in filter(_is_vllm, items):
        item.add_marker(pytest.mark.skip(reason="vLLM on CPU is not installed here; `make test` says why"))


def _group(item: pytest.Item) -> str:
    if _is_vllm(item):
        return "vllm"
    return SERVER if SERVER in item.path.parts else item.path.stem


def _is_vllm(item: pytest.Item) -> bool:
    return item.get_closest_marker("vllm") is not None


def _is_slow(item: pytest.Item) -> bool:
    return item.get_closest_marker("slow") is not None
