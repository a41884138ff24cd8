"""What the tests of docker/ share: its files, read as far as they can be without a Docker engine."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

yaml = pytest.importorskip("yaml", reason="PyYAML comes with Prefect: pip install pagemill[flows]")

ROOT = Path(__file__).parent.parent
DOCKER = ROOT / "docker"
OURS = ("prefect-server", "deploy", "worker", "inbox")
VARIABLE = re.compile(r"(?<!\$)\$\{(\w+)(?:(:?[-?])([^}]*))?\}")


def tool(name: str) -> str:
    """Return the program, from this environment or the system; skip the test where it is missing."""
    found = shutil.which(name, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if not found:
        pytest.skip(f"{name} is not installed")
    return found


def run(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run to the end, with both outputs in `stdout`."""
    return subprocess.run(
        [*map(str, command)],
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | environment,
        check=False,
        timeout=60,
    )


def values(text: str) -> dict[str, str]:
    """Return what an env file sets."""
    return dict(line.split("=", 1) for line in text.splitlines() if re.match(r"\w+=", line))


def compose(name: str = "compose.yaml") -> Any:
    """Return a compose file, anchors and merges resolved and variables as they stand."""

    class Loader(yaml.SafeLoader):  # type: ignore[misc, name-defined]
        pass

    Loader.add_constructor("!reset", lambda _loader, _node: None)
    return yaml.load((DOCKER / name).read_text(), Loader)


SERVICES: dict[str, Any] = compose()["services"]
