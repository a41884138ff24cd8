"""Reads an output back: current rows, records with what people corrected, failures, runs, statistics.

    from pipeline import open_results

    results = open_results("out/")
    for record in results["invoice"].records("needs_review"):
        print(record.name, record.review_reasons, record.record)

docs/results.md tells the whole of it.
"""

from __future__ import annotations

from pipeline.results.logical import Field, Record, RecordKey
from pipeline.results.output import ExtractionResults, Results, open_results
from pipeline.results.tables import Totals
from pipeline.results.views import View

__all__ = ["ExtractionResults", "Field", "Record", "RecordKey", "Results", "Totals", "View", "open_results"]
