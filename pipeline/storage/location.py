"""How places are named: plain paths, file:// and bucket URLs, and one spelling for each place."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, unquote, unquote_to_bytes

from pipeline.errors import ConfigError

BUCKET_SCHEMES = frozenset({"s3", "gs", "az"})
SIGNED = re.compile(r"[?&](sig|x-amz-[a-z-]+|x-goog-[a-z-]+|awsaccesskeyid|googleaccessid|signature)=", re.IGNORECASE)
"""What the query of a signed URL holds, in S3, GCS and Azure."""


class BucketPlace(NamedTuple):
    """A folder of a bucket."""

    scheme: str
    bucket: str
    prefix: str
    """Key without "/" at its ends; not percent-encoded."""

    def key(self, below: str) -> str:
        """Return the key in the bucket of a key below this folder."""
        return f"{self.prefix}/{below}" if self.prefix else below

    def __str__(self) -> str:
        return f"{self.scheme}://{self.bucket}" + (f"/{quote(self.prefix)}" if self.prefix else "")


def scheme_of(location: str) -> str | None:
    """Return the scheme of a URL, None for a local path."""
    match = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", location)
    return match[1].lower() if match else None


def local_path(location: str) -> Path | None:
    """Return the absolute path that a plain path or a file:// URL names, None for what is in a bucket.

    A URL's path is percent-decoded by bytes; its host, if any, must be this one (RFC 8089).
    A plain path may begin with "~". Links are kept.

    Raises:
        ConfigError: a scheme that is not known, a file on another host, or a home that is not known.
    """
    scheme = scheme_of(location)
    if scheme == "file":
        host, slash, path = location[len("file://") :].partition("/")
        if host.lower() not in {"", "localhost"} or not slash:
            raise ConfigError(f"{location!r} names no file of this machine; write file:///folder, with three slashes.")
        return Path(os.path.abspath(os.fsdecode(unquote_to_bytes(f"/{path}"))))  # noqa: PTH100 - Path.resolve would follow links
    if scheme is not None:
        if scheme in BUCKET_SCHEMES:
            return None
        raise ConfigError(
            f"{scheme}:// is no storage Pagemill knows; give a local path or one of "
            + ", ".join(f"{known}://" for known in sorted({*BUCKET_SCHEMES, "file"}))
            + "."
        )
    try:
        return Path(os.path.abspath(Path(location).expanduser()))  # noqa: PTH100 - as above
    except RuntimeError as error:  # "~nobody"
        raise ConfigError(f"{location!r}: {error}; write the whole path.") from error


def bucket_place(url: str) -> BucketPlace:
    """Return what a bucket URL names; its path is percent-decoded.

    Raises:
        ConfigError: no bucket is named, or the URL holds more than a bucket and a key: credentials
            for one, as what is configured is written to logs and Parquet.
    """
    scheme, _, rest = url.partition("://")
    bucket, _, path = rest.partition("/")
    shown = f"{scheme}://{bucket}/…"
    refuse_credentials(url)
    if "?" in rest:
        raise ConfigError(f'{shown}: a URL may not hold a query ("?…"), nor a name a "?".')
    if not bucket or "#" in bucket or "%" in bucket:
        raise ConfigError(f"{shown} names no bucket; write {scheme.lower()}://bucket/folder.")
    parts = unquote(path).rstrip("/").split("/") if path.rstrip("/") else []
    if {"", ".", ".."} & set(parts):
        raise ConfigError(f'{shown}: "//", "." and ".." are no names of folders in a bucket.')
    return BucketPlace(scheme.lower(), bucket, "/".join(parts))


def refuse_credentials(url: str) -> None:
    """Raise ConfigError when a URL, or a pattern of URLs, holds credentials; the message does not."""
    scheme, _, rest = url.partition("://")
    bucket = rest.partition("/")[0].rpartition("@")[2].partition("?")[0]
    if rest and ("@" in rest.partition("/")[0] or SIGNED.search(rest)):
        raise ConfigError(f"{scheme}://{bucket}/…: a URL may not hold credentials; give them in the environment.")


def canonical(location: str) -> str:
    """Return the one spelling of a place: an absolute path, or a bucket URL as `BucketPlace` prints it.

    Raises:
        ConfigError: as `local_path` and `bucket_place` do.
    """
    path = local_path(location)
    return str(bucket_place(location)) if path is None else str(path)
