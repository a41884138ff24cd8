"""The host memory at which an engine is replaced: vLLM's processes grow with the images they have seen.

Source: vllm#15294, #12973, #15085.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

SHARE = 0.7
"""The rest is for render workers, page images and the page cache."""
CGROUPS = Path("/sys/fs/cgroup")


def host_memory_limit(host_memory_mb: int | None) -> int:
    """Return the bytes that this process and its engine may hold: as configured, or a share of the machine's."""
    if host_memory_mb is not None:
        return host_memory_mb << 20
    return int(SHARE * machine_memory())


def machine_memory(cgroups: Path = CGROUPS, membership: Path = Path("/proc/self/cgroup")) -> int:
    """Return the bytes of memory this process may use: the machine's, or its control group's where that is less.

    Source: memory.max of cgroup v2 and memory.limit_in_bytes of v1 (kernel documentation); each
    group above sets a limit too. A container sees its own group as the root.
    """
    import psutil

    return min([int(psutil.virtual_memory().total), *_group_limits(cgroups, membership)])


def _group_limits(cgroups: Path, membership: Path) -> Iterator[int]:
    """Yield the limits found; v2 writes "max" for none, v1 a number that no machine has."""
    for name in _limit_files(cgroups, membership):
        with contextlib.suppress(OSError):
            text = name.read_text(encoding="ascii").strip()
            if text.isdigit() and int(text):
                yield int(text)


def _limit_files(cgroups: Path, membership: Path) -> Iterator[Path]:
    yield cgroups / "memory.max"
    yield cgroups / "memory" / "memory.limit_in_bytes"
    try:
        lines = membership.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers not in {"", "memory"}:
            continue
        root, name = (cgroups / "memory", "memory.limit_in_bytes") if controllers else (cgroups, "memory.max")
        group = root / path.lstrip("/")
        yield from (each / name for each in (group, *group.parents) if each.is_relative_to(root))
