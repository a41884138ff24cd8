"""Tags of S3 objects, by boto3: obstore sets tags of what it writes, not of what is there."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

from pipeline.errors import ConfigError, StorageError
from pipeline.storage.bucket_access import CONNECT_S, patience
from pipeline.storage.retrying import TransientError, retried, without_secrets

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.storage.location import BucketPlace

FIRST_PASSING_STATUS = 500


def check_taggable(place: BucketPlace) -> None:
    """Raise ConfigError, with what to do, where objects cannot be tagged."""
    if place.scheme != "s3":
        raise ConfigError(f"Files in {place.scheme}:// cannot be tagged; let them be moved, or be kept.")
    try:
        import boto3  # type: ignore[import-untyped]  # noqa: F401 - whether it is there
    except ImportError as error:
        raise ConfigError("Tagging objects needs boto3; install it: pip install boto3.") from error


class ObjectTagging:
    """Tags the objects of one bucket; takes endpoint and credentials from the environment as boto3 does."""

    def __init__(self, place: BucketPlace) -> None:
        import boto3
        from botocore.config import Config  # type: ignore[import-untyped]

        self._bucket = place.bucket
        silence_s = patience().silence_s
        once = Config(retries={"total_max_attempts": 1}, connect_timeout=CONNECT_S, read_timeout=silence_s)
        self._s3 = boto3.session.Session().client(
            "s3", endpoint_url=os.environ.get("AWS_ENDPOINT_URL") or os.environ.get("AWS_ENDPOINT"), config=once
        )

    @retried
    def add(self, key: str, tags: dict[str, str]) -> None:
        """Set tags of an object, and leave its others. S3 allows 10."""
        name = f"s3://{self._bucket}/{key}"
        with _translated(name):
            found = self._s3.get_object_tagging(Bucket=self._bucket, Key=key)["TagSet"]
            merged = {tag["Key"]: tag["Value"] for tag in found} | tags
            tag_set = [{"Key": name, "Value": value} for name, value in merged.items()]
            self._s3.put_object_tagging(Bucket=self._bucket, Key=key, Tagging={"TagSet": tag_set})


@contextlib.contextmanager
def _translated(name: str) -> Iterator[None]:
    from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError  # type: ignore[import-untyped]

    try:
        yield
    except ClientError as error:
        answer: Any = error.response
        code, status = answer["Error"].get("Code", ""), answer["ResponseMetadata"].get("HTTPStatusCode", 0)
        if code in {"NoSuchKey", "404"}:
            raise FileNotFoundError(f"{name} does not exist.") from None
        said = f"{name} cannot be tagged: {without_secrets(str(error))}"
        if status >= FIRST_PASSING_STATUS or status == 429 or code == "SlowDown":
            raise TransientError(said, patience_s=patience().away_s) from None
        raise StorageError(said) from None
    except HTTPClientError as error:
        raise TransientError(f"{name}: {without_secrets(str(error))}", patience_s=patience().away_s) from None
    except BotoCoreError as error:
        raise StorageError(f"{name} cannot be tagged: {without_secrets(str(error))}") from None
