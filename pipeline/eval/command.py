"""`pagemill eval`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

from pipeline.config import RunConfig
from pipeline.errors import ConfigError


def evaluate(arguments: argparse.Namespace, settings: Callable[[Sequence[str]], RunConfig]) -> int:
    """Say that this is not there yet."""
    del arguments, settings
    raise ConfigError("pagemill eval is not built yet.")
