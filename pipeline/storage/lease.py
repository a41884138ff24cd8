"""One writer for each key: what the leases of folders and buckets have in common.

A folder's lease is a kernel lock (folder_lease.py), a bucket's an object that is renewed
(bucket_lease.py). Both say who holds them.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from pipeline.errors import OutputBusyError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.storage.holder import Holder

POLL_S = 1.0
HOW_TO_WAIT = "Wait for it, or let this one wait: `--wait 3600`."


class Lease(Protocol):
    """The right to write; it ends with the `with` that gave it."""

    def check(self) -> None:
        """Return while this process holds the lease; cheap. Call it before every commit.

        Raises:
            LeaseLostError: somebody else holds it, or it was deleted. Terminal.
            StorageError: the bucket was not to be reached for longer than the lease is valid.
        """
        ...


class Busy(NamedTuple):
    """The answer to one attempt to get a lease that another holds."""

    holder: Holder
    certain: bool = True
    """Whether the holder is known to live; where it is not, the next attempts will tell."""


class Place(NamedTuple):
    """What a lease is about, for messages and for waiting."""

    name: str
    when_it_ends: Callable[[Holder], str]
    """A sentence."""
    poll_s: float = POLL_S
    longest_doubt_s: float = math.inf
    """How long it may stay uncertain whether the holder lives before it counts as living."""


L = TypeVar("L")


def wait_for(
    attempt: Callable[[], L | Busy],
    place: Place,
    *,
    wait_s: float,
    on_wait: Callable[[str], None] | None = None,
) -> L:
    """Return the lease that `attempt` gives, asking until `wait_s` has passed and it is certain that another lives.

    Raises:
        OutputBusyError: it is still held.
    """
    give_up_at = time.monotonic() + wait_s
    told: str | None = None
    while isinstance(answer := attempt(), Busy):
        holder = answer.holder
        who = f"Another run writes to {place.name}: {holder}."
        left_s = give_up_at - time.monotonic()
        if left_s <= 0 and (answer.certain or -left_s >= place.longest_doubt_s):
            advice = f"This one waited for {wait_s:g} s." if wait_s else HOW_TO_WAIT
            raise OutputBusyError(f"{who} {advice} {place.when_it_ends(holder)}")
        if on_wait and holder.token != told:
            on_wait(f"{who} {place.when_it_ends(holder)}")
            told = holder.token
        time.sleep(min(place.poll_s, left_s) if left_s > 0 else place.poll_s)
    return answer
