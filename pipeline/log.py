"""What Pagemill says while it works: log lines with named values on stderr, quiet unless asked.

Modules log with the standard library and name what a line is about in `extra`:

    log.warning("page not rendered", extra={"document": ref.uri, "page": 3})
"""

from __future__ import annotations

import json
import logging
import sys
import unicodedata
from datetime import UTC, datetime
from typing import Any

_STEERING = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_ZERO_WIDTH_JOINERS = "\u200c\u200d"
"""Format characters that scripts and emoji need; the others can hide or reorder text."""


def configure_logging(level: int, *, as_json: bool = False) -> None:
    """Send Pagemill's log lines of `level` and above to stderr; a second call replaces the first."""
    logger = logging.getLogger("pipeline")
    logger.handlers = [_StderrHandler()]
    logger.handlers[0].setFormatter(_Lines(as_json=as_json))
    logger.setLevel(level)
    logger.propagate = False


def printable(text: str) -> str:
    """Return the text with every character escaped that steers a terminal, hides or reorders text.

    Source: Unicode general categories Cc, Cf, Cs, Zl, Zp.
    """
    return "".join(_escaped(char) if _steers(char) else char for char in text)


def _steers(char: str) -> bool:
    return unicodedata.category(char) in _STEERING and char not in _ZERO_WIDTH_JOINERS


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


class _StderrHandler(logging.Handler):
    """Looks stderr up for each line: the progress bar puts its own in place, so that lines appear above it."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            print(self.format(record), file=sys.stderr)
        except OSError:
            self.handleError(record)


class _Lines(logging.Formatter):
    """`time level logger message key=value ...`, or the same as a JSON object."""

    def __init__(self, *, as_json: bool) -> None:
        super().__init__()
        self._as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        fields = _fields(record)
        trace = self.formatException(record.exc_info) if record.exc_info else None
        if self._as_json:
            return json.dumps(fields | ({"traceback": trace} if trace else {}), default=str)
        head = " ".join(str(fields.pop(name)) for name in ("time", "level", "logger", "message"))
        named = "".join(f" {name}={_quoted(value)}" for name, value in fields.items())
        return "\n".join(map(printable, [head + named, *(trace.split("\n") if trace else ())]))


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    standard = {
        "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
        "level": record.levelname,
        "logger": record.name,
        "message": record.getMessage(),
    }
    # What every record has is not what this line is about; libraries add to it (vLLM the name of the process).
    common = vars(logging.makeLogRecord({})).keys() | {"message", "asctime"}
    named = {name: value for name, value in vars(record).items() if name not in common and value is not None}
    return standard | named


def _quoted(value: object) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if " " in text or not text else text
