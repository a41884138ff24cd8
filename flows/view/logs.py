"""The log of a flow run: what Pagemill says of the run, from any thread, and of libraries what is wrong."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from prefect.exceptions import MissingContextError
from prefect.logging import get_run_logger

from pipeline.show.text import printable

Log = logging.Logger | logging.LoggerAdapter[Any]

LINES_OF_A_KIND = 5
"""Lines of one wording that a run's log holds; the others are counted."""
_OURS = ("pipeline", "flows")
_NOISY = ("httpx", "httpcore", "botocore", "RapidOCR", "rapidocr", "vllm", "transformers", "asyncio")


@contextmanager
def run_log() -> Iterator[Log]:
    """Pass Pagemill's lines on to the log of the flow run meanwhile, those about single pages left out; yield that log.

    Where that is done already, and outside of a flow run, nothing changes.
    """
    loggers = [logging.getLogger(name) for name in _OURS]
    try:
        log = get_run_logger()
    except MissingContextError:
        yield loggers[-1]
        return
    if any(isinstance(handler, _Lines) for handler in loggers[0].handlers):
        yield log
        return
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
    before = [(logger, logger.level, logger.propagate) for logger in loggers]
    lines = _Lines(log)
    for logger in loggers:
        logger.setLevel(logging.INFO)
        logger.propagate = False  # the run's log goes to the console, too
        logger.addHandler(lines)
    try:
        yield log
    finally:
        for logger, level, propagate in before:
            logger.removeHandler(lines)
            logger.setLevel(level)
            logger.propagate = propagate
        lines.count_the_rest()


class _Lines(logging.Handler):
    """Passes lines on. Prefect's own handler knows the run only in the flow's own thread."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.INFO)
        self._log = log
        self._seen: Counter[str] = Counter()

    def count_the_rest(self) -> None:
        """Say how many lines were left out."""
        for wording, count in self._seen.items():
            if count > LINES_OF_A_KIND:
                self._log.warning("%s more such lines: %s", f"{count - LINES_OF_A_KIND:,}", wording)

    def emit(self, record: logging.LogRecord) -> None:
        about = vars(record)
        if record.levelno < logging.WARNING and "page" in about:
            return
        wording = str(record.msg)
        self._seen[wording] += 1
        if self._seen[wording] > LINES_OF_A_KIND:
            return
        named = "".join(f" {name}={about[name]}" for name in ("document", "why", "error") if name in about)
        self._log.log(record.levelno, "%s", printable(record.getMessage() + named), exc_info=record.exc_info)
