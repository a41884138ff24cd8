"""Ways into a bucket: its address, time limits, credentials, and what its failures mean.

Credentials are looked for where the tools of each cloud look for them:

- S3: AWS_ACCESS_KEY_ID and its like in the environment; a web identity or container role that
  the environment names; a profile (AWS_PROFILE, else `default`) with keys, SSO or a role to
  assume, which needs boto3; the instance's role.
- GCS: GOOGLE_SERVICE_ACCOUNT(_KEY), GOOGLE_APPLICATION_CREDENTIALS, what `gcloud auth
  application-default login` left, the instance's account.
- Azure: AZURE_STORAGE_ACCOUNT_KEY or _SAS_TOKEN, a client secret or federated token,
  AZURE_USE_AZURE_CLI=true for `az login`, the instance's managed identity.
"""

from __future__ import annotations

import contextlib
import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from obstore import exceptions
from obstore.store import from_url

from pipeline.errors import ConfigError, StorageError
from pipeline.storage.answers import ExpiredError, Patience, our_error, read_answer
from pipeline.storage.bucket_lease import Conflict
from pipeline.storage.retrying import TransientError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from obstore.store import ClientConfig, ObjectStore, RetryConfig, S3Credential

    from pipeline.storage.location import BucketPlace

PATIENCE_VARIABLE = "PAGEMILL_STORAGE_PATIENCE_S"
CONNECT_S = 10
UPLOAD_S = 120
"""How long sending a part and its answer may take: the client's limit for silence runs while it sends, too."""
WHAT_IS_NEEDED = {
    "s3": "; mend the AWS_* variables.",
    "gs": "; GOOGLE_APPLICATION_CREDENTIALS names a key, or do `gcloud auth application-default login`.",
    "az": "; set AZURE_STORAGE_ACCOUNT_NAME, and AZURE_STORAGE_ACCOUNT_KEY or another of Azure's ways.",
}
PART_RETRIES: RetryConfig = {
    "max_retries": 3,
    "retry_timeout": timedelta(seconds=UPLOAD_S),
    "backoff": {"init_backoff": timedelta(seconds=0.2), "max_backoff": timedelta(seconds=5), "base": 2},
}
LONGEST_S = 6 * 3600
"""How long one request may take: object_store allows 30 s, in which a slow line brings no large file."""
CREDENTIALS_KEPT_S = 300
"""How long credentials of a profile are used before botocore is asked again, which renews them 10 minutes ahead."""

ENDPOINTS = {
    "s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"),
    "gs": ("GOOGLE_BASE_URL",),
    "az": ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"),
}
NATIVE = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_SKIP_SIGNATURE",
)
"""Variables with which object_store finds credentials itself; they go before a profile, as in the AWS CLI."""


def patience() -> Patience:
    """Return how long failures are waited for; PAGEMILL_STORAGE_PATIENCE_S shortens or prolongs it.

    Raises:
        ConfigError: that is no number.
    """
    wanted = os.environ.get(PATIENCE_VARIABLE)
    if not wanted:
        return Patience()
    try:
        away_s = float(wanted)
    except ValueError as error:
        raise ConfigError(f"{PATIENCE_VARIABLE} is {wanted!r}; give seconds, such as 300.") from error
    return Patience(away_s, *(min(away_s, usual) for usual in Patience()[1:]))


class Access:
    """One place in a bucket: the stores to call, and `calling`, in which to call them."""

    def __init__(self, place: BucketPlace) -> None:
        self._place = place
        self._patience = patience()
        self._met = False
        self._stores: dict[tuple[float, bool], ObjectStore] = {}
        self._options, self._renewable = self._chosen()
        _ = self.store  # so that what is configured wrongly is said now

    @property
    def store(self) -> ObjectStore:
        """The place's store."""
        return self._opened(self._patience.silence_s)

    @property
    def uploads(self) -> ObjectStore:
        """The same, for requests that carry much. A part that fails is sent again by itself, some times."""
        return self._opened(UPLOAD_S)

    @property
    def whole(self) -> ObjectStore:
        """The store of the whole bucket."""
        return self._opened(UPLOAD_S, whole=True)

    @contextlib.contextmanager
    def calling(self, what: str) -> Iterator[None]:
        """Turn obstore's errors into ours; `what` names the object.

        They are not chained: what a server answers may hold secrets, and tracebacks are printed.
        """
        try:
            yield
        except (exceptions.NotFoundError, FileNotFoundError) as error:
            self._met = True
            if read_answer(error).code == "NoSuchBucket":
                raise StorageError(f"The bucket of {what} does not exist.") from None
            raise FileNotFoundError(f"{what} does not exist.") from None
        except (exceptions.AlreadyExistsError, exceptions.PreconditionError):
            self._met = True
            raise Conflict(what) from None
        except (exceptions.BaseError, ConnectionError, TimeoutError) as error:
            ours = our_error(error, what, met=self._met, renewable=self._renewable, patience=self._patience)
            answer = read_answer(error)
            self._met = self._met or (answer.status is not None and not answer.on_credentials)
            if isinstance(ours, ExpiredError):
                self._stores, (self._options, self._renewable) = {}, self._chosen()
            raise ours from None
        except ValueError as error:
            raise StorageError(f"{what!r} is no name that an object can have: {error}") from None
        self._met = True

    def transient(self, message: str) -> TransientError:
        """Return an error for what another attempt may not meet."""
        return TransientError(message, patience_s=self._patience.away_s)

    def _chosen(self) -> tuple[dict[str, Any], bool]:
        return _s3_options(os.environ) if self._place.scheme == "s3" else ({}, True)

    def _opened(self, answer_within_s: float, *, whole: bool = False) -> ObjectStore:
        stores, key = self._stores, (answer_within_s, whole)  # another thread may put others in their place
        if key not in stores:
            place = self._place._replace(prefix="") if whole else self._place
            stores[key] = self._open(place, answer_within_s)
        return stores[key]

    def _open(self, place: BucketPlace, answer_within_s: float) -> ObjectStore:
        try:
            # Retrying is done by `retried` alone, as two layers multiply; but it cannot send single parts again.
            return from_url(
                str(place),
                retry_config=PART_RETRIES if answer_within_s == UPLOAD_S else {"max_retries": 0},
                client_options=_client_options(place.scheme, self._options, answer_within_s),
                **self._options,
            )
        except (exceptions.BaseError, ValueError) as error:
            raise ConfigError(f"{place} cannot be opened: {read_answer(error)}{WHAT_IS_NEEDED[place.scheme]}") from None


