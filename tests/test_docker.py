"""What can be known of docker/ without a Docker engine: forms, names, paths, ports, settings and commands."""

import http.server
import importlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from pipeline.settings import load_config

yaml = pytest.importorskip("yaml", reason="PyYAML comes with Prefect: pip install pagemill[flows]")

ROOT = Path(__file__).parent.parent
DOCKER = ROOT / "docker"
DOCKERFILES = sorted(DOCKER.glob("Dockerfile.*"))
SCRIPTS = sorted(DOCKER.rglob("*.sh"))
UNITS = sorted((DOCKER / "systemd").iterdir())
MANIFESTS = sorted((DOCKER / "kubernetes").iterdir())
OURS = ("prefect-server", "deploy", "worker", "inbox")
SECRETS = {"POSTGRES_PASSWORD", "PREFECT_PASSWORD", "MINIO_ROOT_PASSWORD", "GRAFANA_PASSWORD", "NOTIFY_TOKEN"}
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


# Images


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_hadolint_finds_nothing_in_the_dockerfiles(dockerfile: Path) -> None:
    """It knows what makes images large, unrepeatable or insecure, and runs shellcheck over RUN lines."""
    done = run(tool("hadolint"), dockerfile)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_finds_nothing_in_the_scripts(script: Path) -> None:
    """They run as root on machines that cost money."""
    done = run(tool("shellcheck"), script)
    assert done.returncode == 0, done.stdout


def instructions(dockerfile: Path) -> list[tuple[str, str]]:
    """Return (instruction, rest), continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", dockerfile.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [(name, rest) for name, rest in (line.split(None, 1) for line in text.splitlines() if line)]


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_an_image_is_pinned_runs_as_nobody_and_takes_signals(dockerfile: Path) -> None:
    """Root in a container is root on the host after one hole; a shell as PID 1 passes no SIGTERM on."""
    found = instructions(dockerfile)
    last = dict(found)
    assert re.fullmatch(r"python:3\.11\.\d+-slim-bookworm(@sha256:[0-9a-f]{64})?", last["FROM"])
    assert last["USER"] == "10001:10001"
    assert found.index(("USER", last["USER"])) > max(i for i, (name, _) in enumerate(found) if name in {"RUN", "COPY"})
    assert json.loads(last["ENTRYPOINT"]) == ["tini", "--", "pagemill"]
    assert last["STOPSIGNAL"] == "SIGTERM"
    assert "--start-period=10m" in last["HEALTHCHECK"], "a model loads for minutes"
    assert not re.search(r"(PASSWORD|SECRET|TOKEN|_KEY)\w*[= ]", dockerfile.read_text()), (
        "layers are no place for secrets"
    )


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_what_an_image_copies_exists_and_is_sent_to_the_build(dockerfile: Path) -> None:
    """.dockerignore lets nothing through that it does not name, so a new COPY needs a line there."""
    sent = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for name, rest in instructions(dockerfile):
        if name == "COPY":
            *sources, _target = rest.split()
            for source in sources:
                assert (ROOT / source).exists(), source
                assert any(source == path or source.startswith(f"{path}/") for path in sent), source


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_images_are_filled_by_the_script_that_fills_machines(dockerfile: Path) -> None:
    """What was tried by hand in a fresh environment is what the image gets: locked, with hashes."""
    kind = dockerfile.suffix[1:]
    assert f"docker/install.sh {kind} /opt/venv" in dockerfile.read_text()
    lock = re.search(rf"^{kind}\) lock=(\w+)", (DOCKER / "install.sh").read_text(), re.MULTILINE)
    assert lock
    packages = (ROOT / "requirements" / f"{lock[1]}.lock").read_text()
    assert re.search(r"^prefect==", packages, re.MULTILINE)
    assert re.search(r"^asyncpg==", packages, re.MULTILINE), "for PostgreSQL"
    assert bool(re.search(r"^vllm==", packages, re.MULTILINE)) == (kind == "gpu")
    assert "--hash=sha256:" in packages


def test_the_installer_says_how_it_is_used() -> None:
    """It makes a folder of several GB, which should not happen by mistake."""
    assert run(DOCKER / "install.sh", "tpu", "somewhere").returncode == 2
    assert "usage: docker/install.sh cpu|gpu FOLDER" in run(DOCKER / "install.sh").stdout


@pytest.fixture
def service() -> Iterator[str]:
    """Serve /well and /ill; return where."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/well" else 503)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_service_is_healthy_when_it_says_so(service: str) -> None:
    """Docker looks at the exit code alone."""
    check = (sys.executable, DOCKER / "healthcheck.py")
    assert run(*check, HEALTH_URL=f"{service}/well").returncode == 0
    ill = run(*check, HEALTH_URL=f"{service}/ill")
    assert (ill.returncode, "503" in ill.stdout) == (1, True)
    assert run(*check, HEALTH_URL="http://127.0.0.1:1/").returncode == 1
    assert run(*check).returncode == 0, "a plain run has no service to ask"


