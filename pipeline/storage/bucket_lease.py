"""The lease of a bucket: an object that its holder renews, and that others may take over once it is not renewed.

Every write of it is conditional on the version last seen (If-Match, If-None-Match; RFC 9110),
so of several that try one succeeds, and a renewal that succeeds proves that nobody held it in
between. It is never deleted: giving it up is writing that nobody holds it.

No clocks are compared. A lease has expired when its version stayed the same for as long as it
says it is valid, by the clock of who wants it; its holder counts from before its last renewal,
so it always stops trusting the lease first.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, NamedTuple, Protocol

from pipeline.errors import LeaseLostError, StorageError
from pipeline.storage.holder import Holder, Life, freed, from_json, this_process, to_json
from pipeline.storage.lease import POLL_S, Busy, Place
from pipeline.storage.retrying import TransientError, retried

if TYPE_CHECKING:
    from obstore import UpdateVersion

log = logging.getLogger(__name__)

CONFLICTS = 3
"""Answers "it has changed" in a row of a server that has not changed it: S3 gives 409 when requests meet."""

RELEASE_S = 10
"""How long giving up a lease is tried: it expires by itself, and somebody may wait for this process to end."""


class LeaseTimes(NamedTuple):
    """How long a lease lives."""

    ttl_s: float = 60
    beat_s: float = 15
    poll_s: float = POLL_S


class Conflict(Exception):
    """An object is not in the version that a write was conditional on."""


class LeaseObject(Protocol):
    """One object of a bucket; failures that may pass are TransientError, others StorageError."""

    name: str

    def read(self) -> tuple[bytes, UpdateVersion] | None:
        """Return content and version, None where there is no object."""
        ...

    def write(self, content: bytes, over: UpdateVersion | None) -> UpdateVersion:
        """Replace version `over`, or create the object, and return the new version; or raise Conflict."""
        ...


class BucketLease:
    """A lease that a thread renews; see Lease."""

    def __init__(
        self, there: LeaseObject, me: Holder, version: UpdateVersion, times: LeaseTimes, *, asked_at: float
    ) -> None:
        self._object = there
        self._me = me
        self._version = version
        self._times = times
        self._renewed_at = asked_at
        self._lost: str | None = None
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._renew_often, name="lease", daemon=True)

    def start(self) -> None:
        """Begin to renew it."""
        self._thread.start()

    def check(self) -> None:
        """See Lease: one request, and only when the last renewal is older than a third of its time."""
        if self._lost is None and self._age_s() <= self._times.ttl_s / 3:
            return
        try:
            retried(self._renew)()
        except LeaseLostError:
            raise
        except StorageError:
            if self._age_s() >= self._times.ttl_s:
                raise

    def release(self) -> None:
        """Let the next one in at once; where that fails, the lease expires by itself."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join()
        try:
            if self._lost is None:
                retried(self._object.write, at_most_s=RELEASE_S)(freed(self._me), self._version)
        except Conflict:
            pass  # given up by a write whose answer was lost, or taken over
        except StorageError as error:
            log.warning("lease not given back; it expires by itself", extra={"lease": self._object.name, "why": error})

    def _age_s(self) -> float:
        return _now_s() - self._renewed_at

    def _renew_often(self) -> None:
        wait_s = self._times.beat_s
        while not self._closing.wait(wait_s):
            try:
                self._renew()
                wait_s = self._times.beat_s
            except LeaseLostError:
                return  # `check` tells
            except (TransientError, StorageError) as error:
                wait_s = self._times.beat_s / 5
                log.warning("lease not renewed; trying again", extra={"lease": self._object.name, "why": error})

    def _renew(self) -> None:
        with self._lock:
            for _ in range(CONFLICTS):
                if self._lost is not None:
                    raise LeaseLostError(self._lost)
                asked_at = _now_s()
                # No two versions may have the same content: S3's e_tag is a hash of it.
                self._me = self._me.model_copy(update={"renewals": self._me.renewals + 1})
                try:
                    self._version = self._object.write(to_json(self._me), self._version)
                except Conflict:
                    self._see_whose_it_is()
                else:
                    self._renewed_at = asked_at
                    return
            said = f"{self._object.name}: the bucket refuses to renew the lease, which nobody changed"
            raise TransientError(said, patience_s=self._times.ttl_s)

    def _see_whose_it_is(self) -> None:
        """Take up the version of our own whose answer was lost, or note that the lease is another's."""
        found = self._object.read()
        holder = from_json(found[0]) if found else None
        if found and holder and holder.token == self._me.token:
            self._version = found[1]
            return
        by = f"was taken over by {holder}" if holder else "was deleted or given up by somebody else"
        self._lost = (
            f"This run stood still or was cut off for too long: {self._object.name} {by}. "
            "What is committed stays; when the other run is done, run the same command again."
        )


class Seeker:
    """Tries to get a lease, and remembers between attempts what it saw."""

    def __init__(self, there: LeaseObject, times: LeaseTimes) -> None:
        self._object = there
        self._times = times
        self._me = this_process(times.ttl_s)
        self._seen: UpdateVersion | None = None
        self._seen_at = self._asked_at = 0.0
        self._changed = False

    @retried
    def attempt(self) -> BucketLease | Busy:
        """Return the lease or who holds it."""
        found = self._object.read()
        if found is None:
            return self._claim(None)
        holder, version = from_json(found[0]), found[1]
        if holder is None or self._is_mine(holder) or self._is_over(holder, version):
            return self._claim(version)
        return Busy(holder, certain=self._changed or holder.life() is Life.ALIVE)

    def _is_mine(self, holder: Holder) -> bool:
        """Tell whether an earlier attempt succeeded without its answer coming through."""
        return holder.token == self._me.token

    def _is_over(self, holder: Holder, version: UpdateVersion) -> bool:
        now_s, before_s = _now_s(), self._asked_at
        self._asked_at = now_s
        if version != self._seen:
            self._changed = self._seen is not None
            self._seen, self._seen_at = version, now_s
        elif now_s - before_s > self._times.ttl_s / 4:
            # The bucket, or this process, was away: its holder too could not renew it.
            self._seen_at = now_s
        expired = now_s - self._seen_at >= (holder.ttl_s or self._times.ttl_s)
        return expired or holder.life() is Life.DEAD

    def _claim(self, over: UpdateVersion | None) -> BucketLease | Busy:
        asked_at = _now_s()
        try:
            version = self._object.write(to_json(self._me), over)
        except Conflict:
            found = self._object.read()
            holder = found and from_json(found[0])
            # Who was faster lives.
            return Busy(holder or Holder(), certain=not (holder and self._is_mine(holder)))
        return BucketLease(self._object, self._me, version, self._times, asked_at=asked_at)


@retried
def check_conditions(there: LeaseObject) -> None:
    """Log a warning when a bucket's server writes in spite of a condition: then it cannot exclude anybody."""
    found = there.read()
    try:
        there.write(found[0] if found else b"", None)
    except Conflict:
        return
    log.warning(
        "this bucket's server ignores If-None-Match: make sure that no other run writes to this output",
        extra={"lease": there.name},
    )


def place(there: LeaseObject, times: LeaseTimes) -> Place:
    """Return what to say of the lease in that object."""

    def when_it_ends(holder: Holder) -> str:
        ttl_s = holder.ttl_s or times.ttl_s
        return f"If it died, the next run that asks may write {ttl_s:g} s after its last sign of life."

    return Place(there.name.rpartition("/")[0], when_it_ends, poll_s=times.poll_s)


def _now_s() -> float:
    """Return a clock that goes on while the machine sleeps, which time.monotonic does not on Linux."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
