"""What people have reviewed, as labelled documents: the layout that `pagemill eval` reads.

    FOLDER/manifest.jsonl               a line for each record
    FOLDER/documents/<sha256>.<suffix>  a copy of its document
    FOLDER/gt/<id>.json                 what stands in it, as far as people looked

Only what people accepted or corrected is a label: a field that nobody looked at is left out, and never scored. One
that they confirmed to be empty is named in `absent`: a value read there is wrong.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.corrections import WHOLE, json_form, leaves
from pipeline.data import DocumentRef
from pipeline.errors import ConfigError, StorageError
from pipeline.results import ExtractionResults, Record, RecordKey
from pipeline.source import Fetcher
from pipeline.storage import local_path

KINDS = {"receipt": "receipt", "invoice": "invoice", "transcript": "fulltext"}
"""Extractions that come with Pagemill, and what their documents are called in a manifest."""
_SLUG = 60
_SUFFIXES = {"image/jpeg": ".jpg", "image/tiff": ".tif", "image/jp2": ".jp2", "application/pdf": ".pdf"}


@dataclass(slots=True)
class Written:
    """What was written, and what not, by reason."""

    count: int = 0
    left_out: Counter[str] = field(default_factory=Counter)


def write_labelled(extraction: ExtractionResults, to: str) -> Written:
    """Write the reviewed records of an extraction, with copies of their documents, into a new folder.

    Raises:
        ConfigError: the folder is no local one, or something is in it.
        StorageError: something cannot be read or written.
    """
    folder = local_path(to)
    if folder is None:
        raise ConfigError(f"--to {to}: labelled documents are written to a local folder.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"--to {to} is not empty; name a new folder.")
    written, fetcher = Written(), Fetcher()
    try:
        for name in ("documents", "gt"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        with (folder / "manifest.jsonl").open("w", encoding="utf-8") as manifest:
            for record in _reviewed(extraction):
                entry = _write(record, folder, fetcher)
                if entry is None:
                    written.left_out["whose document is gone or was changed since it was read"] += 1
                else:
                    written.count += 1
                    manifest.write(json.dumps(entry, ensure_ascii=False) + "\n")
    except OSError as error:
        raise StorageError(f"{to} cannot be written: {error.strerror}.") from error
    return written


def _reviewed(extraction: ExtractionResults) -> Iterator[Record]:
    """Yield the records of which people said something, those of the same bytes once."""
    seen: set[RecordKey] = set()
    for record in extraction.records():
        if record.reviewed and record.sha256 and record.key not in seen:
            seen.add(record.key)
            yield record


def labels(record: Record) -> dict[str, Any]:
    """Return what people say stands in a record's document: its fields as JSON, and `absent`, names of empty ones."""
    found: dict[str, Any] = {}
    absent = []
    for name, value in (record.record or {}).items():
        if not _is_reviewed(record, name):
            continue
        if value in (None, "", [], {}):
            absent.append(name)
        else:
            found[name] = json_form(value)
    return found | ({"absent": absent} if absent else {})


def _is_reviewed(record: Record, name: str) -> bool:
    """Tell whether all of a field was looked at: of a list each item, and that there are no more."""
    settled = set(record.reviewed)
    if settled & {WHOLE, name}:
        return True
    value = (record.read or {}).get(name)
    if not isinstance(value, dict):
        return False  # of a list, nobody has said that it is complete
    paths = [f"{name}.{path}" for path, one in leaves(value) if one is not None]
    return bool(paths) and settled.issuperset(paths)


def _write(record: Record, folder: Path, fetcher: Fetcher) -> dict[str, Any] | None:
    """Write a document and its labels, and return its line of the manifest; None when its bytes are gone."""
    name = _name(record)
    target = folder / "documents" / f"{record.sha256}{_suffix(record)}"
    if not target.exists() and not _copy(record, target, fetcher):
        return None
    truth = folder / "gt" / f"{name}.json"
    truth.write_text(json.dumps(labels(record), ensure_ascii=False, indent=1) + "\n", "utf-8")
    return _entry(record, name, target, truth, folder)


def _copy(record: Record, target: Path, fetcher: Fetcher) -> bool:
    """Copy a record's document, and return whether its bytes are still those that were read."""
    try:
        with fetcher.fetch(DocumentRef(record.source_uri, 0, None)) as path:
            shutil.copyfile(path, target)
    except (OSError, StorageError):
        return False
    is_same = _sha256(target) == record.sha256
    if not is_same:
        target.unlink()
    return is_same


def _entry(record: Record, name: str, target: Path, truth: Path, folder: Path) -> dict[str, Any]:
    reviewers = sorted({review.reviewer for review in record.reviews.values()})
    entry = {
        "id": name,
        "kind": KINDS.get(record.extraction, record.extraction),
        "file": target.relative_to(folder).as_posix(),
        "ground_truth": truth.relative_to(folder).as_posix(),
        "sha256": record.sha256,
        "bytes": target.stat().st_size,
        "pages": record.num_pages,
        "source": record.source_uri,
        "reviewed": sorted(record.reviewed),
        "gt_origin": f"review by {', '.join(reviewers)} of run {record.run_id}",
    }
    if record.num_records > 1:
        entry |= {"first_page": record.first_page, "last_page": record.last_page}
    return entry if record.extraction in KINDS else {**entry, "extraction": record.extraction}


def _name(record: Record) -> str:
    slug = re.sub(r"[^A-Za-z0-9.]+", "-", PurePosixPath(record.name).stem)[:_SLUG].strip("-.") or "document"
    page = f"-p{record.first_page}" if record.num_records > 1 else ""
    return f"{slug}-{(record.sha256 or '')[:12]}{page}"


def _suffix(record: Record) -> str:
    kind = record.media_type or ""
    return _SUFFIXES.get(kind, f".{re.sub(r'[^a-z0-9]', '', kind.partition('/')[2])}")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
