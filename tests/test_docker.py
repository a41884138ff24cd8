"""Images and compose files: what can be known of them without a Docker engine."""

import http.server
import json
import re
import shutil
import sys
import threading
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from deployment_files import DOCKER, OURS, ROOT, SERVICES, VARIABLE, compose, run, tool, values, yaml

DOCKERFILES = sorted(DOCKER.glob("Dockerfile.*"))
SCRIPTS = sorted(DOCKER.rglob("*.sh"))
SECRETS = {"POSTGRES_PASSWORD", "PREFECT_PASSWORD", "MINIO_ROOT_PASSWORD", "GRAFANA_PASSWORD", "NOTIFY_TOKEN"}


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