# Compose


@pytest.mark.parametrize("name", ["compose.yaml", "compose.cpu.yaml"])
def test_the_compose_files_keep_to_the_specification(name: str) -> None:
    """`docker compose` refuses what its schema does not know."""
    pytest.importorskip("check_jsonschema", reason="it carries the compose specification's schema")
    validator = pytest.importorskip("jsonschema").validators
    schema = json.loads(files("check_jsonschema").joinpath("builtin_schemas/vendor/compose-spec.json").read_text())
    errors = [error.message for error in validator.validator_for(schema)(schema).iter_errors(compose(name))]
    assert not errors


def test_docker_compose_reads_the_files_where_it_is_installed(tmp_path: Path) -> None:
    """Its own reading is the best check, and needs no engine."""
    if run(tool("docker"), "compose", "version").returncode:
        pytest.skip("docker has no compose here")
    folder = made_environment(tmp_path)
    for chosen in ("compose.yaml", "compose.yaml:compose.cpu.yaml"):
        done = run("docker", "compose", "--project-directory", folder, "config", "--quiet", COMPOSE_FILE=":".join(
            str(folder / name) for name in chosen.split(":")
        ))  # fmt: skip
        assert done.returncode == 0, done.stdout


def test_a_host_without_gpu_asks_for_none() -> None:
    """A reservation that cannot be met keeps the container from starting."""
    assert SERVICES["worker"]["deploy"]["resources"]["reservations"]["devices"][0]["capabilities"] == ["gpu"]
    assert compose("compose.cpu.yaml")["services"]["worker"]["deploy"] is None
    assert "deploy: !reset null" in (DOCKER / "compose.cpu.yaml").read_text()


def test_each_variable_of_compose_is_explained_and_passwords_have_no_default() -> None:
    """A default password is the one that stays; without one, nothing starts, and a sentence says what to do."""
    text = (DOCKER / "compose.yaml").read_text()
    example = (DOCKER / ".env.example").read_text()
    used = {match[1]: match for match in VARIABLE.finditer(text)}
    explained = set(re.findall(r"^#?(\w+)=", example, re.MULTILINE))
    assert used.keys() | {"COMPOSE_FILE", "COMPOSE_PROFILES"} == explained
    for name in SECRETS:
        assert re.search(rf"\$\{{{name}:\?Run docker/make-env\.sh once or set {name} in docker/\.env\}}", text), name
        assert values(example)[name] == "", name
    for name, operator, _default in (match.groups() for match in VARIABLE.finditer(text)):
        assert operator != ":-" or name not in SECRETS


def test_services_are_confined() -> None:
    """What is reachable from outside, what fills a disk, and what takes all memory is decided here."""
    for name, service in SERVICES.items():
        assert "cap_drop" in service, name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "privileged" not in service, name
        assert service["logging"]["options"]["max-size"], name
        assert service["mem_limit"], name
        assert service["restart"] in {"unless-stopped", "on-failure"}, name
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), name
        if name in OURS:
            assert service["read_only"], name
            assert service["pull_policy"] == "never", name
            assert service["stop_grace_period"] == "45s", name
        else:
            assert re.search(r":(v?\d+\.\d+\.?\d*\S*|RELEASE\.\S+)$", service["image"]), f"{name} is not pinned"


def test_names_within_the_compose_file_are_names_of_something() -> None:
    """Services, volumes, files: a wrong one is noticed at the first start only."""
    whole = compose()
    for name, service in SERVICES.items():
        for other in service.get("depends_on", ()):
            assert other in SERVICES, f"{name} waits for {other}"
            if isinstance(service["depends_on"], dict):
                wanted = service["depends_on"][other]["condition"]
                ends = SERVICES[other].get("restart") == "on-failure"
                assert wanted == ("service_completed_successfully" if ends else "service_healthy"), name
        for volume in service.get("volumes", ()):
            place = VARIABLE.sub(r"\3", volume).split(":")[0]
            if place.startswith("."):
                assert (DOCKER / place).is_dir() or place in {"./data", "./config"}, f"{name}: {place}"
            elif not place.startswith("/"):
                assert place in whole["volumes"], f"{name}: {place}"
        for path in service.get("env_file", ()):
            assert (DOCKER / f"{path}.example").is_file(), name
    assert SERVICES["prefect-server"]["build"]["dockerfile"] == "docker/Dockerfile.${IMAGE_TAG:-gpu}"


