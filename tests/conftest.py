"""Shared by all tests: their order, which of them stay together, and what happens where vLLM is not installed."""

import os
from importlib.util import find_spec
from typing import Any

import hypothesis
import pytest
from browser import chromium
from rendering import renderer
from s3_server import bucket, s3_faults, s3_faults_of_the_session, s3_server

__all__ = ["bucket", "chromium", "renderer", "s3_faults", "s3_faults_of_the_session", "s3_server"]

hypothesis.settings.register_profile("gate", derandomize=True)
if os.environ.get("PAGEMILL_REQUIRE_ALL"):
    hypothesis.settings.load_profile("gate")  # what lets changes in is the same each time; `make test` looks further

TOGETHER = ("vllm_engine", "prefect_flows")
"""Folders whose tests share what is slow to start; of other folders each file stays together."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Deal out tests by the groups of `_group`; xdist's own groups have no effect in pytest 9.2."""
    from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

    class Groups(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return _group(nodeid)

    return Groups(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the tests; skip vLLM's where it is not installed.

    One process runs fast tests first. Of several, each takes whole groups, so the long ones come first.
    """
    if "PYTEST_XDIST_WORKER" in os.environ:
        slow = {_group(item.nodeid) for item in items if _is_slow(item)}
        items.sort(key=lambda item: (_group(item.nodeid) not in TOGETHER, _group(item.nodeid) not in slow))
    else:
        items.sort(key=lambda item: (_is_vllm(item), _is_slow(item)))
    if find_spec("vllm") is not None or os.environ.get("PAGEMILL_REQUIRE_ALL"):
        return
    for item in filter(_is_vllm, items):
        item.add_marker(pytest.mark.skip(reason="vLLM on CPU is not installed here; `make test` says why"))


def _group(nodeid: str) -> str:
    path = nodeid.partition("::")[0]
    return next((name for name in TOGETHER if f"/{name}/" in path), path)


def _is_vllm(item: pytest.Item) -> bool:
    return item.get_closest_marker("vllm") is not None


def _is_slow(item: pytest.Item) -> bool:
    return item.get_closest_marker("slow") is not None
