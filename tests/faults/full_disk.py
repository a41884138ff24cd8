"""A run on a disk that fills up, then the same command once there is space again.

    unshare --user --map-root-user --mount python -m tests.faults.full_disk FOLDER output|temporary FREE_KB

The disk is a small one in memory that only this process and its children see. Prints what happened as JSON; what the
disk holds in the end is copied to FOLDER/kept.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from .campaign import SETTINGS
from .launcher import Launcher, Order
from .workload import write_input

DISK_MB = 8


def main(folder: Path, which: str, free_kb: int) -> None:
    """Run twice: with `free_kb` free where `which` says, and with all space."""
    disk = folder / {"output": "out", "temporary": "tmp"}[which]
    for name in ("out", "tmp"):
        (folder / name).mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "none", disk], check=True)
    write_input(folder / "in")
    settings = [word for key, value in SETTINGS.items() for word in ("--set", f"{key}={value}")]
    arguments = ["run", f"{folder}/in", f"{folder}/out", "--extraction", "receipt", "--quiet", *settings]
    order = Order(arguments, {"TMPDIR": f"{folder}/tmp"}, f"{folder}/log", f"{folder}/asked", None)
    filler = disk / ".filler"
    _fill(filler, disk, free_kb)
    with Launcher() as launcher:
        launcher.start(order)
        codes = [launcher.wait()]
        said = Path(order.log).read_text(errors="replace")
        filler.unlink()
        launcher.start(order)
        codes.append(launcher.wait())
    shutil.copytree(disk, folder / "kept", copy_function=shutil.copyfile)
    print(json.dumps({"codes": codes, "said": said}))


def _fill(filler: Path, disk: Path, free_kb: int) -> None:
    state = os.statvfs(disk)
    with filler.open("wb") as file:
        file.write(bytes(state.f_bavail * state.f_frsize - free_kb * 1024))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