def test_buckets_may_lie_elsewhere() -> None:
    """Who has Amazon's S3 starts no MinIO, and nothing waits for it."""
    optional = {name for name, service in SERVICES.items() if service.get("profiles")}
    assert optional == {"minio", "buckets"}
    assert {SERVICES[name]["profiles"][0] for name in optional} == {
        values((DOCKER / ".env.example").read_text())["COMPOSE_PROFILES"]
    }
    for name in SERVICES.keys() - optional:
        needs = SERVICES[name].get("depends_on", {})
        for other in optional.intersection(needs):
            assert needs[other]["required"] is False, f"{name} waits for {other}"


def test_prometheus_asks_services_that_are_there_at_their_ports() -> None:
    """A job for which nobody answers looks like a service that is down."""
    config = yaml.safe_load((DOCKER / "prometheus" / "prometheus.yml").read_text())
    ports = {
        "worker": SERVICES["worker"]["environment"]["PAGEMILL_METRICS_PORT"],
        "prefect-server": SERVICES["prefect-server"]["command"][-1],
        "node-exporter": "9100",
        "localhost": "9090",
        "inbox": "8081",
    }
    for job in config["scrape_configs"]:
        for target in job["static_configs"][0]["targets"]:
            host, port = target.split(":")
            assert ports[host] == port, target
    for path in config["rule_files"]:
        assert (DOCKER / "prometheus" / path).is_file()


def test_health_is_asked_where_it_is_served() -> None:
    """Else a service is waited for until the end of time."""
    worker, inbox = SERVICES["worker"], SERVICES["inbox"]
    assert "--with-healthcheck" in worker["command"]
    assert worker["environment"]["HEALTH_URL"] == (
        f"http://127.0.0.1:{worker['environment']['PREFECT_WORKER_WEBSERVER_PORT']}/health"
    )
    port = inbox["command"][inbox["command"].index("--listen") + 1].split(":")[1]
    assert inbox["environment"]["HEALTH_URL"] == f"http://127.0.0.1:{port}/health"
    assert SERVICES["minio"]["environment"]["MINIO_NOTIFY_WEBHOOK_ENDPOINT_PAGEMILL"] == f"http://inbox:{port}/notify"


def made_environment(folder: Path) -> Path:
    """Copy docker/ and have its script make the environment there."""
    copy = folder / "docker"
    shutil.copytree(DOCKER, copy, ignore=shutil.ignore_patterns(".env", "pagemill.env", "config", "data"))
    done = run(copy / "make-env.sh")
    assert done.returncode == 0, done.stdout
    return copy


def test_the_environment_is_made_once_with_passwords_of_its_own(tmp_path: Path) -> None:
    """Two commands from a checkout to a running stack, and nobody thinks of a password."""
    folder = made_environment(tmp_path)
    env = (folder / ".env").read_text()
    found = [values(env)[name] for name in sorted(SECRETS)]
    assert all(re.fullmatch("[0-9a-f]{40}", secret) for secret in found)
    assert len(set(found)) == len(SECRETS)
    assert (folder / ".env").stat().st_mode & 0o077 == 0
    assert (folder / "pagemill.env").stat().st_mode & 0o077 == 0
    assert values((folder / "pagemill.env").read_text())["AWS_SECRET_ACCESS_KEY"] == values(env)["MINIO_ROOT_PASSWORD"]
    for name in values(env)["COMPOSE_FILE"].split(":"):
        assert (folder / name).is_file()
    assert (DOCKER / f"Dockerfile.{values(env)['IMAGE_TAG']}").is_file()
    assert run(folder / "make-env.sh").returncode == 0
    assert (folder / ".env").read_text() == env, "a second time changes nothing"


def test_git_and_builds_do_not_see_the_environment() -> None:
    """Passwords end in histories and layers otherwise."""
    ignored = (DOCKER / ".gitignore").read_text().split()
    assert {".env", "pagemill.env", "config/", "data/"} <= set(ignored)
    assert (ROOT / ".dockerignore").read_text().splitlines()[1] == "*"


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
    code = "".join(path.read_text() for path in sorted((ROOT / "flows").glob("*.py")))
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
    while thread.is_alive() and not (tmp_path / "stopped").exists():
        thread.join(0.05)
    assert thread.is_alive(), "the bound did not wait for the run"
    assert (tmp_path / "stopped").read_text() == "off\n"
    thread.join()
    assert result == [0]
    assert (tmp_path / "stopped").read_text() == "off\noff\n"
