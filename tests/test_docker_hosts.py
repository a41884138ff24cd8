"""What deployments start and with which settings: compose, systemd, Kubernetes, rented cards."""

import importlib
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from deployment_files import DOCKER, OURS, ROOT, SERVICES, run, tool, values, yaml

from pipeline.settings import load_config

UNITS = sorted((DOCKER / "systemd").iterdir())
MANIFESTS = sorted((DOCKER / "kubernetes").iterdir())


# Settings


def told(source: str) -> Mapping[str, str]:
    """Return the PAGEMILL_* variables that a deployment gives a run."""
    if source == "compose":
        text = (DOCKER / "pagemill.env.example").read_text()
        found = values(text) | SERVICES["worker"]["environment"] | SERVICES["inbox"]["environment"]
    else:
        documents = [each for path in MANIFESTS for each in yaml.safe_load_all(path.read_text())]
        (job,) = (each for each in documents if each["kind"] == "CronJob")
        (container,) = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
        found = {each["name"]: each["value"] for each in container["env"]}
        for each in documents:
            found |= each.get("data", {}) | each.get("stringData", {})
    return {name: value for name, value in found.items() if name.startswith("PAGEMILL_")}


@pytest.mark.parametrize("source", ["compose", "kubernetes"])
def test_settings_that_deployments_give_are_settings(source: str) -> None:
    """A misspelt one is refused, at 22:00."""
    config = load_config(environ=told(source), config_file=DOCKER / "pagemill.example.toml").config
    assert config.input == "s3://inbox"
    assert config.output == "s3://results"
    assert config.metrics.port == 9464


def test_variables_of_the_flows_are_read_by_them() -> None:
    """Nothing refuses a misspelt one: it would do nothing."""
    code = "".join(path.read_text() for path in sorted((ROOT / "flows").rglob("*.py")))
    texts = [path.read_text() for path in (*UNITS, DOCKER / "compose.yaml", DOCKER / "pagemill.env.example")]
    for name in set(re.findall(r"\bFLOWS_[A-Z_]+", "".join(texts))):
        assert re.search(rf"\b{name}\b", code), name


# Commands


def commands() -> Iterator[tuple[str, list[str]]]:
    """Yield (where, command) for each program of ours that a deployment starts; "pagemill", "prefect" or a module."""
    for name, service in SERVICES.items():
        if name in OURS:
            yield name, [*service["entrypoint"][2:], *service["command"]]
    for unit in UNITS:
        for line in re.findall(r"^ExecStart=(.*)$", unit.read_text(), re.MULTILINE):
            program, *rest = shlex.split(line)
            yield unit.name, [Path(program).name, *rest]
    for path in MANIFESTS:
        for args in re.findall(r"^ +args: (\[.*\])$", path.read_text(), re.MULTILINE):
            yield path.name, ["pagemill", *yaml.safe_load(args)]


