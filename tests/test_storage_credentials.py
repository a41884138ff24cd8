"""Where credentials come from: each of the ordinary ways against local HTTP servers, and that none is ever shown."""

import datetime as dt
import json
import re
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import pytest
from s3_server import Faults, refused

from pipeline.errors import ConfigError, StorageError
from pipeline.storage import open_storage
from pipeline.storage.bucket_access import PATIENCE_VARIABLE

LATER = (dt.datetime.now(dt.UTC) + dt.timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%SZ")
ROLE = json.dumps(
    {"Code": "Success", "AccessKeyId": "ROLEKEY", "SecretAccessKey": "s3cret", "Token": "T0ken", "Expiration": LATER}
)
TOKEN = json.dumps({"access_token": "T0ken", "expires_in": 7200, "expires_on": "4102444800", "token_type": "Bearer"})
BLOBS = "<EnumerationResults><Blobs></Blobs><NextMarker/></EnumerationResults>"
OBJECTS = "<ListBucketResult><Name>b</Name><IsTruncated>false</IsTruncated></ListBucketResult>"
ANSWERS = {
    "/latest/api/token": "imds-token",
    "/latest/meta-data/iam/security-credentials/night": ROLE,
    "/latest/meta-data/iam/security-credentials/": "night",
    "/container": ROLE,
    "/metadata/identity": TOKEN,
    "/computeMetadata/v1/instance/service-accounts/default/token": TOKEN,
    "/documents": OBJECTS,
    "/blobs": BLOBS,
}


class Cloud(NamedTuple):
    """A server that is all of a cloud, and the Authorization of each request to its storage."""

    url: str
    authorizations: list[str]


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Cloud]:
    """Return a running cloud, in an environment without credentials."""
    authorizations: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = self.path.partition("?")[0]
            if path in {"/documents", "/blobs"}:
                authorizations.append(self.headers["Authorization"] or "")
            answer = ANSWERS.get(path, "").encode()
            self.send_response(200 if answer else 404)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_PUT = do_POST = do_GET  # noqa: N815 - http.server's names

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    url = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv(PATIENCE_VARIABLE, "0.5")
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", url)
    monkeypatch.setenv("GOOGLE_BASE_URL", url)
    yield Cloud(url, authorizations)
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("location", "environment", "who"),
    [
        ("s3://documents", {"AWS_ACCESS_KEY_ID": "ENVKEY", "AWS_SECRET_ACCESS_KEY": "s3cret"}, "Credential=ENVKEY/"),
        ("s3://documents", {"AWS_EC2_METADATA_SERVICE_ENDPOINT": "{url}"}, "Credential=ROLEKEY/"),
        (
            "s3://documents",
            {
                "AWS_CONTAINER_CREDENTIALS_FULL_URI": "{url}/container",
                "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "{file}",
            },
            "Credential=ROLEKEY/",
        ),
        ("az://blobs", {"AZURE_MSI_ENDPOINT": "{url}/metadata/identity"}, "Bearer T0ken"),
        ("az://blobs", {"AZURE_STORAGE_ACCOUNT_KEY": "a2V5"}, "SharedKey account:"),
        ("az://blobs", {"AZURE_USE_AZURE_CLI": "true", "PATH": "{bin}:/usr/bin:/bin"}, "Bearer T0ken"),
        ("gs://documents", {"GCE_METADATA_HOST": "{host}"}, "Bearer T0ken"),
        ("gs://documents", {"GOOGLE_BEARER_TOKEN": "T0ken"}, "Bearer T0ken"),
    ],
    ids="env imds container managed-identity account-key azure-cli gce bearer".split(),
)
def test_each_cloud_is_entered_its_ordinary_ways(
    cloud: Cloud,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    location: str,
    environment: dict[str, str],
    who: str,
) -> None:
    """What works for the cloud's own tools works here. Web identity is left out: obstore asks STS over HTTPS only."""
    (tmp_path / "file").write_text("web-token", encoding="ascii")
    (tmp_path / "az").write_text(
        '#!/bin/sh\necho \'{"accessToken": "T0ken", "expiresOn": "2099-01-01 00:00:00.000000", "subscription": "s", '
        '"tenant": "t", "tokenType": "Bearer"}\'\n',
        encoding="ascii",
    )
    (tmp_path / "az").chmod(0o755)
    for name, value in environment.items():
        host = cloud.url.removeprefix("http://")
        monkeypatch.setenv(name, value.format(url=cloud.url, host=host, file=tmp_path / "file", bin=tmp_path))
    assert list(open_storage(location).keys()) == []
    assert [authorization for authorization in cloud.authorizations if who not in authorization] == []
    assert cloud.authorizations


@pytest.mark.parametrize(
    ("location", "environment", "says"),
    [
        (
            "s3://documents",
            {"AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:9"},
            "no credentials .*check the cred",
        ),
        ("az://blobs", {"AZURE_MSI_ENDPOINT": "http://127.0.0.1:9/"}, "no credentials .*check the credentials"),
        ("s3://documents", {"AWS_ENDPOINT_URL": "minio:9000"}, "write it with http:// or https://"),
        ("az://blobs", {"AZURE_STORAGE_ACCOUNT_NAME": ""}, "AZURE_STORAGE_ACCOUNT_NAME"),
        ("gs://b", {"GOOGLE_APPLICATION_CREDENTIALS": "{file}"}, "external_account.*gcloud auth"),
    ],
)
def test_where_there_are_none_it_says_what_to_give(
    cloud: Cloud,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    location: str,
    environment: dict[str, str],
    says: str,
) -> None:
    """The first thing a new user meets."""
    (tmp_path / "file").write_text('{"type": "external_account"}', encoding="ascii")
    for name, value in environment.items():
        if value:
            monkeypatch.setenv(name, value.format(file=tmp_path / "file"))
        else:
            monkeypatch.delenv(name)
    with pytest.raises((ConfigError, StorageError), match=says):
        list(open_storage(location).keys())


