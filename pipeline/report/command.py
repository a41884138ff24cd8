"""`pagemill report`."""

from __future__ import annotations

import argparse

from pipeline.errors import ConfigError
from pipeline.results import Results


def report(arguments: argparse.Namespace, results: Results) -> int:
    """Say that this is not there yet."""
    del arguments, results
    raise ConfigError("pagemill report is not built yet.")