def help_of(command: Sequence[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Return what a program says with --help; within this process, as importing Prefect takes a second."""
    if command[0] == "prefect":
        return run(tool("prefect"), *command[1:3], "--help").stdout
    module, arguments = ("pipeline.cli", command[1:2]) if command[0] == "pagemill" else (command[2], [])
    with pytest.raises(SystemExit) as left:
        importlib.import_module(module).main([*arguments, "--help"])
    assert not left.value.code
    return capsys.readouterr().out


@pytest.mark.slow
def test_commands_that_deployments_start_exist_with_their_flags(capsys: pytest.CaptureFixture[str]) -> None:
    """A renamed flag would end every service that uses it."""
    pytest.importorskip("prefect")
    seen = 0
    known: dict[tuple[str, ...], str] = {}
    for where, command in commands():
        program = tuple(command[: 3 if command[0] == "python" else 2])
        said = known.get(program) or known.setdefault(program, help_of(command, capsys))
        for flag in (part for part in command if part.startswith("--")):
            assert re.search(rf"{flag}\b", said), f"{where}: {flag} is no flag of {' '.join(command)}"
            seen += 1
    assert seen >= 8


# systemd, Kubernetes


@pytest.fixture
def units(tmp_path: Path) -> list[Path]:
    """Copy the units, with the programs of this environment in them, so that systemd finds them."""
    for unit in UNITS:
        text = unit.read_text().replace("/opt/pagemill/.venv/bin", str(Path(sys.executable).parent))
        (tmp_path / unit.name).write_text(text)
    return sorted(tmp_path.iterdir())


def test_systemd_understands_the_units(units: list[Path]) -> None:
    """It passes over what it does not understand, so a misspelt protection protects from nothing."""
    done = run(tool("systemd-analyze"), "verify", "--man=no", *units)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_units_are_confined(units: list[Path]) -> None:
    """Exposure from 0 to 10 as systemd reckons it; unprotected services have 9.6."""
    program = tool("systemd-analyze")
    for unit in units:
        if unit.suffix == ".service":
            said = run(program, "security", "--offline=true", unit, SYSTEMD_COLORS="0").stdout
            level = re.search(r"exposure level for \S+: ([\d.]+)", said)
            assert level, said
            assert float(level[1]) < 2.5, f"{unit.name}: {level[1]}"
            for line in (
                "User=pagemill",
                "ProtectSystem=strict",
                "ProtectHome=yes",
                "NoNewPrivileges=yes",
                "PrivateTmp=yes",
            ):
                assert f"\n{line}\n" in unit.read_text(), f"{unit.name}: {line}"


def test_units_of_runs_stop_gracefully_and_see_the_card() -> None:
    """KillMode=control-group would kill the engine under the pages it holds."""
    for name in ("pagemill-worker", "pagemill-run"):
        text = (DOCKER / "systemd" / f"{name}.service").read_text()
        for line in ("KillMode=mixed", "KillSignal=SIGTERM", "TimeoutStopSec=45", "DeviceAllow=char-nvidia* rw"):
            assert f"\n{line}\n" in text, f"{name}: {line}"
        assert "\nPrivateDevices=yes" not in text, name


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda path: path.name)
@pytest.mark.parametrize("version", ["1.31", "1.37"])
def test_kubernetes_understands_the_manifests(manifest: Path, version: str) -> None:
    """Strictly: unknown fields are errors, where kubectl only warns."""
    validate = pytest.importorskip("kubernetes_validate").validate
    for each in yaml.safe_load_all(manifest.read_text()):
        validate(each, version, strict=True)


def test_a_job_on_kubernetes_is_not_tried_again_for_pages_that_failed() -> None:
    """A night with one damaged page would be read again until the day, at the price of the card."""
    (job,) = (each for path in MANIFESTS for each in yaml.safe_load_all(path.read_text()) if each["kind"] == "CronJob")
    spec = job["spec"]["jobTemplate"]["spec"]
    final = spec["podFailurePolicy"]["rules"][0]
    assert (final["action"], final["onExitCodes"]["values"]) == ("FailJob", [1, 2])
    assert spec["template"]["spec"]["restartPolicy"] == "Never", "podFailurePolicy asks for it"
    assert job["spec"]["concurrencyPolicy"] == "Forbid"
    assert spec["activeDeadlineSeconds"] > 8 * 3600, "from 22:00 to the deadline at 06:00"
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
    assert all(not first.startswith(f"{second}/") for first, second in pairwise(mounts)), "outer folders come first"


# A rented card


def night(folder: Path, program: str, *, hours: float = 1, log_to: str = "") -> tuple[int, Path]:
    """Run a night with this script for `pagemill`; return its exit code, and the file that stopping makes."""
    programs = folder / "bin"
    programs.mkdir()
    for name, text in (("pagemill", program), ("python", f'exec {sys.executable} "$@"')):
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    (folder / "settings.env").write_text("# as in pagemill.env.example\n\nPAGEMILL_INPUT=s3://in & out/*.pdf\n")
    stopped = folder / "stopped"
    done = run(
        DOCKER / "gpu-pod" / "night.sh", "--limit", "20",
        SETTINGS=str(folder / "settings.env"), FOLDER=str(folder / "disk"), PAGEMILL=str(programs / "pagemill"),
        STOP_COMMAND=f"echo off >> {stopped}", MAX_HOURS=str(hours), SPARE_MINUTES="0", LOG_TO=log_to,
        PYTHONPATH=str(ROOT),
    )  # fmt: skip
    return done.returncode, stopped


def test_a_night_on_a_rented_card_ends_with_the_card_given_back(tmp_path: Path) -> None:
    """With the run's exit code, its settings, its deadline and its log where it can be read afterwards."""
    (tmp_path / "logs").mkdir()
    say = 'echo "$@ of $PAGEMILL_INPUT"; exit 1'
    code, stopped = night(tmp_path, say, hours=0.5, log_to=str(tmp_path / "logs"))
    assert code == 1
    assert stopped.read_text() == "off\n"
    (log,) = (tmp_path / "logs").glob("*.log")
    assert re.search(r"run --deadline (29|30)m --limit 20 of s3://in & out/\*\.pdf", log.read_text())
    assert "with exit code 1" in log.read_text()


def test_the_machine_s_first_script_is_one() -> None:
    """cloud-init passes over what it does not understand, and the machine would stand there and cost."""
    text = (DOCKER / "gpu-pod" / "cloud-init.yaml").read_text()
    assert text.startswith("#cloud-config\n")
    settings, script = yaml.safe_load(text)["write_files"]
    assert settings["permissions"] == "0600"
    assert load_config(environ={k: v for k, v in values(settings["content"]).items() if k.startswith("PAGEMILL_")})
    assert script["path"].startswith("/var/lib/cloud/scripts/per-boot/")
    assert "/opt/pagemill/docker/gpu-pod/night.sh" in script["content"]
    done = subprocess.run([tool("shellcheck"), "-"], input=script["content"], text=True, check=False)
    assert done.returncode == 0


@pytest.mark.slow
def test_a_run_that_does_not_end_is_stopped_with_the_card(tmp_path: Path) -> None:
    """The upper bound holds although the run ignores its deadline and hangs."""
    result: list[int] = []
    thread = threading.Thread(target=lambda: result.append(night(tmp_path, "exec sleep 4", hours=1 / 3600)[0]))
    thread.start()
    while thread.is_alive() and not ((tmp_path / "stopped").exists() and (tmp_path / "stopped").read_text()):
        thread.join(0.05)
    assert thread.is_alive(), "the bound did not wait for the run"
    assert (tmp_path / "stopped").read_text() == "off\n"
    thread.join()
    assert result == [0]
    assert (tmp_path / "stopped").read_text() == "off\noff\n"
