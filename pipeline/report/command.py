"""`pagemill report`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from pipeline.errors import ConfigError
from pipeline.log import printable
from pipeline.report.images import ImageLimits
from pipeline.report.target import REPORT_FOLDER
from pipeline.report.writer import write_report
from pipeline.show.text import counted, duration

if TYPE_CHECKING:
    import argparse

    from pipeline.results import Results


def report(arguments: argparse.Namespace, results: Results) -> int:
    """Write the report and say where it stands; return the exit code.

    Raises:
        ConfigError: there is no such extraction, or the report cannot go there.
        StorageError: the output cannot be read, or the report not written.
    """
    names = [found.name for found in results.extractions]
    if arguments.extraction and arguments.extraction not in names:
        raise ConfigError(
            f"{arguments.output} holds no results of {arguments.extraction!r}, only of {', '.join(names)}."
        )
    limits = ImageLimits(arguments.images, arguments.image_mb * 1_000_000, arguments.workers)
    location = arguments.to or f"{results.location}/{REPORT_FOLDER}"
    written = write_report(results, location, [arguments.extraction] if arguments.extraction else names, limits)
    if arguments.json:
        sys.stdout.write(json.dumps({"event": "report", **asdict(written)}) + "\n")
    else:
        counts = {"document": written.documents, "page": written.pages, "picture": written.images}
        told = ", ".join(counted(count, noun) for noun, count in counts.items())
        sys.stdout.write(f"report of {told}, written in {duration(written.took_s)}:\n{printable(written.index)}\n")
    return 0
