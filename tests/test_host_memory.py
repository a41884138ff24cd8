"""How much memory a machine lets this process have, containers included."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from pipeline.engines.vllm import host_memory_limit
from pipeline.engines.vllm.host import machine_memory

TOTAL = psutil.virtual_memory().total
GIB = 1 << 30


def put(path: Path, text: str) -> None:
    """Write a file of the kernel's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("files", "membership", "expected"),
    [
        ({}, "0::/", TOTAL),
        ({"memory.max": "max"}, "0::/", TOTAL),
        ({"memory.max": f"{GIB}"}, "0::/", GIB),
        ({"user/run/memory.max": "max", "user/memory.max": f"{GIB}"}, "0::/user/run", GIB),
        ({"memory/memory.limit_in_bytes": f"{GIB}"}, "4:memory:/\n0::/", GIB),
        ({"memory/memory.limit_in_bytes": "9223372036854771712"}, "4:memory:/gone", TOTAL),
        ({"memory/a/memory.limit_in_bytes": f"{GIB}"}, "3:cpu:/b\n4:memory:/a", GIB),
        ({"elsewhere/memory.max": "1"}, "", TOTAL),
    ],
)
def test_the_tightest_control_group_counts(
    tmp_path: Path, files: dict[str, str], membership: str, expected: int
) -> None:
    """A container that passes its limit is killed, however much its machine has left."""
    for name, text in files.items():
        put(tmp_path / "cgroup" / name, text)
    put(tmp_path / "self", membership)
    assert machine_memory(tmp_path / "cgroup", tmp_path / "self") == expected


def test_a_configured_limit_counts_as_it_is() -> None:
    """Else a share of what there is."""
    assert host_memory_limit(2048) == 2 * GIB
    assert 0.5 * machine_memory() < host_memory_limit(None) < 0.9 * machine_memory()
