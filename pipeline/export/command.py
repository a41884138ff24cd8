"""`pagemill export`."""

from __future__ import annotations

import argparse

from pipeline.errors import ConfigError
from pipeline.results import Results


def export(arguments: argparse.Namespace, results: Results) -> int:
    """Say that this is not there yet."""
    del arguments, results
    raise ConfigError("pagemill export is not built yet.")
