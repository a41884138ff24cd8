"""Results as one JSON object, for programs."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TextIO

from pipeline.show.spent import shares, verdict
from pipeline.stats import hour_rows, table_row, total

if TYPE_CHECKING:
    from pipeline.results import ExtractionResults, Results

_RECORD_COLUMNS = ("source_uri", "status", "num_pages", "pages_ok", "pages_failed", "record", "error_type")


def print_json(
    results: Results,
    stream: TextIO,
    *,
    limit: int | None = None,
    extraction: str | None = None,
    run_id: str | None = None,
) -> None:
    """Print one JSON object with what `print_results` shows.

    Decimals are strings, so that no digit is lost; dates and times are ISO 8601. Output is
    ASCII: what documents say cannot steer a terminal.

    Args:
        limit: documents and failures of each extraction at most; None means all.
        extraction: only this one.
        run_id: only what this run did.

    Raises:
        StorageError: the output cannot be read.
    """
    shown = [found for found in results.extractions if extraction in {None, found.name}]
    found = {part.name: _extraction(part.of_run(run_id) if run_id else part, limit) for part in shown}
    json.dump({"output": results.location, "extractions": found}, stream, default=_plain, indent=1)
    stream.write("\n")


def _extraction(results: ExtractionResults, limit: int | None) -> dict[str, Any]:
    counts, failures = results.totals(), results.failures()
    hours = list(hour_rows(results.stats()))
    whole = total(hours) if hours else None
    return {
        "documents_ok": counts.documents_ok,
        "documents_failed": counts.documents_failed,
        "pages_ok": counts.pages_ok,
        "pages_failed": counts.pages_failed,
        "documents": results.documents(_RECORD_COLUMNS, first=limit).to_pylist(),
        "failures_total": failures.num_rows,
        "failures": failures.slice(0, limit).to_pylist(),
        "runs": results.runs().to_pylist(),
        "hours": [table_row(row) for row in hours],
        "total": table_row(whole) if whole else None,
        "time": {"shares": shares(whole), "verdict": verdict(whole)} if whole else None,
        "files": {
            "documents": results.document_parts,
            "pages": results.page_parts,
            "stats": results.stats_files,
            "runs": results.run_files,
        },
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no JSON form")
