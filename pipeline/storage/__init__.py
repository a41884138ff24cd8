"""Files in a local folder or in a bucket, behind one small interface.

Knows nothing about what the files hold. Transient failures are retried here and nowhere
else. Names that start with "." or "_" are never listed, as Hive, Spark and DuckDB do: what
is half written, and what other tools leave, is not data.
"""

from __future__ import annotations

import re

from pipeline.errors import ConfigError
from pipeline.storage.base import Storage, StoredFile
from pipeline.storage.folder import FolderStorage
from pipeline.storage.lease import Lease

BUCKET_SCHEMES = frozenset({"s3", "gs", "az"})

__all__ = ["BUCKET_SCHEMES", "Lease", "Storage", "StoredFile", "open_storage", "scheme_of"]


def scheme_of(location: str) -> str | None:
    """Return the scheme of a URL, None for a local path."""
    match = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", location)
    return match[1].lower() if match else None


def open_storage(location: str) -> Storage:
    """Return the storage at a local folder (created on the first put) or a bucket URL.

    Buckets take credentials and endpoints from the environment (AWS_*, GOOGLE_*, AZURE_*),
    never from the URL.

    Raises:
        ConfigError: the scheme is not known or the URL names no bucket.
    """
    scheme = scheme_of(location)
    if scheme is None:
        return FolderStorage(location)
    if scheme in BUCKET_SCHEMES:
        from pipeline.storage.bucket import open_bucket

        return open_bucket(location)
    raise ConfigError(
        f"{scheme}:// is no storage Pagemill knows; give a local path or one of "
        + ", ".join(f"{known}://" for known in sorted(BUCKET_SCHEMES))
        + "."
    )
