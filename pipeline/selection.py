"""What `since` and `sample` may say, and which documents they mean. Knows nothing of storage or runs."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from fnmatch import fnmatchcase
from fractions import Fraction
from urllib.parse import unquote

SINCE_FORMS = "a date (2026-03-01), a time (2026-03-01T08:00) or an age in minutes, hours or days (30m, 36h, 7d)"
DEADLINE_FORMS = "a time of day (06:00), a time (2026-03-01T06:00) or a length in minutes, hours or days (90m, 8h, 1d)"
SAMPLE_FORMS = "a number of documents (100) or a share of them above 0% and up to 100% (5%)"

_AGE = re.compile(r"(\d{1,9})([mhd])", re.ASCII)
_TIME_OF_DAY = re.compile(r"\d{1,2}:\d{2}", re.ASCII)
_COUNT = re.compile(r"[1-9]\d{0,17}", re.ASCII)
_SHARE = re.compile(r"(\d{1,3}(?:\.\d{1,9})?)%", re.ASCII)
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_DRAW_BITS = 63
"""Of a hash that SQLite can hold as an integer."""


def parse_since(text: str, now: datetime) -> datetime:
    """Return the time that a date, a time (ISO 8601) or an age before `now` names, in UTC.

    Dates and times without an offset are local ones.

    Raises:
        ValueError: it is none of these; the message says what is accepted.
    """
    age = _AGE.fullmatch(text.strip())
    try:
        found = now - timedelta(**{_UNITS[age[2]]: int(age[1])}) if age else datetime.fromisoformat(text.strip())
        return found.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"give {SINCE_FORMS}") from None


def is_length(text: str) -> bool:
    """Return whether a deadline says how long a run may take, and not until when."""
    return _AGE.fullmatch(text.strip()) is not None


def parse_deadline(text: str, now: datetime) -> datetime:
    """Return the time by which a run that begins `now` must be done, in UTC.

    A time of day means the next one. Times without an offset are local ones.

    Raises:
        ValueError: it is no time; the message says what is accepted.
    """
    text = text.strip()
    length = _AGE.fullmatch(text)
    try:
        if length:
            return (now + timedelta(**{_UNITS[length[2]]: int(length[1])})).astimezone(UTC)
        if _TIME_OF_DAY.fullmatch(text):
            local = now.astimezone()
            today = datetime.combine(local.date(), time.fromisoformat(text.zfill(5)))
            due = today.astimezone() if today.astimezone() > local else (today + timedelta(days=1)).astimezone()
            return due.astimezone(UTC)
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"give {DEADLINE_FORMS}") from None


@dataclass(frozen=True, slots=True)
class Sample:
    """Some documents of any set of them, by a hash of their URI: the same ones at every run."""

    count: int | None = None
    """As many of those with the lowest draw."""
    share: Fraction | None = None
    """Those whose draw falls in this share of all draws. One of the two is set."""

    @classmethod
    def parse(cls, text: str) -> Sample:
        """Return the sample that `100` or `5%` asks for.

        Raises:
            ValueError: it is neither; the message says what is accepted.
        """
        text = text.strip()
        if _COUNT.fullmatch(text):
            return cls(count=int(text))
        found = _SHARE.fullmatch(text)
        share = Fraction(found[1]) / 100 if found else Fraction(0)
        if not 0 < share <= 1:
            raise ValueError(f"give {SAMPLE_FORMS}")
        return cls(share=share)

    def may_hold(self, draw: int) -> bool:
        """Tell whether a document with this draw can be in the sample; for a share it then is."""
        return self.share is None or draw < self.share * 2**_DRAW_BITS


def draw_of(uri: str) -> int:
    """Return a document's number in every sample, at least 0 and below 2**63, evenly spread."""
    return int.from_bytes(hashlib.blake2b(uri.encode(), digest_size=8).digest()) >> (64 - _DRAW_BITS)


def rank_of(uri: str, patterns: Sequence[str]) -> int:
    """Return the place of the first glob that a document's path fits, counted from 0; all others come after.

    A pattern may name the end of a path from any folder on: `urgent/*` fits `file:///in/urgent/a.pdf`.
    """
    path = unquote(uri)
    fits = (fnmatchcase(path, pattern) or fnmatchcase(path, f"*/{pattern}") for pattern in patterns)
    return next((place for place, found in enumerate(fits) if found), len(patterns))
