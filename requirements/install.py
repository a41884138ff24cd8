"""Fill the environment of the Python that runs this from lock files, then add Pagemill itself, editable.

usage: python requirements/install.py LOCK...        names without folder and suffix

pip installs uv (pinned by hash), and uv the rest in a quarter of pip's time; where uv cannot
run, pip does it all. Both check every hash, and neither resolves anything: a lock is
complete. uv does not read pip's configuration, so what pip is told about indexes is passed on.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
PIP_TO_UV = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "trusted-host": "UV_INSECURE_HOST",
    "cert": "SSL_CERT_FILE",
}
LOCKED = ("--require-hashes", "--no-deps")


def main(names: list[str]) -> int:
    """Install; return 0, or 1 when something could not be installed and its installer has said what."""
    if not _pip("install", *LOCKED, "-r", HERE / "bootstrap.lock"):
        return 1
    for name in names:
        print(f"Installing requirements/{name}.lock", flush=True)
        if not _install(HERE / f"{name}.lock"):
            return 1
    return 0 if _pip("install", "--no-deps", "--no-build-isolation", "--no-index", "--editable", HERE.parent) else 1


def _install(lock: Path) -> bool:
    # The second time uv also looks into PyTorch's own index of CPU builds.
    backends = ("", "cpu") if lock.stem == "torch-cpu" else ("",)
    return any(_uv("pip", "install", *LOCKED, "-r", lock, torch_backend=name) for name in backends) or _pip(
        "install", *LOCKED, "-r", lock
    )


def _pip(*arguments: str | Path) -> bool:
    command = [sys.executable, "-m", "pip", "-qq", "--disable-pip-version-check", "--no-input", *arguments]
    return subprocess.run(command, check=False).returncode == 0


def _uv(*arguments: str | Path, torch_backend: str) -> bool:
    quiet = () if sys.stderr.isatty() else ("--quiet",)
    environment = os.environ | uv_environment() | ({"UV_TORCH_BACKEND": torch_backend} if torch_backend else {})
    offline = ("--no-index",) if "no-index" in _pip_settings() else ()  # uv has no variable for it
    command = [Path(sys.executable).with_name("uv"), *quiet, *arguments, *offline, "--python", sys.executable]
    try:
        return subprocess.run(command, check=False, env=environment).returncode == 0
    except OSError as error:
        print(f"uv does not run here ({error}); pip takes over.", file=sys.stderr)
        return False


def uv_environment() -> dict[str, str]:
    """Return pip's index settings (its configuration files and PIP_* variables) under uv's names."""
    # Every index counts, as with pip; the hashes decide which files are good.
    found = {"UV_INDEX_STRATEGY": "unsafe-best-match"}
    for name, value in _pip_settings().items():
        variable = PIP_TO_UV.get(name)
        if variable and variable not in os.environ:
            found[variable] = ("," if name == "find-links" else " ").join(value.split())
    return found


def _pip_settings() -> dict[str, str]:
    """Read `pip config list`, lines like global.find-links='/wheels'; variables win over files."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    listing = subprocess.run(command, check=False, capture_output=True, text=True).stdout
    settings: dict[str, str] = {}
    for section in ("global", "install", ":env:"):
        for line in listing.splitlines():
            key, _, value = line.partition("=")
            if key.startswith(f"{section}."):
                settings[key.removeprefix(f"{section}.")] = value.strip("'\"").replace("\\n", " ")
    return settings


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
