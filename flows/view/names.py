"""What runs and artifacts are called."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from prefect.runtime import deployment, flow_run

from pipeline.errors import ConfigError
from pipeline.settings import load_config

FLOW = "ocr"
TIMEZONE_VARIABLE = "FLOWS_TIMEZONE"
_NIGHTLY = "nightly"


def flow_run_name() -> str:
    """Return the name of the flow run that begins: what, which night or days, which extraction.

    For `@flow(flow_run_name=...)`; Prefect asks when the run has begun, until then a run has a name of chance.
    """
    asked = dict(flow_run.parameters)
    extraction = asked.get("extraction") or (asked.get("settings") or {}).get("extraction") or _usual_extraction()
    since, until = asked.get("since"), asked.get("until")
    return run_name(kind_of_run(), extraction=extraction, at=flow_run.scheduled_start_time, since=since, until=until)


def kind_of_run() -> str:
    """Return the name of the deployment whose run this is, else that of the flow."""
    return str(deployment.name or FLOW)


def run_name(
    kind: str, *, extraction: str | None, at: datetime, since: str | None = None, until: str | None = None
) -> str:
    """Return "nightly 2026-11-21 invoice", or "backfill 2026-11-18 to 2026-11-20 invoice".

    Args:
        at: when it was to begin; the night is named by the day on which it begins, in FLOWS_TIMEZONE.
        since: days from this one on,
        until: and before this one; of other forms than dates they are named as they are.
    """
    local = at.astimezone(_timezone())
    when = _span(since, until) or f"{local:%Y-%m-%d}" + ("" if kind == _NIGHTLY else f" {local:%H:%M}")
    return " ".join(filter(None, (kind, when, (extraction or "").rstrip("/").rpartition("/")[2])))


def artifact_key(kind: str, what: str) -> str:
    """Return the key that all runs of a kind have for an artifact: Prefect shows its history under it."""
    return re.sub(r"[^a-z0-9]+", "-", f"{FLOW}-{kind}-{what}".lower()).strip("-")


def _span(since: str | None, until: str | None) -> str | None:
    first, end = _day(since), _day(until)
    if first and end and (last := end - timedelta(days=1)) >= first:
        return str(first) if first == last else f"{first} to {last}"
    return " ".join(filter(None, (since and f"since {since}", until and f"until {until}"))) or None


def _day(text: str | None) -> date | None:
    with suppress(ValueError):
        return date.fromisoformat(text or "")
    return None


def _timezone() -> tzinfo:
    with suppress(ValueError, OSError, KeyError):  # no run fails for want of a name
        return ZoneInfo(os.environ.get(TIMEZONE_VARIABLE) or "UTC")
    return UTC


def _usual_extraction() -> Any:
    with suppress(ConfigError):  # the flow itself says what is wrong
        return load_config(environ=os.environ, complete=False).config.extraction
    return None
