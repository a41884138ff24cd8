"""Pagemill: a folder of documents in, validated records in Parquet out.

from pipeline import open_results

for record in open_results("out/")["invoice"].records():
    print(record.name, record.record)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.results import open_results as open_results

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import what reads an output when it is asked for: `pagemill --help` must not wait for Arrow."""
    if name == "open_results":
        from pipeline.results import open_results

        return open_results
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
