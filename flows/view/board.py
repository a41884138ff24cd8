"""Artifacts of a flow run, put on Prefect's server by a thread of their own.

Whoever shows something never waits and never fails: of an artifact that changes faster than
the server takes it in, the latest state is put, and while the server is away they are kept.
"""

from __future__ import annotations

import contextvars
import json
import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from httpx import HTTPStatusError
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate
from prefect.runtime import flow_run
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

log = logging.getLogger(__name__)

TIMEOUT_S = 10.0
PAUSE_S = 5.0
"""After the server did not take something in."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """One artifact as it is to look now."""

    key: str
    type: str
    data: Any
    description: str | None = None


def markdown(key: str, text: str, description: str) -> Artifact:
    """Return a text."""
    return Artifact(key, "markdown", text, description)


def link(key: str, url: str) -> Artifact:
    """Return a link."""
    return Artifact(key, "markdown", f"[{url}]({url})", f"[{url}]({url})")


def table(key: str, rows: Sequence[Mapping[str, Any]], description: str) -> Artifact:
    """Return a table; each row names its columns."""
    return Artifact(key, "table", json.dumps([*map(dict, rows)], default=str), description)


def progress(key: str, share: float, description: str) -> Artifact:
    """Return a progress bar.

    Args:
        share: 0..1.
    """
    return Artifact(key, "progress", round(100 * min(max(share, 0.0), 1.0), 1), description)


class Board:
    """The artifacts of the flow run that this is called in; outside of one there are none. To be closed."""

    def __init__(self) -> None:
        """Begin; nothing is asked of the server yet."""
        self._flow_run_id = UUID(flow_run.id) if flow_run.id else None
        self._waiting: dict[str, Artifact] = {}
        self._ids: dict[str, UUID] = {}
        self._changed = threading.Condition()
        self._is_closed = self._is_left = False
        context = contextvars.copy_context()  # Prefect's settings are in there
        self._thread = threading.Thread(target=context.run, args=(self._work,), name="artifacts", daemon=True)
        if self._flow_run_id:
            self._thread.start()

    def show(self, artifact: Artifact) -> None:
        """Have the server show it, instead of what was shown of the same key in this run."""
        if self._flow_run_id is None:
            return
        with self._changed:
            self._waiting[artifact.key] = artifact
            self._changed.notify()

    def close(self, *, wait_s: float = 20.0) -> None:
        """Return once the server has all of it; after `wait_s` what it lacks is given up, with a warning."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        if self._flow_run_id:
            self._thread.join(wait_s)
        with self._changed:
            self._is_left = True
            self._changed.notify()
            lacking = ", ".join(self._waiting)
        if lacking:
            log.warning("Prefect's server did not take in: %s", lacking)

    def _work(self) -> None:
        # Retries are ours: Prefect's would hold on to a state that is out of date, for minutes.
        with (
            temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}),
            get_client(httpx_settings={"timeout": TIMEOUT_S}, sync_client=True) as client,
        ):
            while (artifact := self._next()) is not None:
                self._try_to_put(client, artifact)

    def _try_to_put(self, client: SyncPrefectClient, artifact: Artifact) -> None:
        try:
            self._put(client, artifact)
        except Exception as error:  # noqa: BLE001 - whatever Prefect raises, pages are read on
            if not _is_refusal(error):
                log.debug("artifact %s not shown yet: %s", artifact.key, error)
                self._pause()
                return
            log.warning("Prefect's server refuses the artifact %s: %s", artifact.key, error)
        self._done(artifact)

    def _next(self) -> Artifact | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_closed)
            return None if self._is_left else next(iter(self._waiting.values()), None)

    def _done(self, artifact: Artifact) -> None:
        with self._changed:
            if self._waiting[artifact.key] is artifact:
                del self._waiting[artifact.key]

    def _pause(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._is_left, timeout=PAUSE_S)

    def _put(self, client: SyncPrefectClient, artifact: Artifact) -> None:
        if known := self._ids.get(artifact.key):
            client.update_artifact(known, ArtifactUpdate(data=artifact.data, description=artifact.description))
            return
        wanted = ArtifactCreate(
            key=artifact.key,
            type=artifact.type,
            data=artifact.data,
            description=artifact.description,
            flow_run_id=self._flow_run_id,
        )
        self._ids[artifact.key] = client.create_artifact(wanted).id


def _is_refusal(error: Exception) -> bool:
    """Tell whether the server will say the same another time."""
    return (
        isinstance(error, HTTPStatusError)
        and error.response.status_code in range(400, 500)
        and (error.response.status_code not in {408, 429})
    )
