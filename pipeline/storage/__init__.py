"""Files in a local folder or in a bucket, behind one small interface.

Knows nothing about what the files hold. Transient failures are retried here and nowhere
else. Names that start with "." or "_" are never listed, as Hive, Spark and DuckDB do: what
is half written, and what other tools leave, is not data.
"""

from __future__ import annotations

from pipeline.storage.base import Storage, StoredFile
from pipeline.storage.folder import FolderStorage
from pipeline.storage.lease import Lease
from pipeline.storage.location import BUCKET_SCHEMES, canonical, local_path, refuse_credentials, scheme_of

__all__ = [
    "BUCKET_SCHEMES",
    "Lease",
    "Storage",
    "StoredFile",
    "canonical",
    "local_path",
    "open_storage",
    "refuse_credentials",
    "scheme_of",
]


def open_storage(location: str) -> Storage:
    """Return the storage at a local folder (a path or file://, created on the first put) or a bucket URL.

    Buckets take credentials and endpoints from the environment, profiles and the machine's
    role (see bucket_access.py), never from the URL.

    Raises:
        ConfigError: the scheme is not known, the URL names no bucket, or credentials cannot be had.
    """
    path = local_path(location)
    if path is not None:
        return FolderStorage(path)
    from pipeline.storage.bucket import open_bucket

    return open_bucket(location)