def _client_options(scheme: str, chosen: Mapping[str, Any], answer_within_s: float) -> ClientConfig:
    endpoint = _endpoint(scheme) or chosen.get("config", {}).get("endpoint", "")
    options: ClientConfig = {
        "connect_timeout": timedelta(seconds=CONNECT_S),
        "read_timeout": timedelta(seconds=answer_within_s),
        "timeout": timedelta(seconds=LONGEST_S),
        # Who writes http:// means it. The library wants it said twice, and forgets the variable when given options.
        "allow_http": endpoint.startswith("http://") or _is_true(f"{scheme}_ALLOW_HTTP"),
    }
    if scheme == "s3" and (bundle := os.environ.get("AWS_CA_BUNDLE")):
        try:
            options["root_certificate"] = Path(bundle).read_bytes()
        except OSError as error:
            raise ConfigError(f"AWS_CA_BUNDLE names {bundle!r}, which cannot be read: {error.strerror}.") from error
    return options


def _endpoint(scheme: str) -> str:
    """Return the address that the environment gives, if any; the library crashes on one that is no URL."""
    for name in ENDPOINTS[scheme]:
        if address := os.environ.get(name):
            if not re.match(r"https?://[^/\s]+", address):
                raise ConfigError(f"{name} is {address!r}; write it with http:// or https:// before the host.")
            return address
    return ""


def _is_true(name: str) -> bool:
    prefix = {"s3": "AWS", "gs": "GOOGLE", "az": "AZURE"}[name[:2]]
    return os.environ.get(f"{prefix}{name[2:]}", "").lower() in {"1", "true", "yes", "on"}


def _s3_options(environ: Mapping[str, str]) -> tuple[dict[str, Any], bool]:
    """Return what to tell S3Store beyond the environment, and whether asking again may give other credentials."""
    config: dict[str, Any] = {}
    if endpoint := environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT"):
        config["metadata_endpoint"] = endpoint.rstrip("/")
    if not any(environ.get(name) for name in NATIVE) and (profile := _profile(environ)):
        provider = _ProfileCredentials(profile, environ)
        return {"config": provider.config | config, "credential_provider": provider}, True
    return {"config": config}, not environ.get("AWS_ACCESS_KEY_ID")


def _profile(environ: Mapping[str, str]) -> str | None:
    """Return the profile to take credentials from, if any."""
    if named := environ.get("AWS_PROFILE") or environ.get("AWS_DEFAULT_PROFILE"):
        return named
    files = [environ.get("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials")]
    files.append(environ.get("AWS_CONFIG_FILE", "~/.aws/config"))
    if not any(Path(file).expanduser().is_file() for file in files):
        return None
    try:
        import botocore.session  # type: ignore[import-untyped]
    except ImportError:
        return None
    session = botocore.session.Session()
    ways = {"aws_access_key_id", "sso_session", "sso_start_url", "role_arn", "credential_process", "login_session"}
    return "default" if ways & set(session.full_config["profiles"].get("default", {})) else None


class _ProfileCredentials:
    """Gives obstore the credentials of an AWS profile."""

    def __init__(self, profile: str, environ: Mapping[str, str]) -> None:
        try:
            import botocore.session
            from botocore.exceptions import BotoCoreError  # type: ignore[import-untyped]
        except ImportError as error:
            raise ConfigError(
                f"AWS_PROFILE is {profile!r}; to read profiles install boto3 (pip install boto3). "
                "Or give AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
            ) from error
        session = botocore.session.Session(profile=profile)
        try:
            region = environ.get("AWS_REGION") or session.get_config_variable("region") or "us-east-1"
            session.set_config_variable("region", region)  # STS is asked there
            self._credentials = session.get_credentials()
            endpoint = session.get_scoped_config().get("endpoint_url")
        except BotoCoreError as error:
            raise ConfigError(f"The AWS profile {profile!r} gives no credentials: {error}.") from error
        if self._credentials is None:
            raise ConfigError(f"The AWS profile {profile!r} has no credentials; mend it in ~/.aws/config.")
        self.config: dict[str, Any] = {"region": region}
        if endpoint and not any(environ.get(name) for name in ENDPOINTS["s3"]):
            self.config["endpoint"] = endpoint

    def __call__(self) -> S3Credential:
        """Return keys; obstore keeps them until `expires_at`."""
        frozen = self._credentials.get_frozen_credentials()
        return {
            "access_key_id": frozen.access_key,
            "secret_access_key": frozen.secret_key,
            "token": frozen.token,
            "expires_at": datetime.now(UTC) + timedelta(seconds=CREDENTIALS_KEPT_S),
        }
