"""Which failed pages are to be read again, and in which documents they stand."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow.compute as pc

from pipeline.data import Document, DocumentRef
from pipeline.errors import ConfigError, ErrorType
from pipeline.results import open_results

log = logging.getLogger(__name__)

_COLUMNS = ("source_uri", "source_size_bytes", "source_modified_at", "fingerprint", "finished_at", "sha256")


@dataclass(frozen=True, slots=True)
class Retry:
    """Read again what failed, for these reasons."""

    reasons: frozenset[ErrorType] = frozenset()
    """None means all."""

    def wants(self, error_type: ErrorType) -> bool:
        """Return whether a page that failed for this reason is read again."""
        return not self.reasons or error_type in self.reasons


@dataclass(frozen=True, slots=True)
class FailedDocuments:
    """Documents with pages to read again."""

    refs: tuple[DocumentRef, ...]
    sha256: Mapping[str, str]
    """Of those that could be opened, by URI."""
    fingerprint: str
    """Of their rows. The new ones keep it, also when they are read at other settings: else the next
    ordinary run would take them for out of date and undo what the retry achieved."""

    def has_changed(self, document: Document) -> bool:
        """Return whether a document is not the one that failed: the settings of a retry are for that one."""
        return self.sha256.get(document.ref.uri, document.sha256) != document.sha256


def find_failed(output: str, extraction: str, retry: Retry) -> FailedDocuments:
    """Return the documents with current rows that failed for a reason that `retry` wants.

    Raises:
        ConfigError: there is none; says which reasons there are.
        StorageError: the output cannot be read.
    """
    results = next((found for found in open_results(output).extractions if found.name == extraction), None)
    failures = results.failures() if results else None
    if results is None or failures is None or not failures.num_rows:
        raise ConfigError(f"{output} has no failed page of {extraction!r}.")
    wanted = [retry.wants(ErrorType(name)) for name in failures["error_type"].to_pylist()]
    if not any(wanted):
        present = ", ".join(sorted(set(failures["error_type"].to_pylist())))
        asked = ", ".join(sorted(retry.reasons))
        raise ConfigError(f"No page of {extraction!r} failed for {asked}; the reasons there are: {present}.")
    uris = pc.unique(failures.filter(wanted)["source_uri"])
    rows = results.documents(_COLUMNS)
    rows = rows.filter(pc.is_in(rows["source_uri"], value_set=uris)).sort_by([("finished_at", "descending")])
    fingerprint = rows["fingerprint"][0].as_py()
    chosen = rows.filter(pc.equal(rows["fingerprint"], fingerprint)).sort_by("source_uri")
    if left_out := rows.num_rows - chosen.num_rows:
        log.warning("%d documents failed under older settings; `pagemill run` reads these again", left_out)
    columns = (chosen[name].to_pylist() for name in _COLUMNS[:3])
    sha256 = zip(*(chosen[name].to_pylist() for name in ("source_uri", "sha256")), strict=True)
    known = {uri: digest for uri, digest in sha256 if digest}
    return FailedDocuments(tuple(map(DocumentRef, *columns)), known, fingerprint)
