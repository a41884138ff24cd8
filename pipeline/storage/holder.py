"""Who holds a lease, as the lease itself says, and whether that process still lives."""

from __future__ import annotations

import getpass
import json
import os
import socket
import uuid
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

LONGEST_NAME = 100


def _tame(text: str) -> str:
    """Return what may stand in a message."""
    return "".join(char for char in text[:LONGEST_NAME] if char.isprintable())


_Text = Annotated[str, AfterValidator(_tame)]


class Life(Enum):
    """What can be known of a process from here."""

    ALIVE = "alive"
    DEAD = "dead"
    UNKNOWN = "unknown"
    """It runs, or ran, on another machine or in another container; or it is just dying."""


class Holder(BaseModel):
    """The process that holds a lease; fields are empty where a lease does not say."""

    model_config = ConfigDict(frozen=True, strict=True)

    user: _Text = ""
    host: _Text = ""
    pid: int = Field(0, ge=0, le=2**22)
    """Source of the largest: proc_sys_kernel(5), pid_max."""
    since: _Text = ""
    """UTC, for people."""
    machine: str = ""
    """Names a kernel since its start and a process table on it: a host name does not, as containers share them."""
    pid_started: int = 0
    """Clock ticks after the start of the machine: process ids are used again."""
    token: str = ""
    """Differs each time a lease is asked for."""
    ttl_s: float = Field(0, ge=0, le=3600)
    """How long this lease is valid without being renewed; 0 where the kernel guards it."""
    renewals: int = 0

    def __str__(self) -> str:
        if not self.pid:
            return "a run that does not say who it is"
        who = f"{self.user} on {self.host}" if self.user else self.host
        return f"{who}, process {self.pid}, since {self.since}"

    def life(self) -> Life:
        """Return whether the process lives; only one in this process table can be looked up."""
        if not self.machine or self.machine != _machine():
            return Life.UNKNOWN
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return Life.DEAD
        except PermissionError:  # another user's
            pass
        found = _status(self.pid)
        if found.started and self.pid_started and found.started != self.pid_started:
            return Life.DEAD
        if found.state not in {"Z", "X"}:
            return Life.ALIVE
        # A killed process is gone with its last thread; until then a system call of one may still end.
        return Life.DEAD if found.num_threads <= 1 else Life.UNKNOWN


def this_process(ttl_s: float = 0) -> Holder:
    """Return a holder with a token of its own that describes this process."""
    return Holder(
        user=_user(),
        host=socket.gethostname(),
        pid=os.getpid(),
        since=datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
        machine=_machine(),
        pid_started=_status(os.getpid()).started,
        token=uuid.uuid4().hex,
        ttl_s=ttl_s,
    )


def to_json(holder: Holder) -> bytes:
    """Return a lease's content."""
    return holder.model_dump_json().encode() + b"\n"


def freed(holder: Holder) -> bytes:
    """Return the content of a lease that `holder` gave up and nobody holds."""
    return json.dumps({"freed_by": holder.token}).encode() + b"\n"


def from_json(content: bytes) -> Holder | None:
    """Return who holds a lease with this content; None for nobody. What is not understood is held by an unknown."""
    if not content.strip() or content.startswith(b'{"freed_by"'):
        return None
    try:
        return Holder.model_validate_json(content)
    except ValidationError:
        return Holder()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user often has no name
        return f"user {os.getuid()}"


def _machine() -> str:
    """Return an empty string where the kernel does not say."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        return f"{boot}/{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return ""


class _Status(NamedTuple):
    state: str = ""
    num_threads: int = 0
    started: int = 0


def _status(pid: int) -> _Status:
    """Return fields 3, 20 and 22 of /proc/<pid>/stat, none where it cannot be read; source: proc_pid_stat(5)."""
    try:
        # The name of the program stands in brackets and may hold any character.
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return _Status()
    return _Status(fields[0].decode(), int(fields[17]), int(fields[19]))
