"""A full disk stops a run with a message that helps, and costs nothing but time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from faults.launcher import ROOT
from faults.verify import Output, faults, leftovers
from faults.workload import SOURCES

INSIDE = ["unshare", "--user", "--map-root-user", "--mount"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("which", "free_kb"),
    [("output", 0), ("output", 24), ("output", 160), ("temporary", 8), ("temporary", 64)],
)
def test_the_same_command_completes_once_there_is_space(tmp_path: Path, which: str, free_kb: int) -> None:
    """Disks fill up at night, wherever: where results go, and where temporary files go."""
    if subprocess.run([*INSIDE, "mount", "-t", "tmpfs", "none", tmp_path], check=False, capture_output=True).returncode:
        pytest.skip("this kernel lets nobody mount a disk of his own (unshare --user --mount)")
    command = [*INSIDE, sys.executable, "-m", "tests.faults.full_disk", str(tmp_path), which, str(free_kb)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    happened = json.loads(done.stdout)
    assert happened["codes"] == [3, 1], happened["said"]
    assert "space" in happened["said"]
    assert "Traceback" not in happened["said"]
    output, temporary = (
        (tmp_path / "kept", tmp_path / "tmp") if which == "output" else (tmp_path / "out", tmp_path / "kept")
    )
    assert faults(Output(output / "receipt"), tmp_path / "in", SOURCES) == []
    assert leftovers(output, temporary) == []