def test_a_machine_without_a_role_is_not_asked_for_minutes(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its metadata answers 404: that is an answer, and not one of the bucket's server, which is waited for."""
    monkeypatch.delenv(PATIENCE_VARIABLE, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"{cloud.url}/nothing")
    began = time.monotonic()
    with pytest.raises(StorageError, match=r"none of this machine's role .*check the credentials"):
        list(open_storage("s3://documents").keys())
    assert time.monotonic() - began < 10


PROFILES = """
[default]
aws_access_key_id = DEFAULTKEY
aws_secret_access_key = s3cret
[profile keys]
aws_access_key_id = PROFILEKEY
aws_secret_access_key = s3cret
aws_session_token = T0ken
region = eu-central-1
[profile program]
credential_process = /bin/cat {role}
[profile role]
role_arn = arn:aws:iam::123456789012:role/night
source_profile = keys
[profile sso]
sso_start_url = https://example.awsapps.com/start
sso_region = us-east-1
sso_account_id = 123456789012
sso_role_name = night
[profile none]
region = eu-central-1
"""


@pytest.fixture
def profiles(cloud: Cloud, tmp_path: Path) -> Path:
    """Return a written ~/.aws/config."""
    (tmp_path / "role").write_text(json.dumps(json.loads(ROLE) | {"Version": 1, "SessionToken": "T0ken"}), "ascii")
    config = tmp_path / "home/.aws/config"
    config.parent.mkdir(parents=True)
    config.write_text(PROFILES.format(role=tmp_path / "role"), encoding="ascii")
    return config


@pytest.mark.parametrize(
    ("profile", "who"),
    [
        ("keys", "Credential=PROFILEKEY/.*/eu-central-1/"),
        ("program", "Credential=ROLEKEY/"),
        ("", "Credential=DEFAULTKEY/"),
    ],
)
def test_a_profile_gives_keys_and_region(
    cloud: Cloud, profiles: Path, monkeypatch: pytest.MonkeyPatch, profile: str, who: str
) -> None:
    """As the AWS CLI reads it; `default` without being named, when nothing else is there."""
    if profile:
        monkeypatch.setenv("AWS_PROFILE", profile)
    assert list(open_storage("s3://documents").keys()) == []
    assert re.search(who, cloud.authorizations[-1])


def test_keys_in_the_environment_go_before_a_profile(
    cloud: Cloud, profiles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in the AWS CLI."""
    monkeypatch.setenv("AWS_PROFILE", "keys")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ENVKEY")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
    list(open_storage("s3://documents").keys())
    assert "Credential=ENVKEY/" in cloud.authorizations[-1]


def test_a_profile_that_assumes_a_role_asks_for_it(
    cloud: Cloud, profiles: Path, bucket: str, s3_server: str, s3_faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    """STS and S3 are the same local server."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_PROFILE", "role")
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    assert list(open_storage(bucket).keys()) == []
    assert "POST /?" in s3_faults.requests


@pytest.mark.parametrize(
    ("profile", "says"),
    [("sso", "aws sso login"), ("none", "has no credentials"), ("typo", "could not be found")],
)
def test_a_profile_that_gives_nothing_says_what_to_do(
    cloud: Cloud, profiles: Path, monkeypatch: pytest.MonkeyPatch, profile: str, says: str
) -> None:
    """At once: a login is not found by waiting."""
    monkeypatch.setenv("AWS_PROFILE", profile)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv(PATIENCE_VARIABLE, "300")
    with pytest.raises((ConfigError, StorageError), match=says):
        list(open_storage("s3://documents").keys())


def test_without_boto3_a_profile_says_what_to_install(
    cloud: Cloud, profiles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no part of the smallest installation."""
    monkeypatch.setenv("AWS_PROFILE", "keys")
    monkeypatch.setitem(sys.modules, "botocore.session", None)
    with pytest.raises(ConfigError, match="install boto3"):
        open_storage("s3://documents")


def test_expired_keys_of_a_profile_are_read_again(
    cloud: Cloud, profiles: Path, bucket: str, s3_server: str, s3_faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever renews them, every hour for instance, writes them to the same file."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_PROFILE", "keys")
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    monkeypatch.setenv(PATIENCE_VARIABLE, "5")
    storage = open_storage(bucket)
    assert not storage.exists("a")
    profiles.write_text(profiles.read_text("ascii").replace("PROFILEKEY", "NEWKEY"), encoding="ascii")
    s3_faults.plan("HEAD ", refused("400 Bad Request", "ExpiredToken"))
    assert not storage.exists("a")
    assert [key for key in s3_faults.keys if key][-2:] == ["PROFILEKEY", "NEWKEY"]
    s3_faults.plan("GET ", *([refused("400 Bad Request", "ExpiredToken", "<Token-0>T0ken</Token-0>")] * 100))
    monkeypatch.setenv(PATIENCE_VARIABLE, "0.3")
    with pytest.raises(StorageError, match=r"have expired .*Renew them, then") as caught:
        list(open_storage(bucket).keys())
    shown = "".join(traceback.format_exception(caught.value))
    assert "T0ken" not in shown
    assert "s3cret" not in shown
